//! The side that enrols: it knows a token and nothing else. It learns the cluster's CAs, compares them with the digest in the token,
//! and shows the secret only to a server whose chain leads to one of them.
//!
//! *Invariant:* the secret is sent after the chain, the cluster and the role of the server have been checked, never before.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{GroupId, NodeAddress};
use dkc_core::token::JoinToken;
use dkc_core::wire::{Enrol, EnrolAnswer, Enrolment, Frame, Kind};
use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::connection::{self, FrameReader};
use super::identity::{NodeRole, Peer};
use super::tls::{self, explain};

/// Timeout of everything with one server: it has a log entry to commit.
const ENROL_MAX: Duration = Duration::from_secs(8);

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("{address}: {why}")]
    Connection { address: NodeAddress, why: String },
    #[error("{address}: not the cluster of this token ({why}); the token was not shown")]
    OtherCluster { address: NodeAddress, why: String },
    #[error(
        "{address}: its certificate is not valid by this machine's clock, which may be wrong ({why}); the token was not shown"
    )]
    Clock { address: NodeAddress, why: String },
    #[error("{address}: refused: {why}")]
    Refused { address: NodeAddress, why: String },
    #[error("{address}: not now: {why}")]
    NotNow { address: NodeAddress, why: String },
}

impl EnrolError {
    /// Trying again would not help.
    pub fn is_final(&self) -> bool {
        matches!(self, EnrolError::OtherCluster { .. } | EnrolError::Refused { .. })
    }
}

/// What a newcomer gets: the CAs in PEM, and the rest.
#[derive(Debug)]
pub struct Enrolled {
    pub anchors_pem: Vec<u8>,
    pub enrolment: Enrolment,
}

/// Enrols the key of a signing request (DER) at one server.
pub async fn enrol(token: &JoinToken, address: &NodeAddress, request: &[u8]) -> Result<Enrolled, EnrolError> {
    let enrolling = enrol_at(token, address, request);
    tokio::time::timeout(ENROL_MAX, enrolling).await.unwrap_or_else(|_| {
        let why = format!("no reply within {} s", ENROL_MAX.as_secs());
        Err(EnrolError::Connection { address: address.clone(), why })
    })
}

async fn enrol_at(token: &JoinToken, address: &NodeAddress, request: &[u8]) -> Result<Enrolled, EnrolError> {
    let broken = |why: String| EnrolError::Connection { address: address.clone(), why };
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
    let stream = stream.map_err(|error| broken(error.to_string()))?;
    let config = client_config().map_err(|error| broken(error.to_string()))?;
    let connecting = TlsConnector::from(config).connect(tls::server_name(), stream);
    let stream = connecting.await.map_err(|error| broken(explain(&error)))?;
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default().to_vec();
    let (mut frames, sender) = connection::open(stream.into());
    let anchors = next(&mut frames, Kind::AnchorsAre).await.map_err(broken)?.body;
    check_server(token, &anchors, &chain).map_err(|why| match why {
        NotTheirs::Other(why) => EnrolError::OtherCluster { address: address.clone(), why },
        NotTheirs::Clock(why) => EnrolError::Clock { address: address.clone(), why },
    })?;
    let asked = Enrol {
        cluster: token.cluster,
        token: token.id,
        secret: token.secret.clone(),
        request: request.to_vec(),
    };
    let sent = sender.send(Kind::Enrol, 1, GroupId::META, &asked.encode());
    sent.map_err(|error| broken(error.to_string()))?;
    frames.allow_large_frames();
    let answer = next(&mut frames, Kind::EnrolAnswer).await.map_err(broken)?;
    sender.close("enrolment has ended");
    match EnrolAnswer::decode(&answer.body).map_err(|error| broken(error.to_string()))? {
        EnrolAnswer::Enrolled(enrolment) => {
            Ok(Enrolled { anchors_pem: anchors.to_vec(), enrolment: *enrolment })
        }
        EnrolAnswer::Refused(why) => Err(EnrolError::Refused { address: address.clone(), why }),
        EnrolAnswer::NotNow(why) => Err(EnrolError::NotNow { address: address.clone(), why }),
    }
}

async fn next(frames: &mut FrameReader, wanted: Kind) -> Result<Frame, String> {
    let frame = frames.next_frame().await.map_err(|error| error.to_string())?;
    if frame.kind == wanted { Ok(frame) } else { Err(format!("unexpected reply: {:?}", frame.kind)) }
}

/// Why a server is not one of the token's cluster.
enum NotTheirs {
    Other(String),
    /// As far as can be told at this time.
    Clock(String),
}

/// The token pins one of the CAs; the server's chain must lead to one that is pinned.
fn check_server(
    token: &JoinToken,
    anchors_pem: &[u8],
    chain: &[CertificateDer<'_>],
) -> Result<(), NotTheirs> {
    let mut anchors = tls::certificates(anchors_pem).map_err(NotTheirs::Other)?;
    anchors.retain(|anchor| token.authorities.iter().any(|digest| digest[..] == Sha256::digest(anchor)[..]));
    if anchors.is_empty() {
        return Err(NotTheirs::Other("its CA is not the one that the token names".into()));
    }
    tls::verify_chain(anchors, chain).map_err(|error| match tls::is_of_time(&error) {
        true => NotTheirs::Clock(explain(&std::io::Error::other(error))),
        false => NotTheirs::Other(explain(&std::io::Error::other(error))),
    })?;
    let server = Peer::of_chain(chain).map_err(|error| NotTheirs::Other(error.to_string()))?.identity;
    if server.cluster != token.cluster || server.role != NodeRole::Server {
        return Err(NotTheirs::Other(format!("it is {server}")));
    }
    Ok(())
}

fn client_config() -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(CheckedLater))
        .with_no_client_auth();
    config.alpn_protocols = vec![tls::ENROL_ALPN.into()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}

/// Takes any chain, because the CA is only known once the server has sent it: `check_server` checks it before anything is sent. That
/// the server has the key of the chain is checked here.
#[derive(Debug)]
struct CheckedLater;

impl ServerCertVerifier for CheckedLater {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = tls::provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        tls::provider().signature_verification_algorithms.supported_schemes()
    }
}
