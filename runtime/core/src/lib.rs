//! The logic of dkc, without any I/O: names and ids, the ring and its placement, node states, what a
//! key-value command does, and what bytes mean on every wire.
//!
//! *Invariant:* nothing here opens a file or a socket, reads a clock, draws a random number or prints.
//! Time and chance are arguments, so that every decision can be tested by value.

#![warn(missing_docs)]

pub mod certificate;
pub mod config;
pub mod control;
pub mod ids;
pub mod kv;
pub mod lineage;
pub mod member;
pub mod memcache;
pub mod meta;
pub mod metrics;
pub mod mutant;
pub mod resp;
pub mod ring;
pub mod salvage;
pub mod tablet;
pub mod token;
pub mod versions;
pub mod wire;
