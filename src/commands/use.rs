//! `use`: the default cluster for this session. Commands that lose data ignore it.

use dkc_core::ids::ClusterName;

use crate::error::{CommandError, codes};
use crate::session::Session;

/// Choose the default cluster for this session
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "EXAMPLES\n  use cluster c0\n  use none")]
pub enum Args {
    /// Use this cluster
    #[command(alias = "css")]
    Cluster {
        #[arg(value_name = "NAME", add = crate::complete::clusters())]
        name: ClusterName,
    },
    /// Clear the default cluster
    None,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    session.current_cluster = match args {
        Args::None => None,
        Args::Cluster { name } if session.inventory()?.clusters.contains_key(&name) => Some(name),
        Args::Cluster { name } => {
            return Err(CommandError::new(
                &codes::UNKNOWN_CLUSTER,
                format!("cluster {name} is not registered"),
            )
            .next("list cluster"));
        }
    };
    Ok(())
}
