//! The text blocks of VERSION, SELFSTATUS, ALLSTATUS and DUMP, in the shape that CHMPX's users know.
//!
//! Fields of CHMPX that have no fact here are left out: control port, CUK, custom id seed, endpoints, forward and
//! reverse peers (a node is its UUID, and has one port); message queues (there are none); hash and pending hash (a
//! node has tablets, not a place in a hash ring; replicas and leaders stand there instead); last update (states are
//! entries of a replicated log: the ring version says how new they are); bytes and times of links (see metrics).

use std::fmt::Write;

use super::{ControlWord, MemberState};
use crate::control::{MemberView, NodeStatus, RoleStatus, ServerStatus, SlaveStatus};
use crate::ids::{NodeId, TabletId};
use crate::ring::{RingMap, TabletPlace};

/// Width of the names in SELFSTATUS, and in ALLSTATUS and DUMP.
const SELF_WIDTH: usize = 26;
const ALL_WIDTH: usize = 23;

/// The answer to a word that only looks; `None` for words that act.
pub fn status_text(word: &ControlWord, status: &NodeStatus, ring: Option<&RingMap>) -> Option<String> {
    match word {
        ControlWord::Version => Some(version(status)),
        ControlWord::SelfStatus => Some(self_status(status)),
        ControlWord::AllStatus => Some(all_status(status)),
        ControlWord::Dump => Some(dump(status, ring)),
        _ => None,
    }
}

/// The text that `VERSION` answers.
pub fn version(status: &NodeStatus) -> String {
    format!("Version {} with TLS\n", status.release)
}

/// This node, from its own point of view.
pub fn self_status(status: &NodeStatus) -> String {
    let mut block = Block::new(SELF_WIDTH);
    match &status.role {
        RoleStatus::Server(server) => server_self(&mut block, status, server),
        RoleStatus::Slave(slave) => slave_self(&mut block, status, slave),
    }
    block.text
}

fn server_self(block: &mut Block, status: &NodeStatus, server: &ServerStatus) {
    let me = server.members.iter().find(|member| member.node.node_id == server.node_id);
    block.line("Server Name", &server.address.host);
    common(block, status, "Server");
    block.group("Status", |block| {
        block.line("Server Status", &own_state(server, me));
        if let Some(trouble) = &server.trouble {
            block.line("Trouble", trouble);
        }
    });
    block.group("Ring", |block| {
        block.line("Ring Version", &status.ring_version);
        block.line("Member Number", &server.number);
        block.line("Replicas", &me.map_or(0, |member| member.replicas));
        block.line("Leaders", &me.map_or(0, |member| member.leaders));
        block.line("Without Leader", &server.tablets_without_leader.len());
        block.line("Tolerates", &format!("{} failure(s)", server.tolerates));
    });
    block.group("Connection", |block| {
        block.line("Port", &server.address.port);
        block.line("SSL Connection", &"yes");
    });
    let records: u64 = server.tablets.iter().map(|tablet| tablet.records).sum();
    block.line("Connection Count", &status.connections);
    block.group("Stats", |block| {
        block.line("Records", &records);
        block.line("Memory", &memory(status));
        block.line("Disk free", &format!("{} bytes", server.disk_free_bytes));
        block.line("Process", &format!("{} ({} s up)", status.pid, status.uptime_s));
    });
}

/// A node that is not on the ring map (yet) is out of service.
fn own_state(server: &ServerStatus, me: Option<&MemberView>) -> String {
    let Some(me) = me else { return "not on the ring".into() };
    let state = MemberState { is_suspended: server.trouble.is_some(), ..MemberState::of(&me.node, true) };
    state.with_code()
}

fn slave_self(block: &mut Block, status: &NodeStatus, slave: &SlaveStatus) {
    block.line("Slave ID", &slave.id);
    common(block, status, "Slave");
    block.line("Ring Version", &status.ring_version);
    block.group("Connection", |block| {
        for listener in &slave.listeners {
            block.line("Listener", listener);
        }
        for server in &slave.servers {
            let state = if server.is_connected { "connected" } else { "not connected" };
            let why = server.error.as_deref().map_or_else(String::new, |why| format!(": {why}"));
            block.line("To Server", &format!("No.{} {} {state}{why}", server.number, server.address));
        }
        block.line("SSL Connection", &"yes");
    });
    block.line("Connection Count", &slave.client_connections);
    block.group("Stats", |block| {
        block.line("Operations", &slave.operations);
        block.line("Memory", &memory(status));
        block.line("Process", &format!("{} ({} s up)", status.pid, status.uptime_s));
    });
}

fn memory(status: &NodeStatus) -> String {
    match status.memory_max_bytes {
        0 => format!("{} bytes", status.memory_bytes),
        most => format!("{} of {most} bytes", status.memory_bytes),
    }
}

fn common(block: &mut Block, status: &NodeStatus, mode: &str) {
    block.line("Internal ID", &status.node_uuid);
    block.line("RING Name", &status.cluster);
    block.line("Mode", &mode);
}

/// Every server as this node sees it; a slave knows only which it reaches.
pub fn all_status(status: &NodeStatus) -> String {
    let mut block = Block::new(ALL_WIDTH);
    block.line("RING Name", &status.cluster);
    match &status.role {
        RoleStatus::Server(server) => {
            for member in &server.members {
                member_block(&mut block, server, member);
            }
        }
        RoleStatus::Slave(slave) => {
            for link in &slave.servers {
                block.head(&format!("No.{}", link.number), |block| {
                    block.line("Server Name", &link.address.host);
                    block.line("Port", &link.address.port);
                    block.line("Connected", &if link.is_connected { "yes" } else { "no" });
                });
            }
        }
    }
    block.text
}

fn member_block(block: &mut Block, server: &ServerStatus, member: &MemberView) {
    let is_me = member.node.node_id == server.node_id;
    let state = MemberState {
        is_suspended: is_me && server.trouble.is_some(),
        ..MemberState::of(&member.node, member.is_up)
    };
    block.head(&format!("No.{}", member.node.number), |block| {
        block.line("Server Name", &member.node.address.host);
        block.nested(|block| {
            block.line("Internal ID", &member.node.uuid);
            block.line("Port", &member.node.address.port);
            if let Some(zone) = &member.node.zone {
                block.line("Zone", zone);
            }
            block.line("Use SSL", &"yes");
            block.line("Server Status", &state.with_code());
            block.line("Replicas", &member.replicas);
            block.line("Leaders", &member.leaders);
        });
    });
}

/// Everything: this node, all members, and the ring map tablet by tablet.
pub fn dump(status: &NodeStatus, ring: Option<&RingMap>) -> String {
    let mut text = format!("{}{}", self_status(status), all_status(status));
    let Some(ring) = ring else {
        text.push_str("RING MAP               = none yet\n");
        return text;
    };
    let mut block = Block::new(ALL_WIDTH);
    block.group("RING MAP", |block| {
        block.line("Cluster", &ring.cluster);
        block.line("Version", &ring.version);
        block.line("Replicas wanted", &ring.replicas);
        for place in &ring.tablets {
            block.line(&format!("Tablet {}", place.tablet), &place_line(ring, place, &status.role));
        }
        for tablet in outside(ring, &status.role) {
            let line = format!("being split off or dropped{}", here(tablet, &status.role));
            block.line(&format!("Tablet {tablet}"), &line);
        }
    });
    text + &block.text
}

/// `slots 0-1365 epoch 1 on No.1 No.2 No.3, preferred No.1, here: term 2, index 7/7, 3 records`
fn place_line(ring: &RingMap, place: &TabletPlace, role: &RoleStatus) -> String {
    let number = |node: &NodeId| match ring.node(*node) {
        Some(node) => format!("No.{}", node.number),
        None => format!("node {node}"),
    };
    let numbers = |nodes: &[NodeId]| nodes.iter().map(number).collect::<Vec<_>>().join(" ");
    let mut line = format!(
        "slots {}-{} epoch {} on {}, preferred {}",
        place.first_slot.0,
        place.last_slot.0,
        place.epoch,
        numbers(&place.voters),
        number(&place.preferred_leader)
    );
    if !place.learners.is_empty() {
        let _ = write!(line, ", catching up {}", numbers(&place.learners));
    }
    line + &here(place.tablet, role)
}

/// Tablets that this node holds and the ring map does not name.
fn outside(ring: &RingMap, role: &RoleStatus) -> Vec<TabletId> {
    let RoleStatus::Server(server) = role else { return Vec::new() };
    let held = server.tablets.iter().map(|status| status.tablet);
    held.filter(|tablet| ring.place_of(*tablet).is_none()).collect()
}

fn here(tablet: TabletId, role: &RoleStatus) -> String {
    let RoleStatus::Server(server) = role else { return String::new() };
    let Some(here) = server.tablets.iter().find(|status| status.tablet == tablet) else {
        return String::new();
    };
    let (term, applied, last, records) = (here.term, here.applied_index, here.last_index, here.records);
    format!(", here: term {term}, index {applied}/{last}, {records} records")
}

/// Lines of `name = value`, with the names padded to one width whatever the indent.
struct Block {
    text: String,
    indent: usize,
    width: usize,
}

impl Block {
    fn new(width: usize) -> Block {
        Block { text: String::new(), indent: 0, width }
    }

    fn line(&mut self, name: &str, value: &dyn std::fmt::Display) {
        let width = self.width.saturating_sub(self.indent);
        // Writing to a String cannot fail. A value is always one line.
        let value = value.to_string().replace(char::is_control, " ");
        let _ = writeln!(self.text, "{:indent$}{name:<width$}= {value}", "", indent = self.indent);
    }

    /// `name = {` … `}`, the lines inside indented by four.
    fn group(&mut self, name: &str, inside: impl FnOnce(&mut Block)) {
        self.line(name, &"{");
        self.indent += 4;
        inside(self);
        self.indent -= 4;
        let _ = writeln!(self.text, "{:indent$}}}", "", indent = self.indent);
    }

    /// A headline, the lines below it indented by two.
    fn head(&mut self, headline: &str, inside: impl FnOnce(&mut Block)) {
        let _ = writeln!(self.text, "{headline}");
        self.nested(inside);
    }

    fn nested(&mut self, inside: impl FnOnce(&mut Block)) {
        self.indent += 2;
        inside(self);
        self.indent -= 2;
    }
}
