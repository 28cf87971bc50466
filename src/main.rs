//! placeholder
#![allow(dead_code, unused_imports)]
mod world;
mod gather;
mod authority;
fn main() {}
