//! `restore`: the records of a backup into an empty cluster of any size.

use std::path::PathBuf;

use dkc_core::ids::Namespace;
use dkc_inventory::plan::{self, RestoreRequest, Target};

use super::backup;
use crate::archive;
use crate::arguments::NamedCluster;
use crate::error::{CommandError, codes};
use crate::operation::{self, InventoryChanges};
use crate::session::Session;

/// Store the records of a backup in an empty cluster
///
/// The cluster may have another name, another size and another number of replicas than the one that was backed up. The whole
/// backup is checked before the first record is stored, and the records are counted at the end. A restore that was interrupted
/// goes on with resume. Let applications in when it has ended.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  restore -n c1 --backup before-upgrade\n  restore -n c1 --backup nightly --from /mnt/backups\n  \
                  restore -n c1 --backup nightly --namespace users --dry-run"
)]
pub struct Args {
    #[command(flatten)]
    pub of: NamedCluster,
    /// The backup's name
    #[arg(long, value_name = "BACKUP", value_parser = archive::check_name)]
    pub backup: String,
    /// Directory of backups, also as file:///DIR (default: backups beside the inventory)
    #[arg(long, value_name = "DIR", value_parser = archive::parse_location)]
    pub from: Option<PathBuf>,
    /// Only this namespace
    #[arg(long, value_name = "NS")]
    pub namespace: Option<Namespace>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (directory, manifest) = backup::open(session, &args.backup, args.from.as_deref())?;
    if let Some(namespace) = args.namespace.as_ref().filter(|wanted| !manifest.namespaces().contains(wanted))
    {
        let has: Vec<String> = manifest.namespaces().iter().map(Namespace::to_string).collect();
        return Err(CommandError::new(
            &codes::NO_BACKUP,
            format!("{} has no namespace {namespace}", args.backup),
        )
        .cause(format!("it has {}", has.join(", ")))
        .now("nothing changed"));
    }
    let cluster = args.of.name;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("restore"))?;
    backup::check_whole(session, &directory, &manifest)?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let is_wanted = |namespace: &Namespace| args.namespace.as_ref().is_none_or(|only| only == namespace);
    let wanted = manifest.chunks.iter().filter(|chunk| is_wanted(&chunk.namespace));
    let request = RestoreRequest {
        operation: operation::begin(session),
        cluster,
        directory: backup::text_of(&directory)?,
        digest: manifest.digest(),
        records: wanted.map(|chunk| chunk.records).sum(),
        namespace: args.namespace.clone(),
    };
    let plan = plan::restore(&inventory, &observed, &request).map_err(operation::refused("restore"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}
