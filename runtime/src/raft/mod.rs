//! Consensus: the glue between openraft and our log, storage and connections. One Raft group holds the node
//! registry and ring map (the meta group), one each tablet. Nothing outside this folder names an openraft type.

pub mod codec;
pub mod types;
