//! The commit that this build is of, for `--version`: `DKC_COMMIT` if it is set, otherwise what git says, otherwise none.

use std::path::Path;
use std::process::Command;

/// Digits of a commit that `--version` shows.
const SHOWN_DIGITS: usize = 9;

fn main() {
    println!("cargo:rerun-if-env-changed=DKC_COMMIT");
    let commit = std::env::var("DKC_COMMIT").ok().or_else(from_git).unwrap_or_default();
    let shown = commit.get(..SHOWN_DIGITS).unwrap_or(&commit);
    let version = env!("CARGO_PKG_VERSION");
    let version = if shown.is_empty() { version.to_owned() } else { format!("{version} ({shown})") };
    println!("cargo:rustc-env=DKC_VERSION={version}");
}

fn from_git() -> Option<String> {
    // A commit, a checkout and a packing of references each touch one of these.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "HEAD"])
}

fn git(words: &[&str]) -> Option<String> {
    let ran = Command::new("git").args(words).output().ok()?;
    let said = String::from_utf8(ran.stdout).ok()?;
    ran.status.success().then(|| said.trim().to_owned())
}
