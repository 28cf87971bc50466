//! A backup's requests: take a cut of all tablets, read pages of the tablets that this node keeps of it, end it.

use dkc_core::control::{ControlReply, CutPage, ExportedRecord};
use dkc_core::ids::{Namespace, TabletId};
use dkc_core::kv::{Read, Reply};
use dkc_core::ring::slot_of;
use dkc_core::salvage::SlotRange;

use super::ServerControl;
use super::export::{Keys, PAGE_KEYS_MAX, Place};
use super::kv::{Cursor, Failed, SCANS_MAX, failed, not_given_out};
use crate::control::refusal;
use crate::daemon::cuts::CutError;
use crate::raft::cut::OpenCut;

impl From<CutError> for Failed {
    fn from(error: CutError) -> Failed {
        Failed::Bad(error.to_string())
    }
}

impl ServerControl {
    pub async fn take_cut(&self, id: u64) -> ControlReply {
        match self.server.cuts().take(id).await {
            Ok((id, parts)) => ControlReply::Cut {
                id,
                parts,
                ring_version: self.server.ring().version(),
                taken_at_ms: crate::clock::now_ms(),
            },
            Err(error) => refusal(error.to_string()),
        }
    }

    pub async fn end_cut(&self, id: u64) -> ControlReply {
        self.server.cuts().end(id).await;
        ControlReply::Ok
    }

    pub async fn cut_page(&self, id: u64, tablet: TabletId, cursor: Option<&str>) -> ControlReply {
        let page = async {
            let open = match self.server.cuts().open(id, tablet) {
                Ok(open) => open,
                Err(CutError::Gone) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            page_of(&open, tablet, cursor).await.map(Some)
        };
        match page.await {
            Ok(page) => ControlReply::CutPage(page),
            Err(error) => failed(error),
        }
    }
}

/// The same for a tablet that nobody serves.
pub async fn page_of_salvaged(
    open: &OpenCut,
    tablet: TabletId,
    slots: &[SlotRange],
    cursor: Option<&str>,
) -> ControlReply {
    let is_wanted = |namespace: &Namespace, record: &ExportedRecord| {
        // What was exported can be read back.
        let key = record.key.to_bytes().unwrap_or_default();
        slots.iter().any(|range| range.contains(slot_of(namespace, &key)))
    };
    match page_of(open, tablet, cursor).await {
        Ok(mut page) => {
            page.records.retain(|record| is_wanted(&page.namespace, record));
            ControlReply::CutPage(Some(page))
        }
        Err(error) => failed(error),
    }
}

async fn page_of(open: &OpenCut, tablet: TabletId, cursor: Option<&str>) -> Result<CutPage, Failed> {
    let namespaces = open.namespaces();
    let (index, place) = parse_cursor(cursor, tablet)?;
    let Some(namespace) = namespaces.get(index) else { return Ok(CutPage::default()) };
    let (records, next) = page(&Keys::Cut(open), namespace, tablet, place).await?;
    let next = match next {
        Some(place) => Some(format!("{index}/{}", place.text())),
        None => (index + 1 < namespaces.len()).then(|| format!("{}/{}", index + 1, begin(tablet).text())),
    };
    Ok(CutPage { namespace: namespace.clone(), records, next })
}

/// The number of the namespace, and the place in it.
fn parse_cursor(cursor: Option<&str>, tablet: TabletId) -> Result<(usize, Place), Failed> {
    let Some(cursor) = cursor else { return Ok((0, begin(tablet))) };
    let (index, place) = cursor.split_once('/').ok_or_else(|| not_given_out(cursor))?;
    Ok((index.parse().map_err(|_| not_given_out(cursor))?, Place::parse(place)?))
}

fn begin(tablet: TabletId) -> Place {
    Place { at: Cursor { tablet, after: Vec::new() }, within: None }
}

async fn page(
    keys: &Keys<'_>,
    namespace: &Namespace,
    tablet: TabletId,
    Place { mut at, within }: Place,
) -> Result<(Vec<dkc_core::control::ExportedRecord>, Option<Place>), Failed> {
    if let Some(within) = within {
        return keys.page_within(namespace, at, within).await;
    }
    for _ in 0..SCANS_MAX {
        let after = std::mem::take(&mut at.after).into();
        let scan = Read::Scan { namespace: namespace.clone(), after, limit: PAGE_KEYS_MAX };
        let Reply::Keys { keys: found, next } = keys.read(scan).await? else {
            return Err(Failed::Bad("unexpected reply to a scan".into()));
        };
        let (records, end) = keys.read_all(tablet, namespace, found).await?;
        if end.is_some() {
            return Ok((records, end));
        }
        let Some(next) = next else { return Ok((records, None)) };
        at = Cursor { tablet, after: next.to_vec() };
        if !records.is_empty() {
            return Ok((records, Some(Place { at, within: None })));
        }
    }
    Ok((Vec::new(), Some(Place { at, within: None })))
}
