//! `replace`: one member joins and one leaves in one merge; the rest is shared with `grow` and `shrink`.

use dkc_core::ids::{ClusterName, MemberNo, NodeAddress};

use super::change_members::Membership;
use super::{Refusal, Refused};
use crate::model::Inventory;

/// A member cannot replace itself: its identity never returns.
pub fn check_replacement(
    inventory: &Inventory,
    cluster: &ClusterName,
    number: MemberNo,
    address: &NodeAddress,
) -> Result<(), Refused> {
    match inventory.server(cluster, number) {
        Some(server) if server.address == *address => {
            Err(Refusal::OwnAddress { address: address.clone(), number }.into())
        }
        _ => Ok(()),
    }
}

impl Membership<'_> {
    pub(super) fn replace_words(&self) -> String {
        format!("replace {} of {} by {}", self.leaving_numbers(), self.request.cluster, self.new_addresses())
    }
}
