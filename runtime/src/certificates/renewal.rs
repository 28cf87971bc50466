//! Renews this node's certificate: a new key, a signature for it, and one file that replaces the old one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use dkc_core::certificate::shown;
use dkc_core::config::layout;
use dkc_core::ids::{GroupId, NodeId, RingVersion};
use dkc_core::wire::{Certified, Hello, Kind};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::Certificates;
use super::issuer::{CertificateError, LeafIssuer};
use crate::clock;
use crate::durable_file;
use crate::net::tls::certificates;
use crate::net::{Alpn, Client, Peer, Target, TlsError};

/// Timeout of a server, which reads one file and signs once.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;

/// The signer.
pub enum Signer {
    /// This server's own issuer.
    Own,
    /// Any server of the cluster, tried in this order.
    Servers(Box<dyn Fn() -> Vec<Target> + Send + Sync>),
}

impl Signer {
    /// The server that signed has left or is leaving: certificates signed by it are refused once it is removed.
    pub(super) fn is_urgent(&self, own: &Peer) -> bool {
        let Signer::Servers(servers) = self else { return false };
        let servers = servers();
        let is_there = |issuer| servers.iter().any(|server| server.node == Some(issuer));
        !servers.is_empty() && own.issuer.is_some_and(|issuer| !is_there(issuer))
    }
}

impl Certificates {
    pub(super) async fn renew(&self, signer: &Signer) -> Result<(), CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let chain = match signer {
            Signer::Own => self.sign_own(&key)?,
            Signer::Servers(servers) => self.ask_servers(&servers(), &key).await?,
        };
        self.take(&key, &chain)
    }

    fn sign_own(&self, key: &KeyPair) -> Result<String, CertificateError> {
        let issuer = LeafIssuer::open(&self.directory, self.tls.identity())?;
        let Some(own) = self.tls.own() else {
            return Err(CertificateError::Refused("no certificate".into()));
        };
        issuer.renew(&own, clock::certificate_now_s(), key)
    }

    async fn ask_servers(&self, servers: &[Target], key: &KeyPair) -> Result<String, CertificateError> {
        let request = CertificateParams::default().serialize_request(key)?;
        let mut answers = Vec::new();
        for server in servers {
            match self.ask(server, request.der()).await {
                Ok(chain) => return Ok(chain),
                Err(error) => answers.push(error.to_string()),
            }
        }
        Err(CertificateError::NoServer(answers))
    }

    async fn ask(&self, server: &Target, request: &[u8]) -> Result<String, CertificateError> {
        let client = Client::connect(&self.tls, Alpn::Slave, server, &self.hello()).await?;
        let answer = client.request(Kind::Certify, GroupId::META, request, ANSWER_MAX).await?;
        match Certified::decode(&answer.body) {
            Ok(Certified::Chain(chain)) => Ok(chain),
            Ok(Certified::Refused(why)) => {
                Err(CertificateError::Refused(format!("{}: {why}", server.address)))
            }
            Err(error) => Err(CertificateError::Refused(format!("{}: {error}", server.address))),
        }
    }

    fn hello(&self) -> Hello {
        let identity = self.tls.identity();
        Hello {
            cluster: identity.cluster,
            node: identity.node,
            node_id: NodeId(0),
            ring_version: RingVersion(0),
            release: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Installs key and chain, unless peers would refuse them or they expire no later than the current ones.
    fn take(&self, key: &KeyPair, chain: &str) -> Result<(), CertificateError> {
        let path = self.directory.join(layout::TLS_CERT);
        let bad = |why: String| TlsError::Content { path: path.clone(), why };
        let renewed = self.tls.check_own(&certificates(chain.as_bytes()).map_err(bad)?)?;
        let now_s = clock::certificate_now_s();
        let ends_sooner =
            |own: Peer| renewed.validity.until_s < own.validity.until_s && !own.validity.is_early(now_s);
        if self.tls.own().is_some_and(ends_sooner) {
            return Err(CertificateError::IssuerEnds);
        }
        let text = key.serialize_pem() + chain;
        durable_file::replace(&path, text.as_bytes(), PRIVATE_MODE)
            .map_err(|source| CertificateError::File { path, source })?;
        self.tls.reload_if_changed()?;
        self.show(chain);
        tracing::info!(serial = renewed.serial, until_s = renewed.validity.until_s, "certificate renewed");
        // From an earlier release; it may not exist.
        let _ = std::fs::remove_file(self.directory.join(layout::TLS_KEY));
        Ok(())
    }

    /// For those who look and may not read keys. Nothing depends on it, so a failure is only told.
    fn show(&self, chain: &str) {
        let path = self.directory.join(layout::TLS_CERT_SHOWN);
        // The process's own mask closes files to everybody else.
        let shown = durable_file::replace(&path, shown(chain).as_bytes(), PUBLIC_MODE)
            .and_then(|()| std::fs::set_permissions(&path, Permissions::from_mode(PUBLIC_MODE)));
        if let Err(error) = shown {
            tracing::warn!(%error, path = %path.display(), "certificate not shown");
        }
    }
}
