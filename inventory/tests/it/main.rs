//! The inventory as its callers see it: words in, text out.

mod apply;
mod backup;
mod change_members;
mod check;
mod configs;
mod edits;
mod files;
mod lab;
mod launch;
mod live;
mod plans;
mod properties;
mod recover;
mod refusals;
mod render;
mod symbolic;
mod tls;
mod tokens;
mod upgrade;
