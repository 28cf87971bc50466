//! The rules for values without a type in `dkc_core`: users, groups, directories, keys, listeners. They apply to the
//! command line and to the file.

use std::net::SocketAddr;

use super::EditError;
use crate::render::SOCKET_PATH_MAX_BYTES;

/// Longest name of a user or group: what `useradd` takes.
const WORD_MAX_BYTES: usize = 64;

fn bad(what: &str, word: &str, rule: &str) -> EditError {
    let word: String = word.chars().take(80).collect();
    EditError::BadValue { what: format!("{what} '{word}'"), rule: rule.into() }
}

pub fn check_user(user: &str) -> Result<(), EditError> {
    let begins_well = user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let is_made_well = user.chars().all(|c| c.is_ascii_alphanumeric() || "_.-$@".contains(c));
    match begins_well && is_made_well && user.len() <= WORD_MAX_BYTES {
        true => Ok(()),
        false => Err(bad("user", user, "letters, digits and _ . - @ $, starting with a letter, digit or _")),
    }
}

/// A group or a zone.
pub fn check_group(group: &str) -> Result<(), EditError> {
    let is_made_well = group.chars().all(|c| c.is_ascii_alphanumeric() || "_.:-".contains(c));
    match is_made_well && !group.is_empty() && group.len() <= WORD_MAX_BYTES {
        true => Ok(()),
        false => Err(bad("group or zone", group, "letters, digits and _ . : -, at most 64")),
    }
}

/// Directories end up in units, argument lists and links: characters with a meaning there are refused.
pub fn check_data_dir(dir: &str) -> Result<(), EditError> {
    let is_made_well = dir.chars().all(|c| c.is_ascii_alphanumeric() || "/_.+-=@,~".contains(c));
    let climbs = dir.split('/').any(|part| part == ".." || part == ".");
    let is_deep = dir.trim_matches('/').contains(|c: char| c != '/');
    match dir.starts_with('/') && is_deep && is_made_well && !climbs {
        true => Ok(()),
        false => Err(bad("data directory", dir, "an absolute path without spaces or '..', not '/' itself")),
    }
}

/// A fingerprint as `ssh-keygen -l` prints it.
pub fn check_pin(pin: &str) -> Result<(), EditError> {
    let digest = pin.strip_prefix("SHA256:").unwrap_or_default();
    let is_base64 = digest.chars().all(|c| c.is_ascii_alphanumeric() || c == '+' || c == '/');
    match digest.len() == 43 && is_base64 {
        true => Ok(()),
        false => Err(bad("host key", pin, "SHA256: and 43 letters, as ssh-keygen -l prints it")),
    }
}

/// A slave's listener: loopback or a Unix socket, because it has no password.
pub fn check_listen(listen: &str) -> Result<(), EditError> {
    if listen.starts_with('/') {
        check_data_dir(listen)?;
        return match listen.len() <= SOCKET_PATH_MAX_BYTES {
            true => Ok(()),
            false => Err(bad("socket", listen, "a path of at most 107 bytes")),
        };
    }
    let address: SocketAddr = listen.parse().map_err(|_| {
        bad("listener", listen, "an IP address and port such as 127.0.0.1:11211, or an absolute path")
    })?;
    if address.port() == 0 {
        return Err(bad("listener", listen, "the port is a number from 1 to 65535"));
    }
    match address.ip().is_loopback() {
        true => Ok(()),
        false => Err(EditError::NotLoopback { listen: listen.into() }),
    }
}
