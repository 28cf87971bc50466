//! `playground`: a whole cluster on this machine to try things with, made by the same plan and steps as a real one,
//! and removed when it is left.

use crate::error::CommandError;
use crate::session::Session;

/// Try dkc: servers and a slave on this machine, removed again on quit
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  playground\n  playground --servers 5 --keep\n  playground list\n  playground down"
)]
pub struct Args {
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Number of servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub servers: u16,
    /// Number of slaves
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=9))]
    pub slaves: u16,
    /// Leave it running on quit
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Start it and open its prompt (what `playground` alone does)
    Up,
    /// Stop and remove one that was kept
    Down,
    /// Show what there is
    List,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("playground"))
}
