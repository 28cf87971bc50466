//! `exec`: one program on several hosts. Arguments are passed verbatim; no remote shell interprets them.

use std::time::Duration;

use dkc_core::ids::HostAddress;
use dkc_inventory::model::Inventory;
use futures::StreamExt;
use serde::Serialize;

use crate::error::{CommandError, Exit, codes};
use crate::observe::{self, WIDTH};
use crate::operation;
use crate::selector::Selected;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::{Input, Output, Script, World, WorldError};

/// Commands for many hosts are short; anything longer belongs in a session on the host.
const EXEC_TIMEOUT: Duration = Duration::from_secs(60);
/// Passes the arguments verbatim.
const EXEC: &str = r#"exec "$@""#;

/// Run a program on hosts
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  exec 10.0.0.10 -- uptime\n  exec @rack1 c0/2 -- df -h /var/lib/dkc")]
pub struct Args {
    /// HOST, @GROUP, CLUSTER or CLUSTER/NO
    #[arg(required = true, value_name = "SELECTOR", add = crate::complete::selectors())]
    pub selectors: Vec<String>,
    /// The program and its arguments, after --
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

#[derive(Serialize)]
struct Ended {
    host: String,
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let hosts = Selected::parse(&inventory, &args.selectors)?.all_hosts(&inventory);
    session.world.expect(inventory.hosts.iter().filter(|(address, _)| hosts.contains(*address)));
    session.world.meet(inventory.hosts.iter().filter(|(address, _)| hosts.contains(*address))).await;
    let limit = session.settings.timeout.unwrap_or(EXEC_TIMEOUT);
    let asked = hosts.iter().map(|host| run_on(&session.world, &inventory, host, &args.program, limit));
    let answers = futures::stream::iter(asked).buffered(WIDTH).collect::<Vec<_>>().await;
    operation::pin_learned(session)?;
    let mut listing = Listing::new(&["host", "status", "output"]);
    let mut failures = Vec::new();
    let mut is_unreachable = false;
    for (host, answer) in hosts.iter().zip(answers) {
        let ended = match answer {
            Ok(output) => ended(host, output),
            Err(error) => {
                is_unreachable |= matches!(error, WorldError::Silent { .. });
                failures.push(format!("{host}: {error}"));
                continue;
            }
        };
        if ended.status != Some(0) {
            failures.push(format!("{host}: exit status {}", ended.status.unwrap_or(-1)));
        }
        if session.settings.output.is_none() {
            print_lines(session, &ended);
        }
        listing.push(
            vec![ended.host.clone(), ended.status.unwrap_or(-1).to_string(), ended.stdout.clone()],
            ended,
        );
    }
    if session.settings.output.is_some() {
        session.show(Format::Table, &listing);
    }
    if failures.is_empty() {
        return Ok(());
    }
    let what = format!("exec failed on {} of {} hosts", failures.len(), hosts.len());
    let error =
        failures.into_iter().fold(CommandError::new(&codes::EXEC_FAILED, what), |e, cause| e.cause(cause));
    Err(if is_unreachable { error.exit(Exit::Unreachable) } else { error })
}

async fn run_on(
    world: &World,
    inventory: &Inventory,
    address: &HostAddress,
    program: &[String],
    limit: Duration,
) -> Result<Output, WorldError> {
    let host = observe::open(world, inventory, address).await?;
    let arguments: Vec<&str> = program.iter().map(String::as_str).collect();
    host.run(Script { what: "the program", text: EXEC, arguments: &arguments, input: Input::Nothing, limit })
        .await
}

fn ended(host: &HostAddress, output: Output) -> Ended {
    Ended {
        host: host.to_string(),
        status: Some(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Prefixes each line with its host, to tell hosts apart and to sort.
fn print_lines(session: &Session, ended: &Ended) {
    ended.stdout.lines().for_each(|line| session.ui.data_line(&format!("{}: {line}", ended.host)));
    ended.stderr.lines().for_each(|line| session.ui.say(&format!("{}: {line}", ended.host)));
}
