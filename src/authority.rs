//! The certificate authority of each cluster: its key lies beside the inventory (`authority/<cluster>/ca.key`, mode
//! 0600) and never leaves this machine. It signs the certificate of every node. *Invariant:* a leaf says role,
//! cluster and node in a URI, and authorisation rests on that, never on a common name. Absent: any network.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dkc_core::ids::{ClusterId, ClusterName, NodeUuid};
use dkcd::durable_file;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use time::{Duration, OffsetDateTime};

/// Short enough that a stolen key ends by itself; a deploy renews long before.
pub const LEAF_DAYS: i64 = 90;
const AUTHORITY_DAYS: i64 = 3650;
/// Certificates begin this much in the past, so that a node whose clock is late accepts a fresh one.
const CLOCK_TOLERANCE: Duration = Duration::hours(1);
/// Every certificate answers to this name: what counts is the URI.
const SERVER_NAME: &str = "dkc";

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the authority of cluster {cluster} is not in {dir}: ca.key is missing")]
    Missing { cluster: ClusterName, dir: PathBuf },
    #[error("the authority of cluster {cluster} in {dir} is not complete: ca.pem and ca.key belong together")]
    Incomplete { cluster: ClusterName, dir: PathBuf },
    #[error(
        "cluster {cluster} is founded, so its authority in {dir} is never made again: its nodes trust the one that was lost"
    )]
    Founded { cluster: ClusterName, dir: PathBuf },
    #[error(
        "the authority of cluster {cluster} belongs to another cluster id ({found}, the inventory says {wanted})"
    )]
    Foreign { cluster: ClusterName, found: String, wanted: ClusterId },
    #[error("certificate of {what}: {source}")]
    Certificate { what: String, source: rcgen::Error },
    #[error("{path} cannot be read as a certificate: {reason}")]
    Unreadable { path: PathBuf, reason: String },
}

/// What a node gets: its key exists nowhere else once it is written there.
pub struct Leaf {
    pub certificate_pem: String,
    pub key_pem: String,
    /// The trust anchors of the cluster.
    pub anchors_pem: String,
}

/// Who a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    pub cluster_id: ClusterId,
    pub is_server: bool,
    pub node: NodeUuid,
}
impl Subject {
    /// `dkc://<cluster id>/<role>/<node>`
    pub fn uri(&self) -> String {
        let role = if self.is_server { "server" } else { "slave" };
        format!("dkc://{}/{role}/{}", self.cluster_id, self.node)
    }
}

pub struct Authority {
    anchors_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Age of one cluster's authority, for `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityAge {
    pub cluster: String,
    pub days_left: i64,
}

impl Authority {
    /// Opens the cluster's authority below `root` (`<root>/<cluster>/`). Makes nothing, whatever is missing.
    pub fn open(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<Self, AuthorityError> {
        let dir = root.join(cluster.as_str());
        let (certificate, key) = (dir.join("ca.pem"), dir.join("ca.key"));
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            // The key is written last: a certificate alone is what an interrupted making left, or what is left of one.
            (_, false) => return Err(AuthorityError::Missing { cluster: cluster.clone(), dir }),
            (false, true) => return Err(AuthorityError::Incomplete { cluster: cluster.clone(), dir }),
        }
        let anchors_pem = read(&certificate)?;
        let found = common_name(&certificate, &anchors_pem)?;
        if found != authority_name(id) {
            return Err(AuthorityError::Foreign { cluster: cluster.clone(), found, wanted: id });
        }
        let wrong = |source| AuthorityError::Certificate { what: format!("authority {cluster}"), source };
        let key = KeyPair::from_pem(&read(&key)?).map_err(wrong)?;
        let issuer = Issuer::from_ca_cert_pem(&anchors_pem, key).map_err(wrong)?;
        Ok(Authority { anchors_pem, issuer })
    }

    /// Makes the authority of a cluster that was never founded. One that is there already stays as it is.
    pub fn make(
        root: &Path,
        cluster: &ClusterName,
        id: ClusterId,
        is_founded: bool,
    ) -> Result<Self, AuthorityError> {
        let dir = root.join(cluster.as_str());
        match Self::open(root, cluster, id) {
            Err(AuthorityError::Missing { .. }) if is_founded => {
                Err(AuthorityError::Founded { cluster: cluster.clone(), dir })
            }
            Err(AuthorityError::Missing { .. }) => Self::make_in(&dir, id),
            there => there,
        }
    }

    fn make_in(dir: &Path, id: ClusterId) -> Result<Self, AuthorityError> {
        let (certificate, key) = (&dir.join("ca.pem"), &dir.join("ca.key"));
        let wrong = |source| AuthorityError::Certificate { what: authority_name(id), source };
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let mut params = params(AUTHORITY_DAYS).map_err(wrong)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, authority_name(id));
        let anchors_pem = params.self_signed(&pair).map_err(wrong)?.pem();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|source| AuthorityError::File { what: "make", path: dir.to_owned(), source })?;
        write(certificate, &anchors_pem, 0o644)?;
        write(key, &pair.serialize_pem(), 0o600)?;
        Ok(Authority { anchors_pem, issuer: Issuer::new(params, pair) })
    }

    /// A fresh key and a certificate for it.
    pub fn issue(&self, subject: Subject) -> Result<Leaf, AuthorityError> {
        let wrong = |source| AuthorityError::Certificate { what: subject.uri(), source };
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
        let mut params = params(LEAF_DAYS).map_err(wrong)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.subject_alt_names = vec![
            SanType::DnsName(SERVER_NAME.try_into().map_err(wrong)?),
            SanType::URI(subject.uri().as_str().try_into().map_err(wrong)?),
        ];
        params.use_authority_key_identifier_extension = true;
        let certificate_pem = params.signed_by(&pair, &self.issuer).map_err(wrong)?.pem();
        Ok(Leaf { certificate_pem, key_pem: pair.serialize_pem(), anchors_pem: self.anchors_pem.clone() })
    }
}

/// Every authority below `root` with the days it has left.
pub fn ages(root: &Path) -> Result<Vec<AuthorityAge>, AuthorityError> {
    let Ok(entries) = std::fs::read_dir(root) else { return Ok(Vec::new()) };
    let mut ages = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join("ca.pem");
        if !path.exists() {
            continue;
        }
        let days_left = days_left(&read(&path)?)
            .ok_or_else(|| AuthorityError::Unreadable { path, reason: "no certificate in it".into() })?;
        ages.push(AuthorityAge { cluster: entry.file_name().to_string_lossy().into_owned(), days_left });
    }
    ages.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Ok(ages)
}

/// The trust anchors of a cluster as nodes should have them; `None` where its authority is not there to sign.
pub fn anchors(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<Option<String>, AuthorityError> {
    match Authority::open(root, cluster, id) {
        Ok(authority) => Ok(Some(authority.anchors_pem)),
        Err(AuthorityError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole days until the first certificate of a PEM text ends; negative when it has ended.
pub fn days_left(pem: &str) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let end = pem.parse_x509().ok()?.validity().not_after.to_datetime();
    Some((end - OffsetDateTime::now_utc()).whole_days())
}

fn params(days: i64) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let now = OffsetDateTime::now_utc();
    params.not_before = now - CLOCK_TOLERANCE;
    params.not_after = now + Duration::days(days);
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

fn authority_name(id: ClusterId) -> String {
    format!("dkc authority {id}")
}

fn common_name(path: &Path, pem: &str) -> Result<String, AuthorityError> {
    let unreadable = |reason: String| AuthorityError::Unreadable { path: path.to_owned(), reason };
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
    let certificate = pem.parse_x509().map_err(|e| unreadable(e.to_string()))?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    name.map(str::to_owned).ok_or_else(|| unreadable("it has no name".into()))
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    let failed = |source| AuthorityError::File { what: "read", path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(failed)
}

/// Whole and synced, with its mode from the first byte on: a key is never readable by others, not for a moment.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let failed = |source| AuthorityError::File { what: "write", path: path.to_owned(), source };
    durable_file::replace(path, text.as_bytes(), mode).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn id(end: u8) -> ClusterId {
        format!("0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a{end:02x}").parse().unwrap()
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let root = tempfile::tempdir().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        assert_eq!(anchors(root.path(), &name, id(1)).unwrap(), None);
        let first = Authority::make(root.path(), &name, id(1), false).unwrap();
        let again = Authority::make(root.path(), &name, id(1), false).unwrap();
        assert_eq!(anchors(root.path(), &name, id(1)).unwrap().as_ref(), Some(&first.anchors_pem));
        assert_eq!(first.anchors_pem, again.anchors_pem);
        let key = root.path().join("c0/ca.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(ages(root.path()).unwrap(), [AuthorityAge { cluster: "c0".into(), days_left: 3649 }]);
    }

    #[test]
    fn a_leaf_names_role_cluster_and_node_and_is_signed_by_the_authority() {
        let root = tempfile::tempdir().unwrap();
        let authority = Authority::make(root.path(), &"c0".parse().unwrap(), id(1), false).unwrap();
        let node: NodeUuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
        let leaf = authority.issue(Subject { cluster_id: id(1), is_server: true, node }).unwrap();
        assert_eq!(days_left(&leaf.certificate_pem), Some(89));
        let (_, pem) = x509_parser::pem::parse_x509_pem(leaf.certificate_pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        let names: Vec<String> = names.value.general_names.iter().map(|name| name.to_string()).collect();
        let uri = format!("dkc://{}/server/{node}", id(1));
        assert_eq!(names, ["DNSName(dkc)".to_owned(), format!("URI({uri})")]);
        let (_, anchor) = x509_parser::pem::parse_x509_pem(leaf.anchors_pem.as_bytes()).unwrap();
        let anchor = anchor.parse_x509().unwrap();
        assert_eq!(certificate.issuer(), anchor.subject());
        assert!(leaf.key_pem.contains("PRIVATE KEY"));
    }

    #[test]
    fn an_authority_of_another_cluster_or_half_of_one_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        Authority::make(root.path(), &name, id(1), false).unwrap();
        let check = |want: &str| {
            let error = Authority::make(root.path(), &name, id(2), false).err().unwrap().to_string();
            assert!(error.contains(want), "{error}");
        };
        check("belongs to another cluster id");
        std::fs::remove_file(root.path().join("c0/ca.pem")).unwrap();
        check("is not complete");
    }

    #[test]
    fn a_lost_key_is_made_again_only_before_the_cluster_is_founded() {
        let root = tempfile::tempdir().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        let first = Authority::make(root.path(), &name, id(1), false).unwrap();
        std::fs::remove_file(root.path().join("c0/ca.key")).unwrap();
        let refused = Authority::make(root.path(), &name, id(1), true).err().unwrap().to_string();
        assert!(refused.contains("is never made again"), "{refused}");
        assert!(
            Authority::open(root.path(), &name, id(1))
                .err()
                .unwrap()
                .to_string()
                .contains("ca.key is missing")
        );
        assert!(!root.path().join("c0/ca.key").exists());
        assert_eq!(std::fs::read_to_string(root.path().join("c0/ca.pem")).unwrap(), first.anchors_pem);
        let second = Authority::make(root.path(), &name, id(1), false).unwrap();
        assert_ne!(first.anchors_pem, second.anchors_pem);
    }
}
