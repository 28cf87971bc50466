//! The deployed program: this executable without its debug information. A node needs only the loaded segments; what follows them
//! in the file (symbols, line tables) stays here for `dkc symbolize`.
//! *Invariant:* the digest is that of the bytes that run on a host, however they were transferred; stripping is idempotent.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use flate2::Compression;
use flate2::write::GzEncoder;
use object::elf::{EM_AARCH64, EM_RISCV, EM_X86_64, FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{LittleEndian, pod};
use parking_lot::Mutex;

use super::WorldError;
use super::digest::digest_of;

/// Hex digits of the digest in the name of a program's directory.
pub const SHORT_DIGEST: usize = 16;

/// A program as deployed, with its digest.
#[derive(Debug)]
pub struct Program {
    /// SHA-256 of `bytes`, 64 hex digits.
    pub digest: String,
    pub bytes: Vec<u8>,
    packed: OnceLock<Vec<u8>>,
}

impl Program {
    pub fn read(path: &Path) -> Result<Self, WorldError> {
        let here = |source| WorldError::Here { what: format!("read {}", path.display()), source };
        let bytes = stripped(std::fs::read(path).map_err(here)?);
        Ok(Program { digest: digest_of(&bytes), bytes, packed: OnceLock::new() })
    }

    /// This program, which is also the deployed one. Read once.
    pub fn own() -> Result<&'static Self, WorldError> {
        static OWN: OnceLock<Program> = OnceLock::new();
        if let Some(program) = OWN.get() {
            return Ok(program);
        }
        let program = Program::read(Path::new("/proc/self/exe"))?;
        Ok(OWN.get_or_init(|| program))
    }

    /// The program in a file, if it is the one that a plan means. The last one is kept, since every host gets the same.
    pub fn in_file(path: &Path, short_digest: &str) -> Result<Arc<Self>, WorldError> {
        static LAST: Mutex<Option<Arc<Program>>> = Mutex::new(None);
        let mut last = LAST.lock();
        if let Some(program) = last.as_ref().filter(|program| program.short_digest() == short_digest) {
            return Ok(program.clone());
        }
        let program = Arc::new(Program::read(path)?);
        *last = Some(program.clone());
        Ok(program)
    }

    /// As `uname -m` prints it; `None` for a file that is no program for Linux, or for a machine that dkc is not built for.
    pub fn architecture(&self) -> Option<&'static str> {
        let header = FileHeader64::<LittleEndian>::parse(self.bytes.as_slice()).ok()?;
        match header.e_machine.get(LittleEndian) {
            EM_X86_64 => Some("x86_64"),
            EM_AARCH64 => Some("aarch64"),
            EM_RISCV => Some("riscv64"),
            _ => None,
        }
    }

    /// Its directory name below `bin/`.
    pub fn short_digest(&self) -> &str {
        &self.digest[..SHORT_DIGEST]
    }

    /// Compressed with gzip, which every host can decompress; computed once.
    pub fn packed(&self) -> &[u8] {
        self.packed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            // Writing into memory cannot fail.
            let _ = encoder.write_all(&self.bytes);
            encoder.finish().unwrap_or_default()
        })
    }
}

/// The loaded part of an ELF program, with a header that no longer refers to sections. Any other file is left unchanged.
fn stripped(mut file: Vec<u8>) -> Vec<u8> {
    let Some(end) = loaded_bytes(&file).filter(|end| *end < file.len()) else { return file };
    file.truncate(end);
    if let Ok((header, _)) = pod::from_bytes_mut::<FileHeader64<LittleEndian>>(&mut file) {
        header.e_shoff = Default::default();
        header.e_shentsize = Default::default();
        header.e_shnum = Default::default();
        header.e_shstrndx = Default::default();
    }
    file
}

fn loaded_bytes(file: &[u8]) -> Option<usize> {
    let header = FileHeader64::<LittleEndian>::parse(file).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, file).ok()?;
    let loaded = segments.iter().filter(|segment| segment.p_type(endian) == PT_LOAD);
    let ends = loaded.map(|segment| segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    usize::try_from(ends.max()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_without_its_debug_information_is_small_runs_and_is_stripped_no_further() {
        let own = std::env::current_exe().unwrap();
        let whole = std::fs::read(&own).unwrap();
        let small = stripped(whole.clone());
        assert!(small.len() < whole.len() / 2, "{} of {} bytes", small.len(), whole.len());
        assert_eq!(stripped(small.clone()), small);
        let program = Program { digest: String::new(), bytes: small.clone(), packed: OnceLock::new() };
        assert_eq!(program.architecture(), Some(std::env::consts::ARCH));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("small");
        std::fs::write(&path, &small).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let output = std::process::Command::new(&path).arg("--list").output().unwrap();
        assert!(output.status.success());
        assert!(String::from_utf8_lossy(&output.stdout).contains("is_stripped_no_further: test"));
    }

    #[test]
    fn what_is_no_elf_program_stays_as_it_is() {
        for text in [
            "",
            "#!/bin/sh\n",
            "\x7fELF",
            "\x7fELF\x02\x01\x01 and then nothing that makes sense at all........",
        ] {
            assert_eq!(stripped(text.as_bytes().to_vec()), text.as_bytes());
            let program =
                Program { digest: String::new(), bytes: text.as_bytes().to_vec(), packed: OnceLock::new() };
            assert_eq!(program.architecture(), None);
        }
    }

    #[test]
    fn what_is_packed_is_the_program() {
        let mut unpacked = Vec::new();
        let program = Program { digest: String::new(), bytes: vec![7; 100_000], packed: OnceLock::new() };
        assert!(program.packed().len() < 1000);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(program.packed()), &mut unpacked)
            .unwrap();
        assert_eq!(unpacked, program.bytes);
    }
}
