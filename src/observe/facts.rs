//! Parses the probe's output. Pure: text in, facts out. Unknown lines are ignored for compatibility with newer probes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dkc_inventory::model::NodeName;
use dkc_inventory::observed::{Exposure, HostFacts, NodeView, RunState, ServiceManager};

use crate::authority;

/// The facts of one host, or why the text is incomplete.
pub fn parse(text: &str, nodes: &[NodeName]) -> Result<HostFacts, String> {
    let mut reader = Reader::new(nodes);
    for line in text.lines() {
        let (word, value) = line.split_once('\t').unwrap_or((line, ""));
        let is_of_node = reader.node.as_mut().is_some_and(|(_, node)| node.take(word, value));
        if !is_of_node {
            reader.take(word, value);
        }
    }
    reader.finish()
}

struct Reader {
    facts: HostFacts,
    names: BTreeMap<String, NodeName>,
    node: Option<(NodeName, NodeLines)>,
    has_ended: bool,
}

impl Reader {
    fn new(nodes: &[NodeName]) -> Self {
        Reader {
            facts: nothing_known(),
            names: nodes.iter().map(|node| (node.to_string(), node.clone())).collect(),
            node: None,
            has_ended: false,
        }
    }

    fn take(&mut self, word: &str, value: &str) {
        let facts = &mut self.facts;
        match word {
            "architecture" => facts.architecture = value.into(),
            "kernel" => facts.kernel = value.into(),
            "libc" => facts.libc = value.into(),
            "machine" => facts.machine_id = Some(value.to_owned()).filter(|id| !id.is_empty()),
            "user" => facts.user = value.into(),
            "root" => facts.root = value.into(),
            "marker" => facts.root_has_marker = true,
            "foreign" => facts.root_is_foreign = true,
            "exposed" => facts.root_exposure = Some(value.into()),
            "runtime_exposed" => facts.runtime_exposure = exposure(value),
            "writable" => facts.root_is_writable = true,
            "free_kb" => facts.disk_free_bytes = value.parse::<u64>().unwrap_or(0).saturating_mul(1024),
            "service" => facts.service = service(value),
            "login_user_only" => facts.login_user_only = Some(value.into()),
            "program" => facts.programs.extend(program_with_bytes(value)),
            "listen" => facts.listening.extend(listening(value)),
            "node" => {
                self.end_node();
                self.node = self.names.get(value).map(|name| (name.clone(), NodeLines::default()));
            }
            "reach" => {
                if let Some((address, answer)) = value.rsplit_once(' ') {
                    facts.reaches.insert(address.into(), answer == "yes");
                }
            }
            "end" => self.has_ended = true,
            _ => {}
        }
    }

    fn end_node(&mut self) {
        if let Some((name, lines)) = self.node.take() {
            self.facts.nodes.insert(name, lines.view());
        }
    }

    fn finish(mut self) -> Result<HostFacts, String> {
        self.end_node();
        if !self.has_ended {
            return Err("truncated reply".into());
        }
        if self.facts.architecture.is_empty() || !self.facts.root.starts_with('/') {
            return Err("invalid reply (is the login shell a POSIX shell?)".into());
        }
        Ok(self.facts)
    }
}

/// Lines about one node.
#[derive(Default)]
struct NodeLines {
    view: NodeView,
    config: Vec<String>,
    certificate: Vec<String>,
    issuer: Vec<String>,
    pid: Option<u32>,
    /// The daemon's process, whether or not a supervisor or systemd runs it.
    daemon: Option<u32>,
    restarts: Option<(u64, String)>,
    gave_up: Option<String>,
    unit: BTreeMap<String, String>,
}

impl NodeLines {
    /// Parses the line if it is about a node.
    fn take(&mut self, word: &str, value: &str) -> bool {
        match word {
            "exists" => self.view.exists = true,
            "owner" => self.view.owner = Some(value.into()),
            "closed" => self.view.is_closed = true,
            "node_marker" => self.view.marker = value.trim().parse().ok(),
            "identity" => self.view.identity = value.trim().parse().ok(),
            "torn" => drop(self.view.torn.insert(value.into())),
            "link" => self.view.program = program_of_link(value),
            "link_before" => self.view.program_before = program_of_link(value),
            "file" => {
                if let Some((digest, name)) = value.split_once(' ') {
                    self.view.files.insert(name.into(), digest.into());
                }
            }
            "config" => self.config.push(value.into()),
            "certificate" => self.certificate.push(value.into()),
            "issuer" => self.issuer.push(value.into()),
            "pid" => self.pid = value.parse().ok(),
            "daemon" => self.daemon = value.parse().ok(),
            "restarts" => self.restarts = restarts(value),
            "put_back" => self.view.put_back = Some(value.into()),
            "gave_up" => self.gave_up = Some(value.into()),
            "unit" => {
                if let Some((name, value)) = value.split_once('=') {
                    self.unit.insert(name.into(), value.into());
                }
            }
            "log" => self.view.log_tail.push(value.into()),
            _ => return false,
        }
        true
    }

    fn view(mut self) -> NodeView {
        let whole = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        self.view.config_text = (!self.config.is_empty()).then(|| whole(&self.config));
        self.view.certificate_days = authority::days_left(&whole(&self.certificate));
        self.view.certificate = authority::view(&whole(&self.certificate));
        self.view.issuer_days = authority::days_left(&whole(&self.issuer));
        self.view.run = self.run();
        self.view.restarts = match self.unit.get("NRestarts") {
            Some(count) => count.parse().unwrap_or(0),
            // The count of an earlier supervisor is obsolete.
            None => self.restarts.as_ref().filter(|_| self.pid.is_some()).map_or(0, |(count, _)| *count),
        };
        self.view
    }

    /// systemd is authoritative if it has the unit; otherwise the pid file.
    fn run(&self) -> RunState {
        let unit = |name: &str| self.unit.get(name).map(String::as_str).unwrap_or_default();
        let main_pid = unit("MainPID").parse().ok().filter(|pid| *pid > 0);
        match (unit("ActiveState"), unit("SubState")) {
            ("failed", _) => RunState::Failing { message: format!("systemd gave up ({})", unit("Result")) },
            (_, "auto-restart") => {
                let message =
                    format!("it keeps crashing ({}), restarted {} times", unit("Result"), unit("NRestarts"));
                RunState::Failing { message }
            }
            ("active" | "activating" | "reloading" | "deactivating", _) => match main_pid.or(self.pid) {
                Some(pid) => RunState::Running { pid },
                None => RunState::Stopped,
            },
            _ => self.supervised(),
        }
    }

    fn supervised(&self) -> RunState {
        match (self.pid, self.daemon, &self.restarts, &self.gave_up) {
            (Some(_), None, Some((count, why)), _) => {
                RunState::Failing { message: format!("it keeps crashing ({why}), restarted {count} times") }
            }
            (Some(pid), ..) => RunState::Running { pid },
            // A node under systemd has no supervisor of ours.
            (None, Some(pid), ..) if self.unit.is_empty() => RunState::Orphaned { pid },
            (None, _, _, Some(why)) => RunState::Failing { message: format!("supervisor {why}") },
            (None, ..) => RunState::Stopped,
        }
    }
}

fn nothing_known() -> HostFacts {
    HostFacts {
        architecture: String::new(),
        kernel: String::new(),
        libc: "unknown".into(),
        machine_id: None,
        user: String::new(),
        root: String::new(),
        root_has_marker: false,
        root_is_foreign: false,
        root_is_writable: false,
        root_exposure: None,
        runtime_exposure: None,
        disk_free_bytes: 0,
        clock_offset_ms: 0,
        service: ServiceManager::Supervise,
        login_user_only: None,
        programs: Default::default(),
        program_versions: Default::default(),
        listening: Default::default(),
        nodes: BTreeMap::new(),
        reaches: BTreeMap::new(),
    }
}

fn service(word: &str) -> ServiceManager {
    match word {
        "system" => ServiceManager::SystemdSystem,
        "user" => ServiceManager::SystemdUser,
        "cron" => ServiceManager::Cron,
        _ => ServiceManager::Supervise,
    }
}

/// `feed 1024`
fn program_with_bytes(value: &str) -> Option<(String, u64)> {
    let (digest, bytes) = value.split_once(' ')?;
    Some((digest.to_owned(), bytes.trim().parse().ok()?))
}

/// `3 signal: 9 (SIGKILL): …`
fn restarts(line: &str) -> Option<(u64, String)> {
    let (count, why) = line.split_once(' ')?;
    Some((count.parse().ok()?, why.trim_end_matches([':', ' ']).to_owned()))
}

/// `../bin/<digest>/dkc` names the program by the folder it lies in.
fn program_of_link(link: &str) -> Option<String> {
    let (folder, _) = link.rsplit_once('/')?;
    folder.rsplit('/').next().filter(|digest| !digest.is_empty()).map(str::to_owned)
}

/// `0100007F:1F54` as `127.0.0.1:8020`: the kernel prints each 32-bit word of the address in its own byte order.
fn listening(word: &str) -> Option<String> {
    let (address, port) = word.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Option<Vec<u32>> = (0..address.len() / 8)
        .map(|i| u32::from_str_radix(address.get(i * 8..i * 8 + 8)?, 16).ok())
        .collect();
    let bytes: Vec<u8> = words?.iter().flat_map(|word| word.to_le_bytes()).collect();
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

/// `DIR why`. Such directories have no blank in their names.
fn exposure(value: &str) -> Option<Exposure> {
    let (dir, why) = value.split_once(' ')?;
    Some(Exposure { dir: dir.into(), why: why.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "architecture\tx86_64\nkernel\tLinux 6.1\nlibc\tldd (Debian GLIBC 2.36) 2.36\nmachine\tabc\n\
        user\tdkc\nroot\t/var/lib/dkc\nmarker\tyes\nwritable\tyes\nfree_kb\t1024\nservice\tuser\nprogram\tfeed 1024\n\
        listen\t0100007F:1F54\nlisten\t00000000000000000000000000000000:0016\n";

    fn facts(rest: &str) -> HostFacts {
        let nodes = [node("c0", 0), node("c0", 1)];
        parse(&format!("{HOST}{rest}reach\t10.0.0.2:8020 yes\nreach\t10.0.0.3:8020 no\nend\tyes\n"), &nodes)
            .unwrap()
    }
    fn node(cluster: &str, number: u32) -> NodeName {
        NodeName::Server(cluster.parse().unwrap(), dkc_core::ids::MemberNo(number))
    }

    #[test]
    fn a_host_says_what_it_is() {
        let facts = facts("");
        assert_eq!((facts.root.as_str(), facts.disk_free_bytes), ("/var/lib/dkc", 1024 * 1024));
        assert_eq!(facts.service, ServiceManager::SystemdUser);
        assert!(facts.root_has_marker && facts.root_is_writable && !facts.root_is_foreign);
        assert_eq!(Vec::from_iter(&facts.listening), ["127.0.0.1:8020", "[::]:22"]);
        assert_eq!(facts.programs, [("feed".to_owned(), 1024)].into());
        let reaches: Vec<_> = facts.reaches.iter().map(|(to, yes)| (to.as_str(), *yes)).collect();
        assert_eq!(reaches, [("10.0.0.2:8020", true), ("10.0.0.3:8020", false)]);
    }

    #[test]
    fn a_node_says_how_it_stands() {
        let uuid = "11111111-2222-4333-8444-555555555555";
        let facts = facts(&format!(
            "node\tc0-0\nexists\tyes\nnode_marker\t{uuid}\nidentity\t{uuid}\nlink\t../bin/feed/dkc\n\
             file\tabcd node.yaml\nconfig\tversion: 1\nconfig\t\nconfig\trole: x\npid\t77\nlog\tone\nlog\ttwo\n\
             put_back\tan older copy\nnode\tc0-1\ntorn\t.dkc-node\n"
        ));
        assert_eq!(facts.nodes[&node("c0", 1)].torn, [".dkc-node".to_owned()].into());
        let view = &facts.nodes[&node("c0", 0)];
        assert_eq!(view.marker, uuid.parse().ok());
        assert_eq!(view.identity, view.marker);
        assert_eq!(view.program.as_deref(), Some("feed"));
        assert_eq!(view.config_text.as_deref(), Some("version: 1\n\nrole: x\n"));
        assert_eq!(view.run, RunState::Running { pid: 77 });
        assert_eq!(view.log_tail, ["one", "two"]);
        assert_eq!(view.put_back.as_deref(), Some("an older copy"));
        assert!(view.torn.is_empty());
    }

    #[test]
    fn systemd_is_believed_about_its_units() {
        let check = |lines: &str, want: RunState| {
            let text: String = lines.split(' ').map(|line| format!("unit\t{line}\n")).collect();
            let facts = facts(&format!("node\tc0-0\nexists\tyes\n{text}"));
            assert_eq!(facts.nodes[&node("c0", 0)].run, want, "{lines}");
        };
        check("ActiveState=active SubState=running MainPID=9", RunState::Running { pid: 9 });
        check("ActiveState=inactive SubState=dead MainPID=0", RunState::Stopped);
        let message = "systemd gave up (exit-code)".to_owned();
        check("ActiveState=failed SubState=failed MainPID=0 Result=exit-code", RunState::Failing { message });
        let message = "it keeps crashing (exit-code), restarted 4 times".to_owned();
        check(
            "ActiveState=activating SubState=auto-restart MainPID=0 Result=exit-code NRestarts=4",
            RunState::Failing { message },
        );
    }

    #[test]
    fn without_systemd_the_pid_file_and_the_supervisors_last_word_are_believed() {
        let check = |lines: &str, want: RunState| {
            let facts = facts(&format!("node\tc0-0\nexists\tyes\n{lines}"));
            assert_eq!(facts.nodes[&node("c0", 0)].run, want, "{lines}");
        };
        check("", RunState::Stopped);
        check("pid\t7\n", RunState::Running { pid: 7 });
        check("pid\t7\ndaemon\t8\nrestarts\t2 signal: 9 (SIGKILL): \n", RunState::Running { pid: 7 });
        check("daemon\t8\n", RunState::Orphaned { pid: 8 });
        let message = "it keeps crashing (signal: 9 (SIGKILL)), restarted 2 times".to_owned();
        check("pid\t7\nrestarts\t2 signal: 9 (SIGKILL): \n", RunState::Failing { message });
        let message = "supervisor ended, because".to_owned();
        check("gave_up\tended, because\n", RunState::Failing { message });
    }

    #[test]
    fn an_answer_that_breaks_off_is_not_believed() {
        let check = |text: &str, want: &str| assert_eq!(parse(text, &[]).unwrap_err(), want);
        check(HOST, "truncated reply");
        check("end\tyes\n", "invalid reply (is the login shell a POSIX shell?)");
        check("", "truncated reply");
    }
}
