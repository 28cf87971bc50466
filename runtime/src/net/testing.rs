//! For the tests of this crate: a cluster's CA and the TLS files of its nodes in a temporary directory, made the
//! way the shell makes them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::config::layout;
use dkc_core::ids::{ClusterId, NodeId, NodeUuid, RingVersion};
use dkc_core::wire::{Hello, Refusal};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use tempfile::TempDir;
use time::OffsetDateTime;
use uuid::Uuid;

use super::tls::{Alpn, Tls};
use super::{Admit, Identity, NodeRole, Peer, Target};

pub struct Authority {
    pub cluster: ClusterId,
    pub ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    root: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::of(ClusterId(Uuid::new_v4()))
    }

    pub fn of(cluster: ClusterId) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_pem = parameters.self_signed(&key).unwrap().pem();
        Authority { cluster, ca_pem, issuer: Issuer::new(parameters, key), root: TempDir::new().unwrap() }
    }

    pub fn identity(&self, role: NodeRole) -> Identity {
        Identity { cluster: self.cluster, role, node: NodeUuid(Uuid::new_v4()) }
    }

    /// A node directory whose `tls/` holds a certificate that is good for a day.
    pub fn node(&self, identity: Identity) -> PathBuf {
        self.node_until(identity, OffsetDateTime::now_utc() + Duration::from_secs(86_400))
    }

    pub fn node_until(&self, identity: Identity, not_after: OffsetDateTime) -> PathBuf {
        let directory = self.root.path().join(Uuid::new_v4().to_string());
        std::fs::create_dir_all(directory.join(layout::TLS_DIR)).unwrap();
        self.write(&directory, identity, not_after);
        directory
    }

    pub fn write(&self, directory: &Path, identity: Identity, not_after: OffsetDateTime) {
        let mut parameters = CertificateParams::new(vec!["dkc".to_owned()]).unwrap();
        parameters.subject_alt_names.push(SanType::URI(identity.to_string().try_into().unwrap()));
        parameters.not_before = not_after - Duration::from_secs(10 * 86_400);
        parameters.not_after = not_after;
        let key = KeyPair::generate().unwrap();
        let leaf = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(directory.join(layout::TLS_CA), &self.ca_pem).unwrap();
        std::fs::write(directory.join(layout::TLS_CERT), leaf.pem()).unwrap();
        std::fs::write(directory.join(layout::TLS_KEY), key.serialize_pem()).unwrap();
    }

    /// The directory of a node whose leaf is signed by the last of these intermediates (their URIs, from the CA down).
    pub fn chained(&self, identity: Identity, intermediates: &[String]) -> PathBuf {
        let directory = self.node(identity);
        let mut chain: Vec<String> = Vec::new();
        let mut last: Option<Issuer<'static, KeyPair>> = None;
        for uri in intermediates {
            let mut parameters = CertificateParams::default();
            parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            parameters.distinguished_name.push(rcgen::DnType::CommonName, uri.as_str());
            parameters.subject_alt_names.push(SanType::URI(uri.as_str().try_into().unwrap()));
            let key = KeyPair::generate().unwrap();
            let signed = parameters.signed_by(&key, last.as_ref().unwrap_or(&self.issuer)).unwrap();
            chain.insert(0, signed.pem());
            last = Some(Issuer::new(parameters, key));
        }
        let mut parameters = CertificateParams::new(vec!["dkc".to_owned()]).unwrap();
        parameters.subject_alt_names.push(SanType::URI(identity.to_string().try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let leaf = parameters.signed_by(&key, last.as_ref().unwrap_or(&self.issuer)).unwrap();
        let text = key.serialize_pem() + &leaf.pem() + &chain.concat();
        std::fs::write(directory.join(layout::TLS_CERT), text).unwrap();
        std::fs::remove_file(directory.join(layout::TLS_KEY)).unwrap();
        directory
    }

    pub fn tls(&self, role: NodeRole) -> Arc<Tls> {
        let identity = self.identity(role);
        Tls::load(&self.node(identity), identity).unwrap()
    }
}

pub fn hello_of(identity: Identity) -> Hello {
    Hello {
        cluster: identity.cluster,
        node: identity.node,
        node_id: NodeId(0),
        ring_version: RingVersion(0),
        release: "test".into(),
    }
}

/// Lets everybody in whose certificate is good.
pub struct AdmitAll(pub Identity);
impl Admit for AdmitAll {
    fn admit(&self, _: &Peer, _: Alpn, _: &Hello) -> Result<Hello, Refusal> {
        Ok(hello_of(self.0))
    }
}

pub fn target(address: std::net::SocketAddr) -> Target {
    Target { address: address.to_string().parse().unwrap(), node: None }
}
