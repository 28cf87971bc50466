//! Parameters common to all certificates of a cluster, whether the shell's authority or a server's issuer signs them.

use dkc_core::certificate::{SERVER_NAME, Validity};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use time::OffsetDateTime;

/// Parameters with the validity period only.
pub fn params(validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    let time = |at_s| OffsetDateTime::from_unix_timestamp(at_s).map_err(|_| rcgen::Error::Time);
    (params.not_before, params.not_after) = (time(validity.from_s)?, time(validity.until_s)?);
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

/// Adds the subject.
pub fn add_uris(params: &mut CertificateParams, uris: &[String]) -> Result<(), rcgen::Error> {
    for uri in uris {
        params.subject_alt_names.push(SanType::URI(uri.as_str().try_into()?));
    }
    Ok(())
}

/// The certificate of a node, which may not sign.
pub fn leaf_params(uris: &[String], validity: Validity) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(validity)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
    add_uris(&mut params, uris)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}
