//! Earlier generations of the inventory, one file each, named by their number. The newest ones are kept.

use std::path::PathBuf;

use dkc_inventory::generation::Generation;
use dkc_inventory::model::Inventory;

use super::{Store, files, parse};
use crate::error::{CommandError, codes};

/// Generations kept: some weeks of work, a few megabytes at most.
pub const GENERATIONS_MAX: usize = 50;

/// One kept generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub generation: Generation,
    pub file: PathBuf,
}

impl Store {
    /// The kept generations, oldest first.
    pub fn generations(&self) -> Result<Vec<Kept>, CommandError> {
        let dir = self.generations_dir();
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(files::cannot(&codes::INVENTORY_UNREADABLE, "read", &dir, &e)),
        };
        let mut kept: Vec<Kept> = entries
            .filter_map(|entry| {
                let file = entry.ok()?.path();
                let generation = file.file_name()?.to_str()?.strip_suffix(".yaml")?.parse().ok()?;
                Some(Kept { generation, file })
            })
            .collect();
        kept.sort_by_key(|k| k.generation);
        Ok(kept)
    }

    /// Reads a kept generation.
    pub fn load_generation(&self, generation: Generation) -> Result<Inventory, CommandError> {
        let file = self.generation_file(generation);
        let text = files::read(&file)?.ok_or_else(|| {
            CommandError::new(&codes::GENERATION_UNKNOWN, format!("generation {generation} is not kept"))
                .next("history")
        })?;
        parse(&text, &file)
    }

    /// Keeps the inventory that is about to be replaced, and deletes the oldest generations.
    pub(super) fn keep(&self, text: &str) -> Result<(), CommandError> {
        files::make_private_dir(&self.generations_dir())?;
        let generation = parse(text, &self.inventory_file())?.generation;
        files::replace(&self.generation_file(generation), text)?;
        let kept = self.generations()?;
        for old in &kept[..kept.len().saturating_sub(GENERATIONS_MAX)] {
            // A leftover file does no harm.
            let _ = std::fs::remove_file(&old.file);
        }
        Ok(())
    }

    fn generations_dir(&self) -> PathBuf {
        self.dir.join("generations")
    }

    fn generation_file(&self, generation: Generation) -> PathBuf {
        self.generations_dir().join(format!("{generation}.yaml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_generations_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path().join("inventory"));
        let locked = store.lock("test").unwrap();
        let mut inventory = store.load().unwrap();
        for generation in 1..=60 {
            inventory.generation = Generation::new(generation);
            locked.save(&inventory).unwrap();
        }
        let kept: Vec<u64> = store.generations().unwrap().iter().map(|k| k.generation.number()).collect();
        assert_eq!((kept.first(), kept.last(), kept.len()), (Some(&10), Some(&59), GENERATIONS_MAX));
        assert_eq!(store.load_generation(Generation::new(59)).unwrap().generation, Generation::new(59));
        assert_eq!(store.load_generation(Generation::new(3)).unwrap_err().exit, crate::error::Exit::Unknown);
    }
}
