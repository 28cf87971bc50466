//! The program of this node, for machines that will be slaves: they have a token and no program yet.
//!
//! *Invariant:* it is sent only to who names a token that is alive and the program's digest; neither can be guessed, so strangers
//! cannot make a server send megabytes.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use dkc_core::control::ProgramView;
use dkc_core::token::TokenId;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::clock;
use crate::daemon::meta_group::MetaGroup;
use crate::net::Download;

/// The file that this process runs, also after it was replaced on the disk.
const OWN_PROGRAM: &str = "/proc/self/exe";
/// Read at once while it is hashed.
const READ_BYTES: usize = 256 * 1024;

pub struct OwnProgram {
    meta: Arc<MetaGroup>,
    /// Read once, when somebody asks.
    view: OnceCell<ProgramView>,
}

impl OwnProgram {
    pub fn new(meta: Arc<MetaGroup>) -> OwnProgram {
        OwnProgram { meta, view: OnceCell::new() }
    }

    pub async fn view(&self) -> std::io::Result<ProgramView> {
        let reading = async {
            crate::task::spawn_blocking(read_view)
                .await
                .map_err(|_| std::io::Error::other("the node stops"))?
        };
        self.view.get_or_try_init(|| reading).await.cloned()
    }

    /// What `/dkc/TOKEN/DIGEST` names.
    pub async fn at(&self, path: &str) -> Option<Download> {
        let (token, digest) = path.strip_prefix("/dkc/")?.split_once('/')?;
        let token: TokenId = token.parse().ok()?;
        if !self.meta.state().is_token_alive(token, clock::now_ms()) {
            return None;
        }
        let view =
            self.view().await.inspect_err(|error| tracing::warn!(%error, "own program not read")).ok()?;
        if view.digest != digest {
            return None;
        }
        tracing::info!(%token, "program fetched");
        Some(Download { file: File::open(OWN_PROGRAM).ok()?, bytes: view.bytes })
    }
}

fn read_view() -> std::io::Result<ProgramView> {
    let mut file = File::open(OWN_PROGRAM)?;
    let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; READ_BYTES]);
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            count => {
                hash.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
    let architecture = std::env::consts::ARCH.to_owned();
    Ok(ProgramView { digest: hex::encode(hash.finalize()), bytes, architecture })
}
