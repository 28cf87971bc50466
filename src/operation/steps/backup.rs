//! The steps that write and restore a backup. *Invariant:* memory stays bounded by one page or batch, whatever the size; a
//! repetition ends in the same backup or the same records.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use dkc_core::control::{
    ControlReply, ControlRequest, CutPage, DataRequest, ExportedRecord, NodeStatus, RoleStatus,
};
use dkc_core::ids::{ClusterName, Namespace, NodeId, TabletId};
use dkc_core::kv::Reply;
use dkc_inventory::plan::Endpoint;

use super::StepError;
use super::servers::Servers;
use crate::archive::{ArchiveError, ChunkReader, ChunkWriter, Manifest, Progress, Unfinished};
use crate::world::ControlClient;

/// For taking the cut: several attempts over elections.
const CUT_LIMIT: Duration = Duration::from_secs(90);
/// For one page or batch, also over a slow line and on slow disks.
pub(super) const PAGE_LIMIT: Duration = Duration::from_secs(60);
const STATUS_LIMIT: Duration = Duration::from_secs(5);
/// Moments that a backup begins with; servers that restart lose the one they keep.
const CUTS_MAX: u32 = 3;
/// Attempts at one batch or endpoint before the step fails.
const ATTEMPTS_MAX: u32 = 20;
/// Counts of a namespace that are to be what the backup has.
const COUNTS_MAX: u32 = 60;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(500);
/// A chunk ends with the record that reaches this, before compression.
const CHUNK_BYTES: u64 = 64 * 1024 * 1024;
const BATCH_RECORDS_MAX: usize = 500;
/// A batch ends with the record that reaches this.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// Bits of a cut's number that the servers add to.
const CUT_BITS: u32 = 56;

impl From<ArchiveError> for StepError {
    fn from(error: ArchiveError) -> StepError {
        match error {
            ArchiveError::File { .. } => StepError::Refused(error.to_string()),
            error => StepError::Illegal(error.to_string()),
        }
    }
}

/// What a backup is called.
pub struct BackUp<'a> {
    pub cluster: &'a ClusterName,
    pub name: &'a str,
    pub description: &'a str,
    pub directory: &'a str,
    pub operation: &'a str,
}

enum Copied {
    Whole,
    /// A server does not keep the moment any more.
    MomentLost,
}

impl Servers<'_> {
    pub async fn back_up(&self, backup: BackUp<'_>) -> Result<(), StepError> {
        let whole = Path::new(backup.directory);
        let Some(unfinished) = Unfinished::open(whole, backup.operation)? else { return Ok(()) };
        for _ in 0..CUTS_MAX {
            let mut progress = match unfinished.progress() {
                Some(progress) => progress,
                None => self.begin_backup(&backup, &unfinished).await?,
            };
            match self.copy(&unfinished, &mut progress).await? {
                Copied::Whole => {
                    unfinished.finish(&progress.manifest)?;
                    return self.end_cut(progress.cut).await;
                }
                Copied::MomentLost => {
                    (self.on_words)("a server has lost the moment: beginning again with another one");
                    self.end_cut(progress.cut).await?;
                    unfinished.begin_again()?;
                }
            }
        }
        Err(StepError::Refused(format!(
            "servers lost the moment of the backup {CUTS_MAX} times (they restarted, or it was interrupted for too long)"
        )))
    }

    /// Takes the moment. What was written before an earlier loss is gone already.
    async fn begin_backup(
        &self,
        backup: &BackUp<'_>,
        unfinished: &Unfinished,
    ) -> Result<Progress, StepError> {
        let status = self.any_status().await?;
        let request = uuid::Uuid::new_v4().as_u64_pair().0 >> (u64::BITS - CUT_BITS);
        let (cut, parts, ring_version, taken_at_ms) =
            match self.ask_any(&ControlRequest::Cut { id: request }, CUT_LIMIT).await? {
                ControlReply::Cut { id, parts, ring_version, taken_at_ms } => {
                    (id, parts, ring_version, taken_at_ms)
                }
                other => return Err(unexpected("a backup", &other)),
            };
        let manifest = Manifest {
            format: Manifest::FORMAT,
            name: backup.name.into(),
            description: backup.description.into(),
            cluster: backup.cluster.clone(),
            cluster_id: status.cluster_id,
            release: env!("CARGO_PKG_VERSION").into(),
            operation: backup.operation.into(),
            servers: self.endpoints.len() as u32,
            ring_version,
            taken_at_ms,
            recovered: Vec::new(),
            chunks: Vec::new(),
        };
        let progress = Progress { cut, parts, done: Vec::new(), manifest };
        unfinished.save(&progress)?;
        Ok(progress)
    }

    async fn copy(&self, unfinished: &Unfinished, progress: &mut Progress) -> Result<Copied, StepError> {
        let keepers = self.keepers().await;
        let parts = progress.parts.clone();
        for part in
            parts.iter().filter(|part| !progress.done.contains(&part.tablet)).copied().collect::<Vec<_>>()
        {
            let Some(endpoint) = keepers.get(&part.node) else {
                return Err(StepError::Refused(format!(
                    "the server that keeps tablet {} does not answer",
                    part.tablet
                )));
            };
            let mut client = self.client(endpoint).await?;
            let mut tablet = TabletCopy::begin(unfinished, part.tablet);
            if let Copied::MomentLost = self.copy_tablet(&mut client, progress, &mut tablet).await? {
                return Ok(Copied::MomentLost);
            }
            progress.manifest.chunks.extend(tablet.finish()?);
            progress.done.push(part.tablet);
            unfinished.save(progress)?;
        }
        Ok(Copied::Whole)
    }

    async fn copy_tablet(
        &self,
        client: &mut ControlClient,
        progress: &Progress,
        to: &mut TabletCopy<'_>,
    ) -> Result<Copied, StepError> {
        let (tablets, before) = (progress.parts.len(), progress.manifest.records());
        let (mut records, mut cursor) = (0, None);
        loop {
            self.stop_if_asked()?;
            let request = ControlRequest::CutPage { id: progress.cut, tablet: to.tablet, cursor };
            let page = match client.ask(&request, PAGE_LIMIT).await? {
                ControlReply::CutPage(Some(page)) => page,
                ControlReply::CutPage(None) => return Ok(Copied::MomentLost),
                other => return Err(unexpected("a page of a backup", &other)),
            };
            records += page.records.len() as u64;
            to.take(&progress.manifest.cluster, &page)?;
            let done = progress.done.len();
            (self.on_words)(&format!("{} records, {done} of {tablets} tablets", before + records));
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(Copied::Whole),
            }
        }
    }

    /// Servers forget an idle moment automatically; that nobody answers is no failure of the backup.
    async fn end_cut(&self, cut: u64) -> Result<(), StepError> {
        if let Err(error) = self.ask_any(&ControlRequest::EndCut { id: cut }, PAGE_LIMIT).await {
            (self.on_words)(&error.to_string());
        }
        Ok(())
    }

    /// Reads the whole backup, then stores it record by record, then counts.
    pub async fn restore(
        &self,
        directory: &str,
        digest: &str,
        only: Option<&Namespace>,
    ) -> Result<(), StepError> {
        let directory = Path::new(directory);
        let manifest = Manifest::read(directory)?;
        if manifest.digest() != digest {
            return Err(StepError::Illegal(
                "another backup is in this place than when the plan was made".into(),
            ));
        }
        self.restore_all(directory, &manifest, only).await
    }

    pub(super) async fn restore_all(
        &self,
        directory: &Path,
        manifest: &Manifest,
        only: Option<&Namespace>,
    ) -> Result<(), StepError> {
        let is_wanted = |namespace: &Namespace| only.is_none_or(|only| only == namespace);
        self.store(directory, manifest, &is_wanted).await?;
        for namespace in manifest.namespaces().into_iter().filter(is_wanted) {
            self.check_count(manifest, namespace).await?;
        }
        Ok(())
    }

    async fn store(
        &self,
        directory: &Path,
        manifest: &Manifest,
        is_wanted: &dyn Fn(&Namespace) -> bool,
    ) -> Result<(), StepError> {
        let wanted = || manifest.chunks.iter().filter(|chunk| is_wanted(&chunk.namespace));
        for chunk in wanted() {
            (self.on_words)(&format!("checking {}", chunk.file));
            let mut reader = ChunkReader::open(directory, chunk, &manifest.cluster)?;
            while reader.next_record()?.is_some() {
                self.stop_if_asked()?;
            }
        }
        let mut restored =
            Restored { steps: self, client: None, stored: 0, total: wanted().map(|c| c.records).sum() };
        for chunk in wanted() {
            let mut reader = ChunkReader::open(directory, chunk, &manifest.cluster)?;
            let (mut batch, mut batch_bytes) = (Vec::new(), 0);
            while let Some((record, bytes)) = reader.next_record()? {
                batch.push(record);
                batch_bytes += bytes;
                if batch.len() >= BATCH_RECORDS_MAX || batch_bytes >= BATCH_BYTES {
                    restored.store(&chunk.namespace, std::mem::take(&mut batch)).await?;
                    batch_bytes = 0;
                }
            }
            restored.store(&chunk.namespace, batch).await?;
        }
        Ok(())
    }

    /// A tablet that has just split counts anew, so a wrong number may become right.
    async fn check_count(&self, manifest: &Manifest, namespace: Namespace) -> Result<(), StepError> {
        let (least, most) = manifest.keys(&namespace);
        let request = ControlRequest::Data(DataRequest::Count { namespace: namespace.clone() });
        for attempt in 1.. {
            self.stop_if_asked()?;
            let records = match self.ask_any(&request, PAGE_LIMIT).await? {
                ControlReply::Data(Reply::Count { records, .. }) => records,
                other => return Err(unexpected("a count", &other)),
            };
            if (least..=most).contains(&records) {
                return Ok(());
            }
            if attempt == COUNTS_MAX {
                return Err(StepError::Refused(format!(
                    "namespace {namespace} has {records} keys now, but the backup has {most}: did an application write?"
                )));
            }
            (self.on_words)(&format!("counting: {records} of {most} keys in namespace {namespace}"));
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
        Ok(())
    }

    fn stop_if_asked(&self) -> Result<(), StepError> {
        if self.interrupt.is_requested() { Err(StepError::Interrupted) } else { Ok(()) }
    }

    /// A server that answers, and the answer. An error reply is an answer, too.
    async fn ask_any(&self, request: &ControlRequest, limit: Duration) -> Result<ControlReply, StepError> {
        let mut last = "none of its servers is reachable".to_owned();
        for endpoint in self.endpoints {
            match self.ask(endpoint, request, limit).await {
                Ok(ControlReply::Error { message, .. }) => return Err(StepError::Refused(message)),
                Ok(reply) => return Ok(reply),
                Err(error) => last = error.to_string(),
            }
        }
        Err(StepError::Refused(last))
    }

    async fn any_status(&self) -> Result<Box<NodeStatus>, StepError> {
        match self.ask_any(&ControlRequest::Status, STATUS_LIMIT).await? {
            ControlReply::Status(status) => Ok(status),
            other => Err(unexpected("a status", &other)),
        }
    }

    /// The endpoint of each server that answers.
    async fn keepers(&self) -> BTreeMap<NodeId, &Endpoint> {
        let each = self.endpoints.iter().map(|endpoint| async move {
            match self.ask(endpoint, &ControlRequest::Status, STATUS_LIMIT).await {
                Ok(ControlReply::Status(status)) => match status.role {
                    RoleStatus::Server(server) => Some((server.node_id, endpoint)),
                    RoleStatus::Slave(_) => None,
                },
                _ => None,
            }
        });
        futures::future::join_all(each).await.into_iter().flatten().collect()
    }
}

/// The chunks of one tablet.
pub(super) struct TabletCopy<'a> {
    unfinished: &'a Unfinished,
    tablet: TabletId,
    writer: Option<ChunkWriter>,
    chunks: Vec<crate::archive::Chunk>,
}

impl<'a> TabletCopy<'a> {
    pub fn begin(unfinished: &'a Unfinished, tablet: TabletId) -> TabletCopy<'a> {
        TabletCopy { unfinished, tablet, writer: None, chunks: Vec::new() }
    }

    pub fn take(&mut self, cluster: &ClusterName, page: &CutPage) -> Result<(), ArchiveError> {
        for record in &page.records {
            let is_full = |writer: &ChunkWriter| {
                writer.text_bytes >= CHUNK_BYTES || *writer.namespace() != page.namespace
            };
            if self.writer.as_ref().is_some_and(is_full) {
                self.end_chunk()?;
            }
            let writer = match &mut self.writer {
                Some(writer) => writer,
                None => {
                    let (directory, number) = (self.unfinished.directory(), self.chunks.len());
                    let new = ChunkWriter::create(directory, self.tablet, number, cluster, &page.namespace)?;
                    self.writer.insert(new)
                }
            };
            writer.record(record)?;
        }
        Ok(())
    }

    fn end_chunk(&mut self) -> Result<(), ArchiveError> {
        if let Some(writer) = self.writer.take() {
            self.chunks.push(writer.finish()?);
        }
        Ok(())
    }

    pub fn finish(mut self) -> Result<Vec<crate::archive::Chunk>, ArchiveError> {
        self.end_chunk()?;
        Ok(self.chunks)
    }
}

/// Records on their way into the cluster.
struct Restored<'s, 'a> {
    steps: &'s Servers<'a>,
    client: Option<ControlClient>,
    stored: u64,
    total: u64,
}

impl Restored<'_, '_> {
    /// A batch whose endpoint fails is stored again at the next one: the records are the same.
    async fn store(&mut self, namespace: &Namespace, records: Vec<ExportedRecord>) -> Result<(), StepError> {
        let count = records.len() as u64;
        if count == 0 {
            return Ok(());
        }
        let request = ControlRequest::Import { namespace: namespace.clone(), records, keeps_existing: false };
        let mut last = String::new();
        for attempt in 0..ATTEMPTS_MAX {
            self.steps.stop_if_asked()?;
            match self.try_store(attempt, &request).await? {
                None => {
                    self.stored += count;
                    (self.steps.on_words)(&format!("{} of {} records stored", self.stored, self.total));
                    return Ok(());
                }
                Some(why) => last = why,
            }
            (self.steps.on_words)(&format!("retrying: {last}"));
            tokio::time::sleep(ATTEMPT_PAUSE).await;
        }
        Err(StepError::Refused(format!("records cannot be stored: {last}")))
    }

    /// `None` if they are stored, else why a repetition may help.
    async fn try_store(
        &mut self,
        attempt: u32,
        request: &ControlRequest,
    ) -> Result<Option<String>, StepError> {
        let mut client = match self.client.take() {
            Some(client) => client,
            None => {
                let endpoints = self.steps.endpoints;
                match self.steps.client(&endpoints[attempt as usize % endpoints.len()]).await {
                    Ok(client) => client,
                    Err(error) => return Ok(Some(error.to_string())),
                }
            }
        };
        match client.ask(request, PAGE_LIMIT).await {
            Ok(ControlReply::Imported { .. }) => {
                self.client = Some(client);
                Ok(None)
            }
            Ok(ControlReply::Error { message, is_outcome_unknown: true }) => Ok(Some(message)),
            Ok(ControlReply::Error { message, .. }) => Err(StepError::Refused(message)),
            Ok(other) => Err(unexpected("an import", &other)),
            Err(error) => Ok(Some(error.to_string())),
        }
    }
}

pub(super) fn unexpected(to: &str, reply: &ControlReply) -> StepError {
    match reply {
        ControlReply::Error { message, .. } => StepError::Refused(message.clone()),
        _ => StepError::Refused(format!("unexpected reply to {to}")),
    }
}
