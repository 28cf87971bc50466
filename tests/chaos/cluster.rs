//! The cluster under test: five servers on h1–h5 and a slave on h6 and h7, made by the commands a person types; h8 and
//! h9 are there to join it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::support::lab::Lab;

pub const SERVERS: [&str; 5] = ["h1", "h2", "h3", "h4", "h5"];
pub const SLAVES: [&str; 2] = ["h6", "h7"];
pub const SPARES: [&str; 2] = ["h8", "h9"];
/// Where a slave listens, on its own host.
const SOCKET: &str = "/tmp/c0.sock";
/// Room for a log segment or two and for the program, so that filling the rest takes no time.
const DISK: &str = "1G";
/// After the last fault; restarting five servers of a debug build on two busy cores is most of it.
const HEALTH_MAX: Duration = Duration::from_secs(90);
/// The shell is asked again at this pace.
const ASK_PAUSE: Duration = Duration::from_millis(300);

pub struct Cluster {
    pub lab: Lab,
    name: String,
    /// Hosts whose server is meant to be in the ring.
    members: Mutex<Vec<&'static str>>,
}

pub fn address(host: &str) -> String {
    let number: u32 = host[1..].parse().expect("hosts are named h and a number");
    format!("10.77.0.{}", 10 + number)
}

fn addresses(hosts: &[&str], suffix: &str) -> String {
    hosts.iter().map(|host| address(host) + suffix).collect::<Vec<_>>().join(" ")
}

impl Cluster {
    pub fn deploy() -> Cluster {
        let hosts = SERVERS.len() + SLAVES.len() + SPARES.len();
        let name = format!("t{}", std::process::id());
        if let Some(file) = std::env::var_os("CHAOS_LAB_FILE") {
            fs::write(file, &name).expect("the file for the lab's name can be written");
        }
        let lab = Lab::up_with_disk(hosts, &[], DISK);
        let all = [&SERVERS[..], &SLAVES, &SPARES].concat();
        lab.dkc(&format!("register host --timeout 30s --accept-new {}", addresses(&all, ""))).ok();
        lab.dkc(&format!("register cluster -n c0 {}", addresses(&SERVERS, ":8020"))).ok();
        for (id, host) in SLAVES.iter().enumerate() {
            lab.dkc(&format!("register slave --cluster c0 --host {}", address(host))).ok();
            lab.dkc(&format!("register pair --id {id} --listen {SOCKET}")).ok();
        }
        // Nine hosts begin at once on one machine, which may be busy with other things.
        lab.dkc("deploy --yes --timeout 30s").ok();
        lab.dkc("start cluster -n c0 --yes --timeout 30s").ok();
        lab.dkc("status cluster --short --timeout 30s").ok().prints("c0: running");
        lab.dkc("start slave --yes --timeout 30s").ok();
        Cluster { lab, name, members: Mutex::new(SERVERS.to_vec()) }
    }

    pub fn members(&self) -> Vec<&'static str> {
        self.members.lock().clone()
    }

    pub fn set_members(&self, members: Vec<&'static str>) {
        *self.members.lock() = members;
    }

    /// A slave's socket as this machine sees it: an application on the slave's host, without the way through a network.
    pub fn socket(&self, slave: &str) -> PathBuf {
        let pid = fs::read_to_string(format!("/run/dkc-lab/{}/{slave}/pid", self.name)).unwrap_or_default();
        PathBuf::from(format!("/proc/{}/root{SOCKET}", pid.trim()))
    }

    /// Starts what is down, until the shell says that the whole cluster runs.
    pub fn wait_for_health(&self) -> Result<(), String> {
        let until = Instant::now() + HEALTH_MAX;
        loop {
            let started = self.lab.dkc("start cluster -n c0 --yes");
            let status = self.lab.dkc("status cluster --short");
            if status.stdout.trim() == "c0: running" {
                return Ok(());
            }
            if Instant::now() > until {
                let shown = self.lab.dkc("status cluster").stdout;
                return Err(format!(
                    "not whole {} s after the last fault: {}\n{shown}\n{}",
                    HEALTH_MAX.as_secs(),
                    status.stdout.trim(),
                    started.stderr
                ));
            }
            std::thread::sleep(ASK_PAUSE);
        }
    }

    /// What every node logged.
    pub fn logs(&self) -> Vec<(String, String)> {
        let hosts = SERVERS.iter().chain(&SLAVES).chain(&SPARES);
        let log = |host: &&str| {
            let lines = self.lab.sh(host, "tail -n 200000 /var/lib/dkc/*/log/dkcd.log* 2>/dev/null");
            (host.to_string(), lines.stdout)
        };
        hosts.map(log).filter(|(_, text)| !text.is_empty()).collect()
    }

    /// What lies on the disk of every host, and whether its program runs.
    pub fn disks(&self) -> String {
        let look = "cd /var/lib/dkc && df -k . && ls -lR . | head -150; sha256sum bin/*/dkc; \
                    for d in c0-*; do echo $d; ./$d/dkcd version; echo status $?; done";
        let told = |host: &&str| {
            format!("--- {host}\n{}\n", self.lab.sh(host, &format!("{{ {look}; }} 2>&1")).stdout)
        };
        SERVERS.iter().chain(&SLAVES).chain(&SPARES).map(told).collect()
    }
}
