//! A server's issuer: an intermediate of the cluster's CA whose key never leaves this node. It signs leaves only.

use std::path::{Path, PathBuf};

use dkc_core::certificate::{self, Holder};
use dkc_core::config::layout;
use rcgen::{Issuer, KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::params::leaf_params;
use crate::net::identity::uris;
use crate::net::{Identity, NetError, Peer, TlsError};

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("this server has no issuer ({path}); `dkc deploy` installs one, or `dkc tls rotate --ca` if an earlier release created the cluster's CA", path = .0.display())]
    NoIssuer(PathBuf),
    #[error("{path}: {why}", path = .path.display())]
    BadIssuer { path: PathBuf, why: String },
    #[error("the issuer of this server expires too soon to sign with; run `dkc deploy`")]
    IssuerEnds,
    #[error("a server signs certificates of slaves only, not of {0}")]
    NotASlave(Identity),
    #[error(
        "the slave's certificate names no namespaces, because an earlier release issued it; deploy the slave"
    )]
    NoNamespaces,
    #[error("a signing request of {0} bytes")]
    LongRequest(usize),
    #[error("{path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no server signed: {}", .0.join("; "))]
    NoServer(Vec<String>),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("{0}")]
    Refused(String),
}

pub(super) struct LeafIssuer {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
    until_s: i64,
}

impl LeafIssuer {
    /// Reads `tls/issuer.pem`, which must be the one of this server.
    pub fn open(directory: &Path, server: Identity) -> Result<LeafIssuer, CertificateError> {
        let path = directory.join(layout::TLS_ISSUER);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(CertificateError::NoIssuer(path));
            }
            Err(source) => return Err(CertificateError::File { path, source }),
        };
        LeafIssuer::read(&text, server).map_err(|why| CertificateError::BadIssuer { path, why })
    }

    fn read(text: &str, server: Identity) -> Result<LeafIssuer, String> {
        let certificate_pem = certificate_part(text).ok_or("no certificate in it")?;
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|e| e.to_string())?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let uri = certificate::holder_uri(server.cluster, Holder::Issuer, server.node);
        if !uris(&parsed).any(|found| found == uri) {
            return Err(format!("it belongs to another server ({uri})"));
        }
        let until_s = parsed.validity().not_after.timestamp();
        let key = KeyPair::from_pem(text).map_err(|error| format!("no private key: {error}"))?;
        if key.public_key_raw() != parsed.public_key().subject_public_key.data.as_ref() {
            return Err("key and certificate do not match".into());
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| error.to_string())?;
        Ok(LeafIssuer { issuer, certificate_pem: certificate_pem.to_owned(), until_s })
    }

    /// A certificate for another key with the same contents as this one: the chain in PEM.
    pub fn renew(
        &self,
        before: &Peer,
        now_s: i64,
        key: &impl PublicKeyData,
    ) -> Result<String, CertificateError> {
        let validity = before.validity.renewed(now_s, self.until_s);
        let ends_sooner = validity.until_s < before.validity.until_s && !before.validity.is_early(now_s);
        if ends_sooner || validity.until_s <= now_s {
            return Err(CertificateError::IssuerEnds);
        }
        let leaf = leaf_params(&uris_of(before), validity)?.signed_by(key, &self.issuer)?;
        Ok(leaf.pem() + &self.certificate_pem)
    }
}

fn uris_of(subject: &Peer) -> Vec<String> {
    let namespaces = subject.namespaces.as_deref().map(certificate::namespace_uris).unwrap_or_default();
    std::iter::once(subject.identity.to_string()).chain(namespaces).collect()
}

/// The first certificate of a PEM text, with its markers.
fn certificate_part(text: &str) -> Option<&str> {
    const END: &str = "-----END CERTIFICATE-----";
    let from = text.find("-----BEGIN CERTIFICATE-----")?;
    let length = text[from..].find(END)? + END.len();
    let rest = &text[from + length..];
    let line_end = rest.len() - rest.trim_start_matches(['\r', '\n']).len();
    Some(&text[from..from + length + line_end])
}
