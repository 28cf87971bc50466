//! The servers of a cluster as a step reaches them: the endpoints of the plan, asked one at a time.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::Endpoint;

use crate::interrupt::Interrupt;
use crate::world::{ControlClient, World, WorldError};

pub struct Servers<'a> {
    /// The plan's id.
    pub operation: &'a str,
    pub endpoints: &'a [Endpoint],
    pub inventory: &'a Inventory,
    pub world: &'a World,
    pub interrupt: &'a Interrupt,
    pub on_words: &'a (dyn Fn(&str) + Send + Sync),
}

impl Servers<'_> {
    pub async fn ask(
        &self,
        endpoint: &Endpoint,
        request: &ControlRequest,
        limit: Duration,
    ) -> Result<ControlReply, WorldError> {
        self.client(endpoint).await?.ask(request, limit).await
    }

    pub async fn client(&self, endpoint: &Endpoint) -> Result<ControlClient, WorldError> {
        let entry = self.inventory.host(&endpoint.host).ok_or_else(|| gone(endpoint))?;
        self.world.host(&endpoint.host, &entry).await?.control(&endpoint.dir).await
    }
}

fn gone(endpoint: &Endpoint) -> WorldError {
    let reason = "the host is no longer in the inventory".to_owned();
    WorldError::NoDaemon { host: endpoint.host.clone(), dir: endpoint.dir.clone(), reason }
}
