//! The inventory of dkc: the wanted state, the observed state, and the plan from one to the other.
//!
//! *Invariant:* pure. No file, socket, clock, randomness, environment or printing; callers pass in the time, new UUIDs and
//! observed facts. `clippy.toml` forbids the standard library's I/O.

#![warn(missing_docs)]

pub mod certificates;
pub mod check;
pub mod config_drift;
pub mod document;
pub mod edit;
pub mod enrolled;
pub mod generation;
mod listeners;
pub mod live;
pub mod model;
pub mod names;
pub mod observed;
pub mod parameters;
pub mod plan;
pub mod problem;
pub mod render;
pub mod ring_facts;
pub mod show;
pub mod sides;
pub mod status;
pub mod system_user;
mod undeployed;
pub mod yaml;
