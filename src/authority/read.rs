//! Reads certificates from PEM.

use std::path::Path;

use dkc_core::certificate::{self, Holder};
use dkc_inventory::observed::CertificateView;
use dkcd::net::identity::uris;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::extensions::ParsedExtension;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::AuthorityError;

/// The relevant fields of an authority's own certificate.
pub(super) struct Found {
    pub name: String,
    pub key_id: String,
    pub until_s: i64,
    pub is_delegating: bool,
}

pub(super) fn authority(path: &Path, pem: &str) -> Result<Found, AuthorityError> {
    let unreadable = |reason: String| AuthorityError::Unreadable { path: path.to_owned(), reason };
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|e| unreadable(e.to_string()))?;
    let certificate = pem.parse_x509().map_err(|e| unreadable(e.to_string()))?;
    let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    let constraints = certificate.basic_constraints().ok().flatten();
    let depth = constraints.and_then(|constraints| constraints.value.path_len_constraint);
    Ok(Found {
        name: name.map(str::to_owned).ok_or_else(|| unreadable("it has no name".into()))?,
        key_id: own_key_id(&certificate),
        until_s: certificate.validity().not_after.timestamp(),
        is_delegating: depth.is_none_or(|depth| depth > 0),
    })
}

/// Whole days until the first certificate of a PEM text expires; negative once it has.
pub fn days_left(pem: &str) -> Option<i64> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).ok()?;
    let end = pem.parse_x509().ok()?.validity().not_after.to_datetime();
    Some((end - OffsetDateTime::now_utc()).whole_days())
}

/// A node's certificate with the issuer that signed it, if any.
pub fn view(chain_pem: &str) -> Option<CertificateView> {
    let chain: Vec<Pem> = Pem::iter_from_buffer(chain_pem.as_bytes()).collect::<Result<_, _>>().ok()?;
    let (first, last) = (chain.first()?, chain.last()?);
    let (leaf, top) = (first.parse_x509().ok()?, last.parse_x509().ok()?);
    let issuer =
        uris(&top).filter_map(certificate::holder_of_uri).find_map(|(_, holder, node)| match holder {
            Holder::Issuer => Some(node),
            _ => None,
        });
    let namespaces = certificate::namespaces_of_uris(uris(&leaf)).ok()?;
    Some(CertificateView {
        serial: hex::encode(leaf.raw_serial()),
        fingerprint: hex::encode(Sha256::digest(&first.contents)),
        issuer,
        authority: authority_key_id(&top),
        from_s: leaf.validity().not_before.timestamp(),
        until_s: leaf.validity().not_after.timestamp(),
        namespaces: namespaces.map(|namespaces| namespaces.into_iter().collect()),
    })
}

fn own_key_id(certificate: &X509Certificate<'_>) -> String {
    let id = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectKeyIdentifier(id) => Some(hex::encode(id.0)),
        _ => None,
    });
    id.unwrap_or_default()
}

fn authority_key_id(certificate: &X509Certificate<'_>) -> String {
    let id = certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| hex::encode(id.0)),
        _ => None,
    });
    id.unwrap_or_default()
}
