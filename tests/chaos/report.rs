//! What a run has shown: the check of its history, the figures a person reads, and what is kept of a failure.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use dkc_history::{Kind, Operation, Outcome, Report, check, parse, write_line};

use crate::cluster::Cluster;
use crate::faults::Class;
use crate::load::History;
use crate::nemesis::Happened;
use crate::operator::{self, Changed};

/// A run with fewer operations a second, all faults included, has hardly looked.
const OPERATIONS_PER_S_MIN: f64 = 100.0;
/// A run in which more outcomes are unknown excuses too much.
const UNKNOWN_SHARE_MAX: f64 = 0.05;
/// Violations that are printed in full; all are kept.
const SHOWN_MAX: usize = 10;

pub struct Run {
    pub seed: u64,
    pub duration: Duration,
    pub history: History,
    pub faults: Vec<Happened>,
    pub operations: Vec<Changed>,
    pub heal_time: Duration,
    /// What kept the run from its proper end.
    pub troubles: Vec<String>,
    pub is_interrupted: bool,
}

/// Checks, prints, keeps what failed. Not a success: a violation, a run that proves too little, or one without an end.
pub fn conclude(cluster: &Cluster, run: Run) -> ExitCode {
    let report = check(&run.history.operations);
    let summary = summary(&run, &report);
    print!("{summary}");
    let failures = failures(&run, &report);
    if failures.is_empty() {
        println!("result: nothing lost, stale or double");
        return ExitCode::SUCCESS;
    }
    failures.iter().for_each(|failure| println!("FAILED: {failure}"));
    match keep(cluster, &run, &format!("{summary}{}\n", failures.join("\n")), &report) {
        Ok(folder) => println!("kept in {}", folder.display()),
        Err(error) => println!("could not be kept: {error}"),
    }
    ExitCode::FAILURE
}

fn failures(run: &Run, report: &Report) -> Vec<String> {
    let mut failures: Vec<String> =
        report.violations.iter().take(SHOWN_MAX).map(|violation| violation.to_string()).collect();
    if report.violations.len() > SHOWN_MAX {
        failures.push(format!("and {} keys more", report.violations.len() - SHOWN_MAX));
    }
    failures.extend(report.undecided.iter().take(SHOWN_MAX).map(|(key, why)| format!("key {key}: {why}")));
    failures.extend(run.history.odd.iter().take(SHOWN_MAX).map(|odd| format!("no such answer: {odd}")));
    let is_open = |operation: &&Changed| operation.status != 0 && operation.status != operator::REFUSED;
    if let Some(open) = run.operations.last().filter(is_open) {
        failures.push(format!("{} did not end: status {}: {}", open.line, open.status, open.said));
    }
    failures.extend(run.troubles.iter().cloned());
    let per_s = operations_per_s(run);
    if per_s < OPERATIONS_PER_S_MIN && !run.is_interrupted {
        failures.push(format!(
            "{per_s:.0} operations/s: below {OPERATIONS_PER_S_MIN:.0} a run proves too little"
        ));
    }
    if report.unknown_share() > UNKNOWN_SHARE_MAX {
        let share = 100.0 * report.unknown_share();
        failures.push(format!(
            "{share:.2} % unknown: above {:.0} % a run proves too little",
            100.0 * UNKNOWN_SHARE_MAX
        ));
    }
    failures
}

fn operations_per_s(run: &Run) -> f64 {
    run.history.operations.len() as f64 / run.duration.as_secs_f64()
}

fn summary(run: &Run, report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = writeln!(text, "seed:        {}", run.seed);
    let _ = writeln!(
        text,
        "operations:  {} checked on {} keys ({:.0}/s), {} refused",
        report.operations,
        report.keys,
        operations_per_s(run),
        run.history.operations.iter().filter(|operation| operation.outcome == Outcome::Refused).count()
    );
    let _ = writeln!(text, "unknown:     {} ({:.3} %)", report.unknown, 100.0 * report.unknown_share());
    let _ = writeln!(text, "faults:      {}{}", run.faults.len(), by_class(&run.faults));
    let _ = writeln!(text, "membership:  {}", membership(&run.operations));
    let _ = writeln!(text, "no answer:   {}", longest_silence(run));
    let _ = writeln!(text, "healed in:   {:.1} s", run.heal_time.as_secs_f64());
    let count = |kinds: &[Kind]| kinds.iter().map(|kind| report.count(*kind)).sum::<usize>();
    let _ = writeln!(
        text,
        "lost {}, stale {}, double {}, other {}, undecided {}",
        count(&[Kind::Lost]),
        count(&[Kind::Stale]),
        count(&[Kind::Double, Kind::Resurrected, Kind::TwoWinners]),
        count(&[Kind::FromNowhere, Kind::RefusedHappened, Kind::NoOrder]),
        report.undecided.len()
    );
    text
}

fn by_class(faults: &[Happened]) -> String {
    let mut counts: BTreeMap<Class, (usize, usize)> = BTreeMap::new();
    for fault in faults {
        let count = counts.entry(fault.class).or_default();
        count.0 += 1;
        count.1 += usize::from(fault.trouble.is_some());
    }
    let mut text = String::new();
    for (class, (count, troubled)) in counts {
        let _ = write!(text, "\n             {count:4}  {}", class.name());
        if troubled > 0 {
            let _ = write!(text, " ({troubled} with trouble)");
        }
    }
    text
}

fn membership(operations: &[Changed]) -> String {
    let done = operations.iter().filter(|operation| operation.status == 0).count();
    let mut text = format!("{} operations, {done} done", operations.len());
    let mut by_verb: BTreeMap<String, (usize, usize, u32)> = BTreeMap::new();
    for operation in operations {
        let verb: Vec<&str> = operation.line.split(' ').take_while(|word| !word.starts_with('-')).collect();
        let count = by_verb.entry(verb.join(" ")).or_default();
        count.0 += 1;
        count.1 += usize::from(operation.status == 0);
        count.2 += operation.attempts - 1;
    }
    for (verb, (count, done, resumed)) in by_verb {
        let _ = write!(text, "\n             {count:4}  {verb} ({done} done, gone on with {resumed} times)");
    }
    for operation in operations.iter().filter(|operation| operation.status != 0) {
        let error = operation.said.lines().find(|line| line.starts_with("error")).unwrap_or("interrupted");
        let _ = write!(text, "\n                   {}: {error}", operation.line);
    }
    text
}

/// The longest time in which no application got any answer, and what was going on.
fn longest_silence(run: &Run) -> String {
    let is_answer = |operation: &&Operation| matches!(operation.outcome, Outcome::Done(_));
    let mut ends: Vec<u64> =
        run.history.operations.iter().filter(is_answer).map(|operation| operation.end).collect();
    ends.sort_unstable();
    let silence = ends.windows(2).map(|pair| (pair[1] - pair[0], pair[0])).max();
    let Some((length, from)) = silence else { return "never any".to_owned() };
    let is_during = |fault: &&Happened| fault.begin <= from + length && fault.end >= from;
    let during: Vec<&str> = run.faults.iter().filter(is_during).map(|fault| fault.class.name()).collect();
    let (seconds, at) = (length as f64 / 1e6, from as f64 / 1e6);
    format!("{seconds:.1} s at most, anywhere, from {at:.1} s on ({})", during.join(" and "))
}

fn keep(cluster: &Cluster, run: &Run, summary: &str, report: &Report) -> std::io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("target/chaos/seed-{}", run.seed));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("summary.txt"), summary)?;
    let mut text = String::new();
    run.history.operations.iter().for_each(|operation| write_line(&mut text, operation));
    fs::write(folder.join("history.txt"), text)?;
    let violations: Vec<String> = report.violations.iter().map(|violation| violation.to_string()).collect();
    fs::write(folder.join("violations.txt"), violations.join("\n"))?;
    fs::write(folder.join("faults.txt"), timeline(run))?;
    fs::write(folder.join("disks.txt"), cluster.disks())?;
    for (host, log) in cluster.logs() {
        fs::write(folder.join(format!("{host}.log")), log)?;
    }
    Ok(folder)
}

/// Faults and membership operations in the order of their beginning, in the time of the history.
fn timeline(run: &Run) -> String {
    let mut lines = Vec::new();
    for fault in &run.faults {
        let trouble = fault.trouble.as_deref().unwrap_or("");
        let (class, hosts) = (fault.class.name(), fault.hosts.join(" "));
        lines.push((fault.begin, format!("{} {} {class}: {hosts} {trouble}\n", fault.begin, fault.end)));
    }
    for operation in &run.operations {
        let Changed { line, begin, end, status, attempts, said } = operation;
        let text = format!("{begin} {end} {line}: status {status} after {attempts} attempts\n{said}\n");
        lines.push((*begin, text));
    }
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Checks a history that was kept.
pub fn check_kept(file: &Path) -> ExitCode {
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            eprintln!("chaos: {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
    };
    match parse(&text) {
        Ok(history) => {
            let report = check(&history);
            println!("{report}");
            report.violations.iter().for_each(|violation| println!("{violation}"));
            if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("chaos: {}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}
