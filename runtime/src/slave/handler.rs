//! Answers requests on a slave's control socket.

use std::sync::atomic::Ordering;
use std::time::Duration;

use dkc_core::config::Parameters;
use dkc_core::control::{ControlReply, ControlRequest, NodeStatus, RoleStatus, SlaveStatus};
use dkc_core::ids::RingVersion;
use futures::future::BoxFuture;

use super::Slave;
use super::timeouts::Limits;
use crate::control::{Handler, refusal, reloaded};
use crate::resident::resident_bytes;

impl Handler for Slave {
    fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply> {
        Box::pin(async move {
            match request {
                ControlRequest::Status => ControlReply::Status(Box::new(self.status())),
                ControlRequest::Ring => ControlReply::Ring(self.ring().map(|ring| (*ring).clone())),
                // A slave leads nothing; it stops accepting applications at the signal.
                ControlRequest::PrepareStop => ControlReply::Ok,
                ControlRequest::Reload => self.reload().await,
                ControlRequest::ReloadCertificates => reloaded(self.certificates.reload()),
                ControlRequest::Metrics => ControlReply::Text(self.metrics()),
                ControlRequest::Word { line } => self.word(&line),
                ControlRequest::Found => refusal("a slave cannot found a cluster; ask a server"),
                ControlRequest::Meta
                | ControlRequest::BeginOperation { .. }
                | ControlRequest::EndOperation { .. }
                | ControlRequest::RevokeSlave { .. }
                | ControlRequest::IssueToken { .. }
                | ControlRequest::RevokeToken { .. }
                | ControlRequest::Tokens
                | ControlRequest::Program
                | ControlRequest::Change { .. } => refusal("a slave does not change members; ask a server"),
                ControlRequest::Data { .. }
                | ControlRequest::Export { .. }
                | ControlRequest::Import { .. }
                | ControlRequest::Cut { .. }
                | ControlRequest::CutPage { .. }
                | ControlRequest::EndCut { .. }
                | ControlRequest::Salvage
                | ControlRequest::SalvagePage { .. }
                | ControlRequest::EndSalvage => {
                    refusal("a slave's control socket serves no data; ask a server")
                }
            }
        })
    }
}

impl Slave {
    fn ring(&self) -> Option<std::sync::Arc<dkc_core::ring::RingMap>> {
        self.router.ring().borrow().clone()
    }

    /// Applies dynamic parameters: every part that keeps a copy gets it here.
    async fn reload(&self) -> ControlReply {
        let (router, timeouts) = (self.router.clone(), self.timeouts.clone());
        let (connections_max, memory) = (self.connections_max.clone(), self.memory.clone());
        let apply = move |parameters: &Parameters| {
            router.set_deadline(Duration::from_millis(parameters.request_deadline_ms));
            memory.set_bytes(parameters.slave_memory_bytes as usize);
            timeouts.set_limits(Limits::of(parameters));
            connections_max.store(parameters.connections_max, Ordering::Relaxed);
        };
        self.in_use.answer(apply).await
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            release: env!("CARGO_PKG_VERSION").into(),
            cluster: self.config.cluster.clone(),
            cluster_id: self.config.cluster_id,
            node_uuid: self.config.node_uuid,
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            role: RoleStatus::Slave(self.slave_status()),
            ring_version: self.ring().map_or(RingVersion(0), |ring| ring.version),
            memory_bytes: resident_bytes(),
            memory_max_bytes: 0,
            connections: self.traffic.connections(),
            config_in_use: self.in_use.text(),
            certificate: self.certificates.status(),
            program: Some(crate::versions::running(None)),
        }
    }

    fn slave_status(&self) -> SlaveStatus {
        SlaveStatus {
            id: self.role.id,
            listeners: self
                .role
                .pairs
                .iter()
                .map(|pair| format!("{} ({})", pair.listen, pair.protocol))
                .collect(),
            servers: self.router.links(),
            operations: self.router.operations(),
            client_connections: self.traffic.connections(),
            latency: self.traffic.latency.counted(),
        }
    }

    fn word(&self, line: &str) -> ControlReply {
        match line.split_whitespace().next().unwrap_or_default() {
            "VERSION" => ControlReply::Text(format!("dkcd {}\n", env!("CARGO_PKG_VERSION"))),
            "SELFSTATUS" => ControlReply::Text(self.self_status()),
            word => refusal(format!("ERROR: a slave does not know {word}; it knows VERSION and SELFSTATUS")),
        }
    }

    /// For operators: one line for the slave and one for each server.
    fn self_status(&self) -> String {
        let status = self.slave_status();
        let version = self.ring().map_or("not known yet".to_owned(), |ring| ring.version.to_string());
        let mut text = format!(
            "slave {} of cluster {}: ring {version}, {} operations, {} connections, listening on {}\n",
            status.id,
            self.config.cluster,
            status.operations,
            status.client_connections,
            status.listeners.join(", "),
        );
        for server in status.servers {
            let state = match (server.is_connected, server.error) {
                (true, _) => "UP".to_owned(),
                (false, Some(error)) => format!("DOWN: {error}"),
                (false, None) => "not connected".to_owned(),
            };
            text.push_str(&format!("server {} {} {state}\n", server.number, server.address));
        }
        text
    }
}
