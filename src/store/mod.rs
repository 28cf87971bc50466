//! The inventory directory: the inventory, its lock, earlier generations and the audit log.
//!
//! *Invariant:* `inventory.yaml` is only ever replaced as a whole, by the holder of the lock, after the generation
//! it replaces was kept. A file that cannot be read is an error; no older copy is used silently.

pub mod audit;
mod files;
mod generations;
mod lock;
mod staged;
mod state;

use std::path::{Path, PathBuf};

use dkc_inventory::model::Inventory;
use dkc_inventory::yaml;

use crate::error::{CommandError, codes};

pub use generations::GENERATIONS_MAX;
pub use lock::Locked;
pub use staged::Staged;
pub use state::{history_file, holder};

/// Marks a playground's inventory, whose nodes do not use systemd.
pub const SUPERVISED_MARKER: &str = ".supervised";
/// The inventory's file inside its directory.
pub const INVENTORY_FILE: &str = "inventory.yaml";

/// The inventory directory. Creating the value opens no file.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    pub fn at(dir: PathBuf) -> Store {
        Store { dir }
    }

    /// The given directory, else `dkc` in the user's configuration directory.
    pub fn choose(given: Option<PathBuf>) -> Result<Store, CommandError> {
        if let Some(dir) = given {
            return Ok(Store::at(dir));
        }
        let directories = directories::ProjectDirs::from("", "", "dkc").ok_or_else(|| {
            CommandError::new(&codes::INVENTORY_UNREADABLE, "no home directory for the inventory")
                .next("set one with --inventory PATH or $DKC_INVENTORY")
        })?;
        Ok(Store::at(directories.config_dir().to_owned()))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Whether its nodes always run under dkcd's own supervisor.
    pub fn is_supervised(&self) -> bool {
        self.dir.join(SUPERVISED_MARKER).exists()
    }

    pub fn inventory_file(&self) -> PathBuf {
        self.dir.join(INVENTORY_FILE)
    }

    /// The keys and certificates of the clusters' authorities: `authority/<cluster>/`.
    pub fn authority_dir(&self) -> PathBuf {
        self.dir.join("authority")
    }

    /// Journals of operations, one file each.
    pub fn journal_dir(&self) -> PathBuf {
        self.dir.join("journal")
    }

    /// Reads the inventory. A directory without one is an empty inventory.
    pub fn load(&self) -> Result<Inventory, CommandError> {
        match files::read(&self.inventory_file())? {
            Some(text) => parse(&text, &self.inventory_file()).map_err(|error| self.with_offer(error)),
            None => Ok(Inventory::empty()),
        }
    }

    /// Takes the lock for `what` (the line as typed), or reports its holder.
    pub fn lock(&self, what: &str) -> Result<Locked, CommandError> {
        files::make_private_dir(&self.dir)?;
        Locked::take(self.clone(), what)
    }

    /// A broken file: names the generation that can be restored.
    fn with_offer(&self, error: CommandError) -> CommandError {
        let newest = self.generations().ok().and_then(|kept| kept.last().map(|k| k.generation));
        let file = self.inventory_file();
        match newest {
            Some(generation) => {
                error.now(format!("nothing changed; generation {generation} is intact")).next(format!(
                    "correct {}, or restore generation {generation}: undo --broken",
                    file.display()
                ))
            }
            None => error.now("nothing changed; no earlier generation is kept").next("correct the file"),
        }
    }
}

/// The inventory that a file's text means.
fn parse(text: &str, file: &Path) -> Result<Inventory, CommandError> {
    Ok(yaml::parse(text, &file.display().to_string())?)
}
