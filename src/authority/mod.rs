//! The certificate authority of each cluster: its key is stored next to the inventory (`authority/<cluster>/ca.key`, mode
//! 0600) and never leaves this machine. It signs the certificate of every node, and gives each server an issuer of its own.
//! *Invariant:* a leaf names role, cluster and node in a URI; authorisation uses that, never the common name.
//! *Invariant:* its files are always in a state between two steps of a rotation (`rotation`). No network access here.

mod read;
mod rotation;
mod sign;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dkc_core::ids::{ClusterId, ClusterName};
use dkc_inventory::observed::CertificateView;
use dkc_inventory::plan::AuthorityView;
use dkc_inventory::render;
use dkcd::certificates::params::params;
use dkcd::durable_file;
use rcgen::{BasicConstraints, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};

pub use read::{days_left, view};
pub use rotation::{begin_rotation, end_rotation, switch};
pub use sign::Subject;

/// The files of an authority in its directory.
const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const AUTHORITY_DAYS: i64 = 3650;
/// The authority signs issuers, and those sign leaves. Earlier releases created it with 0: leaves only.
const PATH_LENGTH: u8 = 1;

#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: std::io::Error },
    #[error("the authority of cluster {cluster} is missing: no ca.key in {dir}")]
    Missing { cluster: ClusterName, dir: PathBuf },
    #[error("the authority of cluster {cluster} in {dir} is incomplete: it needs both ca.pem and ca.key")]
    Incomplete { cluster: ClusterName, dir: PathBuf },
    #[error(
        "the authority of cluster {cluster} is missing from {dir}; its nodes trust that one only, so it cannot be created again"
    )]
    Founded { cluster: ClusterName, dir: PathBuf },
    #[error(
        "the authority of cluster {cluster} belongs to another cluster id ({found}, the inventory says {wanted})"
    )]
    Foreign { cluster: ClusterName, found: String, wanted: ClusterId },
    #[error("certificate of {what}: {source}")]
    Certificate { what: String, source: rcgen::Error },
    #[error("invalid certificate {path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
}

pub struct Authority {
    /// The trust anchors of nodes: two during a rotation.
    anchors_pem: String,
    /// Expiry, in seconds since the Unix epoch.
    until_s: i64,
    is_delegating: bool,
    key_id: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Remaining lifetime of one cluster's authority, for `check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityAge {
    pub cluster: String,
    pub days_left: i64,
    /// Whether it signs issuers for servers.
    pub is_delegating: bool,
}

impl Authority {
    /// Opens the cluster's authority below `root` (`<root>/<cluster>/`). Never creates anything.
    pub fn open(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<Self, AuthorityError> {
        let dir = root.join(cluster.as_str());
        rotation::complete_switch(&dir)?;
        let (certificate, key) = (dir.join(CERTIFICATE), dir.join(KEY));
        match (certificate.exists(), key.exists()) {
            (true, true) => {}
            // The key is written last, so a certificate alone is the remainder of an interrupted creation or of a lost authority.
            (_, false) => return Err(AuthorityError::Missing { cluster: cluster.clone(), dir }),
            (false, true) => return Err(AuthorityError::Incomplete { cluster: cluster.clone(), dir }),
        }
        let own_pem = read(&certificate)?;
        let found = read::authority(&certificate, &own_pem)?;
        if found.name != authority_name(id) {
            let found = found.name;
            return Err(AuthorityError::Foreign { cluster: cluster.clone(), found, wanted: id });
        }
        let wrong = |source| AuthorityError::Certificate { what: format!("authority {cluster}"), source };
        let key = KeyPair::from_pem(&read(&key)?).map_err(wrong)?;
        let issuer = Issuer::from_ca_cert_pem(&own_pem, key).map_err(wrong)?;
        let anchors_pem = own_pem.clone() + &rotation::other_anchor(&dir, &own_pem)?;
        let (until_s, key_id) = (found.until_s, found.key_id);
        Ok(Authority { anchors_pem, until_s, is_delegating: found.is_delegating, key_id, issuer })
    }

    /// The trust anchors of nodes.
    pub fn anchors_pem(&self) -> &str {
        &self.anchors_pem
    }

    /// What a plan needs to know about it.
    pub fn view(&self) -> AuthorityView {
        AuthorityView {
            anchors: render::digest(&self.anchors_pem),
            key_id: self.key_id.clone(),
            is_delegating: self.is_delegating,
        }
    }

    /// Creates the authority of a cluster that was never founded. An existing one is left unchanged.
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
            Err(AuthorityError::Missing { .. }) => {
                make_in(&dir, id, CERTIFICATE, KEY)?;
                Self::open(root, cluster, id)
            }
            there => there,
        }
    }
}

/// Renames the authority of the cluster that had this name before: it signs nothing any more, and its files stay. Idempotent.
pub fn set_aside(root: &Path, cluster: &ClusterName, old: ClusterId) -> Result<(), AuthorityError> {
    let dir = root.join(cluster.as_str());
    let certificate = dir.join(CERTIFICATE);
    if !certificate.exists() {
        return Ok(());
    }
    if read::authority(&certificate, &read(&certificate)?)?.name != authority_name(old) {
        return Ok(());
    }
    let aside = root.join(format!("{cluster}.{old}"));
    let failed = |source| AuthorityError::File { what: "rename", path: dir.clone(), source };
    std::fs::rename(&dir, &aside).map_err(failed)?;
    durable_file::sync_directory_of(&aside).map_err(failed)
}

/// Writes the certificate first: on its own it is useless, so an interruption does no harm.
fn make_in(dir: &Path, id: ClusterId, certificate: &str, key: &str) -> Result<(), AuthorityError> {
    let wrong = |source| AuthorityError::Certificate { what: authority_name(id), source };
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(wrong)?;
    let mut params = params(sign::validity(AUTHORITY_DAYS, i64::MAX)).map_err(wrong)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(PATH_LENGTH));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.push(DnType::CommonName, authority_name(id));
    let pem = params.self_signed(&pair).map_err(wrong)?.pem();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|source| AuthorityError::File { what: "make", path: dir.to_owned(), source })?;
    write(&dir.join(certificate), &pem, 0o644)?;
    write(&dir.join(key), &pair.serialize_pem(), 0o600)
}

/// Every authority below `root` with its remaining days.
pub fn ages(root: &Path) -> Result<Vec<AuthorityAge>, AuthorityError> {
    let Ok(entries) = std::fs::read_dir(root) else { return Ok(Vec::new()) };
    let mut ages = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path().join(CERTIFICATE);
        if !path.exists() {
            continue;
        }
        let pem = read(&path)?;
        let found = read::authority(&path, &pem)?;
        let days_left = days_left(&pem)
            .ok_or_else(|| AuthorityError::Unreadable { path, reason: "no certificate in it".into() })?;
        let cluster = entry.file_name().to_string_lossy().into_owned();
        ages.push(AuthorityAge { cluster, days_left, is_delegating: found.is_delegating });
    }
    ages.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Ok(ages)
}

/// The certificate of a cluster's authority, if present.
pub fn certificate(root: &Path, cluster: &ClusterName) -> Result<Option<CertificateView>, AuthorityError> {
    let path = root.join(cluster.as_str()).join(CERTIFICATE);
    match path.exists() {
        true => Ok(view(&read(&path)?)),
        false => Ok(None),
    }
}

/// What a plan needs to know about a cluster's authority; `None` if it is missing.
pub fn present(
    root: &Path,
    cluster: &ClusterName,
    id: ClusterId,
) -> Result<Option<AuthorityView>, AuthorityError> {
    match Authority::open(root, cluster, id) {
        Ok(authority) => Ok(Some(authority.view())),
        Err(AuthorityError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn authority_name(id: ClusterId) -> String {
    format!("dkc authority {id}")
}

fn read(path: &Path) -> Result<String, AuthorityError> {
    let failed = |source| AuthorityError::File { what: "read", path: path.to_owned(), source };
    std::fs::read_to_string(path).map_err(failed)
}

/// Written whole and synced; created with its final mode, so that others can never read a key.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let failed = |source| AuthorityError::File { what: "write", path: path.to_owned(), source };
    durable_file::replace(path, text.as_bytes(), mode).map_err(failed)
}

fn sync_directory_of(path: &Path) -> Result<(), AuthorityError> {
    let failed = |source| AuthorityError::File { what: "sync", path: path.to_owned(), source };
    durable_file::sync_directory_of(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use dkc_core::ids::NodeUuid;

    use super::*;

    fn id(end: u8) -> ClusterId {
        format!("0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a{end:02x}").parse().unwrap()
    }

    #[test]
    fn an_authority_is_made_once_and_its_key_is_private() {
        let root = tempfile::tempdir().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        assert_eq!(present(root.path(), &name, id(1)).unwrap(), None);
        let first = Authority::make(root.path(), &name, id(1), false).unwrap();
        let again = Authority::make(root.path(), &name, id(1), false).unwrap();
        assert_eq!(present(root.path(), &name, id(1)).unwrap(), Some(first.view()));
        assert!(first.view().is_delegating);
        assert_eq!(first.anchors_pem, again.anchors_pem);
        let key = root.path().join("c0/ca.key");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            ages(root.path()).unwrap(),
            [AuthorityAge { cluster: "c0".into(), days_left: 3649, is_delegating: true }]
        );
    }

    fn subject(is_server: bool, namespaces: &[&str]) -> Subject {
        let node: NodeUuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
        let namespaces = namespaces.iter().map(|name| name.parse().unwrap()).collect();
        Subject { cluster_id: id(1), is_server, node, namespaces }
    }

    fn uris(pem: &str) -> Vec<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        names.value.general_names.iter().map(|name| name.to_string()).collect()
    }

    #[test]
    fn a_leaf_names_role_cluster_and_node_and_what_a_slave_may_use() {
        let root = tempfile::tempdir().unwrap();
        let authority = Authority::make(root.path(), &"c0".parse().unwrap(), id(1), false).unwrap();
        let files = authority.issue(&subject(false, &["default", "sessions"])).unwrap();
        assert!(files.issuer_pem.is_none() && files.node_pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        let leaf = &files.node_pem[files.node_pem.find("-----BEGIN CERTIFICATE").unwrap()..];
        assert_eq!(days_left(leaf), Some(89));
        let view = view(leaf).unwrap();
        let namespaces = ["default", "sessions"].map(|name| name.parse().unwrap()).into();
        assert_eq!((view.namespaces, view.issuer), (Some(namespaces), None));
        assert_eq!(view.authority, authority.key_id);
        let node = "11111111-2222-4333-8444-555555555555";
        let mut want = vec!["DNSName(dkc)".to_owned(), format!("URI(dkc://{}/slave/{node})", id(1))];
        want.extend(["default", "sessions"].map(|name| format!("URI(dkc-namespace:{name})")));
        assert_eq!(uris(leaf), want);
    }

    #[test]
    fn a_server_gets_an_issuer_of_its_own_unless_the_authority_is_of_an_earlier_release() {
        let root = tempfile::tempdir().unwrap();
        let mut authority = Authority::make(root.path(), &"c0".parse().unwrap(), id(1), false).unwrap();
        let issuer = authority.issue(&subject(true, &[])).unwrap().issuer_pem.unwrap();
        let certificate = &issuer[issuer.find("-----BEGIN CERTIFICATE").unwrap()..];
        assert_eq!(days_left(certificate), Some(3 * 365 - 1));
        let node = "11111111-2222-4333-8444-555555555555";
        assert_eq!(uris(certificate), [format!("URI(dkc://{}/issuer/{node})", id(1))]);
        authority.is_delegating = false;
        assert!(authority.issue(&subject(true, &[])).unwrap().issuer_pem.is_none());
    }

    #[test]
    fn an_issuer_never_outlives_its_authority() {
        let root = tempfile::tempdir().unwrap();
        let mut authority = Authority::make(root.path(), &"c0".parse().unwrap(), id(1), false).unwrap();
        authority.until_s = time::OffsetDateTime::now_utc().unix_timestamp() + 10 * 86_400 + 60;
        let issuer = authority.issue(&subject(true, &[])).unwrap().issuer_pem.unwrap();
        let certificate = &issuer[issuer.find("-----BEGIN CERTIFICATE").unwrap()..];
        assert_eq!(days_left(certificate), Some(10));
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
        check("is incomplete");
    }

    #[test]
    fn a_lost_key_is_made_again_only_before_the_cluster_is_founded() {
        let root = tempfile::tempdir().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        let first = Authority::make(root.path(), &name, id(1), false).unwrap();
        std::fs::remove_file(root.path().join("c0/ca.key")).unwrap();
        let refused = Authority::make(root.path(), &name, id(1), true).err().unwrap().to_string();
        assert!(refused.contains("cannot be created again"), "{refused}");
        assert!(
            Authority::open(root.path(), &name, id(1)).err().unwrap().to_string().contains("no ca.key in")
        );
        assert!(!root.path().join("c0/ca.key").exists());
        assert_eq!(std::fs::read_to_string(root.path().join("c0/ca.pem")).unwrap(), first.anchors_pem);
        let second = Authority::make(root.path(), &name, id(1), false).unwrap();
        assert_ne!(first.anchors_pem, second.anchors_pem);
    }
}
