//! Certificates made the way the shell makes them: a CA, a leaf for each node, and an issuer for each server.

use std::fs;
use std::path::Path;
use std::time::Duration;

use dkc_core::certificate::{self, Holder, LEAF_DAYS};
use dkc_core::config::layout;
use dkc_core::ids::{ClusterId, Namespace, NodeUuid};
use dkcd::net::NodeRole;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use time::OffsetDateTime;
use uuid::Uuid;

const DAY: Duration = Duration::from_secs(86_400);

pub struct Authority {
    pub cluster: ClusterId,
    leaf_lifetime: Duration,
    has_issuers: bool,
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::of(DAY * LEAF_DAYS as u32, true)
    }

    /// Leaves that live this long, and servers that can sign or cannot.
    pub fn of(leaf_lifetime: Duration, has_issuers: bool) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(u8::from(has_issuers)));
        let ca_pem = parameters.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(parameters, key);
        Authority { cluster: ClusterId(Uuid::new_v4()), leaf_lifetime, has_issuers, ca_pem, issuer }
    }

    /// Everything in `tls/` of a node.
    pub fn write(&self, directory: &Path, role: NodeRole, node: NodeUuid, namespaces: &[Namespace]) {
        fs::create_dir_all(directory.join(layout::TLS_DIR)).expect("a folder");
        let write = |name: &str, text: String| fs::write(directory.join(name), text).expect("a file");
        let holder = match role {
            NodeRole::Server => Holder::Server,
            NodeRole::Slave => Holder::Slave,
        };
        let bound = match role {
            NodeRole::Server => Vec::new(),
            NodeRole::Slave => certificate::namespace_uris(namespaces),
        };
        let uris = std::iter::once(certificate::holder_uri(self.cluster, holder, node)).chain(bound);
        write(layout::TLS_CA, self.ca_pem.clone());
        write(layout::TLS_CERT, self.sign(uris, IsCa::ExplicitNoCa, self.leaf_lifetime));
        if role == NodeRole::Server && self.has_issuers {
            let uri = certificate::holder_uri(self.cluster, Holder::Issuer, node);
            let is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            write(layout::TLS_ISSUER, self.sign([uri], is_ca, DAY * 1000));
        }
    }

    /// Key and certificate.
    fn sign(&self, uris: impl IntoIterator<Item = String>, is_ca: IsCa, lifetime: Duration) -> String {
        let mut parameters = CertificateParams::new(vec!["dkc".to_owned()]).expect("a name");
        let uris = uris.into_iter().map(|uri| SanType::URI(uri.as_str().try_into().expect("a URI")));
        parameters.subject_alt_names.extend(uris);
        // A leaf has none, as the shell makes it: OpenSSL would take one with the CA's name for self-signed.
        parameters.distinguished_name = rcgen::DistinguishedName::new();
        if let IsCa::Ca(_) = is_ca {
            parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
            // Names that chains are built by must differ.
            parameters.distinguished_name.push(rcgen::DnType::CommonName, Uuid::new_v4().to_string());
        }
        parameters.is_ca = is_ca;
        parameters.not_before = OffsetDateTime::now_utc() - lifetime / 20;
        parameters.not_after = parameters.not_before + lifetime;
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("a certificate");
        key.serialize_pem() + &certificate.pem()
    }
}
