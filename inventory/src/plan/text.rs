//! The plan as people read it before they say yes, and its digest.

use std::fmt::Write as _;

use dkc_core::ids::RingVersion;

use super::stop::failures;
use super::{Action, Danger, Door, Plan, Refusal, Refused, Step};
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
    /// SHA-256 over everything in the plan: two plans with one digest do the same to the same.
    pub fn digest(&self) -> String {
        render::digest(&serde_json::to_string(self).expect("a plan is plain data"))
    }

    /// Is this still the inventory and the ring that the plan was made for?
    pub fn check_fresh(&self, generation: u64, ring_version: Option<RingVersion>) -> Result<(), Refused> {
        if generation != self.generation {
            return Err(Refusal::StaleGeneration { planned: self.generation, now: generation }.into());
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
            let (names, them) = (names.join(", "), if names.len() == 1 { "it" } else { "them" });
            return format!(
                "{}: no host has anything to do; the ring does not know {names}, and the inventory forgets {them}\n",
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
        let generation = match self.generation == self.generation_after {
            true => format!("{} (stays)", self.generation),
            false => format!("{} → {}", self.generation, self.generation_after),
        };
        // A plan about slaves asks no server.
        let is_of_slaves = self.nodes().iter().all(|node| !node.is_server()) && !self.nodes().is_empty();
        let unknown =
            if is_of_slaves { "not asked, no server is touched" } else { "not founded or not running" };
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
        if let Action::WriteFile { diff, .. } = &step.action {
            diff.lines().for_each(|line| {
                let _ = writeln!(out, "            {line}");
            });
        }
    }
}

impl Action {
    /// The step in a few words, for the plan and for progress.
    pub fn words(&self) -> String {
        match self {
            Action::MakeRoot { root } => format!("make {root}"),
            Action::UploadProgram { root, digest, bytes } => {
                format!("upload dkcd {digest} to {root}/bin ({:.1} MB)", *bytes as f64 / 1e6)
            }
            Action::MakeNode { dir, .. } => format!("make {dir}"),
            Action::WriteFile { path, replaces, .. } => match replaces {
                Some(_) => format!("replace {path}"),
                None => format!("write {path}"),
            },
            Action::IssueCertificate { dir, is_server, .. } => {
                format!("issue a {} certificate into {dir}/tls", if *is_server { "server" } else { "slave" })
            }
            Action::LinkProgram { dir, digest } => format!("link {dir}/dkcd to {digest}"),
            Action::InitialiseData { dir, .. } => format!("initialise {dir}/data"),
            Action::CheckConfiguration { dir } => format!("check the configuration in {dir}"),
            Action::InstallService { unit, manager, .. } => format!("install {unit} ({})", manager.words()),
            Action::StartNode { dir, manager } => format!("start {} ({})", last(dir), manager.words()),
            Action::WaitReady { dir } => format!("wait until {} is ready", last(dir)),
            Action::FoundCluster { dir } => format!("found the ring, through {}", last(dir)),
            Action::PrepareStop { dir } => format!("hand leadership away from {}", last(dir)),
            Action::StopNode { dir, manager } => format!("stop {} ({})", last(dir), manager.words()),
            Action::RemoveNode { dir, .. } => format!("remove the service and {dir} with all data in it"),
            Action::RemoveRoot { root } => format!("remove {root} with its programs"),
            Action::BeginOperation { doors, .. } => format!("take the ring's lock, through {}", door(doors)),
            Action::EndOperation { .. } => "give the ring's lock back".into(),
            Action::ChangeMembers { about, .. } => about.clone(),
            Action::WaitJoined { dir, .. } => format!("wait until {} has joined the ring", last(dir)),
            Action::RequireTolerance { failures: 0, .. } => {
                "make sure that every tablet still has its quorum".into()
            }
            Action::RequireTolerance { failures, .. } => {
                format!("make sure that {} still tolerated", are(*failures))
            }
            Action::Merge { .. } => "merge: data moves to its new places".into(),
            Action::WaitHealthy { failures: 0, .. } => "wait until every replica is complete".into(),
            Action::WaitHealthy { failures, .. } => {
                format!("wait until every replica is complete and {} tolerated", are(*failures))
            }
            Action::MarkRemoved { dir, .. } => format!("mark {dir} as removed; its data stays"),
        }
    }
}

fn door(doors: &[Door]) -> &str {
    doors.first().map_or("nobody", |door| last(&door.dir))
}

/// `1 failure is`, `2 failures are`.
fn are(count: u32) -> String {
    format!("{} {}", failures(count as usize), if count == 1 { "is" } else { "are" })
}

/// The node's name is its directory's.
fn last(dir: &str) -> &str {
    dir.rsplit('/').next().unwrap_or(dir)
}

impl ServiceManager {
    pub fn words(self) -> &'static str {
        match self {
            ServiceManager::SystemdSystem => "systemd",
            ServiceManager::SystemdUser => "systemd of the user",
            ServiceManager::Supervise => "supervised by dkcd",
        }
    }
}
