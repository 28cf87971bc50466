//! The faults of a run: what each does to the lab's hosts, and how it ends. A fault ends by taking back what it did;
//! nodes of a host that died are started again as its boot would.

use crate::chance::Chance;
use crate::cluster::{Cluster, SLAVES};

/// A disk that gives a write its fsync in seconds instead of milliseconds.
const SLOW_DISK_BYTES_PER_S: &str = "60000";
const SLOW_LINK_RATE: &str = "2mbit";
const LOSS_PERCENT_MAX: u64 = 30;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    KillDaemon,
    KillNode,
    PowerCut,
    PowerCutAll,
    Pause,
    Isolate,
    OneWayCut,
    Bridge,
    Split,
    Loss,
    SlowLink,
    SlowDisk,
    FullDisk,
    KillSlave,
    CutFromSlave,
}

pub const CLASSES: [Class; 15] = [
    Class::KillDaemon,
    Class::KillNode,
    Class::PowerCut,
    Class::PowerCutAll,
    Class::Pause,
    Class::Isolate,
    Class::OneWayCut,
    Class::Bridge,
    Class::Split,
    Class::Loss,
    Class::SlowLink,
    Class::SlowDisk,
    Class::FullDisk,
    Class::KillSlave,
    Class::CutFromSlave,
];

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::KillDaemon => "kill -9 daemon",
            Class::KillNode => "kill -9 daemon and supervisor",
            Class::PowerCut => "power cut",
            Class::PowerCutAll => "power cut of all servers",
            Class::Pause => "pause",
            Class::Isolate => "isolate",
            Class::OneWayCut => "one-way cut",
            Class::Bridge => "bridge",
            Class::Split => "split",
            Class::Loss => "loss",
            Class::SlowLink => "slow link",
            Class::SlowDisk => "slow disk",
            Class::FullDisk => "full disk",
            Class::KillSlave => "kill -9 slave",
            Class::CutFromSlave => "cut from a slave",
        }
    }
}

/// A drawn fault: whom it hits, and what it does to the network.
#[derive(Debug, Clone)]
pub struct Fault {
    pub class: Class,
    pub hosts: Vec<&'static str>,
    /// Commands of the lab; the network is made anew from those of all faults that last.
    network: Vec<Vec<String>>,
}

impl Fault {
    /// Hits members of the ring that `spared` does not name.
    pub fn draw(class: Class, cluster: &Cluster, spared: &[&'static str], chance: &mut Chance) -> Fault {
        let mut members = cluster.members();
        chance.shuffle(&mut members);
        let (victims, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|host| !spared.contains(host));
        let victim = victims[0];
        let rest: Vec<&'static str> = victims[1..].iter().chain(&others).copied().collect();
        let hosts = match class {
            Class::PowerCutAll => victims,
            Class::KillSlave => vec![*chance.pick(&SLAVES)],
            _ => vec![victim],
        };
        let network = match class {
            Class::Isolate => cut_all(&[victim], &rest),
            Class::OneWayCut if chance.one_in(2) => cut("oneway", &[victim], &rest[..1]),
            Class::OneWayCut if chance.one_in(2) => cut("oneway", &[victim], &rest),
            Class::OneWayCut => cut("oneway", &rest, &[victim]),
            // Two halves that hear each other only through the victim.
            Class::Bridge => cut_all(&rest[..rest.len() / 2], &rest[rest.len() / 2..]),
            Class::Split => cut_all(&[victim, rest[0]], &rest[1..]),
            Class::Loss => vec![words(&["lossy", victim, &(5 + chance.below(LOSS_PERCENT_MAX)).to_string()])],
            Class::SlowLink => vec![words(&["slowlink", victim, SLOW_LINK_RATE])],
            Class::CutFromSlave => cut_all(&[victim], &[*chance.pick(&SLAVES)]),
            _ => Vec::new(),
        };
        Fault { class, hosts, network }
    }

    /// How long it lasts.
    pub fn lasts_ms(&self, chance: &mut Chance) -> u64 {
        match self.class {
            Class::KillDaemon | Class::KillSlave => 200 + chance.below(1_500),
            Class::PowerCut | Class::PowerCutAll => chance.below(2_000),
            Class::Pause => 300 + chance.below(6_000),
            _ => 1_000 + chance.below(5_000),
        }
    }

    pub fn begin(&self, cluster: &Cluster) -> Result<(), String> {
        match self.class {
            Class::KillDaemon | Class::KillSlave => self.on_each(cluster, &["pkill", "-9", "-f", "dkcd run"]),
            Class::KillNode => self.on_each(cluster, &["pkill", "-9", "-f", "dkcd"]),
            Class::PowerCut | Class::PowerCutAll => lab(cluster, &[&["powercut"], &self.hosts[..]].concat()),
            Class::Pause => lab(cluster, &["freeze", self.hosts[0]]),
            Class::SlowDisk => lab(cluster, &["slowdisk", self.hosts[0], SLOW_DISK_BYTES_PER_S]),
            Class::FullDisk => lab(cluster, &["filldisk", self.hosts[0]]),
            _ => Ok(()),
        }
    }

    pub fn end(&self, cluster: &Cluster) -> Result<(), String> {
        match self.class {
            Class::KillNode => revive(cluster, self.hosts[0]),
            Class::PowerCut | Class::PowerCutAll => {
                self.hosts.iter().try_for_each(|host| lab(cluster, &["boot", host]))?;
                self.hosts.iter().try_for_each(|host| revive(cluster, host))
            }
            Class::Pause => lab(cluster, &["thaw", self.hosts[0]]),
            Class::SlowDisk => lab(cluster, &["slowdisk", self.hosts[0], "0"]),
            Class::FullDisk => lab(cluster, &["cleardisk", self.hosts[0]]),
            _ => Ok(()),
        }
    }

    fn on_each(&self, cluster: &Cluster, command: &[&str]) -> Result<(), String> {
        self.hosts.iter().try_for_each(|host| lab(cluster, &[&["exec", *host], command].concat()))
    }
}

/// What the network looks like under these faults.
pub fn shape_network(cluster: &Cluster, faults: &[Fault]) -> Result<(), String> {
    lab(cluster, &["heal"])?;
    for command in faults.iter().flat_map(|fault| &fault.network) {
        let command: Vec<&str> = command.iter().map(String::as_str).collect();
        lab(cluster, &command)?;
    }
    Ok(())
}

fn lab(cluster: &Cluster, command: &[&str]) -> Result<(), String> {
    let ran = cluster.lab.run(command);
    if ran.status == 0 {
        Ok(())
    } else {
        Err(format!("{}: status {}: {}", ran.command, ran.status, ran.stderr))
    }
}

/// What a host's boot does where systemd does not: starts every node that was ever installed on it, those that were
/// removed from the ring too. The shell stays free for the operator, whose operation may be under way.
fn revive(cluster: &Cluster, host: &str) -> Result<(), String> {
    let line = "for d in /var/lib/dkc/c0-*; do [ -x $d/dkcd ] && $d/dkcd supervise --dir $d; done; true";
    lab(cluster, &["service", "dkc", host, "sh", "-c", line])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| word.to_string()).collect()
}

fn cut(command: &str, from: &[&str], to: &[&str]) -> Vec<Vec<String>> {
    from.iter().flat_map(|from| to.iter().map(|to| words(&[command, from, to]))).collect()
}

fn cut_all(from: &[&str], to: &[&str]) -> Vec<Vec<String>> {
    cut("cut", from, to)
}
