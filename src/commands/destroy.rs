//! `destroy`: removes nodes from their hosts with everything that is in them. What is registered stays registered,
//! as before its first deploy: a destroyed cluster can be deployed and started anew, empty, or be unregistered.

use dkc_core::ids::{ClusterName, SlaveId};
use dkc_inventory::plan::{self, DestroyRequest, DestroyTarget};

use crate::error::CommandError;
use crate::operation::{self, Record};
use crate::session::Session;

/// Remove a cluster with all its data, or a slave, from the hosts
///
/// Shows a plan first. A cluster that holds data is destroyed only when the word that the plan names, such as
/// c0@g42, is typed or given with --confirm; --yes is not enough. What is registered stays: deploy and start make it
/// anew and empty, unregister forgets it. Slaves first: a cluster whose slaves are installed is not destroyed.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  destroy slave --id 0\n  destroy cluster -n c0\n  destroy cluster -n c0 --with-slaves --with-programs\n  destroy cluster -n c0 --confirm c0@g42"
)]
pub enum Args {
    /// Remove all servers of a cluster; every key in it is lost for ever
    #[command(alias = "css")]
    Cluster {
        /// The cluster; the one in use is not meant here
        #[arg(short = 'n', long, value_name = "NAME", aliases = ["cluster", "css"],
            add = crate::complete::clusters())]
        name: ClusterName,
        /// Its slaves too
        #[arg(long)]
        with_slaves: bool,
        /// Also the programs, on hosts where no other node is left
        #[arg(long)]
        with_programs: bool,
    },
    /// Remove a slave; applications beside it lose their listener, data is not touched
    #[command(alias = "memcache")]
    Slave {
        /// The slave
        #[arg(long, value_name = "ID", add = crate::complete::slaves())]
        id: SlaveId,
        /// Also the programs, when no other node is left on its host
        #[arg(long)]
        with_programs: bool,
    },
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (target, with_roots) = match args {
        Args::Cluster { name, with_slaves, with_programs } => {
            (DestroyTarget::Cluster { name, with_slaves }, with_programs)
        }
        Args::Slave { id, with_programs } => (DestroyTarget::Slave { id }, with_programs),
    };
    let hosts = target.hosts(&session.inventory()?).map_err(operation::refused("destroy"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = DestroyRequest { operation: operation::begin(session), target, with_roots };
    let plan = plan::destroy(&inventory, &observed, &request).map_err(operation::refused("destroy"))?;
    let forgotten = request.target.nodes(&inventory).map_err(operation::refused("destroy"))?;
    operation::carry_out(session, plan, Record { forgotten, ..Record::default() }).await
}
