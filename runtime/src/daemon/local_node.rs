//! This node's configuration: its identity, its role, and the parameters in use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::{NodeConfig, Parameters, ServerRole};
use dkc_core::ids::{NodeId, RingVersion};
use dkc_core::wire::Hello;
use tokio::time::Instant;

use crate::config::InUse;
use crate::histogram::Histogram;
use crate::raft::Tuning;

pub struct LocalNode {
    /// The configuration at start; all but the dynamic parameters still apply.
    config: NodeConfig,
    role: ServerRole,
    in_use: InUse,
    tuning: Arc<Tuning>,
    write_latency: Arc<Histogram>,
    started: Instant,
}

impl LocalNode {
    pub fn new(directory: &Path, config: NodeConfig, role: ServerRole) -> LocalNode {
        let (in_use, tuning) = (InUse::new(directory, config.clone()), Tuning::of(&config.parameters));
        LocalNode { in_use, tuning, write_latency: Arc::default(), config, role, started: Instant::now() }
    }

    pub fn id(&self) -> NodeId {
        self.role.node_id
    }

    pub fn config(&self) -> &NodeConfig {
        &self.config
    }

    pub fn role(&self) -> &ServerRole {
        &self.role
    }

    pub fn in_use(&self) -> &InUse {
        &self.in_use
    }

    /// Of writes to the tablets that this node leads.
    pub fn write_latency(&self) -> &Arc<Histogram> {
        &self.write_latency
    }

    /// What all groups of this node take over while they are open.
    pub fn tuning(&self) -> &Arc<Tuning> {
        &self.tuning
    }

    /// The parameters in use now.
    pub fn parameters(&self) -> Parameters {
        self.in_use.config().parameters.clone()
    }

    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    pub fn hello(&self, ring_version: RingVersion) -> Hello {
        Hello {
            cluster: self.config.cluster_id,
            node: self.config.node_uuid,
            node_id: self.id(),
            ring_version,
            release: env!("CARGO_PKG_VERSION").into(),
        }
    }
}
