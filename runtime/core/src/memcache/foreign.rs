//! Those who connect and do not speak memcached's text protocol. What they send must not be read as commands: a page
//! in a browser can make it send an HTTP request whose body is `flush_all`.

use super::line::Line;

/// The first byte of every request of memcached's binary protocol.
const BINARY_REQUEST: u8 = 0x80;
/// The first byte of a TLS handshake.
const TLS_HANDSHAKE: u8 = 0x16;
/// Methods of HTTP.
const METHODS: [&[u8]; 9] =
    [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"];

/// What the client sent instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A request line such as `GET / HTTP/1.1`.
    Http,
    /// memcached's binary protocol.
    Binary,
    /// A ClientHello.
    Tls,
}

impl std::fmt::Display for Foreign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Foreign::Http => "HTTP",
            Foreign::Binary => "the binary protocol of memcached",
            Foreign::Tls => "TLS",
        })
    }
}

impl Foreign {
    /// By the first byte of a connection.
    pub(super) fn of_first_byte(byte: u8) -> Option<Foreign> {
        match byte {
            BINARY_REQUEST => Some(Foreign::Binary),
            TLS_HANDSHAKE => Some(Foreign::Tls),
            _ => None,
        }
    }

    /// A request line of HTTP: `POST /path HTTP/1.1`, or HTTP 0.9's `GET /path`.
    pub(super) fn of_line(buffer: &[u8], line: &Line) -> Option<Foreign> {
        let word = |n: usize| &buffer[line.words[n].clone()];
        let names_version = line.count > 1 && buffer[line.last.clone()].starts_with(b"HTTP/");
        let is_request = METHODS.contains(&word(0)) && line.count > 1 && word(1).starts_with(b"/");
        (names_version || is_request).then_some(Foreign::Http)
    }
}
