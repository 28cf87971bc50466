//! Authentication of peers. Certificates are read from the node's directory and reloaded on request (`certificates`);
//! every handshake uses the newest. Unsupported on purpose: plaintext, TLS 1.2, common names, and session resumption, because a
//! resumed session would outlive a removed trust anchor.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dkc_core::certificate::SERVER_NAME;
use dkc_core::config::layout;
use dkc_core::ids::ClusterId;
use dkc_core::token::Secret;
use parking_lot::RwLock;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest, Sha256};
use tokio_rustls::TlsConnector;

use super::identity::{Identity, IdentityError, NodeRole, Peer};
use crate::clock;

/// The one in use and its successor during a rotation.
pub const TRUST_ANCHORS_MAX: usize = 2;

/// The purpose of a connection. Negotiated in the handshake (ALPN), so that it is checked before any frame.
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

/// What a peer without a certificate names instead of an `Alpn`. No other purpose is negotiated with it.
pub(super) const ENROL_ALPN: &str = "dkc-enrol/1";

/// What a peer without a certificate names that has no program of ours yet.
pub(super) const DOWNLOAD_ALPN: &str = "http/1.1";

/// Who has opened a connection, by what it names in its first message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opener {
    Node,
    Newcomer,
    Downloader,
}

/// Who has opened a connection.
pub(crate) enum Caller {
    Node(Peer, Alpn),
    /// Without a certificate: may enrol.
    Newcomer,
    /// Without a certificate: may fetch the program.
    Downloader,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {path}: {source}", path = .path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{path} is invalid: {why}", path = .path.display())]
    Content { path: PathBuf, why: String },
    #[error("the certificate in {path} is for {found}, this node is {wanted}", path = .path.display())]
    NotOurs { path: PathBuf, found: Identity, wanted: Identity },
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("Hello names another node than the certificate: {0}")]
    OtherInHello(dkc_core::ids::NodeUuid),
    #[error("the peer belongs to cluster {found}, this node to cluster {wanted}")]
    ForeignCluster { found: ClusterId, wanted: ClusterId },
    #[error("the peer is a {found}; {} is for a {wanted} only", .alpn.as_str())]
    WrongRole { alpn: Alpn, found: NodeRole, wanted: NodeRole },
    #[error("no common protocol: the peer named none of dkc's (ALPN)")]
    NoProtocol,
    #[error("{0}")]
    Handshake(String),
    #[error("the handshake took longer than {0} ms")]
    Slow(u64),
}

/// The files that a connection needs.
#[derive(PartialEq, Eq)]
struct Files {
    anchors: Vec<u8>,
    /// Key and chain.
    node: Vec<u8>,
    /// Of earlier releases.
    key: Option<Vec<u8>>,
}

/// The files, parsed.
struct Loaded {
    files: Files,
    roots: Arc<RootCertStore>,
    /// The contents of this node's own certificate.
    own: Peer,
    server: Arc<ServerConfig>,
    /// For peers without a certificate.
    newcomers: Arc<ServerConfig>,
    /// For peers without a certificate and without our program.
    downloaders: Arc<ServerConfig>,
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
    /// Reads `tls/` of the node's directory and ensures that the certificate is the one of `identity`.
    pub fn load(directory: &Path, identity: Identity) -> Result<Arc<Tls>, TlsError> {
        let loaded = load(directory, identity, read_files(directory)?)?;
        Ok(Arc::new(Tls {
            directory: directory.to_owned(),
            identity,
            loaded: RwLock::new(Some(Arc::new(loaded))),
        }))
    }

    /// For tests: a program that does not check its own chain.
    #[cfg(test)]
    pub(super) fn load_unchecked(directory: &Path, identity: Identity) -> Result<Arc<Tls>, TlsError> {
        let files = read_files(directory)?;
        let loaded = make(directory, Peer::unproved(identity), files)?;
        Ok(Arc::new(Tls {
            directory: directory.to_owned(),
            identity,
            loaded: RwLock::new(Some(Arc::new(loaded))),
        }))
    }

    /// For a simulation: claims an identity and encrypts nothing.
    #[cfg(feature = "simulation")]
    pub fn without_certificates(identity: Identity) -> Arc<Tls> {
        Arc::new(Tls { directory: PathBuf::new(), identity, loaded: RwLock::default() })
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Reloads the files; true if they have changed. Open connections are kept.
    pub fn reload_if_changed(&self) -> Result<bool, TlsError> {
        let files = read_files(&self.directory)?;
        if files == self.current().files {
            return Ok(false);
        }
        let loaded = load(&self.directory, self.identity, files)?;
        *self.loaded.write() = Some(Arc::new(loaded));
        Ok(true)
    }

    /// The contents of this node's own certificate; `None` without encryption.
    pub fn own(&self) -> Option<Peer> {
        let loaded = self.loaded.read();
        loaded.as_ref().map(|loaded| loaded.own.clone())
    }

    /// Whether peers with the same trust anchors would accept this chain for this node now.
    pub fn check_own(&self, chain: &[CertificateDer<'_>]) -> Result<Peer, TlsError> {
        let own = Peer::of_chain(chain)?;
        let path = self.directory.join(layout::TLS_CERT);
        if own.identity != self.identity {
            return Err(TlsError::NotOurs { path, found: own.identity, wanted: self.identity });
        }
        verify(&self.current().roots, chain, clock::certificate_now_s())
            .map_err(|error| TlsError::Content { path, why: error.to_string() })?;
        Ok(own)
    }

    fn current(&self) -> Arc<Loaded> {
        let loaded = self.loaded.read().clone();
        loaded.expect("a node reads its certificates before it opens a connection")
    }

    pub(crate) fn server_config(&self, opener: Opener) -> Arc<ServerConfig> {
        let current = self.current();
        match opener {
            Opener::Node => current.server.clone(),
            Opener::Newcomer => current.newcomers.clone(),
            Opener::Downloader => current.downloaders.clone(),
        }
    }

    /// The CAs that this node trusts, in PEM.
    pub(crate) fn anchors(&self) -> Vec<u8> {
        self.current().files.anchors.clone()
    }

    pub(crate) fn connector(&self, alpn: Alpn) -> TlsConnector {
        TlsConnector::from(self.current().clients[alpn as usize].clone())
    }

    /// After the handshake on the accepting side: the peer's identity and purpose.
    pub(crate) fn check_accepted(&self, tls: &rustls::ServerConnection) -> Result<(Peer, Alpn), TlsError> {
        let alpn = tls.alpn_protocol().and_then(Alpn::from_bytes).ok_or(TlsError::NoProtocol)?;
        let peer = self.check_peer(tls.peer_certificates(), alpn, alpn.role())?;
        Ok((peer, alpn))
    }

    /// After the handshake on the opening side: the peer's identity. Only servers accept connections.
    pub(crate) fn check_opened(
        &self,
        tls: &rustls::ClientConnection,
        alpn: Alpn,
    ) -> Result<Identity, TlsError> {
        if tls.alpn_protocol() != Some(alpn.as_str().as_bytes()) {
            return Err(TlsError::NoProtocol);
        }
        Ok(self.check_peer(tls.peer_certificates(), alpn, NodeRole::Server)?.identity)
    }

    fn check_peer(
        &self,
        chain: Option<&[CertificateDer<'_>]>,
        alpn: Alpn,
        wanted: NodeRole,
    ) -> Result<Peer, TlsError> {
        let peer = Peer::of_chain(chain.unwrap_or_default())?;
        self.check_identity(peer.identity, alpn, wanted)?;
        Ok(peer)
    }

    /// Whether a peer with a valid certificate may open a connection of this kind.
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

fn read_files(directory: &Path) -> Result<Files, TlsError> {
    let read = |name: &str| {
        let path = directory.join(name);
        std::fs::read(&path).map_err(|source| TlsError::File { path, source })
    };
    let (anchors, node) = (read(layout::TLS_CA)?, read(layout::TLS_CERT)?);
    let has_key = PrivateKeyDer::from_pem_slice(&node).is_ok();
    let key = if has_key { None } else { Some(read(layout::TLS_KEY)?) };
    Ok(Files { anchors, node, key })
}

fn load(directory: &Path, identity: Identity, files: Files) -> Result<Loaded, TlsError> {
    let content = |why: String| TlsError::Content { path: directory.join(layout::TLS_CERT), why };
    let chain = certificates(&files.node).map_err(content)?;
    let own = Peer::of_chain(&chain).map_err(|error| content(error.to_string()))?;
    if own.identity != identity {
        let path = directory.join(layout::TLS_CERT);
        return Err(TlsError::NotOurs { path, found: own.identity, wanted: identity });
    }
    let validity = own.validity;
    let loaded = make(directory, own, files)?;
    // An expired certificate is accepted here: a server renews it once it runs.
    let leads = verify(&loaded.roots, &chain, validity.from_s.max(0));
    leads.map_err(|error| content(format!("no CA in {} vouches for it ({error})", layout::TLS_CA)))?;
    Ok(loaded)
}

/// Whether the chain leads to one of these CAs, at that time.
fn verify(roots: &Arc<RootCertStore>, chain: &[CertificateDer<'_>], at_s: i64) -> Result<(), rustls::Error> {
    let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(roots.clone(), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at_s.max(0) as u64));
    verifier.verify_server_cert(&chain[0], &chain[1..], &server_name(), &[], at).map(|_| ())
}

/// Whether the chain leads to one of these CAs now.
#[cfg(not(feature = "simulation"))]
pub(super) fn verify_chain(
    anchors: Vec<CertificateDer<'static>>,
    chain: &[CertificateDer<'_>],
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor)?;
    }
    if chain.is_empty() {
        return Err(rustls::Error::NoCertificatesPresented);
    }
    verify(&Arc::new(roots), chain, clock::certificate_now_s())
}

/// Whether the same chain would be accepted at another time.
#[cfg(not(feature = "simulation"))]
pub(super) fn is_of_time(error: &rustls::Error) -> bool {
    use rustls::CertificateError as Bad;
    matches!(
        error,
        rustls::Error::InvalidCertificate(
            Bad::Expired | Bad::ExpiredContext { .. } | Bad::NotValidYet | Bad::NotValidYetContext { .. }
        )
    )
}

fn make(directory: &Path, own: Peer, files: Files) -> Result<Loaded, TlsError> {
    let content = |name: &str, why: String| TlsError::Content { path: directory.join(name), why };
    let roots = Arc::new(roots(&files.anchors).map_err(|why| content(layout::TLS_CA, why))?);
    let chain = certificates(&files.node).map_err(|why| content(layout::TLS_CERT, why))?;
    let (key_file, key) = match &files.key {
        None => (layout::TLS_CERT, &files.node),
        Some(key) => (layout::TLS_KEY, key),
    };
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| content(key_file, format!("no private key in PEM: {error}")))?;
    let bad_pair = |error: rustls::Error| content(key_file, error.to_string());
    let server = server_config(&roots, chain.clone(), key.clone_key()).map_err(bad_pair)?;
    let newcomers = newcomer_config(ENROL_ALPN, chain.clone(), key.clone_key()).map_err(bad_pair)?;
    let downloaders = newcomer_config(DOWNLOAD_ALPN, chain.clone(), key.clone_key()).map_err(bad_pair)?;
    let client = client_config(&roots, chain, key).map_err(bad_pair)?;
    let clients = Alpn::ALL.map(|alpn| {
        let mut client = client.clone();
        client.alpn_protocols = vec![alpn.as_str().into()];
        Arc::new(client)
    });
    let (server, newcomers, downloaders) = (Arc::new(server), Arc::new(newcomers), Arc::new(downloaders));
    Ok(Loaded { files, roots, own, server, newcomers, downloaders, clients })
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let anchors = certificates(pem)?;
    if anchors.len() > TRUST_ANCHORS_MAX {
        return Err(format!("{} certificates, at most {TRUST_ANCHORS_MAX} are allowed", anchors.len()));
    }
    let mut roots = RootCertStore::empty();
    for anchor in anchors {
        roots.add(anchor).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

/// All certificates of a PEM text; at least one.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in PEM".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

/// SHA-256 of each certificate of a PEM text, as tokens name them.
pub fn fingerprints(pem: &[u8]) -> Result<Vec<[u8; 32]>, String> {
    Ok(certificates(pem)?.iter().map(|certificate| Sha256::digest(certificate).into()).collect())
}

/// A secret from the operating system.
pub fn new_secret() -> Result<Secret, String> {
    let mut bytes = [0; 32];
    let filled = provider().secure_random.fill(&mut bytes);
    filled.map_err(|_| "the system gives no random numbers".to_owned())?;
    Ok(Secret(bytes))
}

pub(super) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The time that certificates are checked against.
#[derive(Debug)]
struct CertificateClock;
impl rustls::time_provider::TimeProvider for CertificateClock {
    fn current_time(&self) -> Option<UnixTime> {
        let now_s = u64::try_from(clock::certificate_now_s()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(now_s)))
    }
}

/// The DNS name in every node's certificate.
pub(super) fn server_name() -> rustls::pki_types::ServerName<'static> {
    SERVER_NAME.try_into().expect("the name is a valid DNS name")
}

fn server_config(
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(CertificateClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = Alpn::ALL.map(|alpn| alpn.as_str().into()).into();
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The same without asking for a certificate, for the one purpose that needs none.
fn newcomer_config(
    alpn: &str,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_details(provider(), Arc::new(CertificateClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![alpn.into()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    roots: &Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_details(provider(), Arc::new(CertificateClock))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(chain, key)?;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Describes a failed handshake, or a failed first read after it (TLS 1.3 reports a refusal to the opening side only
/// then): which side refused, and why.
pub(crate) fn explain(error: &std::io::Error) -> String {
    use rustls::{AlertDescription as Alert, CertificateError as Bad, Error};
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return error.to_string();
    };
    match tls {
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            "the peer's certificate is not signed by a CA that this node trusts".into()
        }
        Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "the peer's certificate has expired (or the clock of this host is wrong)".into()
        }
        Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "the peer's certificate is not valid yet (or the clock of this host is wrong)".into()
        }
        Error::AlertReceived(Alert::UnknownCA | Alert::DecryptError | Alert::BadCertificate) => {
            format!("the peer does not trust the CA of this node's certificate ({tls})")
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            "the peer says that this node's certificate has expired".into()
        }
        Error::NoCertificatesPresented | Error::AlertReceived(Alert::CertificateRequired) => {
            "a certificate is required and none was presented".into()
        }
        Error::InvalidMessage(_) => format!("not a TLS 1.3 connection ({tls})"),
        other => other.to_string(),
    }
}
