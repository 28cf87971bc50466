//! `upgrade`: nodes go to another program one by one and back, and what a program cannot do stops it before the first node.

use std::path::PathBuf;

use crate::cuts::cut_after_each_step;
use crate::here::Here;
use crate::support::cluster::founded;
use crate::support::lab::Lab;
use crate::support::writer::{
    acknowledged, all_acknowledged_are_there, end_writer, start_writer, wait_until_acknowledged,
};

/// What the program tells of itself, for a variant to say something else.
pub const TOLD_RELEASE: &str = concat!(r#"{"release":""#, env!("CARGO_PKG_VERSION"), r#"","wire"#);

/// A program like the one that was deployed, with a text in it replaced by another one of the same length, so that its digest
/// differs.
fn variant_of(program: &[u8], change: (&str, &str)) -> Vec<u8> {
    let (from, to) = (change.0.as_bytes(), change.1.as_bytes());
    assert_eq!(from.len(), to.len(), "every place in the file stays where it is");
    let mut bytes = program.to_owned();
    let places: Vec<usize> = memchr::memmem::find_iter(program, from).collect();
    assert!(!places.is_empty(), "{} is not in the program", change.0);
    places.into_iter().for_each(|at| bytes[at..at + to.len()].copy_from_slice(to));
    bytes
}

/// The same in a file that can be run.
fn variant(here: &Here, name: &str, change: (&str, &str)) -> PathBuf {
    let deployed = std::fs::read(format!("{}/c0-0/dkcd", here.data())).expect("a deployed program");
    let path = here.stage.inventory().with_extension(name);
    write_program(&path, &variant_of(&deployed, change));
    path
}

fn write_program(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(path, mode).expect("a program");
}

/// The release that a variant says it is.
fn newer() -> (&'static str, String) {
    (TOLD_RELEASE, TOLD_RELEASE.replace(env!("CARGO_PKG_VERSION"), "9.9.9"))
}

fn running(servers: usize) -> Here {
    let here = Here::registered(servers);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    here
}

/// The digest and the release of what a server runs.
fn runs(here: &Here, number: usize) -> (String, String) {
    let status = here.ask(number, r#"{"do":"status"}"#);
    let program = &status["status"]["program"];
    let word = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    (word(&program["digest"]), word(&program["versions"]["release"]))
}

#[test]
fn an_upgrade_and_its_roll_back_that_are_killed_after_each_step_are_resumed_to_the_same_end() {
    let here = running(2);
    here.ok("data set -n c0 kept yes");
    let (from, to) = newer();
    let file = variant(&here, "newer", (from, &to));
    let before = [runs(&here, 0), runs(&here, 1)];
    assert_eq!((&before[0], before[0].1.as_str()), (&before[1], env!("CARGO_PKG_VERSION")));
    let steps = cut_after_each_step(&here, &format!("upgrade -n c0 --to {} --yes", file.display()));
    assert_eq!(steps, 1 + 2 + 2 * 7 + 1, "upload, checks, turns with their gate, old programs");
    let after = [runs(&here, 0), runs(&here, 1)];
    assert!(after.iter().all(|(digest, release)| *digest != before[0].0 && release == "9.9.9"), "{after:?}");
    assert!(here.ok(&format!("upgrade -n c0 --to {} --yes", file.display())).contains("nothing to do"));
    assert!(here.ok("data print -n c0 kept").contains("yes"));

    cut_after_each_step(&here, "upgrade -n c0 --rollback --yes");
    assert_eq!([runs(&here, 0), runs(&here, 1)], before);
    assert!(here.ok("upgrade -n c0 --yes").contains("nothing to do"), "it is the program of this shell");
    assert!(here.ok("data print -n c0 kept").contains("yes"));
    // The newer one is kept on the host, and can be named.
    here.ok(&format!("upgrade -n c0 --to {} --yes", after[0].0));
    assert_eq!([runs(&here, 0), runs(&here, 1)], after);
}

#[test]
fn a_program_that_does_not_start_stops_at_the_first_node_and_is_taken_back() {
    let here = running(2);
    here.ok("data set -n c0 kept yes");
    let before = [runs(&here, 0), runs(&here, 1)];
    let pids = [here.pid(0), here.pid(1)];
    let bad = variant(&here, "bad", ("data/identity", "data/idenTITY"));
    let line = format!("upgrade -n c0 --to {}", bad.display());
    let plan = here.exits(&format!("{line} --dry-run --exit-code"), 10);
    assert!(plan.contains(&format!("({}) -> ", before[0].0)), "{plan}");
    here.exits(&line, 5);
    assert_eq!(pids, [here.pid(0), here.pid(1)], "nothing has changed");

    let said = here.exits(&format!("{line} --yes"), 8);
    assert!(said.contains("did not become ready") && said.contains("resume op-"), "{said}");
    let untouched: Vec<usize> = (0..2).filter(|number| runs(&here, *number) == before[*number]).collect();
    let [untouched] = untouched[..] else { panic!("one server goes on, not {untouched:?}") };
    assert_eq!(here.pid(untouched), pids[untouched]);

    here.ok("upgrade -n c0 --rollback --yes");
    assert_eq!([runs(&here, 0), runs(&here, 1)], before);
    assert_eq!(here.pid(untouched), pids[untouched], "it was not touched by the way back either");
    assert!(here.ok("data print -n c0 kept").contains("yes"));
    let said = here.exits("upgrade -n c0 --rollback --yes", 4);
    assert!(said.contains("DKC-E0494"), "{said}");
}

#[test]
fn what_cannot_be_right_is_refused_before_anything_changes() {
    let here = running(1);
    let pid = here.pid(0);
    let check = |to: &std::path::Path, want: &[&str]| {
        let said = here.exits(&format!("upgrade -n c0 --to {} --yes", to.display()), 4);
        assert!(want.iter().all(|want| said.contains(want)), "{said}");
    };
    let script = here.stage.inventory().with_extension("script");
    write_program(&script, b"#!/bin/sh\nexit 0\n");
    check(&script, &["DKC-E0496", "is not a program for Linux hosts"]);
    check(&script.with_extension("missing"), &["DKC-E0496", "cannot read"]);
    // Another program for this machine.
    check(std::path::Path::new("/bin/sh"), &["DKC-E0496", "does not say which versions"]);
    let said = |name, change| variant(&here, name, change);
    check(&said("format", (r#""state":[1,3]"#, r#""state":[7,9]"#)), &["DKC-E0492", "reads 7 to 9"]);
    check(
        &said("wire", (r#""wire":[1,1]"#, r#""wire":[5,6]"#)),
        &["DKC-E0493", "speaks wire version 5 to 6"],
    );
    let said = here.exits("upgrade -n c0 --to 0123456789abcdef --yes", 4);
    assert!(said.contains("DKC-E0490"), "{said}");
    here.exits("upgrade -n c0 --rollback --yes", 4);
    here.exits("upgrade -n c0 --rollback --to feed --yes", 2);
    assert!(here.ok("upgrade -n c0 --yes").contains("nothing to do"));
    // The program itself is asked on the host, too: what is on this disk comes of a later one.
    here.ok("stop cluster -n c0 --yes --confirm c0");
    let catalog = PathBuf::from(format!("{}/c0-0/data/state/catalog", here.data()));
    let text = std::fs::read_to_string(&catalog).expect("a catalog");
    std::fs::write(&catalog, text.replace("dkcd state 2", "dkcd state 8")).expect("written");
    let (from, to) = newer();
    let newer = variant(&here, "newer", (from, &to));
    let said = here.exits(&format!("upgrade -n c0 --to {} --yes", newer.display()), 8);
    assert!(said.contains("has state format 8, this program knows 3"), "{said}");
    std::fs::write(&catalog, text).expect("written");
    here.ok("start cluster -n c0 --yes");
    assert_eq!(runs(&here, 0).1, env!("CARGO_PKG_VERSION"), "its link was not touched");
    assert_ne!(here.pid(0), pid);
}

#[test]
fn a_cluster_under_writes_goes_to_another_program_and_back_and_loses_nothing() {
    let lab: Lab = founded(4, &[]);
    let deployed = std::fs::read(env!("CARGO_BIN_EXE_dkc")).expect("this build");
    let (from, to) = newer();
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("newer-{}", std::process::id()));
    write_program(&file, &variant_of(&deployed, (from, &to)));
    start_writer(&lab);
    wait_until_acknowledged(&lab, 100);
    let releases = || {
        let shown = lab.dkc("show instance -o json").ok().stdout.clone();
        let rows: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        let program = |row: &serde_json::Value| row["program"].as_str().unwrap_or_default().to_owned();
        rows.as_array().expect("rows").iter().map(program).collect::<Vec<_>>()
    };
    let before = releases();
    lab.dkc(&format!("upgrade -n c0 --to {} --yes", file.display())).ok();
    let after = releases();
    assert!(after.len() == 4 && after.iter().all(|program| *program == after[0] && *program != before[0]));
    lab.dkc("status cluster --short").ok().prints("c0: running");
    wait_until_acknowledged(&lab, acknowledged(&lab).len() + 100);
    lab.dkc("upgrade -n c0 --rollback --yes").ok();
    assert_eq!(releases(), before);
    wait_until_acknowledged(&lab, acknowledged(&lab).len() + 100);
    end_writer(&lab);
    all_acknowledged_are_there(&lab);
    let refused = lab.sh("h4", "cat /tmp/refused 2>/dev/null || true").stdout;
    assert_eq!(refused, "", "every write was carried out, or its connection ended with the slave");
    std::fs::remove_file(&file).expect("removed");
}
