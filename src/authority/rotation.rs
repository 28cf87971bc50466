//! Replaces an authority so that every node trusts the signing one at all times. Three idempotent steps on disk: the next
//! authority is created (`next.pem`, `next.key`) and both are trusted; the next one signs and the previous one stays trusted
//! (`previous.pem`); the previous one is removed.

use std::path::Path;

use dkc_core::ids::{ClusterId, ClusterName};

use super::{Authority, AuthorityError, CERTIFICATE, KEY, make_in, read, sync_directory_of, write};

const NEXT_CERTIFICATE: &str = "next.pem";
const NEXT_KEY: &str = "next.key";
const PREVIOUS_CERTIFICATE: &str = "previous.pem";

/// Progress of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    None,
    /// The next authority exists and does not sign yet.
    Begun,
    /// The next authority signs; the previous one is still trusted.
    Switched,
}

pub fn rotation(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<Rotation, AuthorityError> {
    // Completes a switch that was interrupted.
    Authority::open(root, cluster, id)?;
    let dir = root.join(cluster.as_str());
    let has = |name: &str| dir.join(name).exists();
    Ok(match (has(NEXT_CERTIFICATE) && has(NEXT_KEY), has(PREVIOUS_CERTIFICATE)) {
        (true, _) => Rotation::Begun,
        (false, true) => Rotation::Switched,
        (false, false) => Rotation::None,
    })
}

/// Creates the next authority, unless a rotation is in progress.
pub fn begin_rotation(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<(), AuthorityError> {
    match rotation(root, cluster, id)? {
        Rotation::None => make_in(&root.join(cluster.as_str()), id, NEXT_CERTIFICATE, NEXT_KEY),
        Rotation::Begun | Rotation::Switched => Ok(()),
    }
}

/// From now on the next authority signs.
pub fn switch(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<(), AuthorityError> {
    if rotation(root, cluster, id)? != Rotation::Begun {
        return Ok(());
    }
    let dir = root.join(cluster.as_str());
    write(&dir.join(PREVIOUS_CERTIFICATE), &read(&dir.join(CERTIFICATE))?, 0o644)?;
    rename(&dir, NEXT_KEY, KEY)?;
    complete_switch(&dir)
}

/// Removes the previous authority.
pub fn end_rotation(root: &Path, cluster: &ClusterName, id: ClusterId) -> Result<(), AuthorityError> {
    if rotation(root, cluster, id)? != Rotation::Switched {
        return Ok(());
    }
    let dir = root.join(cluster.as_str());
    let path = dir.join(PREVIOUS_CERTIFICATE);
    let removed = std::fs::remove_file(&path);
    removed.map_err(|source| AuthorityError::File { what: "remove", path: path.clone(), source })?;
    sync_directory_of(&path)
}

/// Completes a switch that was interrupted between moving the key and moving the certificate.
pub(super) fn complete_switch(dir: &Path) -> Result<(), AuthorityError> {
    let has = |name: &str| dir.join(name).exists();
    match has(NEXT_CERTIFICATE) && !has(NEXT_KEY) && has(PREVIOUS_CERTIFICATE) {
        true => rename(dir, NEXT_CERTIFICATE, CERTIFICATE),
        false => Ok(()),
    }
}

/// Trust anchors besides the signing authority; empty outside a rotation.
pub(super) fn other_anchor(dir: &Path, own_pem: &str) -> Result<String, AuthorityError> {
    let is_begun = dir.join(NEXT_KEY).exists();
    let path = dir.join(if is_begun { NEXT_CERTIFICATE } else { PREVIOUS_CERTIFICATE });
    if !path.exists() {
        return Ok(String::new());
    }
    let other = read(&path)?;
    Ok(if other == own_pem { String::new() } else { other })
}

fn rename(dir: &Path, from: &str, to: &str) -> Result<(), AuthorityError> {
    let path = dir.join(to);
    let renamed = std::fs::rename(dir.join(from), &path);
    renamed.map_err(|source| AuthorityError::File { what: "replace", path: path.clone(), source })?;
    sync_directory_of(&path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn both_are_trusted_until_the_one_before_is_forgotten_and_every_step_can_be_repeated() {
        let root = tempfile::tempdir().unwrap();
        let (root, name) = (root.path(), "c0".parse().unwrap());
        let id: ClusterId = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11".parse().unwrap();
        let old = Authority::make(root, &name, id, true).err();
        assert!(matches!(old, Some(AuthorityError::Founded { .. })));
        let old = Authority::make(root, &name, id, false).unwrap();
        let check = |want: Rotation, signs_old: bool, anchors: usize| {
            assert_eq!(rotation(root, &name, id).unwrap(), want);
            let now = Authority::open(root, &name, id).unwrap();
            assert_eq!(now.key_id == old.key_id, signs_old);
            assert_eq!(now.anchors_pem.matches("BEGIN").count(), anchors);
            assert!(now.anchors_pem.contains(&old.anchors_pem) || anchors == 1);
        };
        check(Rotation::None, true, 1);
        switch(root, &name, id).unwrap();
        end_rotation(root, &name, id).unwrap();
        check(Rotation::None, true, 1);
        for _ in 0..2 {
            begin_rotation(root, &name, id).unwrap();
            check(Rotation::Begun, true, 2);
        }
        for _ in 0..2 {
            switch(root, &name, id).unwrap();
            begin_rotation(root, &name, id).unwrap();
            check(Rotation::Switched, false, 2);
        }
        for _ in 0..2 {
            end_rotation(root, &name, id).unwrap();
            check(Rotation::None, false, 1);
        }
        assert_eq!(files(&root.join("c0")), ["ca.key", "ca.pem"]);
    }

    #[test]
    fn a_switch_that_was_interrupted_anywhere_is_completed_or_begins_again() {
        let id: ClusterId = "0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a11".parse().unwrap();
        let name: ClusterName = "c0".parse().unwrap();
        let check = |interrupt: &dyn Fn(&Path), want: Rotation| {
            let root = tempfile::tempdir().unwrap();
            Authority::make(root.path(), &name, id, false).unwrap();
            begin_rotation(root.path(), &name, id).unwrap();
            interrupt(&root.path().join("c0"));
            assert_eq!(rotation(root.path(), &name, id).unwrap(), want);
            switch(root.path(), &name, id).unwrap();
            assert_eq!(rotation(root.path(), &name, id).unwrap(), Rotation::Switched);
            assert_eq!(files(&root.path().join("c0")), ["ca.key", "ca.pem", "previous.pem"]);
        };
        let copy = |dir: &Path| {
            std::fs::copy(dir.join("ca.pem"), dir.join("previous.pem")).unwrap();
        };
        let rename_key = |dir: &Path| std::fs::rename(dir.join("next.key"), dir.join("ca.key")).unwrap();
        check(&|_| {}, Rotation::Begun);
        check(&copy, Rotation::Begun);
        check(
            &|dir| [&copy as &dyn Fn(&Path), &rename_key].iter().for_each(|step| step(dir)),
            Rotation::Switched,
        );
    }
}
