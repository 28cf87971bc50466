//! A plan's text for confirmation, and its digest.

use std::fmt::Write as _;

use dkc_core::ids::RingVersion;

use super::{Danger, HostAction, Plan, Refusal, Refused, Step};
use crate::generation::Generation;
use crate::observed::ServiceManager;
use crate::render;

impl Danger {
    pub fn words(self) -> &'static str {
        match self {
            Danger::Read => "reads only",
            Danger::Reversible => "reversible",
            Danger::Disruptive => "disruptive",
            Danger::LosesData => "loses data or redundancy",
        }
    }
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

    pub fn text(&self) -> String {
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
            write_phase(&mut out, self.steps.iter().filter(|step| step.phase == phase));
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
        if let Some(HostAction::WriteFile { diff, .. }) = step.action.on_host() {
            diff.lines().for_each(|line| {
                let _ = writeln!(out, "            {line}");
            });
        }
    }
}

impl ServiceManager {
    pub fn words(self) -> &'static str {
        match self {
            ServiceManager::SystemdSystem => "systemd",
            ServiceManager::SystemdUser => "user systemd",
            ServiceManager::Cron => "dkcd's own supervisor, started by cron after a reboot",
            ServiceManager::Supervise => "dkcd's own supervisor",
        }
    }
}
