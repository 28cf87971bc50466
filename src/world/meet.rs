//! First contact with several hosts: fetches their keys before any login, and asks the operator once about all of them.
//! *Invariant:* a key is accepted only by an operator who has seen its fingerprint. The key of a single new host is confirmed when
//! the host is opened.

use std::collections::BTreeMap;

use dkc_core::ids::HostAddress;
use dkc_inventory::model;
use futures::StreamExt;

use super::World;
use super::login::KeyVerdict;

/// Hosts whose keys are fetched concurrently.
const WIDTH: usize = 16;
/// A single key is confirmed when its host is opened.
const KEYS_TOGETHER_MIN: usize = 2;

impl World {
    /// Asks about all new keys of these hosts in one question. Declined keys are not asked about again during this command.
    pub async fn meet(&self, hosts: impl Iterator<Item = (&HostAddress, &model::Host)>) {
        self.prompts.begin_meeting();
        let is_new = |(address, host): &(&HostAddress, &model::Host)| {
            !host.local && !host.accept_new && host.host_key.is_empty() && !self.prompts.has_accepted(address)
        };
        let new: Vec<_> = hosts.filter(is_new).collect();
        if new.len() < KEYS_TOGETHER_MIN || !self.prompts.is_interactive() {
            return;
        }
        let looks = new.iter().map(|(address, host)| async move {
            match self.shown_key(address, host).await {
                Ok(KeyVerdict::Unknown(fingerprint)) => Some(((*address).clone(), fingerprint)),
                // A host that presents no key fails when it is opened, which reports it.
                _ => None,
            }
        });
        let shown = futures::stream::iter(looks).buffer_unordered(WIDTH).collect::<Vec<_>>().await;
        let shown: BTreeMap<HostAddress, String> = shown.into_iter().flatten().collect();
        if shown.len() >= KEYS_TOGETHER_MIN {
            self.prompts.ask_about_keys(&shown).await;
        }
    }
}
