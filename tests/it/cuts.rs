//! Shells that are killed: after each step of an operation, and resumed until it has ended. The commands that a shell runs on this
//! machine are killed with it, as when the machine loses its power; nodes go on.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::here::Here;
use crate::support::wait_for;

/// An operation that is resumed so often in a row without one more step does not go on.
const IN_VAIN_MAX: usize = 2;

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
    cut_after_each_step_of(here, line, "--yes")
}

/// The same where each resume needs other words of consent.
pub fn cut_after_each_step_of(here: &Here, line: &str, consent: &str) -> usize {
    cut_after_one_more_step(here, line).unwrap_or_else(|why| panic!("{why}"));
    let (file, _, all) = steps(here).expect("a journal");
    let operation = file.file_stem().and_then(|stem| stem.to_str()).expect("its name").to_owned();
    let (mut cuts, mut in_vain) = (1, 0);
    while steps(here).is_some_and(|(_, done, all)| done < all) {
        match cut_after_one_more_step(here, &format!("resume {operation} {consent}")) {
            Ok(()) => (cuts, in_vain) = (cuts + 1, 0),
            // A node that the killed shell was starting comes up beside the resumed step, which says that it runs already.
            Err(why) => {
                in_vain += 1;
                assert!(in_vain <= IN_VAIN_MAX, "{why}");
            }
        }
    }
    assert!(cuts > all / 4, "only {cuts} cuts of {all} steps");
    here.ok(&format!("resume {operation} {consent}"));
    all
}

/// Begins a command and kills the shell as soon as one more step is written down as done; what it said if it ended without one.
fn cut_after_one_more_step(here: &Here, line: &str) -> Result<(), String> {
    let before = steps(here);
    let words = shlex::split(line).expect("words");
    let said = here.stage.inventory().with_extension("said");
    let file = std::fs::File::create(&said).expect("a file");
    let both = || Stdio::from(file.try_clone().expect("a handle"));
    let shell = here.stage.program().args(words).stdout(both()).stderr(both()).process_group(0).spawn();
    let mut shell = shell.expect("the program runs");
    let has_gone_on = wait_for("one more step, or the end", Duration::from_secs(60), || {
        let has_ended = shell.try_wait().expect("a child").is_some();
        let is_more = match (&before, steps(here)) {
            (Some((file, done, _)), Some((now_file, now, _))) if *file == now_file => now > *done,
            (_, Some((_, now, _))) => now > 0,
            _ => false,
        };
        (is_more || has_ended).then_some(is_more)
    });
    let group = Pid::from_raw(shell.id().cast_signed());
    // One that has ended is not there any more, and what it ran has ended, too.
    let _ = nix::sys::signal::killpg(group, Signal::SIGKILL);
    shell.wait().expect("ended");
    match has_gone_on {
        true => Ok(()),
        false => Err(format!(
            "{line} ended without a step: {}",
            std::fs::read_to_string(&said).unwrap_or_default()
        )),
    }
}
