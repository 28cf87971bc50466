//! From an address to an authenticated stream: TCP, then TLS with a certificate on both sides.
//! A simulation replaces only this part of a connection; frames, Hello and timeouts are the same there.

use std::net::{IpAddr, SocketAddr};

use dkc_core::ids::NodeAddress;
use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

use super::identity::Identity;
use super::target::Target;
use super::tls::{Alpn, Caller, DOWNLOAD_ALPN, ENROL_ALPN, Opener, Tls, TlsError, explain, server_name};

/// A stream after the handshake.
pub(crate) type Stream = TlsStream<TcpStream>;
/// A stream before the handshake.
pub(super) type Incoming = TcpStream;

/// Connects and performs the handshake: the stream and the peer's identity and address, or the error.
pub(super) async fn open(
    tls: &Tls,
    alpn: Alpn,
    target: &Target,
) -> Result<(Stream, Identity, SocketAddr), String> {
    let host = (target.address.host.as_str(), target.address.port);
    let stream = TcpStream::connect(host).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let address = stream.peer_addr().map_err(|error| error.to_string())?;
    let stream = tls.connector(alpn).connect(server_name(), stream).await.map_err(|error| explain(&error))?;
    let peer = tls.check_opened(stream.get_ref().1, alpn).map_err(|error| error.to_string())?;
    Ok((stream.into(), peer, address))
}

/// A listening socket.
pub(super) struct Socket(TcpListener);

impl Socket {
    pub async fn bind(address: &NodeAddress) -> std::io::Result<Socket> {
        Ok(Socket(TcpListener::bind((address.host.as_str(), address.port)).await?))
    }

    pub fn local_address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub async fn accept(&self) -> std::io::Result<(Incoming, SocketAddr)> {
        self.0.accept().await
    }
}

/// The addresses that a host name resolves to; none if it cannot be resolved.
pub(super) async fn resolve(address: &NodeAddress) -> Vec<IpAddr> {
    let found = tokio::net::lookup_host((address.host.as_str(), address.port)).await;
    found.map(|addresses| addresses.map(|address| address.ip()).collect()).unwrap_or_default()
}

/// The accepting side's handshake: the stream with the peer's identity and purpose, or the refusal.
pub(super) async fn shake_hands(
    tls: &Tls,
    stream: Incoming,
) -> Result<(Stream, Result<Caller, TlsError>), TlsError> {
    let failed = |error: std::io::Error| TlsError::Handshake(explain(&error));
    stream.set_nodelay(true).map_err(failed)?;
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await.map_err(failed)?;
    let names: Vec<&[u8]> = hello.client_hello().alpn().map(Iterator::collect).unwrap_or_default();
    let opener = opener(&names);
    let stream = hello.into_stream(tls.server_config(opener)).await.map_err(failed)?;
    let checked = match opener {
        Opener::Newcomer => Ok(Caller::Newcomer),
        Opener::Downloader => Ok(Caller::Downloader),
        Opener::Node => tls.check_accepted(stream.get_ref().1).map(|(peer, alpn)| Caller::Node(peer, alpn)),
    };
    Ok((stream.into(), checked))
}

/// Whoever names one purpose that needs no certificate, and no other, has no certificate.
fn opener(names: &[&[u8]]) -> Opener {
    match names {
        [name] if *name == ENROL_ALPN.as_bytes() => Opener::Newcomer,
        [name] if *name == DOWNLOAD_ALPN.as_bytes() => Opener::Downloader,
        _ => Opener::Node,
    }
}
