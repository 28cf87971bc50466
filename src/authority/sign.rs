//! Signs the leaf of a node and the issuer of a server.

use dkc_core::certificate::{self, Holder, ISSUER_DAYS, LEAF_DAYS, Validity};
use dkc_core::ids::{ClusterId, Namespace, NodeUuid};
use dkcd::certificates::params::{add_uris, leaf_params, params};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::OffsetDateTime;

use super::{Authority, AuthorityError};

/// The files of a node. Once written there, its keys exist nowhere else.
pub struct NodeFiles {
    /// Key and certificate.
    pub node_pem: String,
    /// Key and certificate of a server's issuer.
    pub issuer_pem: Option<String>,
    /// The trust anchors of the cluster.
    pub anchors_pem: String,
}

/// The subject of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub cluster_id: ClusterId,
    pub is_server: bool,
    pub node: NodeUuid,
    /// The namespaces that a slave may use.
    pub namespaces: Vec<Namespace>,
}

impl Subject {
    fn uri(&self, holder: Holder) -> String {
        certificate::holder_uri(self.cluster_id, holder, self.node)
    }

    fn uris(&self) -> Vec<String> {
        match self.is_server {
            true => vec![self.uri(Holder::Server)],
            false => [vec![self.uri(Holder::Slave)], certificate::namespace_uris(&self.namespaces)].concat(),
        }
    }
}

impl Authority {
    /// Creates keys and certificates for the subject.
    pub fn issue(&self, subject: &Subject) -> Result<NodeFiles, AuthorityError> {
        let wrong = |source| AuthorityError::Certificate { what: subject.uri(Holder::Server), source };
        let issuer_pem = match subject.is_server && self.is_delegating {
            true => Some(self.issuer(subject).map_err(wrong)?),
            false => None,
        };
        let node_pem = self.leaf(subject).map_err(wrong)?;
        Ok(NodeFiles { node_pem, issuer_pem, anchors_pem: self.anchors_pem.clone() })
    }

    fn leaf(&self, subject: &Subject) -> Result<String, rcgen::Error> {
        self.signed(leaf_params(&subject.uris(), validity(LEAF_DAYS, self.until_s))?)
    }

    /// An issuer signs leaves only (path length 0); peers check that it signed them for the right node.
    fn issuer(&self, subject: &Subject) -> Result<String, rcgen::Error> {
        let mut params = params(validity(ISSUER_DAYS, self.until_s))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, format!("dkc issuer {}", subject.node));
        add_uris(&mut params, &[subject.uri(Holder::Issuer)])?;
        params.use_authority_key_identifier_extension = true;
        self.signed(params)
    }

    fn signed(&self, params: CertificateParams) -> Result<String, rcgen::Error> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }
}

/// Valid from now on for some days, but not beyond `until_s`.
pub(super) fn validity(days: i64, until_s: i64) -> Validity {
    let whole = Validity::days(OffsetDateTime::now_utc().unix_timestamp(), days);
    Validity { until_s: whole.until_s.min(until_s), ..whole }
}
