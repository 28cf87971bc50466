//! memcached's times.

use crate::kv::{Expiry, number};

/// Times up to this are seconds from now, larger ones seconds since the Unix epoch.
const RELATIVE_MAX_SECONDS: i64 = 60 * 60 * 24 * 30;

/// memcached's exptime: 0 = never, negative = at once, up to 30 days from now, or a Unix time.
pub(super) fn expiry(word: &[u8]) -> Option<Expiry> {
    number::parse_signed(word).map(expiry_of)
}

pub(super) fn expiry_of(seconds: i64) -> Expiry {
    let ms = u64::try_from(seconds).unwrap_or(0).saturating_mul(1000);
    match seconds {
        0 => Expiry::Never,
        ..=RELATIVE_MAX_SECONDS => Expiry::After(ms),
        _ => Expiry::At(ms),
    }
}
