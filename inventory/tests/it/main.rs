//! The inventory as its callers see it: words in, text out.

mod backup;
mod change_members;
mod check;
mod edits;
mod files;
mod lab;
mod plans;
mod properties;
mod refusals;
mod render;
mod symbolic;
mod tls;
