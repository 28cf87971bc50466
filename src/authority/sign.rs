//! What an authority signs: the leaf of a node, and the issuer of a server.

use dkc_core::certificate::{self, Holder, ISSUER_DAYS, LEAF_DAYS, SERVER_NAME, Validity};
use dkc_core::ids::{ClusterId, Namespace, NodeUuid};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;

use super::{Authority, AuthorityError};

/// What a node gets: its keys exist nowhere else once they are written there.
pub struct NodeFiles {
    /// Key and certificate.
    pub node_pem: String,
    /// Key and certificate of a server's issuer.
    pub issuer_pem: Option<String>,
    /// The trust anchors of the cluster.
    pub anchors_pem: String,
}

/// Who a certificate is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    pub cluster_id: ClusterId,
    pub is_server: bool,
    pub node: NodeUuid,
    /// What a slave may use.
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
    /// Fresh keys and certificates for them.
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
        let mut params = params(LEAF_DAYS, self.until_s)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
        self.signed(params, &subject.uris())
    }

    /// It signs leaves only (path length 0), and whoever accepts those checks for whom.
    fn issuer(&self, subject: &Subject) -> Result<String, rcgen::Error> {
        let mut params = params(ISSUER_DAYS, self.until_s)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.distinguished_name.push(DnType::CommonName, format!("dkc issuer {}", subject.node));
        self.signed(params, &[subject.uri(Holder::Issuer)])
    }

    fn signed(&self, mut params: CertificateParams, uris: &[String]) -> Result<String, rcgen::Error> {
        for uri in uris {
            params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
        }
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(key.serialize_pem() + &certificate.pem())
    }
}

/// From now on for some days, but not beyond `until_s`.
pub(super) fn params(days: i64, until_s: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let validity = Validity::days(OffsetDateTime::now_utc().unix_timestamp(), days);
    let time = |at_s| OffsetDateTime::from_unix_timestamp(at_s).map_err(|_| rcgen::Error::Time);
    params.not_before = time(validity.from_s)?;
    params.not_after = time(validity.until_s.min(until_s))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}
