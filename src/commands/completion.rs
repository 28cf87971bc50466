//! `completion`: the script that lets an OS shell ask `dkc` for completions.

use crate::error::CommandError;
use crate::session::Session;

/// Print the completion script for a shell
///
/// The script calls dkc, so it also completes names from your inventory.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  completion bash > ~/.local/share/bash-completion/completions/dkc\n  completion zsh > ~/.zfunc/_dkc\n  completion fish > ~/.config/fish/completions/dkc.fish"
)]
pub struct Args {
    pub shell: crate::complete::Shell,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let script = crate::complete::completion_script(args.shell)
        .map_err(|e| CommandError::bug(format!("cannot generate the completion script: {e}")))?;
    session.ui.data(&script);
    Ok(())
}
