//! Follows the servers: connections to all of them, and the ring map.
//!
//! The ring map is watched at one server at a time, which replies once it has a newer map than ours. Any
//! server will do; if it fails, the next one is used.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use dkc_core::ids::{GroupId, RingVersion};
use dkc_core::wire::{Kind, decode_ring, encode_ring_watch};
use tokio::time::Instant;

use super::Shared;
use crate::net::{NetError, Target};

/// Timeout of a ring watch. A dead server is detected much earlier by its silence.
const WATCH_MAX: Duration = Duration::from_secs(60);
/// Pause after a server that failed, or that replied at once without a newer map.
const PAUSE: Duration = Duration::from_millis(200);
/// When another server has mentioned a newer ring, the watched server has this long to deliver it.
const NEWER_RING_MAX: Duration = Duration::from_millis(300);

/// Interval of reconnecting lost connections: a server that has returned is connected before it leads again.
const CONNECT_LOOK: Duration = Duration::from_millis(250);

/// Keeps a connection to every server, so that no request waits for one.
pub(super) async fn keep_connected(shared: Arc<Shared>) {
    loop {
        if let Some(view) = shared.view() {
            view.connect();
        }
        tokio::time::sleep(CONNECT_LOOK).await;
    }
}

pub(super) async fn follow(shared: Arc<Shared>) {
    for turn in 0.. {
        let targets = shared.ring_sources();
        if targets.is_empty() {
            set_ring_error(&shared, "no server is configured");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let target = &targets[turn % targets.len()];
        if let Err(error) = follow_one(&shared, target).await {
            set_ring_error(&shared, &error.to_string());
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn set_ring_error(shared: &Shared, why: &str) {
    *shared.ring_error.lock() = why.to_owned();
}

/// Watches one server for as long as it replies. Ends if it lacks a version that is known to exist.
async fn follow_one(shared: &Shared, target: &Target) -> Result<(), NetError> {
    let link = shared.peers.link(target);
    let client = link.client().await?;
    loop {
        let newer_than = RingVersion(shared.ring_version.load(Ordering::Relaxed));
        let body = encode_ring_watch(newer_than);
        let asked = Instant::now();
        let asking = client.request(Kind::RingWatch, GroupId::META, &body, WATCH_MAX);
        tokio::pin!(asking);
        let answer = tokio::select! {
            answer = &mut asking => answer,
            () = shared.ring_wanted.notified() => match tokio::time::timeout(NEWER_RING_MAX, asking).await {
                Ok(answer) => answer,
                Err(_) => return Ok(()),
            },
        };
        let is_newer = match answer {
            Ok(frame) if frame.kind == Kind::RingIs => {
                let ring = decode_ring(&frame.body).map_err(|error| NetError::not_sent(error.to_string()))?;
                shared.set_ring(ring)
            }
            Ok(_) => return Err(NetError::not_sent(format_args!("{} has no ring map yet", target.address))),
            Err(NetError::NoAnswer { .. }) => false,
            Err(error) => return Err(error),
        };
        if !is_newer && asked.elapsed() < PAUSE {
            tokio::time::sleep(PAUSE).await;
        }
        if !shared.ring_sources().contains(target) {
            return Ok(());
        }
    }
}
