//! The steps of a recovery: the backup of what stopped servers have, and its restore. *Invariant:* what is read is what the plan
//! was made of: a log that ends elsewhere by now stops it.

use std::path::Path;

use dkc_core::control::{ControlReply, ControlRequest, CutPart};
use dkc_core::ids::{ClusterId, ClusterName, RingVersion};
use dkc_core::salvage::SalvagePart;
use dkc_inventory::plan::{Endpoint, SalvageSource};

use super::StepError;
use super::backup::{PAGE_LIMIT, TabletCopy, unexpected};
use super::servers::Servers;
use crate::archive::{Manifest, Progress, Unfinished};
use crate::world::salvage::Salvager;

/// What the backup of a recovery is called, and what it is made of.
pub struct Salvage<'a> {
    pub cluster: &'a ClusterName,
    pub cluster_id: ClusterId,
    pub name: &'a str,
    pub description: &'a str,
    pub directory: &'a str,
    pub operation: &'a str,
    pub sources: &'a [SalvageSource],
    pub missing: &'a [String],
}

impl Servers<'_> {
    /// Goes on with the tablets that are left.
    pub async fn salvage(&self, salvage: Salvage<'_>) -> Result<(), StepError> {
        let whole = Path::new(salvage.directory);
        if let Some(unfinished) = Unfinished::open(whole, salvage.operation)? {
            let begun = unfinished.progress();
            let mut progress = begun.unwrap_or_else(|| begin(&salvage, self.endpoints.len()));
            for endpoint in self.endpoints {
                self.salvage_from(endpoint, &salvage, &unfinished, &mut progress).await?;
            }
            unfinished.finish(&progress.manifest)?;
        }
        Ok(())
    }

    async fn salvage_from(
        &self,
        endpoint: &Endpoint,
        salvage: &Salvage<'_>,
        unfinished: &Unfinished,
        progress: &mut Progress,
    ) -> Result<(), StepError> {
        let is_left = |source: &&SalvageSource| {
            source.endpoint == *endpoint && !progress.done.contains(&source.part.tablet)
        };
        let parts: Vec<&SalvagePart> =
            salvage.sources.iter().filter(is_left).map(|source| &source.part).collect();
        if parts.is_empty() {
            return Ok(());
        }
        let entry = self.inventory.host(&endpoint.host).ok_or(StepError::UnknownHost)?;
        let mut salvager = self.world.host(&endpoint.host, &entry).await?.salvager(&endpoint.dir).await?;
        let mut copied = Ok(());
        for part in parts {
            copied = self.salvage_part(&mut salvager, part, unfinished, progress).await;
            if copied.is_err() {
                break;
            }
        }
        salvager.end().await;
        copied
    }

    async fn salvage_part(
        &self,
        salvager: &mut Salvager,
        part: &SalvagePart,
        unfinished: &Unfinished,
        progress: &mut Progress,
    ) -> Result<(), StepError> {
        let found = salvager.found.tablets.iter().find(|found| found.tablet == part.tablet);
        if salvager.found.node_id != part.node || found.is_none_or(|found| found.replica.end != part.end) {
            return Err(StepError::Illegal(format!(
                "tablet {} has changed since the plan was made; run the command again",
                part.tablet
            )));
        }
        let mut copy = TabletCopy::begin(unfinished, part.tablet);
        let (mut cursor, mut records) = (None, progress.manifest.records());
        loop {
            if self.interrupt.is_requested() {
                return Err(StepError::Interrupted);
            }
            let request = ControlRequest::SalvagePage {
                tablet: part.tablet,
                slots: part.slots.clone(),
                cursor: cursor.take(),
            };
            let page = match salvager.client.ask(&request, PAGE_LIMIT).await? {
                ControlReply::CutPage(Some(page)) => page,
                other => return Err(unexpected("a page of a stopped server", &other)),
            };
            copy.take(&progress.manifest.cluster, &page)?;
            records += page.records.len() as u64;
            let (done, all) = (progress.done.len(), progress.parts.len());
            (self.on_words)(&format!("{records} records, {done} of {all} tablets"));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        progress.manifest.chunks.extend(copy.finish()?);
        progress.done.push(part.tablet);
        Ok(unfinished.save(progress)?)
    }

    /// Only what this operation has written.
    pub async fn restore_salvaged(&self, directory: &str, operation: &str) -> Result<(), StepError> {
        let directory = Path::new(directory);
        let manifest = Manifest::read(directory)?;
        if manifest.operation != operation {
            return Err(StepError::Illegal(
                "another backup is in the place of the one of this recovery".into(),
            ));
        }
        self.restore_all(directory, &manifest, None).await
    }
}

/// The tablets are of different moments: the backup has the time of the newest.
fn begin(salvage: &Salvage<'_>, servers: usize) -> Progress {
    let parts = salvage.sources.iter().map(|source| &source.part);
    let manifest = Manifest {
        format: Manifest::FORMAT,
        name: salvage.name.into(),
        description: salvage.description.into(),
        cluster: salvage.cluster.clone(),
        cluster_id: salvage.cluster_id,
        release: env!("CARGO_PKG_VERSION").into(),
        operation: salvage.operation.into(),
        servers: servers as u32,
        ring_version: RingVersion(0),
        taken_at_ms: parts.clone().map(|part| part.clock_ms).max().unwrap_or(0),
        recovered: salvage.missing.to_vec(),
        chunks: Vec::new(),
    };
    let parts = parts.map(|part| CutPart { tablet: part.tablet, node: part.node }).collect();
    Progress { cut: 0, parts, done: Vec::new(), manifest }
}
