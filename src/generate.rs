//! The files that are made from the parser: completion scripts and man pages. They are committed, and a test fails
//! when they differ from what the parser says; `UPDATE=1 cargo test` writes them anew.
//!
//! The completion scripts are the registration of the dynamic engine: at each Tab the shell asks `dkc` itself. Static
//! scripts could not know the names in the inventory, and would be a second description of the grammar.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};

use crate::error::{CommandError, codes};
use crate::session::Session;

/// The variable by which a shell's script asks `dkc` for completions.
pub const COMPLETE_VARIABLE: &str = "DKC_COMPLETE";

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Write completion scripts and man pages into a directory
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let files = files().map_err(|e| CommandError::bug(format!("cannot be generated: {e}")))?;
    for (path, text) in &files {
        write(&args.dir.join(path), text).map_err(|e| {
            CommandError::new(&codes::INVENTORY_UNWRITABLE, format!("cannot write {path}"))
                .cause(e.to_string())
        })?;
    }
    session.ui.say(&format!("{} files written below {}", files.len(), args.dir.display()));
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::File::create(path)?.write_all(text.as_bytes())
}

/// Every generated file: its path in the project, and its text.
pub fn files() -> std::io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (shell, name) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        files.push((format!("completions/dkc.{name}"), completion_script(shell)?));
    }
    let mut program = crate::cli::program();
    program.build();
    files.push(("man/dkc.1".into(), man_page(&program, "dkc")?));
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        let name = format!("dkc-{}", verb.get_name());
        files.push((format!("man/{name}.1"), man_page(verb, &name)?));
    }
    Ok(files)
}

/// The script that a shell reads to complete `dkc`.
pub fn completion_script(shell: Shell) -> std::io::Result<String> {
    let mut script = Vec::new();
    let completer: &dyn EnvCompleter = match shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    completer.write_registration(COMPLETE_VARIABLE, "dkc", "dkc", "dkc", &mut script)?;
    String::from_utf8(script).map_err(std::io::Error::other)
}

/// Answers a shell that asks for completions; false when this run is an ordinary one.
pub fn answer_completion() -> bool {
    let completing = clap_complete::CompleteEnv::with_factory(crate::cli::program).var(COMPLETE_VARIABLE);
    let here = std::env::current_dir().ok();
    completing.try_complete(std::env::args_os(), here.as_deref()).unwrap_or(true)
}

fn man_page(command: &clap::Command, name: &str) -> std::io::Result<String> {
    let mut page = Vec::new();
    let command = command.clone().name(name.to_owned()).disable_help_flag(true);
    clap_mangen::Man::new(command).title(name.to_uppercase()).date("").render(&mut page)?;
    String::from_utf8(page).map_err(std::io::Error::other)
}
