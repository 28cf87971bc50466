//! The Debian package: what it holds, and that its program runs.

use std::path::Path;
use std::process::Command;

fn run(program: &str, words: &[&str]) -> String {
    // Compressing a debug build well would take longer than the rest.
    let ran = Command::new(program).args(words).env("DKC_DEB_COMPRESSION", "none").output().unwrap();
    assert!(ran.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8(ran.stdout).unwrap()
}

fn packed(into: &Path) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/deb");
    let into = into.to_str().unwrap();
    run(script, &["--program", env!("CARGO_BIN_EXE_dkc"), "--to", into]).trim().to_owned()
}

#[test]
fn the_debian_package_holds_the_program_its_pages_and_its_completions() {
    let folder = tempfile::tempdir().unwrap();
    let package = packed(folder.path());
    let field = |name: &str| run("dpkg-deb", &["--field", &package, name]).trim().to_owned();
    assert!(field("Version").starts_with(env!("CARGO_PKG_VERSION")));
    assert!(field("Depends").contains("openssh-client") && field("Depends").contains("libc6"));
    let tree = folder.path().join("tree");
    run("dpkg-deb", &["--extract", &package, tree.to_str().unwrap()]);
    for file in [
        "share/man/man1/dkc.1.gz",
        "share/man/man1/dkc-deploy.1.gz",
        "share/bash-completion/completions/dkc",
        "share/zsh/vendor-completions/_dkc",
        "share/fish/vendor_completions.d/dkc.fish",
        "share/doc/dkc/copyright",
    ] {
        assert!(tree.join("usr").join(file).is_file(), "{file} is missing");
    }
    let contents = run("dpkg-deb", &["--contents", &package]);
    assert!(contents.lines().all(|line| line.contains("root/root")), "{contents}");
    let program = tree.join("usr/bin/dkc");
    assert_eq!(
        run(program.to_str().unwrap(), &["--version"]),
        run(env!("CARGO_BIN_EXE_dkc"), &["--version"])
    );
}

#[test]
fn a_package_of_no_program_is_refused() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/deb");
    let folder = tempfile::tempdir().unwrap();
    let words = ["--program", "/nonexistent/dkc", "--to", folder.path().to_str().unwrap()];
    let ran = Command::new(script).args(words).output().unwrap();
    assert!(!ran.status.success() && String::from_utf8_lossy(&ran.stderr).contains("no program"));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
