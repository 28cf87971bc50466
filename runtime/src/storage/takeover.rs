//! Migration of a directory of the previous release, which had a keyspace for each group: its rows are ingested under the
//! incarnation of their group, the catalog of this release is written, and the old keyspaces are removed, at every opening that
//! still finds one.
//!
//! *Invariant:* until the new catalog is written, the old state is untouched and the next start begins again. Afterwards the
//! previous release refuses the directory, because it does not know the catalog's format version.

use std::path::Path;

use fjall::Database;

use super::catalog::{Catalog, FORMAT_VERSION, version_of};
use super::database::{ROWS_KEYSPACE, open_database, rows_keyspace, write_catalog};
use super::{StorageError, StorageOptions, incarnation};

const VERSION_BEFORE: &str = "1";

/// The catalog of this release's format: `text` itself, unless it is of the one before. Any other is refused by whoever
/// reads it.
pub fn take_over(directory: &Path, text: String, options: &StorageOptions) -> Result<String, StorageError> {
    if version_of(&text, directory)? != VERSION_BEFORE {
        return Ok(text);
    }
    let catalog = Catalog::parse_any(&text, directory)?;
    tracing::info!(groups = catalog.groups.len(), "taking over the state of the release before");
    let database = open_database(directory, options, None)?;
    // What an earlier try left.
    remove_keyspaces(&database, |name| name == ROWS_KEYSPACE)?;
    copy_rows(&database, &catalog, directory)?;
    let text = catalog.render();
    write_catalog(directory, &text)?;
    tracing::info!("the state has format {FORMAT_VERSION} now");
    Ok(text)
}

fn copy_rows(database: &Database, catalog: &Catalog, directory: &Path) -> Result<(), StorageError> {
    let rows = rows_keyspace(database)?;
    let error = || StorageError::engine("take over rows");
    let mut groups: Vec<_> = catalog.groups.iter().collect();
    groups.sort_by_key(|(_, entry)| entry.incarnation);
    let mut ingestion = rows.start_ingestion().map_err(error())?;
    for (group, entry) in groups {
        let name = format!("g{group}-{}", entry.incarnation);
        if !database.keyspace_exists(&name) {
            if entry.commits == 0 {
                continue;
            }
            let why = format!("the rows of group {group} are missing");
            return Err(StorageError::Damaged { path: directory.into(), why });
        }
        let old = database.keyspace(&name, Default::default).map_err(error())?;
        for pair in old.iter() {
            let (row, value) = pair.into_inner().map_err(error())?;
            let key = [&incarnation::prefix(entry.incarnation)[..], &row].concat();
            ingestion.write(key, value).map_err(error())?;
        }
    }
    ingestion.finish().map_err(error())
}

pub fn remove_keyspaces(database: &Database, is_removed: impl Fn(&str) -> bool) -> Result<(), StorageError> {
    for name in database.list_keyspace_names().iter().filter(|name| is_removed(name)) {
        let error = || StorageError::engine("remove a keyspace");
        let keyspace = database.keyspace(name, Default::default).map_err(error())?;
        database.delete_keyspace(keyspace).map_err(error())?;
    }
    Ok(())
}
