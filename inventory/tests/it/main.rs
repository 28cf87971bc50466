//! The inventory as its callers see it: words in, text out.

mod check;
mod edits;
mod files;
mod lab;
mod members;
mod plans;
mod properties;
mod refusals;
mod render;
mod symbolic;
