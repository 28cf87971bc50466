//! Who is on the other side of a connection. Certificates are read from the node's directory and read again when
//! they change; every handshake uses the newest. Absent on purpose: plaintext, TLS 1.2, session resumption (a
//! resumed session would outlive a removed trust anchor), common names.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use dkc_core::config::layout;
use dkc_core::ids::{ClusterId, NodeUuid};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The name that every node's certificate carries as DNS SAN; who it really is stands in the URI.
pub const SERVER_NAME: &str = "dkc";
/// One in use, one that is replacing it.
pub const TRUST_ANCHORS_MAX: usize = 2;
/// How often the files are looked at for a change.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);

/// What a connection is for. Told in the handshake, so that it is checked before any frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    Peer,
    Snapshot,
    Slave,
}
impl Alpn {
    pub const ALL: [Alpn; 3] = [Alpn::Peer, Alpn::Snapshot, Alpn::Slave];
    pub fn as_str(self) -> &'static str {
        match self {
            Alpn::Peer => "dkc-peer/1",
            Alpn::Snapshot => "dkc-snapshot/1",
            Alpn::Slave => "dkc-slave/1",
        }
    }
    fn from_bytes(bytes: &[u8]) -> Option<Alpn> {
        Alpn::ALL.into_iter().find(|alpn| alpn.as_str().as_bytes() == bytes)
    }
    /// The role that the side which opens such a connection must have.
    pub(super) fn role(self) -> NodeRole {
        match self {
            Alpn::Peer | Alpn::Snapshot => NodeRole::Server,
            Alpn::Slave => NodeRole::Slave,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeRole {
    Server,
    Slave,
}
impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NodeRole::Server => "server",
            NodeRole::Slave => "slave",
        })
    }
}

/// Who a certificate says its holder is: `dkc://<cluster id>/<server|slave>/<node uuid>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Identity {
    pub cluster: ClusterId,
    pub role: NodeRole,
    pub node: NodeUuid,
}
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dkc://{}/{}/{}", self.cluster, self.role, self.node)
    }
}
impl FromStr for Identity {
    type Err = TlsError;
    fn from_str(uri: &str) -> Result<Self, TlsError> {
        let bad = || TlsError::BadIdentity { uri: uri.chars().take(200).collect() };
        let mut words = uri.strip_prefix("dkc://").ok_or_else(bad)?.split('/');
        let (cluster, role, node) = (words.next(), words.next(), words.next());
        let role = match role {
            Some("server") => NodeRole::Server,
            Some("slave") => NodeRole::Slave,
            _ => return Err(bad()),
        };
        let (Some(cluster), Some(node), None) = (cluster, node, words.next()) else { return Err(bad()) };
        let cluster = cluster.parse().map_err(|_| bad())?;
        let node = node.parse().map_err(|_| bad())?;
        Ok(Identity { cluster, role, node })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is not what it should be: {why}", path = .path.display())]
    Content { path: PathBuf, why: String },
    #[error("the certificate in {path} is for {found}, this node is {wanted}", path = .path.display())]
    NotOurs { path: PathBuf, found: Identity, wanted: Identity },
    #[error("'{uri}' is not dkc://<cluster id>/<server|slave>/<node uuid>")]
    BadIdentity { uri: String },
    #[error("the certificate carries no dkc:// URI")]
    NoIdentity,
    #[error("the other side is of cluster {found}, this node is of cluster {wanted}")]
    ForeignCluster { found: ClusterId, wanted: ClusterId },
    #[error("the other side is a {found}; on {} only a {wanted} may", .alpn.as_str())]
    WrongRole { alpn: Alpn, found: NodeRole, wanted: NodeRole },
    #[error("no common protocol: the other side named none of dkc's (ALPN)")]
    NoProtocol,
    #[error("{0}")]
    Handshake(String),
    #[error("the handshake took longer than {0} ms")]
    Slow(u64),
}

/// The three files and what was made of them.
struct Loaded {
    files: [Vec<u8>; 3],
    server: Arc<ServerConfig>,
    /// In the order of `Alpn::ALL`.
    clients: [Arc<ClientConfig>; 3],
}

/// The TLS side of this node. Cheap to share; replaced inside when the files change.
pub struct Tls {
    directory: PathBuf,
    identity: Identity,
    /// `None` only in a simulation, where nothing is encrypted.
    loaded: RwLock<Option<Arc<Loaded>>>,
}

impl Tls {
    /// Reads `tls/` of the node's directory and makes sure that the certificate is the one of `identity`.
    pub fn load(directory: &Path, identity: Identity) -> Result<Arc<Tls>, TlsError> {
        let loaded = load(directory, identity, read_files(directory)?)?;
        Ok(Arc::new(Tls {
            directory: directory.to_owned(),
            identity,
            loaded: RwLock::new(Some(Arc::new(loaded))),
        }))
    }

    /// For a simulation: says who it is and encrypts nothing.
    #[cfg(feature = "simulation")]
    pub fn without_certificates(identity: Identity) -> Arc<Tls> {
        Arc::new(Tls { directory: PathBuf::new(), identity, loaded: RwLock::default() })
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Reads the files again; true when they had changed and are in use from now on. Connections that stand stay.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let files = read_files(&self.directory)?;
        if files == self.current().files {
            return Ok(false);
        }
        let loaded = load(&self.directory, self.identity, files)?;
        *self.loaded.write().expect("lock is never poisoned: panic aborts") = Some(Arc::new(loaded));
        Ok(true)
    }

    /// Follows the files for as long as it is polled. A bad set of files is reported and the old one stays in use.
    pub async fn keep_fresh(self: Arc<Self>) {
        let mut last_trouble = String::new();
        loop {
            tokio::time::sleep(RELOAD_INTERVAL).await;
            match self.reload_if_changed() {
                Ok(true) => tracing::info!("certificates were replaced; new connections use the new ones"),
                Ok(false) => last_trouble.clear(),
                Err(error) if error.to_string() != last_trouble => {
                    last_trouble = error.to_string();
                    tracing::warn!(%error, "changed certificates cannot be used; the old ones stay in use");
                }
                Err(_) => {}
            }
        }
    }

    fn current(&self) -> Arc<Loaded> {
        let loaded = self.loaded.read().expect("lock is never poisoned: panic aborts").clone();
        loaded.expect("a node reads its certificates before it opens a connection")
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current().server.clone())
    }

    pub(crate) fn connector(&self, alpn: Alpn) -> TlsConnector {
        TlsConnector::from(self.current().clients[alpn as usize].clone())
    }

    /// After the handshake on the accepting side: who came, and for what.
    pub(crate) fn check_accepted(
        &self,
        tls: &rustls::ServerConnection,
    ) -> Result<(Identity, Alpn), TlsError> {
        let alpn = tls.alpn_protocol().and_then(Alpn::from_bytes).ok_or(TlsError::NoProtocol)?;
        let identity = self.check_peer(tls.peer_certificates(), alpn, alpn.role())?;
        Ok((identity, alpn))
    }

    /// After the handshake on the opening side: who answered. Only servers accept connections.
    pub(crate) fn check_opened(
        &self,
        tls: &rustls::ClientConnection,
        alpn: Alpn,
    ) -> Result<Identity, TlsError> {
        if tls.alpn_protocol() != Some(alpn.as_str().as_bytes()) {
            return Err(TlsError::NoProtocol);
        }
        self.check_peer(tls.peer_certificates(), alpn, NodeRole::Server)
    }

    fn check_peer(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        alpn: Alpn,
        wanted: NodeRole,
    ) -> Result<Identity, TlsError> {
        let leaf = chain.and_then(|chain| chain.first()).ok_or(TlsError::NoIdentity)?;
        let identity = identity_of(leaf)?;
        self.check_identity(identity, alpn, wanted)
    }

    /// Whether somebody whose certificate is good may have a connection of this kind.
    pub(super) fn check_identity(
        &self,
        identity: Identity,
        alpn: Alpn,
        wanted: NodeRole,
    ) -> Result<Identity, TlsError> {
        if identity.cluster != self.identity.cluster {
            let wanted = self.identity.cluster;
            return Err(TlsError::ForeignCluster { found: identity.cluster, wanted });
        }
        if identity.role != wanted {
            return Err(TlsError::WrongRole { alpn, found: identity.role, wanted });
        }
        Ok(identity)
    }
}

/// The `dkc://` URI of a certificate. More than one is as bad as none.
pub fn identity_of(certificate: &CertificateDer<'_>) -> Result<Identity, TlsError> {
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| TlsError::NoIdentity)?;
    let names =
        parsed.subject_alternative_name().map_err(|_| TlsError::NoIdentity)?.ok_or(TlsError::NoIdentity)?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) if uri.starts_with("dkc://") => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => uri.parse(),
        _ => Err(TlsError::NoIdentity),
    }
}

fn read_files(directory: &Path) -> Result<[Vec<u8>; 3], TlsError> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|source| TlsError::File { path, source })
    };
    Ok([read(layout::TLS_CA)?, read(layout::TLS_CERT)?, read(layout::TLS_KEY)?])
}

fn load(directory: &Path, identity: Identity, files: [Vec<u8>; 3]) -> Result<Loaded, TlsError> {
    let content = |name: &str, why: String| TlsError::Content { path: directory.join(name), why };
    let anchors = certificates(&files[0]).map_err(|why| content(layout::TLS_CA, why))?;
    if anchors.len() > TRUST_ANCHORS_MAX {
        let why = format!("{} certificates, at most {TRUST_ANCHORS_MAX} are allowed", anchors.len());
        return Err(content(layout::TLS_CA, why));
    }
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor).map_err(|error| content(layout::TLS_CA, error.to_string()))?;
    }
    let chain = certificates(&files[1]).map_err(|why| content(layout::TLS_CERT, why))?;
    let found = identity_of(&chain[0]).map_err(|error| content(layout::TLS_CERT, error.to_string()))?;
    if found != identity {
        return Err(TlsError::NotOurs { path: directory.join(layout::TLS_CERT), found, wanted: identity });
    }
    let key = PrivateKeyDer::from_pem_slice(&files[2])
        .map_err(|error| content(layout::TLS_KEY, format!("no private key in PEM: {error}")))?;
    let bad_pair = |error: rustls::Error| content(layout::TLS_KEY, error.to_string());
    let server = server_config(&roots, chain.clone(), key.clone_key()).map_err(bad_pair)?;
    let client = client_config(&roots, chain, key).map_err(bad_pair)?;
    let clients = Alpn::ALL.map(|alpn| {
        let mut client = client.clone();
        client.alpn_protocols = vec![alpn.as_str().into()];
        Arc::new(client)
    });
    Ok(Loaded { files, server: Arc::new(server), clients })
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in PEM".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn server_config(
    roots: &RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = Alpn::ALL.map(|alpn| alpn.as_str().into()).into();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    roots: &RootCertStore,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// A failed handshake, or a failed first read after it (TLS 1.3 tells the opening side of a refusal only then),
/// in words that say which side is not content with what.
pub(crate) fn explain(error: &std::io::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.to_string();
    };
    match tls {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "the other side's certificate is not signed by a CA that this node trusts".into()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the other side's certificate has expired (or the clock of this host is wrong)".into()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the other side's certificate is not valid yet (or the clock of this host is wrong)".into()
        }
        Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError | Alert::BadCertificate) => {
            format!("the other side does not trust the CA of this node's certificate ({tls})")
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the other side says that this node's certificate has expired".into()
        }
        Error::NoCertificatesPresented | Error::AlertReceived(Alert::CertificateRequired) => {
            "a certificate is required and none was shown".into()
        }
        Error::InvalidMessage(_) => format!("what came is not TLS 1.3 ({tls})"),
        other => other.to_string(),
    }
}
