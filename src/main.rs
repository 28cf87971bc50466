//! placeholder
#![allow(dead_code, unused_imports)]
mod world;
mod authority;
fn main() {}
