//! The inventory of dkc: what the operator wants, what was observed, and the plan that turns one into the other.
//!
//! *Invariant:* pure. No file, socket, clock, randomness, environment or printing; whoever calls passes the time,
//! new UUIDs and the observed facts in. `clippy.toml` beside `Cargo.toml` forbids the standard library's I/O.

pub mod check;
pub mod document;
pub mod edit;
pub mod generation;
pub mod model;
pub mod names;
pub mod observed;
pub mod plan;
pub mod problem;
pub mod render;
pub mod ring;
pub mod show;
pub mod sides;
pub mod status;
pub mod yaml;
