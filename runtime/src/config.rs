//! A node's configuration: reading `node.yaml`, the configuration in use, and reloading it while the node runs.
//!
//! *Invariant:* a reload applies completely or not at all. Parameters that need a restart never change while a node runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dkc_core::config::{BadConfig, NodeConfig, Parameters, layout};
use dkc_core::control::ControlReply;
use parking_lot::{Mutex, RwLock};

use crate::control::refusal;
use crate::logging;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {source}; is this a node's directory?", path.display())]
    NoConfig { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Bad(#[from] BadConfig),
}

/// Reads and checks the configuration of the node in `directory`.
pub fn read(directory: &Path) -> Result<NodeConfig, ConfigError> {
    let path = directory.join(layout::CONFIG);
    let text = std::fs::read_to_string(&path)
        .map_err(|source| ConfigError::NoConfig { path: path.clone(), source })?;
    Ok(NodeConfig::parse(&text, &path.display().to_string())?)
}

/// The configuration in use, shared by all parts of the node.
#[derive(Clone)]
pub struct InUse(Arc<Inner>);

struct Inner {
    directory: PathBuf,
    config: RwLock<Arc<NodeConfig>>,
    /// Held during a reload: of two concurrent reloads the second reads the file later.
    reloading: Mutex<()>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("{} differ from what is in use and need a restart; nothing was changed", .0.join(", "))]
    RestartNeeded(Vec<&'static str>),
    #[error("invalid log_level '{0}'; nothing was changed")]
    LogLevel(String),
}

impl InUse {
    pub fn new(directory: &Path, mut config: NodeConfig) -> InUse {
        // What has no effect needs no restart to go.
        config.parameters.retired_cache_bytes = None;
        InUse(Arc::new(Inner {
            directory: directory.to_owned(),
            config: RwLock::new(Arc::new(config)),
            reloading: Mutex::default(),
        }))
    }

    pub fn config(&self) -> Arc<NodeConfig> {
        self.0.config.read().clone()
    }

    /// The text for status.
    pub fn text(&self) -> Option<String> {
        Some(self.config().to_yaml())
    }

    /// Reads the file again. `apply` gives new values to the parts that keep their own copies; it cannot fail.
    pub fn reload(&self, apply: impl Fn(&Parameters)) -> Result<Vec<&'static str>, ReloadError> {
        let _alone = self.0.reloading.lock();
        let mut wanted = read(&self.0.directory)?;
        wanted.parameters.retired_cache_bytes = None;
        let change = self.config().change_to(&wanted);
        if !change.restart_needed.is_empty() {
            return Err(ReloadError::RestartNeeded(change.restart_needed));
        }
        let level = &wanted.parameters.log_level;
        // The only one that may still be invalid, so it comes first.
        logging::set_level(level).map_err(|_| ReloadError::LogLevel(level.clone()))?;
        logging::set_format(wanted.parameters.log_format);
        apply(&wanted.parameters);
        *self.0.config.write() = Arc::new(wanted);
        tracing::info!(changed = change.dynamic.join(", "), "configuration reloaded");
        Ok(change.dynamic)
    }

    /// Answers the control request.
    pub async fn answer(&self, apply: impl Fn(&Parameters) + Send + 'static) -> ControlReply {
        let in_use = self.clone();
        // Reading a file may block on a slow disk.
        match crate::task::spawn_blocking(move || in_use.reload(apply)).await {
            Ok(Ok(changed)) => {
                ControlReply::Reloaded { changed: changed.into_iter().map(str::to_owned).collect() }
            }
            Ok(Err(error)) => refusal(format!("not reloaded: {error}")),
            Err(_) => refusal("not reloaded: the node is stopping"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "\
version: 1
cluster: c0
cluster_id: 11111111-1111-4111-8111-111111111111
node_uuid: 33333333-3333-4333-8333-333333333331
role:
  slave:
    id: 0
    pairs: []
servers:
- {number: 1, node_id: 1, node_uuid: 22222222-2222-4222-8222-222222222221, address: 10.77.0.11:8020}
parameters:
  heartbeat_ms: 75
  merge_incoming_max: 2
";

    #[test]
    fn a_reload_takes_over_all_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = NodeConfig::parse(CONFIG, "node.yaml").expect("a good one");
        let in_use = InUse::new(folder.path(), config.clone());
        let applied = Mutex::new(Vec::new());
        let check = |text: &str, want: Result<&[&str], &str>| {
            std::fs::write(folder.path().join(layout::CONFIG), text).expect("room for a file");
            let apply = |parameters: &Parameters| {
                applied.lock().push(parameters.merge_incoming_max);
            };
            match (in_use.reload(apply), want) {
                (Ok(changed), Ok(want)) => assert_eq!(changed, want),
                (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
                (got, want) => panic!("{got:?}, not {want:?}"),
            }
        };
        check(CONFIG, Ok(&[]));
        check(&format!("{CONFIG}  cache_bytes: 16777216\n"), Ok(&[]));
        let more = CONFIG.replace("merge_incoming_max: 2", "merge_incoming_max: 5");
        check(&more, Ok(&["merge_incoming_max"]));
        check(
            &more.replace("_max: 5", "_max: 999"),
            Err("node.yaml:13:3: merge_incoming_max is a number from 1"),
        );
        let both = CONFIG.replace("heartbeat_ms: 75", "heartbeat_ms: 70");
        check(&both, Err("heartbeat_ms differ from what is in use and need a restart; nothing was changed"));
        check(&format!("{more}  log_level: 'info,=,'\n"), Err("invalid log_level 'info,=,'"));
        check("version: 1", Err("missing field"));
        std::fs::remove_file(folder.path().join(layout::CONFIG)).expect("it was there");
        assert!(in_use.reload(|_| panic!("nothing is applied")).is_err(), "no file");
        assert_eq!(in_use.config().parameters.merge_incoming_max, 5, "the last good one stays");
        assert_eq!(*applied.lock(), [2, 2, 5], "what is refused reaches nobody");
    }
}
