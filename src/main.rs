//! placeholder
#![allow(dead_code, unused_imports)]
mod world;
fn main() {}
