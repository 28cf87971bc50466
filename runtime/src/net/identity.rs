//! The identity in a certificate and who vouches for it. Reads a chain of certificates after the handshake has verified that it
//! leads to a CA that this node trusts.
//!
//! *Invariant:* a chain is a leaf alone, or a leaf and one issuer; an issuer vouches for the server that it belongs to and for
//! slaves, never for another server.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use dkc_core::certificate::{self, CHAIN_MAX, Holder, Validity};
use dkc_core::ids::{ClusterId, Namespace, NodeUuid};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

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

/// The identity in a certificate: `dkc://<cluster id>/<server|slave>/<node uuid>`.
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
    type Err = IdentityError;
    fn from_str(uri: &str) -> Result<Self, IdentityError> {
        let bad = || IdentityError::BadUri { uri: uri.chars().take(200).collect() };
        let (cluster, holder, node) = certificate::holder_of_uri(uri).ok_or_else(bad)?;
        let role = match holder {
            Holder::Server => NodeRole::Server,
            Holder::Slave => NodeRole::Slave,
            Holder::Issuer => return Err(bad()),
        };
        Ok(Identity { cluster, role, node })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("'{uri}' is not dkc://<cluster id>/<server|slave>/<node uuid>")]
    BadUri { uri: String },
    #[error("the certificate has no dkc:// URI")]
    NoUri,
    #[error("the certificate names an invalid namespace: {0}")]
    BadNamespace(dkc_core::ids::BadWord),
    #[error("a chain of {0} certificates; at most a leaf and its issuer are allowed")]
    LongChain(usize),
    #[error("the second certificate of the chain is not an issuer of cluster {0}")]
    NoIssuer(ClusterId),
    #[error("the certificate of server {node} is signed by the issuer of server {issuer}")]
    IssuerOfAnother { node: NodeUuid, issuer: NodeUuid },
}

/// The verified contents of the peer's certificate.
#[derive(Debug, Clone)]
pub struct Peer {
    pub identity: Identity,
    /// The server whose issuer signed it; `None` for the cluster's CA itself.
    pub issuer: Option<NodeUuid>,
    /// The namespaces of a slave. `None` for servers, and for slaves whose certificate an earlier release issued.
    pub namespaces: Option<Arc<[Namespace]>>,
    /// Of the leaf.
    pub validity: Validity,
    /// Of the leaf, in hex.
    pub serial: String,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.identity.fmt(f)
    }
}

impl Peer {
    /// Reads a chain whose signatures have been checked.
    pub fn of_chain(chain: &[CertificateDer<'_>]) -> Result<Peer, IdentityError> {
        let leaf = chain.first().ok_or(IdentityError::NoUri)?;
        if chain.len() > CHAIN_MAX {
            return Err(IdentityError::LongChain(chain.len()));
        }
        let (_, leaf) = X509Certificate::from_der(leaf).map_err(|_| IdentityError::NoUri)?;
        let identity: Identity = holder_uri(&leaf).ok_or(IdentityError::NoUri)?.parse()?;
        let issuer = chain.get(1).map(|issuer| issuer_of(issuer, identity)).transpose()?;
        let time = leaf.validity();
        Ok(Peer {
            identity,
            issuer,
            namespaces: namespaces(&leaf)?,
            validity: Validity { from_s: time.not_before.timestamp(), until_s: time.not_after.timestamp() },
            serial: hex::encode(leaf.raw_serial()),
        })
    }

    /// A claimed identity, in a simulation.
    #[cfg(any(test, feature = "simulation"))]
    pub fn unproved(identity: Identity) -> Peer {
        let validity = Validity { from_s: 0, until_s: i64::MAX };
        Peer { identity, issuer: None, namespaces: None, validity, serial: String::new() }
    }

    pub fn may_use(&self, namespace: &Namespace) -> bool {
        self.namespaces.as_ref().is_none_or(|allowed| allowed.contains(namespace))
    }
}

/// The server that the issuer of a leaf belongs to.
fn issuer_of(issuer: &CertificateDer<'_>, leaf: Identity) -> Result<NodeUuid, IdentityError> {
    let none = || IdentityError::NoIssuer(leaf.cluster);
    let (_, issuer) = X509Certificate::from_der(issuer).map_err(|_| none())?;
    let named = holder_uri(&issuer).and_then(certificate::holder_of_uri);
    let Some((cluster, Holder::Issuer, node)) = named else { return Err(none()) };
    if cluster != leaf.cluster {
        return Err(none());
    }
    if leaf.role == NodeRole::Server && leaf.node != node {
        return Err(IdentityError::IssuerOfAnother { node: leaf.node, issuer: node });
    }
    Ok(node)
}

/// The `dkc://` URI of a certificate. More than one is an error, like none.
fn holder_uri<'a>(certificate: &'a X509Certificate<'_>) -> Option<&'a str> {
    let mut uris = uris(certificate).filter(|uri| uri.starts_with("dkc://"));
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Some(uri),
        _ => None,
    }
}

fn namespaces(leaf: &X509Certificate<'_>) -> Result<Option<Arc<[Namespace]>>, IdentityError> {
    let bound = certificate::namespaces_of_uris(uris(leaf)).map_err(IdentityError::BadNamespace)?;
    Ok(bound.map(Vec::into))
}

/// Every URI that a certificate names.
pub fn uris<'a>(certificate: &'a X509Certificate<'_>) -> impl Iterator<Item = &'a str> {
    let names = certificate.subject_alternative_name().ok().flatten();
    names.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    })
}
