//! `unregister`: being written.

use crate::error::CommandError;
use crate::session::Session;

/// unregister
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub words: Vec<String>,
}

pub async fn run(_session: &mut Session, _args: Args) -> Result<(), CommandError> {
    Err(super::not_built("unregister"))
}
