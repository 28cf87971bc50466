//! The certificates of this node while it runs: reloads changed files, and renews the node's own certificate before it expires. A
//! server uses its own issuer, a slave any server. Open connections are kept.
//!
//! *Invariant:* a renewed certificate replaces the one in use only if every node that trusts this node's CA would accept it.
//! *Invariant:* key and chain are one file that is replaced as a whole, synced: a key never precedes its certificate.

mod issuer;
pub mod params;
mod renewal;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::certificate::{LEAF_DAYS, REQUEST_MAX_BYTES, Validity};
use dkc_core::control::CertificateStatus;
use dkc_core::ids::{Namespace, NodeUuid};
use dkc_core::wire::Certified;
use parking_lot::Mutex;
use rcgen::{CertificateSigningRequestParams, PublicKey, PublicKeyData};
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::clock;
use crate::net::{Identity, NodeRole, Peer, Tls, TlsError};
pub use issuer::CertificateError;
use issuer::LeafIssuer;
pub use renewal::Signer;

/// Shortest interval between checks for changed files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
/// Delay of an urgent renewal, and for certificates that live for seconds, which only tests have.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(250);
/// The pause after a renewal that failed.
const TRY_AGAIN_MAX_S: i64 = 600;

/// A machine that asks for its first certificate, at a server that can sign it.
pub struct Newcomer {
    /// Comes of the key, so that nobody can choose it and a retry is the same slave.
    pub node: NodeUuid,
    key: PublicKey,
    issuer: LeafIssuer,
}

/// The key of a signing request, whose signature shows that the sender has it.
fn key_of(request: &[u8]) -> Result<PublicKey, CertificateError> {
    if request.len() > REQUEST_MAX_BYTES {
        return Err(CertificateError::LongRequest(request.len()));
    }
    Ok(CertificateSigningRequestParams::from_der(&request.into())?.public_key)
}

fn identity_of(key: &PublicKey) -> NodeUuid {
    let digest = Sha256::digest(key.der_bytes());
    let first = std::array::from_fn(|at| digest[at]);
    NodeUuid(uuid::Builder::from_custom_bytes(first).into_uuid())
}

pub struct Certificates {
    directory: PathBuf,
    tls: Arc<Tls>,
    /// Why the last renewal failed.
    trouble: Mutex<Option<String>>,
}

impl Certificates {
    pub fn new(tls: Arc<Tls>, directory: PathBuf) -> Arc<Certificates> {
        Arc::new(Certificates { directory, tls, trouble: Mutex::default() })
    }

    /// Reloads the files if they have changed.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let is_changed = self.tls.reload_if_changed()?;
        if is_changed {
            tracing::info!("certificates reloaded");
        }
        Ok(is_changed)
    }

    /// The certificate in use. `None` without encryption.
    pub fn status(&self) -> Option<CertificateStatus> {
        let own = self.tls.own()?;
        Some(CertificateStatus {
            serial: own.serial,
            issuer: own.issuer,
            from_s: own.validity.from_s,
            until_s: own.validity.until_s,
            namespaces: own.namespaces.iter().flat_map(|named| named.iter().cloned()).collect(),
            trouble: self.trouble.lock().clone(),
        })
    }

    /// Signs a slave's request for the identity and namespaces of the certificate it was sent with, whatever the request names.
    pub fn certify(&self, peer: &Peer, request: &[u8]) -> Certified {
        match self.sign_for_slave(peer, request) {
            Ok(chain) => {
                tracing::info!(%peer, "slave certificate renewed");
                Certified::Chain(chain)
            }
            Err(error) => {
                tracing::warn!(%peer, %error, "slave certificate not renewed");
                Certified::Refused(error.to_string())
            }
        }
    }

    /// Reads the signing request of a machine that has no certificate. Fails where it could not be signed.
    pub fn newcomer(&self, request: &[u8]) -> Result<Newcomer, CertificateError> {
        let key = key_of(request)?;
        let issuer = LeafIssuer::open(&self.directory, self.tls.identity())?;
        Ok(Newcomer { node: identity_of(&key), key, issuer })
    }

    /// The first certificate of a slave: the chain in PEM.
    pub fn enrol(&self, newcomer: &Newcomer, namespaces: &[Namespace]) -> Result<String, CertificateError> {
        let now_s = clock::certificate_now_s();
        let identity =
            Identity { cluster: self.tls.identity().cluster, role: NodeRole::Slave, node: newcomer.node };
        let first = Peer {
            identity,
            issuer: None,
            namespaces: Some(namespaces.into()),
            validity: Validity::days(now_s, LEAF_DAYS),
            serial: String::new(),
        };
        newcomer.issuer.renew(&first, now_s, &newcomer.key)
    }

    fn sign_for_slave(&self, peer: &Peer, request: &[u8]) -> Result<String, CertificateError> {
        if peer.identity.role != NodeRole::Slave {
            return Err(CertificateError::NotASlave(peer.identity));
        }
        if peer.namespaces.is_none() {
            return Err(CertificateError::NoNamespaces);
        }
        let key = key_of(request)?;
        let issuer = LeafIssuer::open(&self.directory, self.tls.identity())?;
        issuer.renew(peer, clock::certificate_now_s(), &key)
    }

    /// Watches the files and renews the certificate, for as long as it is polled.
    pub async fn keep(self: Arc<Self>, signer: Signer) {
        let (mut not_before_s, mut looked_at_s) = (i64::MIN, i64::MIN);
        let mut file_trouble = String::new();
        while let Some(own) = self.tls.own() {
            match self.reload() {
                Ok(_) => file_trouble.clear(),
                Err(error) if error.to_string() != file_trouble => {
                    file_trouble = error.to_string();
                    tracing::warn!(%error, "certificates not reloaded; keeping the ones in use");
                }
                Err(_) => {}
            }
            let now_s = clock::certificate_now_s();
            if now_s < looked_at_s {
                // The clock was ahead: a time of then says nothing now.
                not_before_s = i64::MIN;
            }
            looked_at_s = now_s;
            // What was signed while the clock was ahead is refused everywhere until that time comes.
            let is_due_by_time = now_s >= own.validity.renew_at_s() || own.validity.is_early(now_s);
            let is_due = is_due_by_time && now_s >= not_before_s;
            let is_urgent = signer.is_urgent(&own);
            if is_due || is_urgent {
                let renewed = self.renew(&signer).await;
                not_before_s = now_s + (own.validity.lifetime_s() / 100).clamp(1, TRY_AGAIN_MAX_S);
                self.remember(renewed.err().map(|error| error.to_string()));
            }
            let share = Duration::from_secs(own.validity.lifetime_s().max(0) as u64) / 40;
            let looks_again = Instant::now() + share.clamp(LOOK_INTERVAL_MIN, LOOK_INTERVAL);
            // Who signed may be gone within a second of beginning to leave; a renewal that just failed waits.
            let can_wait = || is_urgent || !self.tls.own().is_some_and(|own| signer.is_urgent(&own));
            while Instant::now() < looks_again && can_wait() {
                tokio::time::sleep(LOOK_INTERVAL_MIN).await;
            }
        }
    }

    /// A failed renewal is logged once, until the reason changes.
    fn remember(&self, trouble: Option<String>) {
        let mut known = self.trouble.lock();
        if let Some(error) = &trouble
            && *known != trouble
        {
            tracing::warn!(error, "certificate not renewed; will retry");
        }
        *known = trouble;
    }
}
