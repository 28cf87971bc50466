//! What this program speaks and reads, told in its own file, and which program it is by the directory that it lies in.

use std::path::Path;

use dkc_core::control::RunningProgram;
use dkc_core::versions::{DiskFormats, ProgramVersions};

/// Found in the file by `ProgramVersions::told_by`, which needs neither this machine nor a start. A test holds it to the code.
#[used]
static TOLD: &str = concat!(
    "dkc-program-versions: ",
    r#"{"release":""#,
    env!("CARGO_PKG_VERSION"),
    r#"","wire":[1,1],"state":[1,3],"log":[1,1],"meta":[1,4]}"#
);
/// Hex digits in the name of a deployed program's directory.
const DIGEST_DIGITS: usize = 16;

/// What is told, read from there.
pub fn own() -> ProgramVersions {
    let told = std::hint::black_box(TOLD);
    ProgramVersions::told_by(told.as_bytes())
        .unwrap_or_else(|| ProgramVersions::own(env!("CARGO_PKG_VERSION")))
}

/// The program of this process, with what is on its disk.
pub fn running(disk: Option<DiskFormats>) -> RunningProgram {
    let path = std::env::current_exe().ok();
    RunningProgram { digest: path.as_deref().and_then(digest_of_path), versions: own(), disk }
}

/// `/root/bin/<digest>/dkc`
fn digest_of_path(path: &Path) -> Option<String> {
    let folder = path.parent()?.file_name()?.to_str()?;
    let is_digest = folder.len() == DIGEST_DIGITS && folder.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| folder.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_tells_what_the_code_does() {
        assert_eq!(
            ProgramVersions::told_by(TOLD.as_bytes()),
            Some(ProgramVersions::own(env!("CARGO_PKG_VERSION")))
        );
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(ProgramVersions::told_by(&file), Some(own()), "it is in the file");
    }

    #[test]
    fn a_deployed_program_is_known_by_its_directory() {
        let check = |path: &str, want: Option<&str>| {
            assert_eq!(digest_of_path(Path::new(path)).as_deref(), want, "{path}");
        };
        check("/var/lib/dkc/bin/0123456789abcdef/dkc", Some("0123456789abcdef"));
        check("/var/lib/dkc/bin/0123456789abcdef/dkc (deleted)", Some("0123456789abcdef"));
        check("/usr/bin/dkc", None);
        check("/home/target-debug-xyz/dkc", None);
    }
}
