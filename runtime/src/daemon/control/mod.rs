//! The control socket of a server: what each request and each CHMPX word does.

mod cut;
mod export;
mod import;
mod kv;
mod membership;
mod reload;

use std::sync::Arc;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::member::{ControlWord, status_text};
use futures::future::BoxFuture;

use crate::control::{Handler, refusal, reloaded};
use crate::daemon::server::Server;
use crate::router::Router;

pub use cut::page_of_salvaged;

pub struct ServerControl {
    pub server: Arc<Server>,
    pub router: Router,
}

impl Handler for ServerControl {
    fn handle(&self, request: ControlRequest) -> BoxFuture<'_, ControlReply> {
        Box::pin(async move {
            match request {
                ControlRequest::Status => ControlReply::Status(Box::new(self.server.status())),
                ControlRequest::Ring => {
                    ControlReply::Ring(self.server.ring().map().map(|ring| (*ring).clone()))
                }
                ControlRequest::Found => self.found().await,
                ControlRequest::PrepareStop => {
                    self.server.leadership().prepare_stop().await;
                    ControlReply::Ok
                }
                ControlRequest::Reload => self.reload().await,
                ControlRequest::ReloadCertificates => reloaded(self.server.certificates().reload()),
                ControlRequest::Data(request) => self.data(request).await,
                ControlRequest::Export { namespace, prefix, cursor } => {
                    self.export(namespace, &prefix, cursor.as_deref()).await
                }
                ControlRequest::Import { namespace, records, keeps_existing } => {
                    self.import(namespace, records, keeps_existing).await
                }
                ControlRequest::Cut { id } => self.take_cut(id).await,
                ControlRequest::CutPage { id, tablet, cursor } => {
                    self.cut_page(id, tablet, cursor.as_deref()).await
                }
                ControlRequest::EndCut { id } => self.end_cut(id).await,
                ControlRequest::Salvage | ControlRequest::SalvagePage { .. } | ControlRequest::EndSalvage => {
                    refusal("this server runs: only a stopped one is read for a recovery")
                }
                ControlRequest::Metrics => ControlReply::Text(self.server.metrics_text()),
                ControlRequest::Word { line } => self.word(&line).await,
                ControlRequest::Meta => self.server.meta().view(),
                ControlRequest::BeginOperation { id, holder, what } => {
                    self.server.meta().begin_operation(id, holder, what).await
                }
                ControlRequest::EndOperation { id } => self.server.meta().end_operation(id).await,
                ControlRequest::RevokeSlave { uuid, id, by } => {
                    self.server.meta().revoke_slave(uuid, id, by).await
                }
                ControlRequest::IssueToken { token } => self.server.meta().issue_token(token).await,
                ControlRequest::RevokeToken { id, by } => self.server.meta().revoke_token(id, by).await,
                ControlRequest::Tokens => self.server.meta().tokens(self.server.connections().slaves()),
                ControlRequest::Program => match self.server.program().view().await {
                    Ok(view) => ControlReply::Program(view),
                    Err(error) => refusal(format!("cannot read the program of this node: {error}")),
                },
                ControlRequest::Change { operation, change } => {
                    self.server.meta().change_members(operation, change).await
                }
            }
        })
    }
}

impl ServerControl {
    async fn found(&self) -> ControlReply {
        match self.server.founding().found().await {
            Ok(()) => ControlReply::Ok,
            Err(error) => ControlReply::Error { message: error.to_string(), is_outcome_unknown: false },
        }
    }

    async fn word(&self, line: &str) -> ControlReply {
        let word = match ControlWord::parse(line) {
            Ok(word) => word,
            Err(error) => return refusal(error.to_string()),
        };
        match status_text(&word, &self.server.status(), self.server.ring().map().as_deref()) {
            Some(text) => ControlReply::Text(text),
            None => self.server.meta().carry_out(&word).await,
        }
    }
}

/// Passes every new ring map to the router.
pub async fn feed_router(server: Arc<Server>, router: Router) {
    let mut ring = server.ring().subscribe();
    loop {
        if let Some(ring) = ring.borrow_and_update().clone() {
            router.set_ring((*ring).clone());
        }
        if ring.changed().await.is_err() {
            return;
        }
    }
}
