//! The command line of `dkcd`, and its exit statuses: 0 done, 1 failed, 2 invalid usage, 70 a bug, 74 disk error, 78 invalid
//! configuration.

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use dkc_core::config::{NodeConfig, layout};
#[cfg(not(feature = "simulation"))]
use dkc_core::config::{Protocol, Role};
#[cfg(not(feature = "simulation"))]
use dkc_core::ids::Namespace;
use dkc_core::ids::NodeUuid;

use crate::background::{self, BackgroundError, Detached};
use crate::config::{self, ConfigError};
use crate::daemon::{self, StartError};
#[cfg(not(feature = "simulation"))]
use crate::join::{JoinError, WantedPair, join_directory};
#[cfg(not(feature = "simulation"))]
use crate::slave::SlaveError;
use crate::{control, fatal, logging, supervise, versions};

/// Founding may take a minute; nothing else takes longer.
const CTL_TIMEOUT: Duration = Duration::from_secs(90);

#[derive(Parser)]
#[command(name = "dkcd", version, about = "The daemon of dkc: a server node or a slave node")]
#[command(
    after_help = "EXIT STATUS: 0 done, 1 failed, 2 misused, 70 a bug, 74 the disk failed, 78 the configuration was refused."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the node in the foreground until SIGTERM
    Run(Directory),
    /// Run a slave; with a token the machine becomes one first
    #[cfg(not(feature = "simulation"))]
    Slave(SlaveArguments),
    /// Run the node in the background and restart it when it fails
    Supervise {
        #[command(flatten)]
        directory: Directory,
        /// Stay in the foreground
        #[arg(long)]
        foreground: bool,
    },
    /// Stop the node and its supervisor, and wait for both
    Stop(Directory),
    /// Create the data directory of a new node
    Init {
        #[command(flatten)]
        directory: Directory,
        #[arg(long)]
        uuid: NodeUuid,
    },
    /// Read a stopped server's data for a recovery; answers at its control socket
    Salvage {
        #[command(flatten)]
        directory: Directory,
        /// Stay in the foreground
        #[arg(long)]
        foreground: bool,
    },
    /// Read and check the configuration
    CheckConfig(Directory),
    /// Check that this program can run the node: its configuration and the formats on its disk. Changes nothing, also beside a
    /// running node
    #[cfg(not(feature = "simulation"))]
    CheckDirectory(Directory),
    /// Send a CHMPX word or a JSON request to the running node; - reads it from standard input
    Ctl {
        #[command(flatten)]
        directory: Directory,
        #[arg(required = true, value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Print the release
    Version {
        /// With the versions of the wire and of the disk formats
        #[arg(long)]
        json: bool,
    },
}

#[cfg(not(feature = "simulation"))]
#[derive(clap::Args)]
struct SlaveArguments {
    #[command(flatten)]
    directory: Directory,
    /// File with a token (- for standard input); not read if the directory is there
    #[arg(long, value_name = "FILE")]
    join: Option<PathBuf>,
    /// Exit when the directory is there
    #[arg(long, requires = "join")]
    only_join: bool,
    /// Loopback ADDRESS:PORT, or the path of a Unix socket (default: the protocol's own port)
    #[arg(long, value_name = "ADDRESS:PORT", requires = "join")]
    listen: Option<String>,
    /// Protocol for applications: memcache or redis
    #[arg(long, value_name = "PROTOCOL", requires = "join", default_value = "memcache", value_parser = protocol)]
    protocol: Protocol,
    /// Namespace for applications (default: the token's first)
    #[arg(long, value_name = "NS", requires = "join")]
    namespace: Option<Namespace>,
}

#[cfg(not(feature = "simulation"))]
fn protocol(word: &str) -> Result<Protocol, String> {
    Protocol::named(word).ok_or_else(|| "one of memcache, redis".into())
}

#[derive(clap::Args)]
struct Directory {
    /// The node's directory
    #[arg(long = "dir", value_name = "DIR")]
    path: PathBuf,
}

/// Runs `dkcd` with the arguments after the program's name.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let named = std::iter::once(OsString::from("dkcd")).chain(arguments);
    let command = match Arguments::try_parse_from(named) {
        Ok(arguments) => arguments.command,
        Err(error) => {
            // Help and version are errors of the parser too, with status 0.
            let _ = error.print();
            return ExitCode::from(error.exit_code() as u8);
        }
    };
    match carry_out(command) {
        Ok(status) => status,
        Err(failure) => {
            // Standard error may be a file on a full disk: the exit status still says what it was.
            let _ = writeln!(std::io::stderr(), "dkcd: {}", failure.message);
            ExitCode::from(failure.status as u8)
        }
    }
}

/// One line for the operator, and the exit status.
struct Failure {
    message: String,
    status: i32,
}
impl From<StartError> for Failure {
    fn from(error: StartError) -> Failure {
        Failure { status: error.exit_status(), message: error.to_string() }
    }
}
impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        StartError::from(error).into()
    }
}
#[cfg(not(feature = "simulation"))]
impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Failure {
        Failure { status: error.exit_status(), message: error.to_string() }
    }
}
impl From<BackgroundError> for Failure {
    fn from(error: BackgroundError) -> Failure {
        Failure { status: 1, message: error.to_string() }
    }
}
impl From<supervise::SuperviseError> for Failure {
    fn from(error: supervise::SuperviseError) -> Failure {
        Failure { status: 1, message: error.to_string() }
    }
}

fn carry_out(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Run(directory) => run_node(&directory.path)?,
        #[cfg(not(feature = "simulation"))]
        Command::Slave(arguments) => run_slave(arguments)?,
        Command::Supervise { directory, foreground } => {
            config::read(&directory.path)?;
            if foreground { supervise::run(&directory.path)? } else { supervise::start(&directory.path)? }
        }
        Command::Salvage { directory, foreground } => {
            if foreground {
                salvage(&directory.path)?
            } else {
                background::start("salvage", &directory.path)?
            }
        }
        Command::Stop(directory) => supervise::stop(&directory.path)?,
        Command::Init { directory, uuid } => {
            let is_new = daemon::initialise(&directory.path, uuid)?;
            println!("{}", if is_new { "made" } else { "already there" });
        }
        Command::CheckConfig(directory) => {
            for warning in config::read(&directory.path)?.warnings() {
                println!("warning: {warning}");
            }
            println!("ok");
        }
        #[cfg(not(feature = "simulation"))]
        Command::CheckDirectory(directory) => {
            config::read(&directory.path)?;
            daemon::check_formats(&directory.path).map_err(StartError::from)?;
            println!("ok");
        }
        Command::Ctl { directory, words } => return ctl(&directory.path, &line_of(&words)?),
        Command::Version { json: true } => {
            println!(
                "{}",
                serde_json::to_string(&versions::own())
                    .map_err(|error| Failure { message: error.to_string(), status: fatal::EXIT_BUG })?
            );
        }
        Command::Version { json: false } => println!("dkcd {}", env!("CARGO_PKG_VERSION")),
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(not(feature = "simulation"))]
fn run_slave(arguments: SlaveArguments) -> Result<(), Failure> {
    let directory = &arguments.directory.path;
    if let Some(token) = &arguments.join {
        let SlaveArguments { listen, protocol, namespace, .. } = &arguments;
        let wanted = WantedPair { listen: listen.clone(), protocol: *protocol, namespace: namespace.clone() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Failure { message: format!("cannot start: {error}"), status: 1 })?;
        runtime.block_on(join_directory(directory, token, &wanted))?;
    }
    let config = config::read(directory)?;
    let Role::Slave(role) = &config.role else {
        return Err(StartError::from(SlaveError::NotASlave).into());
    };
    if arguments.only_join {
        println!("{}-slave{}", config.cluster, role.id);
        return Ok(());
    }
    run_config(directory, config)
}

fn salvage(directory: &Path) -> Result<(), Failure> {
    let detached = Detached::begin()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure { message: format!("cannot start threads: {error}"), status: 1 })?;
    // Whoever waits for it gives up by itself.
    let ready = || drop(detached.has_begun());
    let result = runtime.block_on(daemon::salvage::run(directory, ready));
    runtime.shutdown_timeout(Duration::from_secs(1));
    result.map_err(|error| Failure { message: error.to_string(), status: 1 })
}

fn run_node(directory: &Path) -> Result<(), Failure> {
    run_config(directory, config::read(directory)?)
}

fn run_config(directory: &Path, config: NodeConfig) -> Result<(), Failure> {
    logging::begin(&config.parameters);
    let threads = worker_threads(std::thread::available_parallelism().map_or(1, usize::from));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure { message: format!("cannot start threads: {error}"), status: 1 })?;
    let result = runtime.block_on(daemon::run(directory.to_owned(), config));
    // Blocking work in progress must not delay the exit.
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(result?)
}

/// Worker threads. The log's writer and the store's compaction have threads of their own, and a request
/// passes through several short tasks: on one thread they run back to back, on two each hand-over wakes the other
/// thread, which costs more than the work (measured on two cores: a read 11 µs instead of 28 µs over three servers).
fn worker_threads(cores: usize) -> usize {
    (cores / 2).max(1)
}

/// `-` reads the line from standard input, which keeps the request out of the process list.
fn line_of(words: &[String]) -> Result<String, Failure> {
    if words != ["-"] {
        return Ok(words.join(" "));
    }
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    read.map_err(|error| Failure { message: format!("cannot read the request: {error}"), status: 1 })?;
    Ok(line.trim_end_matches('\n').to_owned())
}

fn ctl(directory: &Path, line: &str) -> Result<ExitCode, Failure> {
    let path = directory.join(layout::CONTROL_SOCKET);
    let answer = control::ask(&path, line, CTL_TIMEOUT).map_err(|error| Failure {
        message: format!("{}: {error}; is the node running?", path.display()),
        status: 1,
    })?;
    print!("{answer}");
    let is_error = ["{\"error\"", "ERROR", "Unknown command"].iter().any(|mark| answer.starts_with(mark));
    Ok(if is_error { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
