//! `data export`: all keys of a namespace with what they hold, page by page, in bounded memory. Each key is as of one moment;
//! different keys are of different moments, because applications go on writing.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkc_core::control::{Blob, ControlReply, ControlRequest, DataRequest, ExportedRecord};
use dkc_core::ids::ClusterName;
use dkc_core::kv::Reply;
use dkcd::durable_file;

use super::{Server, forms};
use crate::archive::lines;
use crate::error::{CommandError, codes};
use crate::session::Session;

/// For one page, also over a slow line.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// Values are as private as in the cluster.
const FILE_MODE: u32 = 0o600;
/// A progress line after every so many records.
const PROGRESS_RECORDS: u64 = 1000;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Each key is exported as of one moment, different keys as of different moments. `data import` reads the JSON lines; \
                  `redis-cli --pipe` and a memcached port load the other formats.\n\nEXAMPLES\n  data export -n c0 --to c0.jsonl\n  \
                  data export -n c0 --prefix user: --to users.jsonl\n  data export -n c0 --format redis --to c0.resp"
)]
pub struct Args {
    /// Write to this new file (default: standard output)
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Only keys with this prefix
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    prefix: String,
    /// What the lines are
    #[arg(long, value_enum, default_value_t = Form::Json)]
    format: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// Lines of JSON, for data import
    Json,
    /// Redis commands
    Redis,
    /// memcached commands; strings only
    Memcached,
}

pub async fn run(
    session: &Session,
    server: &mut Server,
    cluster: &ClusterName,
    args: Args,
) -> Result<(), CommandError> {
    let mut sink = Sink::open(session, args.to.as_deref())?;
    if args.format == Form::Json {
        sink.write(lines::header_line(cluster, &server.namespace).as_bytes())?;
    }
    let task = format!("export of {cluster}");
    // On a terminal it would stand between the lines of standard output.
    let progress = args.to.is_some().then(|| session.ui.progress(session.settings.output));
    if let Some(progress) = &progress {
        progress.begin(&task, total(server).await?);
    }
    let (mut records, mut left_out, mut cursor) = (0, 0, None);
    loop {
        let (page, next) = page(server, &args.prefix, cursor.take()).await?;
        for record in page {
            match bytes_of(&record, args.format)? {
                Some(bytes) => sink.write(&bytes)?,
                None => left_out += 1,
            }
            records += 1;
            if let Some(progress) = progress.as_ref().filter(|_| records % PROGRESS_RECORDS == 0) {
                progress.advance(&task, records, &format!("{records} records"));
            }
        }
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    if args.format == Form::Json {
        sink.write(lines::end_line(records).as_bytes())?;
    }
    sink.finish()?;
    if let Some(progress) = &progress {
        progress.end(&task, &format!("{} records", records - left_out), true);
    }
    match left_out {
        0 => Ok(()),
        _ => Err(CommandError::new(
            &codes::DATA_REFUSED,
            format!("{left_out} records left out: memcached has no collections, and its keys are words of at most 250 bytes"),
        )
        .now("all other records are exported")
        .next("data export --format json     (everything)")),
    }
}

/// Keys of the namespace now; with a prefix fewer are exported.
async fn total(server: &mut Server) -> Result<u64, CommandError> {
    let namespace = server.namespace.clone();
    match server.ask(DataRequest::Count { namespace }).await? {
        Reply::Count { records, .. } => Ok(records),
        other => Err(CommandError::bug(format!("unexpected reply to a count: {other:?}"))),
    }
}

async fn page(
    server: &mut Server,
    prefix: &str,
    cursor: Option<String>,
) -> Result<(Vec<ExportedRecord>, Option<String>), CommandError> {
    let (namespace, prefix) = (server.namespace.clone(), Blob::Text(prefix.into()));
    let request = ControlRequest::Export { namespace, prefix, cursor };
    match server.ask_control(&request, PAGE_TIMEOUT).await? {
        ControlReply::Exported { records, next } => Ok((records, next)),
        other => Err(CommandError::bug(format!("unexpected reply to an export: {other:?}"))),
    }
}

/// `None` for what the format has no words for.
fn bytes_of(record: &ExportedRecord, format: Form) -> Result<Option<Vec<u8>>, CommandError> {
    let bytes = match format {
        Form::Json => Ok(Some(lines::record_line(record).into_bytes())),
        Form::Redis => forms::redis(record).map(Some),
        Form::Memcached => forms::memcached(record),
    };
    bytes.map_err(|error| CommandError::bug(format!("a server sent what it cannot have: {error}")))
}

/// Where records go. A file gets its name when it is whole and synced.
enum Sink<'s> {
    Output(&'s Session),
    File { file: BufWriter<File>, part: Part, path: PathBuf },
}

impl Sink<'_> {
    fn open<'s>(session: &'s Session, path: Option<&Path>) -> Result<Sink<'s>, CommandError> {
        let Some(path) = path else { return Ok(Sink::Output(session)) };
        if path.symlink_metadata().is_ok() {
            let what = format!("{} exists", path.display());
            return Err(CommandError::new(&codes::EXPORT_FILE, what).now("nothing changed"));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&part);
        let file = BufWriter::new(file.map_err(|error| cannot("create", &part, &error))?);
        Ok(Sink::File { file, part: Part(part), path: path.into() })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        match self {
            Sink::Output(session) => {
                session.ui.data_bytes(bytes);
                Ok(())
            }
            Sink::File { file, part, .. } => {
                file.write_all(bytes).map_err(|error| cannot("write", &part.0, &error))
            }
        }
    }

    fn finish(self) -> Result<(), CommandError> {
        let Sink::File { mut file, part, path } = self else { return Ok(()) };
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|error| cannot("write", &part.0, &error))?;
        // Unlike a rename, a link refuses a name that somebody took meanwhile.
        fs::hard_link(&part.0, &path)
            .and_then(|()| durable_file::sync_directory_of(&path))
            .map_err(|error| cannot("create", &path, &error))
    }
}

/// A file that goes when the export ends, however it ends.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Nothing else can be done about a file that stays.
        let _ = fs::remove_file(&self.0);
    }
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(&codes::EXPORT_FILE, format!("cannot {what} {}", path.display()))
        .cause(error.to_string())
        .now("nothing changed")
}
