//! `destroy`: removes nodes and their data from hosts. They stay registered, as before the first deploy: a destroyed
//! cluster can be deployed and started again, empty, or be unregistered.

use dkc_core::ids::SlaveId;
use dkc_inventory::plan::{self, DestroyRequest, DestroyTarget};

use crate::arguments::NamedCluster;
use crate::error::CommandError;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Remove a cluster and all its data, or a slave, from the hosts
///
/// Shows a plan first. To destroy a cluster that holds data, type the word that the plan shows, such as c0@g42, or pass
/// it with --confirm; --yes is not enough. The cluster stays registered: deploy and start create it again, empty;
/// unregister removes the entry. Refused while slaves of the cluster are installed, unless --with-slaves is given.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  destroy slave --id 0\n  destroy cluster -n c0\n  destroy cluster -n c0 --with-slaves --with-programs\n  destroy cluster -n c0 --confirm c0@g42"
)]
pub enum Args {
    /// Remove all servers of a cluster; all its data is lost
    #[command(alias = "css")]
    Cluster {
        #[command(flatten)]
        of: NamedCluster,
        /// Also remove its slaves
        #[arg(long)]
        with_slaves: bool,
        /// Also remove the program from hosts where no other node is left
        #[arg(long)]
        with_programs: bool,
    },
    /// Remove a slave; local applications lose their listener, no data is lost
    #[command(alias = "memcache")]
    Slave {
        /// Slave id
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// Also remove the program if no other node is left on the host
        #[arg(long)]
        with_programs: bool,
    },
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (target, with_roots) = match args {
        Args::Cluster { of: NamedCluster { name }, with_slaves, with_programs } => {
            (DestroyTarget::Cluster { name, with_slaves }, with_programs)
        }
        Args::Slave { id, with_programs } => (DestroyTarget::Slave { id }, with_programs),
    };
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("destroy"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = DestroyRequest { operation: operation::begin(session), target, with_roots };
    let plan = plan::destroy(&inventory, &observed, &request).map_err(operation::refused("destroy"))?;
    let forgotten = request.target.nodes(&inventory).map_err(operation::refused("destroy"))?;
    operation::carry_out(session, plan, InventoryChanges { forgotten, ..InventoryChanges::default() }).await
}
