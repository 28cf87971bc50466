//! The operator of a run: changes the members of the ring through the shell while faults happen and applications
//! write. Some operations are interrupted, as by Ctrl-C or by the end of the operator's machine; each is gone on with
//! until it is done or refused.

use std::time::{Duration, Instant};

use crate::chance::Chance;
use crate::cluster::{Cluster, SERVERS, SPARES, address};
use crate::options::Options;
use crate::{pause, since};

/// An operation under faults may wait for a dead node; then it is interrupted and gone on with.
const PATIENCE_S: u64 = 40;
/// An operator who loses patience soon, or whose machine dies.
const IMPATIENCE_MAX_S: u64 = 8;
/// Every so many operations are interrupted.
const INTERRUPTED_ONE_IN: u64 = 4;
/// After the faults the last operation must come to its end.
const END_MAX: Duration = Duration::from_secs(60);
/// Between two operations, and between two attempts.
const REST_MAX_MS: u64 = 3_000;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Exit statuses of the shell.
pub const REFUSED: i32 = 4;
const UNKNOWN_NAME: i32 = 3;
const STALE: i32 = 6;

/// A membership operation, as the shell was asked for it, and what became of it.
pub struct Changed {
    pub line: String,
    pub begin: u64,
    pub end: u64,
    /// Of the last attempt.
    pub status: i32,
    pub attempts: u32,
    pub said: String,
}

/// A member as the shell numbers it.
#[derive(Debug, Clone)]
struct Member {
    number: u64,
    host: &'static str,
}

pub fn operate(
    cluster: &Cluster,
    options: &Options,
    epoch: Instant,
    keep_on: &dyn Fn() -> bool,
) -> Vec<Changed> {
    let mut operator = Operator { cluster, epoch, chance: Chance::new(options.seed, 2), keep_on };
    let mut all = Vec::new();
    while options.has_membership && keep_on() {
        let rest = operator.chance.below(REST_MAX_MS);
        pause(Duration::from_millis(rest), keep_on);
        for line in operator.draw() {
            let changed = operator.carry_out(line);
            let is_done = changed.status == 0;
            all.push(changed);
            if !is_done {
                break;
            }
        }
    }
    all
}

struct Operator<'a> {
    cluster: &'a Cluster,
    epoch: Instant,
    chance: Chance,
    keep_on: &'a dyn Fn() -> bool,
}

impl Operator<'_> {
    /// Lines of the shell that belong together.
    fn draw(&mut self) -> Vec<String> {
        let members = self.members();
        let is_free = |host: &&&str| members.iter().all(|member| member.host != **host);
        let mut spares: Vec<&str> = SERVERS.iter().chain(&SPARES).filter(is_free).copied().collect();
        if members.is_empty() {
            return Vec::new();
        }
        self.chance.shuffle(&mut spares);
        let victim = self.chance.pick(&members).number;
        let is_large = members.len() > SERVERS.len();
        match (self.chance.below(6), spares.first()) {
            (4 | 5, _) => vec!["ring split -n c0".into()],
            (0, _) => vec![
                format!("ring serviceout -n c0 --no {victim}"),
                format!("ring servicein -n c0 --no {victim}"),
            ],
            (1, Some(spare)) => {
                vec![format!("replace -n c0 --no {victim} --address {}:8020", address(spare))]
            }
            (_, Some(spare)) if !is_large => vec![format!("grow -n c0 {}:8020", address(spare))],
            _ => vec![format!("shrink -n c0 --no {victim}")],
        }
    }

    /// Asks the shell until the operation is done, or was refused at once. One that may have begun is never left for
    /// another, whatever `resume` finds in its way at the moment: one at a time changes the members.
    fn carry_out(&mut self, line: String) -> Changed {
        let begin = since(self.epoch);
        let (mut status, mut said) = self.first_attempt(&line);
        let mut attempts = 1;
        let mut until = None;
        // Who was taken out comes back, and a tablet is split, as soon as the merge before has ended.
        let waits = line.starts_with("ring servicein") || line.starts_with("ring split");
        while status != 0 && (status != REFUSED || waits || attempts > 1) {
            if !(self.keep_on)() && Instant::now() > *until.get_or_insert_with(|| Instant::now() + END_MAX) {
                break;
            }
            std::thread::sleep(RETRY_PAUSE);
            if !waits {
                (status, said) = self.dkc("resume --yes", "INT", PATIENCE_S);
            }
            // Nothing is left half way: it never began, or it is done and only the word of it was lost; or what was left
            // half way is of another time.
            if waits || status == UNKNOWN_NAME || status == STALE {
                (status, said) = self.dkc(&format!("{line} --yes"), "INT", PATIENCE_S);
                // The member that it is about is gone: that was what it wanted.
                if status == UNKNOWN_NAME {
                    status = 0;
                }
            }
            attempts += 1;
        }
        self.follow_members();
        Changed { line, begin, end: since(self.epoch), status, attempts, said }
    }

    fn first_attempt(&mut self, line: &str) -> (i32, String) {
        let line = format!("{line} --yes");
        if !self.chance.one_in(INTERRUPTED_ONE_IN) {
            return self.dkc(&line, "INT", PATIENCE_S);
        }
        let signal = if self.chance.one_in(2) { "INT" } else { "KILL" };
        let patience_s = 1 + self.chance.below(IMPATIENCE_MAX_S);
        self.dkc(&line, signal, patience_s)
    }

    /// The shell on the admin's host, interrupted by a signal after a time.
    fn dkc(&self, line: &str, signal: &str, patience_s: u64) -> (i32, String) {
        let program = self.cluster.lab.dkc_line();
        let ran = self
            .cluster
            .lab
            .sh("admin", &format!("timeout -k 10 -s {signal} {patience_s} {program} {line} 2>&1"));
        (ran.status, ran.stdout)
    }

    /// Victims of faults are those who are members now.
    fn follow_members(&self) {
        let hosts: Vec<&'static str> = self.members().iter().map(|member| member.host).collect();
        if hosts.len() >= SERVERS.len() - 1 {
            self.cluster.set_members(hosts);
        }
    }

    /// From the inventory, which knows them also when nobody answers.
    fn members(&self) -> Vec<Member> {
        members_of(&self.cluster.lab.dkc("show cluster c0 -o json").stdout)
    }
}

fn members_of(shown: &str) -> Vec<Member> {
    let clusters: serde_json::Value = serde_json::from_str(shown).unwrap_or_default();
    let servers = clusters[0]["server"].as_array().cloned().unwrap_or_default();
    let host = |shown: &str| SERVERS.iter().chain(&SPARES).find(|host| address(host) == shown).copied();
    let member = |server: &serde_json::Value| {
        let number = server["No."].as_u64()?;
        Some(Member { number, host: host(server["address"].as_str()?)? })
    };
    servers.iter().filter_map(member).collect()
}
