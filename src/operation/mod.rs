//! The steps of every command that changes hosts, one file each: observe, confirm, carry out, record, report. Between
//! observe and confirm a pure function of `dkc_inventory::plan` makes the plan.
//! *Invariant:* a plan is carried out only under the inventory's lock, and only if the inventory and the ring have not
//! changed since it was made. The operator always learns what was done and how to continue.

mod carry_out;
mod confirm;
mod journal;
mod observe;
mod record;
mod report;
mod steps;

use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::plan::{Operation, Refused};

pub use carry_out::{carry_out, resume};
pub use journal::Recorded;
pub use observe::{observe, observe_planned, observe_scope, pin_learned};
pub use record::InventoryChanges;
pub use steps::{STAGED_ANCHORS, STAGED_NODE, log};

use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::world::WorldError;

/// A new operation: its id and the line as typed.
pub fn begin(session: &Session) -> Operation {
    let id = format!("op-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]);
    // Confirmation flags are not part of the command.
    let is_meant = |word: &&str| !matches!(*word, "--yes" | "-y" | "--dry-run" | "--exit-code");
    let words: Vec<&str> = session.line.split(' ').filter(is_meant).collect();
    Operation { id, command: words.join(" ") }
}

/// Connects to the hosts of these nodes, for commands without a plan.
pub async fn meet(session: &Session, inventory: &Inventory, nodes: &[NodeName]) {
    session.world.expect(inventory.hosts.iter());
    let hosts: Vec<_> = nodes.iter().filter_map(|node| inventory.host_of(node)).collect();
    session.world.meet(inventory.hosts.iter().filter(|(address, _)| hosts.contains(*address))).await;
}

/// Asks all nodes at once, and pins the keys of hosts that were met. What they said, and why others said nothing.
pub async fn ask_each<'n, T, F>(
    session: &Session,
    nodes: &'n [NodeName],
    ask: impl Fn(&'n NodeName) -> F,
) -> Result<(Vec<(&'n NodeName, T)>, Vec<String>), CommandError>
where
    F: Future<Output = Result<T, WorldError>>,
{
    let answers = futures::future::join_all(nodes.iter().map(ask)).await;
    pin_learned(session)?;
    let (mut said, mut failures) = (Vec::new(), Vec::new());
    for (node, answer) in nodes.iter().zip(answers) {
        match answer {
            Ok(answer) => said.push((node, answer)),
            Err(error) => failures.push(format!("{node}: {error}")),
        }
    }
    Ok((said, failures))
}

/// An error from a host outside of a plan.
pub fn world_error(error: WorldError) -> CommandError {
    match crate::observe::silence(error) {
        dkc_inventory::observed::HostView::Silent { kind, message } => unreachable_error(kind, message),
        dkc_inventory::observed::HostView::Facts(_) => CommandError::bug("an error became facts"),
    }
}

fn unreachable_error(kind: dkc_inventory::observed::Silence, message: String) -> CommandError {
    use dkc_inventory::observed::Silence;
    let code = match kind {
        Silence::Unreachable => &codes::UNREACHABLE,
        Silence::Timeout => &codes::HOST_TIMEOUT,
        Silence::Login => &codes::LOGIN,
        Silence::HostKeyUnknown => &codes::HOST_KEY_UNKNOWN,
        Silence::HostKeyChanged => &codes::HOST_KEY_CHANGED,
        Silence::Other => &codes::HOST_TROUBLE,
    };
    CommandError::new(code, message)
}

/// Prefixes a refusal with the verb.
pub fn refused(verb: &str) -> impl Fn(Refused) -> CommandError + '_ {
    move |refused| refused.problem(verb).into()
}
