//! Staged membership changes: one file per cluster next to the inventory. *Invariant:* every change of a stage increments
//! its version and discarding does not reset it, so a version always denotes the same change.

use dkc_core::ids::{ClusterName, MemberNo, NodeAddress};
use serde::{Deserialize, Serialize};

use super::{Locked, Store, files};
use crate::error::{CommandError, codes};

const STAGED_DIR: &str = "staged";

/// The members to join and to leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staged {
    pub version: u64,
    #[serde(default)]
    pub come: Vec<NodeAddress>,
    #[serde(default)]
    pub leave: Vec<MemberNo>,
}

impl Staged {
    pub fn is_empty(&self) -> bool {
        self.come.is_empty() && self.leave.is_empty()
    }

    /// The change in the words of the commands.
    pub fn words(&self) -> String {
        let come: Vec<String> = self.come.iter().map(|address| address.to_string()).collect();
        let leave: Vec<String> = self.leave.iter().map(|number| format!("No.{number}")).collect();
        match (come.is_empty(), leave.is_empty()) {
            (false, true) => format!("grow by {}", come.join(" ")),
            (true, false) => format!("shrink by {}", leave.join(" ")),
            _ => format!("grow by {}, shrink by {}", come.join(" "), leave.join(" ")),
        }
    }
}

impl Store {
    fn staged_file(&self, cluster: &ClusterName) -> std::path::PathBuf {
        self.dir().join(STAGED_DIR).join(format!("{cluster}.yaml"))
    }

    pub fn staged(&self, cluster: &ClusterName) -> Result<Option<Staged>, CommandError> {
        let path = self.staged_file(cluster);
        let Some(text) = files::read(&path)? else { return Ok(None) };
        serde_yaml::from_str(&text).map(Some).map_err(|error| {
            CommandError::new(&codes::INVENTORY_BROKEN, format!("{}: {error}", path.display()))
                .now("nothing changed")
                .next(format!("plan discard -n {cluster}"))
        })
    }
}

impl Locked {
    /// Adds to the staged change; returns its new version.
    pub fn stage(
        &self,
        cluster: &ClusterName,
        come: &[NodeAddress],
        leave: &[MemberNo],
    ) -> Result<Staged, CommandError> {
        let present = self.store().staged(cluster)?;
        let mut staged = present.unwrap_or(Staged { version: 0, come: Vec::new(), leave: Vec::new() });
        staged.version += 1;
        staged.come.extend(come.iter().filter(|new| !staged.come.contains(new)).cloned().collect::<Vec<_>>());
        staged
            .leave
            .extend(leave.iter().filter(|new| !staged.leave.contains(new)).copied().collect::<Vec<_>>());
        let path = self.store().staged_file(cluster);
        files::make_private_dir(&self.store().dir().join(STAGED_DIR))?;
        write(&path, &staged)?;
        Ok(staged)
    }

    /// Discards the staged change but keeps its version; succeeds if nothing is staged.
    pub fn discard_staged(&self, cluster: &ClusterName) -> Result<(), CommandError> {
        let path = self.store().staged_file(cluster);
        let version = match self.store().staged(cluster) {
            Ok(None) => return Ok(()),
            Ok(Some(staged)) => staged.version,
            // Discarding must also work for an unreadable file.
            Err(_) => 0,
        };
        write(&path, &Staged { version, come: Vec::new(), leave: Vec::new() })
    }
}

fn write(path: &std::path::Path, staged: &Staged) -> Result<(), CommandError> {
    let text = serde_yaml::to_string(staged).map_err(|error| CommandError::bug(error.to_string()))?;
    files::replace(path, &text)
}
