//! `upgrade`: brings the nodes of a cluster to another program, one by one, or back to the one before.

use std::path::{Path, PathBuf};

use dkc_core::versions::ProgramVersions;
use dkc_inventory::plan::{self, Target, UpgradeRequest, UpgradeTo};

use super::apply;
use super::deploy::{own_program, planned};
use crate::arguments::NamedCluster;
use crate::error::{CommandError, codes};
use crate::observe::Scope;
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::world::program::{Program, SHORT_DIGEST};

/// Upgrade the program of a cluster, node by node
///
/// Hosts get the program where they lack it, and each node is checked with it before any node is touched: that it runs there, takes the
/// configuration and reads what is on the disk. Then one node after the other hands its leaderships away, stops and starts with it. After
/// each one the cluster must be healthy and take a write of a canary key in every tablet, or the operation stops there, with the
/// others as they were. Then fix the cause and resume, or roll back. Hosts keep the program that each node had before.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Servers come first, those that are stopped before the others, then the slaves that run. Programs of two releases run side by side if their wire versions have one in common; \
                  a roll-back is possible while the program before reads what is on the disk. Both are checked first.\n\n\
                  EXAMPLES\n  upgrade -n c0 --dry-run\n  upgrade -n c0\n  upgrade -n c0 --to ./dkc-0.2.0\n  upgrade -n c0 --rollback"
)]
pub struct Args {
    #[command(flatten)]
    pub of: NamedCluster,
    /// The program: a file, or the digest of one that the hosts keep (default: this dkc)
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub to: Option<String>,
    /// Back to the program that each node had before
    #[arg(long, conflicts_with = "to")]
    pub rollback: bool,
    /// Leave the slaves as they are
    #[arg(long)]
    pub without_slaves: bool,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let cluster = args.of.name;
    let refused = operation::refused("upgrade");
    let target = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    target.nodes(&session.inventory()?).map_err(&refused)?;
    let to = if args.rollback { UpgradeTo::Before } else { program(args.to.as_deref())? };
    let hosts = apply::hosts(&session.inventory()?, std::slice::from_ref(&cluster));
    let wants_programs = !matches!(to, UpgradeTo::Program { .. });
    let scope = Scope { wants_programs, ..Scope::of(hosts, session.timeout()) };
    let (inventory, observed) = operation::observe_scope(session, scope).await?;
    let request = UpgradeRequest {
        operation: operation::begin(session),
        cluster,
        to,
        without_slaves: args.without_slaves,
    };
    let plan = plan::upgrade(&inventory, &observed, &request).map_err(refused)?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}

/// A file that is there is meant before a digest.
fn program(to: Option<&str>) -> Result<UpgradeTo, CommandError> {
    let Some(word) = to else {
        let own = Program::own().map_err(operation::world_error)?;
        let versions = told(&own.bytes, "this program")?;
        return Ok(UpgradeTo::Program { program: own_program()?, versions, file: None });
    };
    let is_digest = word.len() == SHORT_DIGEST && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest && !Path::new(word).exists() {
        return Ok(UpgradeTo::Kept { digest: word.to_ascii_lowercase() });
    }
    of_file(Path::new(word))
}

fn of_file(path: &Path) -> Result<UpgradeTo, CommandError> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| no_program(format!("cannot read {shown}: {error}"));
    // A resumed operation may run in another directory.
    let whole: PathBuf = path.canonicalize().map_err(unreadable)?;
    let read = Program::read(&whole).map_err(|error| no_program(error.to_string()))?;
    let architecture =
        read.architecture().ok_or_else(|| no_program(format!("{shown} is not a program for Linux hosts")))?;
    let versions = told(&read.bytes, &shown.to_string())?;
    let (program, file) = (planned(&read, architecture), Some(whole.display().to_string()));
    Ok(UpgradeTo::Program { program, versions, file })
}

fn told(bytes: &[u8], what: &str) -> Result<ProgramVersions, CommandError> {
    ProgramVersions::told_by(bytes).ok_or_else(|| {
        no_program(format!(
            "{what} does not say which versions it speaks and reads: it is not a dkc, or an earlier release"
        ))
    })
}

fn no_program(words: String) -> CommandError {
    CommandError::new(&codes::NOT_A_PROGRAM, words).now("nothing changed")
}
