//! The state directory (expendable data: the prompt's history), and the user and machine names.

use std::path::PathBuf;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where state lives: the user's state directory, or the configuration directory where the system knows none.
fn state_dir() -> Option<PathBuf> {
    let directories = directories::ProjectDirs::from("", "", "dkc")?;
    Some(directories.state_dir().unwrap_or_else(|| directories.config_dir()).to_owned())
}

/// The history of the prompt.
pub fn history_file() -> Option<PathBuf> {
    Some(state_dir()?.join("history"))
}

pub(super) fn user_name() -> String {
    match nix::unistd::User::from_uid(nix::unistd::geteuid()) {
        Ok(Some(user)) => user.name,
        _ => format!("uid {}", nix::unistd::geteuid()),
    }
}

pub(super) fn machine_name() -> String {
    nix::unistd::gethostname()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|_| "unknown".into())
}

/// Who changes something, and from where: `ann@admin1`.
pub fn holder() -> String {
    format!("{}@{}", user_name(), machine_name())
}

/// Now, to the second, in universal time.
pub(super) fn now_text() -> String {
    let now = OffsetDateTime::now_utc();
    now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default()
}
