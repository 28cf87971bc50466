//! What no release can be built with.

use std::process::Command;

/// The compiler's own words about the daemon's sources with the feature `simulation`. Without its dependencies nothing else is
/// decided, but what forbids the build is.
fn said(debug_assertions: &str) -> String {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/runtime/src/lib.rs");
    let place = tempfile::tempdir().expect("a folder");
    let output = Command::new("rustc")
        .args(["--edition", "2024", "--crate-type", "lib", "--emit", "metadata", "--out-dir"])
        .arg(place.path())
        .args([
            "--cfg",
            "feature=\"simulation\"",
            "-C",
            &format!("debug-assertions={debug_assertions}"),
            source,
        ])
        .output()
        .expect("a compiler is here");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn the_feature_simulation_is_not_allowed_in_a_release() {
    let forbidden = "the feature `simulation` is for tests only";
    assert!(said("off").contains(forbidden));
    assert!(!said("on").contains(forbidden));
}
