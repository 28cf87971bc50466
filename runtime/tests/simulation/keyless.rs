//! A namespace of its own whose keys are set and read one by one, and flushed, counted and listed as a whole: what names no key
//! has to reach every tablet, also one that comes of a split meanwhile.

use dkc_core::ids::TabletId;
use dkc_core::kv::{Command, Expiry, Key, Read, Reply, StoreMode, Write};
use dkcd::router::{RouteError, Router};
use dkcd::simulation::world;

use crate::clients::{Client, Clients, number_of};
use crate::record::{Flushable, FlushableCall};

const KEYS: u64 = 6;
/// Keys of one page, so that a listing takes several.
const PAGE_KEYS: u32 = 2;

fn namespace() -> dkc_core::ids::Namespace {
    "flushed".parse().expect("a name")
}

fn key(number: u64) -> Key {
    Key { namespace: namespace(), bytes: format!("flushable{number}").into() }
}

impl Clients {
    pub async fn use_flushable(&self, client: &Client) {
        let number = world().draw(KEYS);
        match world().draw(20) {
            0..=8 => {
                let value = self.value();
                let (mode, text) = (StoreMode::Set, value.to_string().into());
                let store =
                    Write::Store { key: key(number), mode, flags: 0, expiry: Expiry::Never, value: text };
                self.flushable(client.execute(Command::Write(store)), |result| match result {
                    Ok(Reply::Stored { .. }) => Some(FlushableCall::Stored { number, value }),
                    Ok(other) => panic!("a set was answered with {other:?}"),
                    Err(error) if error.is_outcome_unknown() => {
                        Some(FlushableCall::StoreUnknown { number, value })
                    }
                    Err(_) => None,
                })
                .await;
            }
            9..=15 => self.read_flushable(client, number).await,
            16 => {
                let flush = Command::Write(Write::Flush { namespace: namespace(), after_ms: 0 });
                let flushing = client.with_router(async move |router| router.execute_everywhere(flush).await);
                self.flushable(flushing, |results| {
                    let is_done = results.is_ok_and(|results| results.iter().all(Result::is_ok));
                    Some(FlushableCall::Flushed { is_done })
                })
                .await;
            }
            17 => {
                let count = Command::Read(Read::Count { namespace: namespace() });
                let _ = client.with_router(async move |router| router.execute_everywhere(count).await).await;
            }
            _ => self.list_flushable(client).await,
        }
    }

    pub async fn read_all_flushable(&self, client: &Client) {
        for number in 0..KEYS {
            self.read_flushable(client, number).await;
        }
        self.list_flushable(client).await;
    }

    async fn read_flushable(&self, client: &Client, number: u64) {
        let get = Command::Read(Read::Get { key: key(number) });
        self.flushable(client.execute(get), |result| match result {
            Ok(Reply::Record(record)) => {
                Some(FlushableCall::Found { number, value: number_of(&record.value) })
            }
            Ok(Reply::NotFound) => Some(FlushableCall::NotFound { number }),
            Ok(other) => panic!("a get was answered with {other:?}"),
            Err(_) => None,
        })
        .await;
    }

    async fn list_flushable(&self, client: &Client) {
        self.flushable(client.with_router(list), |listed| listed.ok().map(FlushableCall::Listed)).await;
    }

    async fn flushable<T>(
        &self,
        calling: impl Future<Output = T>,
        told: impl FnOnce(T) -> Option<FlushableCall>,
    ) {
        let begin = self.record.now();
        let result = calling.await;
        let end = self.record.now();
        let Some(what) = told(result) else { return };
        self.record.flushable.borrow_mut().push(Flushable { begin, end, what });
    }
}

/// The numbers of all keys, tablet by tablet. A tablet that comes of a split has a higher id than all there were, so it comes last.
async fn list(router: Router) -> Result<Vec<u64>, RouteError> {
    let mut found = Vec::new();
    let mut done = 0;
    while let Some(tablet) = router.tablets().await?.get(done).copied() {
        found.extend(list_tablet(&router, tablet).await?);
        done += 1;
    }
    Ok(found)
}

async fn list_tablet(router: &Router, tablet: TabletId) -> Result<Vec<u64>, RouteError> {
    let (mut found, mut after) = (Vec::new(), Some(Default::default()));
    while let Some(from) = after {
        let scan = Read::Scan { namespace: namespace(), after: from, limit: PAGE_KEYS };
        let Reply::Keys { keys, next } = router.execute_on(tablet, Command::Read(scan)).await? else {
            panic!("a scan was not answered with keys");
        };
        found.extend(keys.iter().map(|key| number_of(key.strip_prefix(b"flushable").unwrap_or(key))));
        after = next;
    }
    Ok(found)
}
