//! Files on a host: read, atomic writes, program uploads. *Invariant:* a file appears under its name only after it is
//! complete, synced and verified by digest on the host; a lost connection leaves `NAME.part-OPERATION`, which the next
//! attempt overwrites.

use std::time::Duration;

use super::digest::digest_of;
use super::program::Program;
use super::{Host, Input, OnBytes, STEP_LIMIT, Script, WorldError};

/// Enough for 15 MB at 25 kB/s.
const UPLOAD_LIMIT: Duration = Duration::from_secs(600);
/// Exit status of our scripts if a file changed since the plan was made.
const STATUS_CHANGED: i32 = 66;

/// Prefix of every script that hashes.
macro_rules! with_digest {
    ($script:literal) => {
        concat!(
            r#"digest() {
  if command -v sha256sum >/dev/null 2>&1; then sha256sum; elif command -v shasum >/dev/null 2>&1; then shasum -a 256
  else openssl dgst -sha256 -r; fi | cut -d' ' -f1
}
settle() { sync "$1" 2>/dev/null || sync; }
"#,
            $script
        )
    };
}

/// $1 path, $2 operation, $3 mode, $4 digest of the new text, $5 digest that must be there: `-` nothing, `*` anything.
const WRITE: &str = with_digest!(
    r#"set -eu
umask 077
present=-
if [ -e "$1" ]; then present=$(digest < "$1"); fi
if [ "$5" != '*' ] && [ "$present" != "$5" ] && [ "$present" != "$4" ]; then exit 66; fi
part="$1.part-$2"
cat > "$part"
got=$(digest < "$part")
if [ "$got" != "$4" ]; then rm -f "$part"; echo "digest mismatch after transfer" >&2; exit 65; fi
chmod "$3" "$part"
settle "$part"
mv -f "$part" "$1"
settle "${1%/*}""#
);

/// $1 path, $2 digest: prints whether the program is present, otherwise how to unpack it.
const HAS_PROGRAM: &str = with_digest!(
    r#"if [ -x "$1" ] && [ "$(digest < "$1")" = "$2" ]; then settle "$1"; settle "${1%/*}"; echo present
elif command -v gzip >/dev/null 2>&1; then echo gzip -dc
else echo cat; fi"#
);

/// $1 directory below bin, $2 program, $3 operation, $4 digest, $5 bytes, $6 what unpacks its input.
const UPLOAD: &str = with_digest!(
    r#"set -eu
umask 022
mkdir -p "$1"
free=$(df -Pk "$1" | awk 'NR==2 {print $4}')
need=$(( $5 / 1024 + 1024 ))
if [ "$free" -lt "$need" ]; then
  echo "no space left on device ($1, $((free / 1024)) MB free, $((need / 1024)) MB needed)" >&2; exit 67
fi
part="$1/$2.part-$3"
$6 > "$part"
got=$(digest < "$part")
if [ "$got" != "$4" ]; then rm -f "$part"; echo "digest mismatch after transfer" >&2; exit 65; fi
chmod 755 "$part"
settle "$part"
mv -f "$part" "$1/$2"
settle "$1"
# The folder is new as well: its name lies in the one above.
settle "${1%/*}""#
);

/// The expected content before a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces<'a> {
    Anything,
    Nothing,
    Digest(&'a str),
}

pub struct NewFile<'a> {
    /// Whose owner writes it.
    pub dir: &'a str,
    pub path: &'a str,
    pub bytes: &'a [u8],
    pub mode: u32,
    pub operation: &'a str,
    pub replaces: Replaces<'a>,
}

impl Host {
    /// Writes the file atomically. A file that already has the new text counts as written.
    pub async fn write_file(&self, file: NewFile<'_>) -> Result<(), WorldError> {
        let (mode, digest) = (format!("{:o}", file.mode), digest_of(file.bytes));
        let replaces = match file.replaces {
            Replaces::Anything => "*",
            Replaces::Nothing => "-",
            Replaces::Digest(digest) => digest,
        };
        let output = self
            .run_as_owner(
                file.dir,
                Script {
                    what: "write file",
                    text: WRITE,
                    arguments: &[file.path, file.operation, &mode, &digest, replaces],
                    input: Input::Bytes(file.bytes),
                    limit: STEP_LIMIT,
                },
            )
            .await?;
        match output.status {
            0 => Ok(()),
            STATUS_CHANGED => {
                Err(WorldError::Changed { host: self.address().clone(), path: file.path.to_owned() })
            }
            status => Err(self.failed("write file", status, &output.stderr)),
        }
    }

    /// Sends the program to `<dir>/<name>` unless it is present. Returns whether it was sent.
    pub async fn upload_program(
        &self,
        upload: Upload<'_>,
        on_bytes: OnBytes<'_>,
    ) -> Result<bool, WorldError> {
        let target = format!("{}/{}", upload.dir, upload.name);
        let present = self
            .must(Script {
                what: "check for the program",
                text: HAS_PROGRAM,
                arguments: &[&target, &upload.program.digest],
                input: Input::Nothing,
                limit: STEP_LIMIT,
            })
            .await?;
        let unpack = match present.text().trim() {
            "present" => return Ok(false),
            // Compression does not pay on this machine.
            "gzip -dc" if !self.is_local() => "gzip -dc",
            _ => "cat",
        };
        let bytes = upload.program.bytes.len().to_string();
        let input = match unpack {
            "cat" => &upload.program.bytes,
            _ => upload.program.packed(),
        };
        self.must(Script {
            what: "program upload",
            text: UPLOAD,
            arguments: &[upload.dir, upload.name, upload.operation, &upload.program.digest, &bytes, unpack],
            input: Input::Pieces { bytes: input, on_bytes },
            limit: UPLOAD_LIMIT,
        })
        .await?;
        Ok(true)
    }

    pub(crate) fn failed(&self, what: &'static str, status: i32, stderr: &[u8]) -> WorldError {
        let stderr = String::from_utf8_lossy(stderr).into_owned();
        WorldError::Failed { host: self.address().clone(), what, status, stderr }
    }
}

pub struct Upload<'a> {
    pub program: &'a Program,
    pub dir: &'a str,
    pub name: &'a str,
    pub operation: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::local::LocalHost;
    use std::sync::Arc;

    fn host() -> Host {
        Host::Local(Arc::new(LocalHost::new("127.0.0.1".parse().unwrap())))
    }

    #[tokio::test]
    async fn a_file_is_written_whole_and_only_over_what_the_plan_saw() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.yaml").display().to_string();
        let host = host();
        let check = async |text: &str, replaces: Replaces<'_>, want: Result<(), &str>| {
            let file = NewFile {
                dir: dir.path().to_str().unwrap(),
                path: &path,
                bytes: text.as_bytes(),
                mode: 0o600,
                operation: "op-1",
                replaces,
            };
            let got = host.write_file(file).await.map_err(|error| error.to_string());
            let want = want.map_err(|end| format!("{path} on 127.0.0.1 {end}"));
            assert_eq!(got, want);
        };
        let changed = Err("has changed since the plan was made");
        let (one, other) = (digest_of(b"one"), digest_of(b"other"));
        check("one", Replaces::Digest(&other), changed).await;
        check("one", Replaces::Nothing, Ok(())).await;
        check("one", Replaces::Nothing, Ok(())).await;
        check("two", Replaces::Nothing, changed).await;
        check("two", Replaces::Digest(&one), Ok(())).await;
        check("three", Replaces::Anything, Ok(())).await;
        assert_eq!(std::fs::read(&path).unwrap(), b"three");
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["node.yaml"]);
    }

    #[tokio::test]
    async fn a_program_is_sent_once() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source");
        std::fs::write(&source, "#!/bin/sh\necho hello\n").unwrap();
        let program = Program::read(&source).unwrap();
        let bin = dir.path().join("bin").join(program.short_digest()).display().to_string();
        for want in [true, false] {
            let upload = Upload { program: &program, dir: &bin, name: "dkc", operation: "op-1" };
            assert_eq!(host().upload_program(upload, &|_, _| {}).await.unwrap(), want);
        }
        let output = std::process::Command::new(format!("{bin}/dkc")).output().unwrap();
        assert_eq!(output.stdout, b"hello\n");
    }

    #[tokio::test]
    async fn a_step_that_hangs_ends_at_its_limit() {
        let limit = Duration::from_millis(50);
        let script = Script { what: "nap", text: "sleep 60", arguments: &[], input: Input::Nothing, limit };
        let error = host().run(script).await.unwrap_err();
        assert_eq!(error.to_string(), "nap on 127.0.0.1 did not finish within 0 s");
    }
}
