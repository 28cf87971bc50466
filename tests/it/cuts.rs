//! Shells that are killed: after each step of an operation, and resumed until it has ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use crate::here::Here;
use crate::support::wait_for;

/// Steps that the newest operation has written down as done, and all of its plan; `None` while it has written nothing.
fn steps(here: &Here) -> Option<(PathBuf, usize, usize)> {
    let dir = std::fs::read_dir(here.stage.inventory().join("journal")).ok()?;
    let newest = dir.flatten().max_by_key(|entry| entry.metadata().and_then(|m| m.modified()).ok())?;
    let text = std::fs::read_to_string(newest.path()).ok()?;
    let mut lines = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let all = lines.next()?["plan"]["steps"].as_array()?.len();
    let done = lines.filter(|line| line["step"].is_object() && line["step"]["error"].is_null()).count();
    Some((newest.path(), done, all))
}

/// Begins a command, kills the shell after one more step again and again, and resumes it each time until nothing is left. The number of
/// its steps.
pub fn cut_after_each_step(here: &Here, line: &str) -> usize {
    cut_after_one_more_step(here, line);
    let (file, _, all) = steps(here).expect("a journal");
    let operation = file.file_stem().and_then(|stem| stem.to_str()).expect("its name").to_owned();
    let mut cuts = 1;
    while steps(here).is_some_and(|(_, done, all)| done < all) {
        cut_after_one_more_step(here, &format!("resume {operation} --yes"));
        cuts += 1;
    }
    assert!(cuts > all / 4, "only {cuts} cuts of {all} steps");
    here.ok(&format!("resume {operation} --yes"));
    all
}

/// Begins a command and kills the shell as soon as one more step is written down as done.
fn cut_after_one_more_step(here: &Here, line: &str) {
    let before = steps(here);
    let words = shlex::split(line).expect("words");
    let quiet = || Stdio::null();
    let mut shell =
        here.stage.program().args(words).stdout(quiet()).stderr(quiet()).spawn().expect("the program runs");
    wait_for("one more step", Duration::from_secs(60), || {
        let has_ended = shell.try_wait().expect("a child").is_some();
        let is_more = match (&before, steps(here)) {
            (Some((file, done, _)), Some((now_file, now, _))) if *file == now_file => now > *done,
            (_, Some((_, now, _))) => now > 0,
            _ => false,
        };
        assert!(is_more || !has_ended, "{line} ended without a step");
        is_more.then_some(())
    });
    shell.kill().expect("killed");
    shell.wait().expect("ended");
}
