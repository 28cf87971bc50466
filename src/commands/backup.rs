//! `backup`: all records of a cluster at one moment, in a directory of this machine; and what such directories hold.

use std::path::{Path, PathBuf};

use dkc_core::ids::ClusterName;
use dkc_inventory::plan::{self, BackupRequest, Target};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::archive::{self, ArchiveError, ChunkReader, Manifest};
use crate::arguments::OfCluster;
use crate::error::{CommandError, codes};
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Back up a cluster, and list, check or delete backups
///
/// A backup has every record of the cluster as of one moment: all that was acknowledged before the backup began, and no write
/// without those that came before it. Applications go on; writes wait for some milliseconds while the moment is taken. A backup
/// is a directory of compressed files with checksums. It is not encrypted: keep it where only you can read.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  backup create -n c0 --backup before-upgrade\n  backup create -n c0 --to /mnt/backups --description \"nightly\"\n  \
                  backup list\n  backup verify before-upgrade\n  backup delete before-upgrade --confirm before-upgrade"
)]
pub enum Args {
    /// Write a backup of a running cluster
    Create(CreateArgs),
    /// List backups
    List {
        #[command(flatten)]
        at: Location,
    },
    /// Show what a backup says of itself
    Show(Existing),
    /// Read a whole backup and compare it with its checksums
    Verify(Existing),
    /// Delete a backup
    Delete(Existing),
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A backup that was interrupted goes on with resume: within ten minutes at the same moment, later from the beginning.\n\n\
                  EXAMPLES\n  backup create -n c0\n  backup create -n c0 --backup before-upgrade --to file:///mnt/backups"
)]
pub struct CreateArgs {
    #[command(flatten)]
    pub of: OfCluster,
    /// The backup's name (default: the cluster and the time)
    #[arg(long, value_name = "BACKUP", value_parser = archive::check_name)]
    pub backup: Option<String>,
    /// A few words about it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub description: String,
    /// Directory for backups, also as file:///DIR (default: backups beside the inventory)
    #[arg(long, value_name = "DIR", value_parser = archive::parse_location)]
    pub to: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Location {
    /// Directory of backups, also as file:///DIR (default: backups beside the inventory)
    #[arg(long, value_name = "DIR", value_parser = archive::parse_location)]
    pub from: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Existing {
    /// The backup's name
    #[arg(value_name = "BACKUP", value_parser = archive::check_name)]
    pub backup: String,
    #[command(flatten)]
    pub at: Location,
}

impl Args {
    pub fn is_changing(&self) -> bool {
        matches!(self, Args::Create(_) | Args::Delete(_))
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Create(args) => create(session, args).await,
        Args::List { at } => list(session, &at),
        Args::Show(existing) => show(session, &existing),
        Args::Verify(existing) => verify(session, &existing),
        Args::Delete(existing) => delete(session, &existing),
    }
}

async fn create(session: &mut Session, args: CreateArgs) -> Result<(), CommandError> {
    let cluster = session.cluster_name(args.of.name.as_ref())?;
    let name = match args.backup {
        Some(name) => name,
        None => default_name(&cluster)?,
    };
    let directory = new_directory(session, args.to.as_deref(), &name)?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused("backup"))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    let request = BackupRequest {
        operation: operation::begin(session),
        cluster,
        name,
        description: args.description,
        directory: directory.clone(),
    };
    let plan = plan::backup(&inventory, &observed, &request).map_err(operation::refused("backup"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await?;
    if !session.settings.dry_run {
        let manifest = Manifest::read(Path::new(&directory)).map_err(archive_error)?;
        session.ui.say(&format!("{directory}: {}", words(&manifest)));
    }
    Ok(())
}

/// Where a new backup of this name will be; nothing may be there.
pub fn new_directory(session: &Session, to: Option<&Path>, name: &str) -> Result<String, CommandError> {
    let directory = location(session, to)?.join(name);
    if directory.symlink_metadata().is_ok() {
        return Err(archive_error(ArchiveError::Exists { path: directory }));
    }
    text_of(&directory)
}

pub fn default_name(cluster: &ClusterName) -> Result<String, CommandError> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let now =
        OffsetDateTime::now_utc().format(format).map_err(|error| CommandError::bug(error.to_string()))?;
    archive::check_name(&format!("{cluster}-{now}"))
        .map_err(|why| CommandError::new(&codes::USAGE, why).next("add --backup NAME"))
}

/// Absolute, because a resumed operation may begin in another directory.
pub fn location(session: &Session, given: Option<&Path>) -> Result<PathBuf, CommandError> {
    let default = || session.store.dir().join("backups");
    let location = given.map_or_else(default, Path::to_owned);
    std::path::absolute(&location)
        .map_err(|source| archive_error(ArchiveError::File { what: "find", path: location, source }))
}

/// Plans are JSON, which has text only.
pub fn text_of(path: &Path) -> Result<String, CommandError> {
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| CommandError::new(&codes::USAGE, format!("{} is not UTF-8", path.display())))
}

fn words(manifest: &Manifest) -> String {
    let (records, chunks, bytes) = (manifest.records(), manifest.chunks.len(), manifest.bytes());
    let what = if manifest.recovered.is_empty() { "of" } else { "of a recovery, the newest of" };
    format!("{records} records in {chunks} files, {bytes} bytes, {what} {}", time_of(manifest.taken_at_ms))
}

pub fn time_of(ms: u64) -> String {
    let time = OffsetDateTime::from_unix_timestamp((ms / 1000) as i64).ok();
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_default()
}

/// One line of `backup list`.
#[derive(Serialize)]
struct Listed<'a> {
    backup: &'a str,
    cluster: String,
    time: String,
    records: u64,
    bytes: u64,
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

fn list(session: &Session, at: &Location) -> Result<(), CommandError> {
    let location = location(session, at.from.as_deref())?;
    let mut listing =
        Listing::new(&["backup", "cluster", "time", "records", "bytes", "description", "trouble"]);
    for (name, read) in archive::list(&location).map_err(archive_error)? {
        let listed = match &read {
            Ok(manifest) => Listed {
                backup: &name,
                cluster: manifest.cluster.to_string(),
                time: time_of(manifest.taken_at_ms),
                records: manifest.records(),
                bytes: manifest.bytes(),
                description: &manifest.description,
                trouble: None,
            },
            Err(error) => Listed {
                backup: &name,
                cluster: String::new(),
                time: String::new(),
                records: 0,
                bytes: 0,
                description: "",
                trouble: Some(error.to_string()),
            },
        };
        let row = vec![
            name.clone(),
            listed.cluster.clone(),
            listed.time.clone(),
            listed.records.to_string(),
            listed.bytes.to_string(),
            listed.description.to_owned(),
            listed.trouble.clone().unwrap_or_default(),
        ];
        listing.push(row, listed);
    }
    session.show(Format::Table, &listing);
    Ok(())
}

fn show(session: &Session, existing: &Existing) -> Result<(), CommandError> {
    let (_, manifest) = open(session, &existing.backup, existing.at.from.as_deref())?;
    let mut listing =
        Listing::new(&["backup", "cluster", "time", "records", "bytes", "files", "description"]);
    let row = vec![
        manifest.name.clone(),
        manifest.cluster.to_string(),
        time_of(manifest.taken_at_ms),
        manifest.records().to_string(),
        manifest.bytes().to_string(),
        manifest.chunks.len().to_string(),
        manifest.description.clone(),
    ];
    listing.push(row, &manifest);
    session.show(Format::Yaml, &listing);
    Ok(())
}

fn verify(session: &Session, existing: &Existing) -> Result<(), CommandError> {
    let (directory, manifest) = open(session, &existing.backup, existing.at.from.as_deref())?;
    check_whole(session, &directory, &manifest)?;
    session.ui.data_line(&format!("{}: whole, {}", manifest.name, words(&manifest)));
    Ok(())
}

fn delete(session: &Session, existing: &Existing) -> Result<(), CommandError> {
    let location = location(session, existing.at.from.as_deref())?;
    let directory = location.join(&existing.backup);
    // Also a damaged one, but never a directory that is no backup.
    let what = match Manifest::read(&directory) {
        Ok(manifest) => words(&manifest),
        Err(error @ ArchiveError::NoBackup { .. }) => return Err(archive_error(error)),
        Err(error) => error.to_string(),
    };
    session.ui.say(&format!("deletes {}: {what}", directory.display()));
    if session.settings.dry_run {
        return Ok(());
    }
    session.confirm_word("A backup that is deleted cannot be restored.", &existing.backup)?;
    archive::remove(&directory).map_err(archive_error)?;
    session.ui.say(&format!("{} is deleted", existing.backup));
    Ok(())
}

/// The directory of a backup and its manifest.
pub fn open(session: &Session, name: &str, from: Option<&Path>) -> Result<(PathBuf, Manifest), CommandError> {
    let directory = location(session, from)?.join(name);
    let manifest = Manifest::read(&directory).map_err(archive_error)?;
    Ok((directory, manifest))
}

/// Reads everything.
pub fn check_whole(session: &Session, directory: &Path, manifest: &Manifest) -> Result<(), CommandError> {
    let progress = session.ui.progress(session.settings.output);
    let task = format!("check of {}", manifest.name);
    progress.begin(&task, manifest.chunks.len() as u64);
    let checked = manifest.chunks.iter().zip(0..).try_for_each(|(chunk, number)| {
        progress.advance(&task, number, &chunk.file);
        let mut reader = ChunkReader::open(directory, chunk, &manifest.cluster)?;
        while reader.next_record()?.is_some() {}
        Ok(())
    });
    progress.end(&task, &format!("{} files", manifest.chunks.len()), checked.is_ok());
    checked.map_err(archive_error)
}

pub fn archive_error(error: ArchiveError) -> CommandError {
    let code = match &error {
        ArchiveError::File { .. } => &codes::BACKUP_FILE,
        ArchiveError::Damaged { .. } | ArchiveError::Newer { .. } => &codes::BACKUP_DAMAGED,
        ArchiveError::NoBackup { .. } => &codes::NO_BACKUP,
        ArchiveError::Exists { .. } => &codes::BACKUP_EXISTS,
    };
    let next = match &error {
        ArchiveError::NoBackup { .. } => "backup list",
        ArchiveError::Exists { .. } => "choose another name: --backup NAME",
        ArchiveError::Newer { .. } => "use the release that wrote it, or a later one",
        _ => "",
    };
    let shown = CommandError::new(code, error.to_string()).now("nothing changed");
    if next.is_empty() { shown } else { shown.next(next) }
}
