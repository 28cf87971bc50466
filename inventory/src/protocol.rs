//! What differs between the protocols of pairs: the word on the command line, and where their clients look for a server.

use dkc_core::config::Protocol;

/// memcached's default address.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:11211";
/// Redis' default address.
pub const DEFAULT_LISTEN_REDIS: &str = "127.0.0.1:6379";

/// The protocol's name on the command line.
pub(crate) fn protocol_word(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Memcache => "memcache",
        Protocol::Redis => "redis",
    }
}

/// The address of a pair that was registered without one.
pub(crate) fn default_listen(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Memcache => DEFAULT_LISTEN,
        Protocol::Redis => DEFAULT_LISTEN_REDIS,
    }
}
