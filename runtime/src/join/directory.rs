//! A slave's directory, made from a token: under another name first, then renamed. It is there whole or not at all.
//!
//! ```text
//! DIR.joining/   0700, until the join is complete: the key, then everything else
//! DIR/           a node's directory as a deploy makes it, without the link to the program
//! ```

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dkc_core::certificate::shown;
use dkc_core::config::{NodeConfig, layout};

use super::{JoinError, NewSlave, StagedKey, WantedPair, enrol_somewhere, read_token};
use crate::daemon::{DirectoryLock, initialise};
use crate::durable_file;
use crate::net::{Identity, NodeRole, Tls};

const PRIVATE_DIR_MODE: u32 = 0o700;
const PRIVATE_MODE: u32 = 0o600;
const PUBLIC_MODE: u32 = 0o644;
const CONFIG_MODE: u32 = 0o640;
/// In the directory of a join that is not complete.
const KEY_FILE: &str = "join.key";
const JOINING_SUFFIX: &str = ".joining";

/// Makes the directory of a slave, unless it is there: then the token is not read. True if the machine has joined now.
pub async fn join_directory(directory: &Path, token: &Path, wanted: &WantedPair) -> Result<bool, JoinError> {
    if directory.join(layout::CONFIG).exists() {
        return Ok(false);
    }
    check_free(directory)?;
    let token = read_token(token)?;
    let staging = beside(directory);
    make_directory(&staging)?;
    // It may have been there.
    fs::set_permissions(&staging, Permissions::from_mode(PRIVATE_DIR_MODE))
        .map_err(JoinError::file("protect", &staging))?;
    let _lock = DirectoryLock::take(&staging.join(layout::DAEMON_LOCK))?;
    let key_path = staging.join(KEY_FILE);
    let key = StagedKey::at(&key_path)?;
    let enrolled = enrol_somewhere(&token, &key).await?;
    let slave = NewSlave::of(&token, &key, enrolled, wanted)?;
    write(&staging, &slave)?;
    remove(&key_path)?;
    appear(&staging, directory)?;
    Ok(true)
}

fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(JOINING_SUFFIX);
    name.into()
}

/// Nothing is there, or an empty directory.
fn check_free(directory: &Path) -> Result<(), JoinError> {
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(JoinError::Occupied { path: directory.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(JoinError::file("read", directory)(error)),
    }
}

fn make_directory(path: &Path) -> Result<(), JoinError> {
    let made = DirBuilder::new().recursive(true).mode(PRIVATE_DIR_MODE).create(path);
    made.map_err(JoinError::file("make", path))
}

/// Everything but the program's link. Refused if the files do not fit together.
fn write(directory: &Path, slave: &NewSlave) -> Result<(), JoinError> {
    let config = &slave.config;
    for name in [layout::TLS_DIR, layout::RUN_DIR, layout::LOG_DIR] {
        make_directory(&directory.join(name))?;
    }
    let text = format!("# Written by dkcd slave --join.\n{}", config.to_yaml());
    let files: [(&str, &str, u32); 5] = [
        (layout::NODE_MARKER, &format!("{}\n", config.node_uuid), CONFIG_MODE),
        (layout::TLS_CERT, &slave.node_pem, PRIVATE_MODE),
        (layout::TLS_CERT_SHOWN, &shown(&slave.node_pem), PUBLIC_MODE),
        (layout::TLS_CA, &slave.anchors_pem, PUBLIC_MODE),
        (layout::CONFIG, &text, CONFIG_MODE),
    ];
    for (name, content, mode) in files {
        let path = directory.join(name);
        durable_file::replace(&path, content.as_bytes(), mode).map_err(JoinError::file("write", &path))?;
    }
    initialise(directory, config.node_uuid)?;
    Tls::load(directory, identity(config))?;
    Ok(())
}

fn identity(config: &NodeConfig) -> Identity {
    Identity { cluster: config.cluster_id, role: NodeRole::Slave, node: config.node_uuid }
}

fn remove(path: &Path) -> Result<(), JoinError> {
    fs::remove_file(path).map_err(JoinError::file("remove", path))
}

/// From now on the machine is a slave, also after a power cut.
fn appear(staging: &Path, directory: &Path) -> Result<(), JoinError> {
    fs::rename(staging, directory).map_err(JoinError::file("rename to", directory))?;
    durable_file::sync_directory_of(directory).map_err(JoinError::file("sync", directory))
}

#[cfg(test)]
mod tests {
    use dkc_core::config::Protocol;

    use super::*;

    fn join(directory: &Path, token: &Path) -> Result<bool, JoinError> {
        let wanted = WantedPair { listen: None, protocol: Protocol::Memcache, namespace: None };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(join_directory(directory, token, &wanted))
    }

    #[test]
    fn a_directory_that_is_there_needs_no_token_and_another_one_is_not_touched() {
        let folder = tempfile::tempdir().expect("a folder");
        let (directory, token) = (folder.path().join("slave"), folder.path().join("no such token"));
        let error = join(&directory, &token).expect_err("no token").to_string();
        assert!(error.contains("cannot read") && error.contains("no such token"), "{error}");
        fs::create_dir(&directory).expect("a folder");
        fs::write(directory.join("precious"), "x").expect("written");
        let error = join(&directory, &token).expect_err("occupied").to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(fs::read(directory.join("precious")).expect("still there"), b"x");
        fs::write(directory.join(layout::CONFIG), "").expect("written");
        assert!(!join(&directory, &token).expect("joined before"));
    }

    #[test]
    fn what_is_no_token_is_refused_before_anything_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (directory, token) = (folder.path().join("slave"), folder.path().join("token"));
        for (text, want) in
            [("hunter2", "not a token"), ("dkc-token-1.AAAA", "damaged or incomplete"), ("", "not a token")]
        {
            fs::write(&token, text).expect("written");
            let error = join(&directory, &token).expect_err("refused");
            assert!(error.to_string().contains(want) && !error.to_string().contains("hunter2"), "{error}");
            assert_eq!(error.exit_status(), crate::fatal::EXIT_CONFIG);
        }
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1, "only the token");
    }
}
