//! The shell `dkc` as a library, used by the program (`main.rs` only calls `main` here), by tests, and later by a full screen.
//! *Invariant:* modules import downwards only: `repl` and `batch`, `runner`, `dispatch`, `cli`, `commands`, `operation`, `session`,
//! then `world`, `store` and `ui`; nothing below imports a command.

pub mod archive;
mod arguments;
mod authority;
mod batch;
mod bench;
pub mod cli;
mod commands;
mod complete;
mod dispatch;
pub mod error;
pub mod interrupt;
pub mod observe;
pub mod operation;
mod repl;
mod runner;
mod selector;
pub mod session;
pub mod store;
pub mod ui;
pub mod world;

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::pin::Pin;
use std::process::ExitCode;

use cli::CommandLine;
use error::{CommandError, Exit};
use interrupt::Interrupt;
use session::Session;
use store::Store;
use ui::Ui;

/// Chooses the mode (one command, batch, interactive) and returns the exit status. Invoked as `dkcd`, or as `dkc daemon`, the
/// program is the daemon: dkc deploys its own executable.
pub fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(status) = world::askpass::run_if_helper(&arguments) {
        return status;
    }
    if let Some(rest) = daemon_arguments(&arguments) {
        return match bench::elsewhere::asked(&rest) {
            Some(load) => bench::elsewhere::main(load),
            None => dkcd::main_from(rest),
        };
    }
    if complete::answer_os_shell(cli::program) {
        return ExitCode::SUCCESS;
    }
    ExitCode::from(run(arguments).number())
}

/// The arguments for the daemon when this invocation is meant for it.
fn daemon_arguments(arguments: &[OsString]) -> Option<Vec<OsString>> {
    let program = arguments.first().and_then(|a| Path::new(a).file_name()).unwrap_or_default();
    if program == "dkcd" {
        return Some(arguments[1..].to_vec());
    }
    (arguments.get(1)?.to_str()? == "daemon").then(|| arguments[2..].to_vec())
}

/// The shell, from its arguments to its exit status.
fn run(arguments: Vec<OsString>) -> Exit {
    let interrupt = Interrupt::default();
    let no_color = arguments.iter().any(|argument| argument == "--no-color");
    let ui = Ui::new(interrupt.clone(), no_color);
    let words: Vec<String> = arguments[1..].iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let output = cli::asked_output(&words);
    let program = match cli::parse_program(arguments) {
        Ok(program) => program,
        Err(error) => return runner::report_parse(&ui, error, &words, output),
    };
    let line = runner::redact::redacted(words, program.command.as_ref(), cli::parse_command);
    match start(program, line, ui.clone(), interrupt) {
        Ok(exit) => exit,
        Err(error) => {
            ui.error(&error, output);
            error.exit
        }
    }
}

fn start(program: CommandLine, line: String, ui: Ui, interrupt: Interrupt) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| CommandError::bug(format!("cannot start the runtime: {e}")))?;
    let store = Store::choose(program.inventory.clone())?;
    complete::use_directory(store.dir().to_owned());
    let mode = Mode::of(&program)?;
    let is_interactive = matches!(mode, Mode::Prompt | Mode::Single) && ui.is_terminal();
    let mut session = Session::new(store, ui, program.settings, interrupt, is_interactive, command_loop);
    let exit = runtime.block_on(async {
        runner::listen_to_signals(session.interrupt.clone());
        let exit = match mode {
            Mode::Single => match program.command {
                Some(command) => runner::run_command(&mut session, command, line).await,
                None => Exit::Done,
            },
            Mode::Prompt => repl::interact(&mut session).await,
            Mode::Batch(source) => batch::run(&mut session, source).await,
        };
        session.close().await;
        exit
    });
    // A blocking task may still be reading the terminal; do not wait for it.
    runtime.shutdown_background();
    Ok(exit)
}

/// The prompt for a person, the commands on standard input for a script.
fn command_loop(session: &mut Session) -> Pin<Box<dyn Future<Output = Exit> + '_>> {
    match session.is_interactive {
        true => Box::pin(repl::interact(session)),
        false => Box::pin(batch::run(session, batch::Source::Standard)),
    }
}

/// Where commands come from.
enum Mode {
    Single,
    Prompt,
    Batch(batch::Source),
}

impl Mode {
    fn of(program: &CommandLine) -> Result<Mode, CommandError> {
        if let Some(commands) = &program.commands {
            return Ok(Mode::Batch(batch::Source::Words(commands.clone())));
        }
        match (&program.file, &program.command) {
            (Some(path), None) if path.as_os_str() == "-" => Ok(Mode::Batch(batch::Source::Standard)),
            (Some(path), None) => Ok(Mode::Batch(batch::Source::File(path.clone()))),
            (Some(_), Some(_)) => {
                Err(CommandError::new(&error::codes::USAGE, "-f and a command exclude each other")
                    .next("dkc -f FILE"))
            }
            (None, Some(_)) => Ok(Mode::Single),
            (None, None) if std::io::stdin().is_terminal() => Ok(Mode::Prompt),
            (None, None) => Ok(Mode::Batch(batch::Source::Standard)),
        }
    }
}
