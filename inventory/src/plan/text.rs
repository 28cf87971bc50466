//! A plan's text for confirmation, and its digest.

use std::fmt::Write as _;

use dkc_core::ids::{HostAddress, RingVersion};

use super::{Action, Danger, HostAction, Plan, Refusal, Refused, Step};
use crate::generation::Generation;
use crate::observed::ServiceManager;
use crate::render;

impl Danger {
    /// For the plan's first line.
    pub fn words(self) -> &'static str {
        match self {
            Danger::Read => "reads only",
            Danger::Reversible => "reversible",
            Danger::Disruptive => "disruptive",
            Danger::LosesData => "loses data or redundancy",
        }
    }
}

/// From this many hosts on, identical steps are shown once.
const HOSTS_TOGETHER_MIN: usize = 5;
/// Hosts of such a group that are named.
const HOSTS_NAMED_MAX: usize = 3;
/// Stands for each host's own node where the rest is the same.
const ANY_NODE: &str = "<node>";

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Identical steps on many hosts are one line.
    Grouped,
    /// Every step with its number.
    Full,
}

impl Plan {
    /// SHA-256 over the whole plan: equal digests mean equal effects.
    pub fn digest(&self) -> String {
        render::digest(&serde_json::to_string(self).expect("a plan is plain data"))
    }

    /// Checks that inventory and ring are unchanged since the plan was made.
    pub fn check_fresh(&self, now: Generation, ring_version: Option<RingVersion>) -> Result<(), Refused> {
        if now != self.base {
            return Err(Refusal::StaleGeneration { planned: self.base, now }.into());
        }
        match (self.ring_version, ring_version) {
            (Some(RingVersion(planned)), Some(RingVersion(now))) if planned != now => {
                Err(Refusal::StaleRing { planned, now }.into())
            }
            _ => Ok(()),
        }
    }

    /// Every step with its number.
    pub fn text(&self) -> String {
        self.text_in(Detail::Full)
    }

    /// Header, impact, steps with diffs, and undo.
    pub fn text_in(&self, detail: Detail) -> String {
        if self.is_empty() {
            if self.leaves.is_empty() {
                return format!("{}: nothing to do\n", self.command);
            }
            let names: Vec<String> = self.leaves.iter().map(|node| node.to_string()).collect();
            let names = names.join(", ");
            return format!(
                "{}: no steps; {names} not in the ring, removed from the inventory\n",
                self.command
            );
        }
        let mut out = self.head();
        for phase in 1..=self.phases() {
            if self.phases() > 1 {
                let _ = writeln!(out, "\n  phase {phase} of {}", self.phases());
            }
            let steps = self.steps.iter().filter(|step| step.phase == phase);
            match detail {
                Detail::Full => write_phase(&mut out, steps),
                Detail::Grouped => write_grouped(&mut out, steps),
            }
        }
        if !self.impact.is_empty() {
            out.push('\n');
        }
        for line in &self.impact {
            let _ = writeln!(out, "  impact: {line}");
        }
        let _ = writeln!(out, "  undo:   {}", self.undo);
        if let Some(confirm) = &self.confirm {
            let _ = writeln!(out, "  to confirm: {confirm}");
        }
        out
    }

    fn head(&self) -> String {
        let generation = match self.base == self.target {
            true => format!("{} (stays)", self.base),
            false => format!("{} → {}", self.base, self.target),
        };
        // Plans for slaves involve no server.
        let is_of_slaves = self.nodes().iter().all(|node| !node.is_server()) && !self.nodes().is_empty();
        let unknown = if is_of_slaves { "not involved" } else { "not founded or not running" };
        let ring = self.ring_version.map_or(unknown.into(), |v| format!("version {v}"));
        format!(
            "plan {}: {}\n  inventory: generation {generation}\n  ring:      {ring}\n  class:     {}\n",
            self.operation,
            self.command,
            self.danger.words()
        )
    }

    fn phases(&self) -> u32 {
        self.steps.last().map_or(0, |step| step.phase)
    }
}

fn write_phase<'a>(out: &mut String, steps: impl Iterator<Item = &'a Step>) {
    let mut host = None;
    for step in steps {
        if host != Some(&step.host) {
            let _ = writeln!(out, "    {}", step.host);
            host = Some(&step.host);
        }
        let _ = writeln!(out, "    {:>4}. {}", step.number, step.action.words());
        write_diff(out, &step.action);
    }
}

fn write_diff(out: &mut String, action: &Action) {
    if let Some(HostAction::WriteFile { diff, .. }) = action.on_host() {
        diff.lines().for_each(|line| {
            let _ = writeln!(out, "            {line}");
        });
    }
}

/// Hosts on which the same is done stand together, in the place of the first of them, when they are many.
fn write_grouped<'a>(out: &mut String, steps: impl Iterator<Item = &'a Step>) {
    let mut groups: Vec<(Vec<String>, Vec<&HostAddress>)> = Vec::new();
    let steps: Vec<&Step> = steps.collect();
    for of_host in steps.chunk_by(|a, b| a.host == b.host) {
        let done: Vec<String> = of_host.iter().map(|step| words_of_any(step)).collect();
        match groups.iter_mut().find(|(same, _)| *same == done) {
            Some((_, hosts)) => hosts.push(&of_host[0].host),
            None => groups.push((done, vec![&of_host[0].host])),
        }
    }
    for (done, hosts) in groups {
        match hosts.len() >= HOSTS_TOGETHER_MIN {
            true => write_group(out, &done, &hosts),
            false => write_phase(out, steps.iter().filter(|step| hosts.contains(&&step.host)).copied()),
        }
    }
}

fn write_group(out: &mut String, done: &[String], hosts: &[&HostAddress]) {
    let named: Vec<&str> = hosts.iter().take(HOSTS_NAMED_MAX).map(|host| host.as_str()).collect();
    let last = hosts.last().map(|host| host.as_str()).unwrap_or_default();
    let _ = writeln!(out, "    {} … {last}     (each step: --long)", named.join(", "));
    for words in done {
        let _ = write!(out, "          on {} hosts: {words}", hosts.len());
    }
}

/// What a step does and the diff that it shows, in words that are the same for each host's own node.
fn words_of_any(step: &Step) -> String {
    let mut words = format!("{}\n", step.action.words());
    write_diff(&mut words, &step.action);
    match &step.node {
        Some(node) => words.replace(&node.to_string(), ANY_NODE),
        None => words,
    }
}

impl ServiceManager {
    /// For steps and `check host`.
    pub fn words(self) -> &'static str {
        match self {
            ServiceManager::SystemdSystem => "systemd",
            ServiceManager::SystemdUser => "user systemd",
            ServiceManager::Cron => "dkcd's own supervisor, started by cron after a reboot",
            ServiceManager::Supervise => "dkcd's own supervisor",
        }
    }
}
