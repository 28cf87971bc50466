//! `use`: the cluster that commands mean when they name none. What loses data never honours it.

use dkc_core::ids::ClusterName;

use crate::error::{CommandError, codes};
use crate::session::Session;

/// Choose the cluster that later commands mean when they name none
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  use cluster c0\n  use none")]
pub enum Args {
    /// Use this cluster
    #[command(alias = "css")]
    Cluster {
        #[arg(value_name = "NAME", add = crate::complete::clusters())]
        name: ClusterName,
    },
    /// Use no cluster: every command names its own
    None,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    session.current_cluster = match args {
        Args::None => None,
        Args::Cluster { name } if session.inventory()?.clusters.contains_key(&name) => Some(name),
        Args::Cluster { name } => {
            return Err(CommandError::new(
                &codes::UNKNOWN_CLUSTER,
                format!("no cluster {name} is registered"),
            )
            .next("list cluster"));
        }
    };
    Ok(())
}
