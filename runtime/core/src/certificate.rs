//! What certificates of nodes say and how long they live: the words on which the shell (which signs with the cluster's CA), the
//! servers (which sign with the issuer that the CA gave each of them) and every reader of a certificate agree.
//!
//! *Invariant:* a renewed certificate says the same as the one before it; only its key and its time differ.

use std::fmt;

use crate::ids::{BadWord, ClusterId, Namespace, NodeUuid};

/// The name that every node's certificate carries as DNS SAN; its real identity is in the URI.
pub const SERVER_NAME: &str = "dkc";
/// Short enough that a stolen key ends by itself; nodes renew their certificates long before.
pub const LEAF_DAYS: i64 = 90;
/// A cluster works this long without a deploy.
pub const ISSUER_DAYS: i64 = 3 * 365;
/// Below this many days left a deploy gives a server a new issuer, and `check` asks for that deploy.
pub const ISSUER_RENEW_DAYS: i64 = 180;
/// Certificates begin this much in the past, so that a node whose clock is late accepts a fresh one.
pub const CLOCK_TOLERANCE_S: i64 = 3600;
/// No leaf lives longer, whatever the one that it replaces did.
pub const LEAF_MAX_S: i64 = LEAF_DAYS * DAY_S + CLOCK_TOLERANCE_S;
/// A leaf and the issuer that signed it.
pub const CHAIN_MAX: usize = 2;
/// Largest signing request: far above what a P-256 key needs.
pub const REQUEST_MAX_BYTES: usize = 4096;

const DAY_S: i64 = 86_400;
const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";
const NAMESPACE_SCHEME: &str = "dkc-namespace:";

/// The certificates of a PEM text, without the key.
pub fn shown(pem: &str) -> String {
    let mut is_inside = false;
    let is_shown = |line: &&str| {
        is_inside |= *line == BEGIN;
        let is_shown = is_inside;
        is_inside &= *line != END;
        is_shown
    };
    pem.lines().filter(is_shown).map(|line| format!("{line}\n")).collect()
}

/// What the holder of a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Connects to servers and accepts connections.
    Server,
    /// Connects to servers only; bound to namespaces.
    Slave,
    /// A server in its capacity to sign: not one that anybody connects as.
    Issuer,
}
impl Holder {
    /// As `Display` writes it; `None` for words of later releases.
    pub fn from_word(word: &str) -> Option<Holder> {
        match word {
            "server" => Some(Holder::Server),
            "slave" => Some(Holder::Slave),
            "issuer" => Some(Holder::Issuer),
            _ => None,
        }
    }
}
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Holder::Server => "server",
            Holder::Slave => "slave",
            Holder::Issuer => "issuer",
        })
    }
}

/// The SAN URI that names the holder.
pub fn holder_uri(cluster: ClusterId, holder: Holder, node: NodeUuid) -> String {
    format!("dkc://{cluster}/{holder}/{node}")
}

/// The holder that a SAN URI names.
pub fn holder_of_uri(uri: &str) -> Option<(ClusterId, Holder, NodeUuid)> {
    let mut words = uri.strip_prefix("dkc://")?.split('/');
    let (cluster, holder, node) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() {
        return None;
    }
    Some((cluster.parse().ok()?, Holder::from_word(holder)?, node.parse().ok()?))
}

/// The SAN URIs that bind a slave to namespaces. There is always one, so that a slave without any namespace is bound too.
pub fn namespace_uris<'a>(namespaces: impl IntoIterator<Item = &'a Namespace>) -> Vec<String> {
    let uris: Vec<String> =
        namespaces.into_iter().map(|namespace| format!("{NAMESPACE_SCHEME}{namespace}")).collect();
    if uris.is_empty() { vec![NAMESPACE_SCHEME.to_owned()] } else { uris }
}

/// The namespaces that a certificate with these SAN URIs is bound to; `None` where it is bound to none in particular.
pub fn namespaces_of_uris<'a>(
    uris: impl IntoIterator<Item = &'a str>,
) -> Result<Option<Vec<Namespace>>, BadWord> {
    let mut bound = None;
    for name in uris.into_iter().filter_map(|uri| uri.strip_prefix(NAMESPACE_SCHEME)) {
        let namespaces: &mut Vec<Namespace> = bound.get_or_insert_default();
        if !name.is_empty() {
            namespaces.push(name.parse()?);
        }
    }
    Ok(bound)
}

/// From when until when a certificate is good, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Included.
    pub from_s: i64,
    /// Included.
    pub until_s: i64,
}
impl Validity {
    /// From `CLOCK_TOLERANCE_S` ago, for so many days from now.
    pub fn days(now_s: i64, days: i64) -> Validity {
        Validity { from_s: now_s - CLOCK_TOLERANCE_S, until_s: now_s + days * DAY_S }
    }

    /// From beginning to end; 0 if the end comes first.
    pub fn lifetime_s(&self) -> i64 {
        self.until_s.saturating_sub(self.from_s).max(0)
    }

    /// Three fifths into its life: of 90 days, 36 are left for whatever is in the way of the renewal, and `check` warns
    /// during the last 30 of them.
    pub fn renew_at_s(&self) -> i64 {
        self.from_s + self.lifetime_s() / 5 * 3 + self.lifetime_s() % 5 * 3 / 5
    }

    /// It is not valid yet: a host whose clock was ahead had it signed.
    pub fn is_early(&self, now_s: i64) -> bool {
        now_s < self.from_s
    }

    /// Of the certificate that replaces this one now. It ends with its issuer at the latest.
    pub fn renewed(&self, now_s: i64, issuer_until_s: i64) -> Validity {
        let lifetime_s = self.lifetime_s().min(LEAF_MAX_S);
        let from_s = now_s - CLOCK_TOLERANCE_S.min(lifetime_s / 10);
        Validity { from_s, until_s: (from_s + lifetime_s).min(issuer_until_s) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11";

    #[test]
    fn what_is_shown_of_a_certificate_has_no_key() {
        let certificate = |text: &str| format!("{BEGIN}\n{text}\n{END}\n");
        let key = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n";
        let chain = certificate("leaf") + &certificate("issuer");
        assert_eq!(shown(&format!("{key}{chain}")), chain);
        assert_eq!(shown(&format!("{chain}{key}")), chain);
        assert_eq!(shown(key), "");
    }

    #[test]
    fn a_holder_is_read_strictly() {
        let check = |uri: String, is_good: bool| {
            let read = holder_of_uri(&uri).map(|(cluster, holder, node)| holder_uri(cluster, holder, node));
            assert_eq!(read, is_good.then_some(uri));
        };
        check(format!("dkc://{UUID}/server/{UUID}"), true);
        check(format!("dkc://{UUID}/slave/{UUID}"), true);
        check(format!("dkc://{UUID}/issuer/{UUID}"), true);
        check(format!("dkc://{UUID}/master/{UUID}"), false);
        check(format!("dkc://{UUID}/server/{UUID}/"), false);
        check(format!("dkc://{UUID}/server"), false);
        check(format!("http://{UUID}/server/{UUID}"), false);
        check("dkc://x/server/y".into(), false);
    }

    #[test]
    fn a_slave_is_bound_to_its_namespaces_also_when_it_has_none() {
        let check = |names: &[&str], want: &[&str]| {
            let names: Vec<Namespace> = names.iter().map(|name| name.parse().unwrap()).collect();
            let uris = namespace_uris(&names);
            assert_eq!(uris, want);
            let identity = format!("dkc://{UUID}/slave/{UUID}");
            let uris = uris.iter().map(String::as_str).chain([identity.as_str()]);
            assert_eq!(namespaces_of_uris(uris), Ok(Some(names)));
        };
        check(&["default", "sessions"], &["dkc-namespace:default", "dkc-namespace:sessions"]);
        check(&[], &["dkc-namespace:"]);
        assert_eq!(namespaces_of_uris(["http://x"]), Ok(None));
        assert!(namespaces_of_uris(["dkc-namespace:a b"]).is_err());
    }

    #[test]
    fn a_leaf_of_ninety_days_is_renewed_with_thirty_six_left_and_is_never_longer() {
        let begun = 1_800_000_000;
        let leaf = Validity::days(begun, LEAF_DAYS);
        assert_eq!((leaf.until_s - leaf.renew_at_s()) / DAY_S, 36);
        let renewed = leaf.renewed(leaf.renew_at_s(), i64::MAX);
        assert_eq!(renewed, Validity::days(leaf.renew_at_s(), LEAF_DAYS));
        assert_eq!(leaf.renewed(begun, begun + 5).until_s, begun + 5);
        let long = Validity { from_s: 0, until_s: i64::MAX };
        assert_eq!(long.renewed(begun, i64::MAX).lifetime_s(), LEAF_MAX_S);
        let short = Validity { from_s: 0, until_s: 10 };
        assert_eq!((short.renew_at_s(), short.renewed(6, 100)), (6, Validity { from_s: 5, until_s: 15 }));
        assert_eq!(Validity { from_s: 9, until_s: 3 }.lifetime_s(), 0);
    }
}
