//! `data import`: stores the records of an export. A file is read twice: whole and valid, or nothing is changed.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dkc_core::control::{Blob, ControlReply, ControlRequest, ExportedRecord};

use super::Server;
use crate::archive::lines::{LINE_MAX_BYTES, Lines};
use crate::error::{CommandError, codes};
use crate::session::Session;

/// For one batch, also on slow disks and over a slow line.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
const BATCH_RECORDS_MAX: usize = 500;
/// A batch ends with the line that reaches this.
const BATCH_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A file is checked as a whole before the first record is stored. An import that was interrupted can be repeated.\n\n\
                  EXAMPLES\n  data import -n c1 c0.jsonl\n  data import -n c1 --keep-existing c0.jsonl\n  \
                  dkc data export -n c0 | dkc data import -n c1 -"
)]
pub struct Args {
    /// The export; - reads standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Leave keys alone that exist; otherwise they are replaced
    #[arg(long)]
    keep_existing: bool,
}

pub async fn run(session: &Session, server: &mut Server, args: Args) -> Result<(), CommandError> {
    let path = &args.file;
    if path == Path::new("-") {
        return store(session, server, &args, BufReader::new(std::io::stdin()), 0).await;
    }
    let open = || File::open(path).map(BufReader::new).map_err(|error| cannot_read(path, &error));
    let (mut source, mut lines) = (Source::new(path, open()?), Lines::default());
    while source.next(&mut lines).map_err(nothing_changed)?.is_some() {}
    let total = lines.end().map_err(|why| nothing_changed(bad(path, why)))?;
    store(session, server, &args, open()?, total).await
}

async fn store(
    session: &Session,
    server: &mut Server,
    args: &Args,
    from: impl BufRead,
    total: u64,
) -> Result<(), CommandError> {
    let (mut source, mut lines) = (Source::new(&args.file, from), Lines::default());
    let progress = session.ui.progress(session.settings.output);
    progress.begin("import", total);
    let mut import =
        Import { server, keeps_existing: args.keep_existing, is_kept: false, stored: 0, kept: 0 };
    let (mut batch, mut batch_bytes) = (Vec::new(), 0);
    let outcome = loop {
        let next = match source.next(&mut lines) {
            Ok(next) => next,
            Err(error) => break Err(error),
        };
        let Some((record, bytes)) = next else { break lines.end().map_err(|why| bad(&args.file, why)) };
        // What continues a key is sent once it is known whether the key was stored.
        let is_full = batch.len() >= BATCH_RECORDS_MAX || batch_bytes >= BATCH_BYTES;
        if is_full || record.continues {
            import.store(std::mem::take(&mut batch)).await?;
            batch_bytes = 0;
            progress.advance("import", import.stored, &format!("{} records", import.stored));
        }
        batch.push(record);
        batch_bytes += bytes;
    };
    // What was read before a bad line belongs to the import.
    import.store(batch).await?;
    let (stored, kept) = (import.stored, import.kept);
    let words = match kept {
        0 => format!("{stored} records"),
        _ => format!("{stored} records, {kept} kept as they were"),
    };
    progress.end("import", &words, outcome.is_ok());
    outcome.map(|_| ()).map_err(|error| error.now(format!("{stored} records are stored")))
}

struct Import<'s> {
    server: &'s mut Server,
    keeps_existing: bool,
    /// The key of the last record exists and stays, and so what continues it is left out.
    is_kept: bool,
    stored: u64,
    kept: u64,
}

impl Import<'_> {
    async fn store(&mut self, mut records: Vec<ExportedRecord>) -> Result<(), CommandError> {
        if self.is_kept {
            let continuing = records.iter().take_while(|record| record.continues).count();
            records.drain(..continuing);
        }
        let (count, last) = (records.len() as u64, records.last().map(|record| record.key.clone()));
        let Some(last) = last else { return Ok(()) };
        let kept = self.ask(records).await?;
        self.is_kept = kept.contains(&last);
        self.kept += kept.len() as u64;
        self.stored += count - kept.len() as u64;
        Ok(())
    }

    async fn ask(&mut self, records: Vec<ExportedRecord>) -> Result<Vec<Blob>, CommandError> {
        let (namespace, keeps_existing) = (self.server.namespace.clone(), self.keeps_existing);
        let request = ControlRequest::Import { namespace, records, keeps_existing };
        let stored = self.stored;
        match self.server.ask_control(&request, BATCH_TIMEOUT).await {
            Ok(ControlReply::Imported { kept }) => Ok(kept),
            Ok(other) => Err(CommandError::bug(format!("unexpected reply to an import: {other:?}"))),
            Err(error) => Err(error
                .now(format!("{stored} records are stored, and perhaps some of the next {BATCH_RECORDS_MAX}"))
                .next("repeat the import     (what is stored already stays the same)")),
        }
    }
}

/// Lines of a file, one record after the other.
struct Source<'p, R> {
    path: &'p Path,
    from: R,
    number: u64,
}

impl<'p, R: BufRead> Source<'p, R> {
    fn new(path: &'p Path, from: R) -> Source<'p, R> {
        Source { path, from, number: 0 }
    }

    /// The next record and the bytes of its line.
    fn next(&mut self, lines: &mut Lines) -> Result<Option<(ExportedRecord, usize)>, CommandError> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.from).take(LINE_MAX_BYTES + 1).read_until(b'\n', &mut line);
            let bytes = read.map_err(|error| cannot_read(self.path, &error))?;
            if bytes == 0 {
                return Ok(None);
            }
            self.number += 1;
            if bytes as u64 > LINE_MAX_BYTES {
                let why = format!("line {} is longer than {LINE_MAX_BYTES} bytes", self.number);
                return Err(bad(self.path, why));
            }
            let record = lines.take(self.number, &line).map_err(|why| bad(self.path, why))?;
            if let Some(record) = record {
                return Ok(Some((record, bytes)));
            }
        }
    }
}

fn bad(path: &Path, why: String) -> CommandError {
    let name = if path == Path::new("-") { "standard input".into() } else { path.display().to_string() };
    CommandError::new(&codes::NOT_AN_EXPORT, format!("{name} is not a whole export")).cause(why)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(&codes::EXPORT_FILE, format!("cannot read {}", path.display())).cause(error.to_string())
}

fn nothing_changed(error: CommandError) -> CommandError {
    error.now("nothing changed")
}
