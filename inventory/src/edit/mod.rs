//! Edits of the inventory, one file per noun. Each takes an inventory and a request and returns the next inventory with
//! messages for the operator, or an error; its input is not modified.

mod adopt;
mod cluster;
mod config;
mod error;
mod host;
mod launch;
mod pair;
mod parameters;
mod record;
mod recover;
mod server;
mod slave;
mod unknown;
mod words;

use uuid::Uuid;

pub use adopt::{AdoptSlave, adopt_slave};
pub(crate) use cluster::check_shape;
pub use cluster::{
    ModifyCluster, RegisterCluster, TABLETS_MAX, UnregisterCluster, modify_cluster, register_cluster,
    unregister_cluster,
};
pub use config::{ModifyConfig, RegisterConfig, modify_config, register_config, unregister_config};
pub use error::EditError;
pub(crate) use error::plural;
pub(crate) use host::check_host;
pub use host::{
    ModifyHost, RegisterHosts, modify_host, register_hosts, set_jump_pins, set_pins, unregister_hosts,
};
pub use launch::{LaunchCluster, launch_cluster};
pub use pair::{ModifyPair, RegisterPair, UnregisterPair, modify_pair, register_pair, unregister_pair};
pub(crate) use pair::{check_free, check_own};
pub(crate) use parameters::check_parameters;
pub use record::{forget_deployed, keep_recorded, record_deployed, record_founded};
pub use recover::{RecoverCluster, recover_cluster};
pub use server::{add_members, remove_members};
pub use slave::{
    ModifySlave, RegisterSlave, UnregisterSlave, modify_slave, register_slave, unregister_slave,
};
pub(crate) use unknown::{unknown_cluster, unknown_config, unknown_host, unknown_slave};
pub(crate) use words::{check_data_dir, check_group, check_listen, check_pin, check_user};

use crate::model::Inventory;

/// The source of new UUIDs, passed in to keep this crate pure.
pub type Fresh<'a> = &'a mut dyn FnMut() -> Uuid;

/// A successful edit.
#[derive(Debug, Clone, PartialEq)]
pub struct Edited {
    /// The next generation, or the same inventory if nothing changed.
    pub inventory: Inventory,
    /// False: the request was already fulfilled, and the generation is the same.
    pub is_changed: bool,
    /// Messages for the operator: side effects and next steps.
    pub lines: Vec<String>,
}

impl Edited {
    /// Increments the generation if something changed. Every edit returns through this function.
    fn from(before: &Inventory, mut after: Inventory, lines: Vec<String>) -> Edited {
        let is_changed = *before != after;
        if is_changed {
            after.generation = before.generation.next();
        }
        Edited { inventory: after, is_changed, lines }
    }
}

/// A field of a `modify`: keep, set or reset it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Change<T> {
    /// Leave it.
    #[default]
    Keep,
    /// To this value.
    Set(T),
    /// To the default.
    Reset,
}

impl<T: Clone> Change<T> {
    fn apply(&self, field: &mut T, default: T) {
        match self {
            Change::Keep => {}
            Change::Set(value) => *field = value.clone(),
            Change::Reset => *field = default,
        }
    }
    fn apply_optional(&self, field: &mut Option<T>) {
        match self {
            Change::Keep => {}
            Change::Set(value) => *field = Some(value.clone()),
            Change::Reset => *field = None,
        }
    }
}
