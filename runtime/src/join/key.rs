//! The key of a machine that joins, kept beside what it will be until the join is complete.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::JoinError;
use crate::durable_file;

const PRIVATE_MODE: u32 = 0o600;

/// A key that is on the disk.
pub struct StagedKey {
    key: KeyPair,
}

impl StagedKey {
    /// The key in that file, or a new one that is written there first.
    pub fn at(path: &Path) -> Result<StagedKey, JoinError> {
        let bad = |why: String| JoinError::Key { path: path.to_owned(), why };
        match fs::read_to_string(path) {
            Ok(text) => {
                Ok(StagedKey { key: KeyPair::from_pem(&text).map_err(|error| bad(error.to_string()))? })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key =
                    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| bad(error.to_string()))?;
                durable_file::replace(path, key.serialize_pem().as_bytes(), PRIVATE_MODE)
                    .map_err(JoinError::file("write", path))?;
                Ok(StagedKey { key })
            }
            Err(error) => Err(JoinError::file("read", path)(error)),
        }
    }

    /// A signing request (DER).
    pub fn request(&self) -> Result<Vec<u8>, JoinError> {
        let request = CertificateParams::default().serialize_request(&self.key);
        let request =
            request.map_err(|error| JoinError::Key { path: PathBuf::new(), why: error.to_string() })?;
        Ok(request.der().to_vec())
    }

    /// The key: secret.
    pub fn pem(&self) -> String {
        self.key.serialize_pem()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.pem");
        let first = StagedKey::at(&path).expect("made").pem();
        assert_eq!(StagedKey::at(&path).expect("read").pem(), first);
        assert_eq!(fs::metadata(&path).expect("a file").permissions().mode() & 0o777, PRIVATE_MODE);
        fs::write(&path, "torn").expect("written");
        let error = StagedKey::at(&path).err().expect("refused").to_string();
        assert!(error.contains("remove the file"), "{error}");
    }
}
