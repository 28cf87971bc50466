//! One server, tablet or slave on the whole screen.

use dkc_core::control::{Latency, NodeStatus, RoleStatus, ServerStatus, SlaveStatus};
use dkc_inventory::live::{Picture, ServerLine, SlaveLine, TabletLine};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::Modifier;
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Wrap};

use super::overview::{Palette, voters};
use super::view::{Subject, View};
use crate::ui::in_one_line;
use crate::ui::numbers::{bytes, duration, latency, rate};

/// A word and its value, in two columns.
struct Fields(Vec<Line<'static>>);
impl Fields {
    fn say(&mut self, name: &str, value: impl AsRef<str>) {
        if !value.as_ref().is_empty() {
            self.0.push(Line::raw(format!("{name:<18}{}", in_one_line(value.as_ref().as_bytes()))));
        }
    }
    fn head(&mut self, line: String) {
        self.0.push(Line::raw(""));
        self.0.push(Line::styled(line, Modifier::BOLD));
    }
}

pub fn draw(frame: &mut Frame<'_>, picture: &Picture, view: &View, palette: Palette) {
    let [all, keys] = Layout::vertical([Constraint::Min(3), Constraint::Length(1)]).areas(frame.area());
    let mut fields = Fields(Vec::new());
    let title = match view.subject(picture) {
        Some(Subject::Server(server)) => server_fields(&mut fields, server, picture),
        Some(Subject::Tablet(tablet)) => tablet_fields(&mut fields, tablet, picture),
        Some(Subject::Slave(slave)) => slave_fields(&mut fields, slave),
        None => "nothing is chosen".into(),
    };
    let title = Line::styled(
        format!("{} {title}", picture.name),
        palette.state(picture.state).add_modifier(Modifier::BOLD),
    );
    let lines: Vec<Line<'_>> = [title].into_iter().chain(fields.0).collect();
    frame.render_widget(Paragraph::new(lines).wrap(Wrap { trim: false }), all);
    frame.render_widget(Paragraph::new("Esc back  Up/Down next row  q end"), keys);
}

fn server_fields(fields: &mut Fields, server: &ServerLine, picture: &Picture) -> String {
    fields.say("state", format!("{} {}", server.state, server.ring));
    fields.say("why", &server.what);
    fields.say("address", &server.address);
    if let Some(rates) = &server.rates {
        fields.say("reads/s", rate(Some(rates.reads_per_s)));
        fields.say("writes/s", rate(Some(rates.writes_per_s)));
        fields.say("write latency", quantiles(&rates.write_latency));
    }
    if let Some(said) = &server.said {
        process(fields, said);
        fields.say("connections", said.connections.to_string());
        if let RoleStatus::Server(said) = &said.role {
            held(fields, said, picture);
        }
    }
    format!("server {}", server.number)
}

fn process(fields: &mut Fields, said: &NodeStatus) {
    fields.say("release", &said.release);
    fields.say("uptime", duration(said.uptime_s));
    let most = match said.memory_max_bytes {
        0 => String::new(),
        most => format!(" of {}", bytes(most)),
    };
    fields.say("memory", format!("{}{most}", bytes(said.memory_bytes)));
}

fn quantiles(of: &Latency) -> String {
    let [p50, p90, p99, p999] = [500, 900, 990, 999].map(|per_mille| latency(of.per_mille_us(per_mille)));
    format!("p50 {p50}  p90 {p90}  p99 {p99}  p99.9 {p999}")
}

fn held(fields: &mut Fields, said: &ServerStatus, picture: &Picture) {
    fields.say("disk free", bytes(said.disk_free_bytes));
    let sent = |transfer: &dkc_core::control::Transfer| {
        let share = transfer.bytes_sent * 100 / transfer.bytes_total.max(1);
        format!(
            "tablet {} to node {}: {share} %, {}/s",
            transfer.tablet,
            transfer.to,
            bytes(transfer.bytes_per_s)
        )
    };
    said.transfers.iter().for_each(|transfer| fields.say("sends", sent(transfer)));
    fields.head(format!(
        "{:<8}{:<8}{:<10}{:<12}{:<10}{}",
        "tablet", "leader", "term", "records", "size", "applied of"
    ));
    for tablet in &said.tablets {
        let of_ring = picture.tablets.iter().find(|line| line.tablet == tablet.tablet);
        let leader = of_ring.and_then(|line| line.leader).map_or("-".into(), |number| number.to_string());
        fields.0.push(Line::raw(format!(
            "{:<8}{leader:<8}{:<10}{:<12}{:<10}{} of {}",
            tablet.tablet.to_string(),
            tablet.term,
            tablet.records,
            bytes(tablet.bytes),
            tablet.applied_index,
            tablet.last_index
        )));
    }
}

fn tablet_fields(fields: &mut Fields, tablet: &TabletLine, picture: &Picture) -> String {
    let (first, count) = tablet.slots;
    fields.say("slots", format!("{first} to {} ({count})", first + count.saturating_sub(1)));
    fields.say("leader", tablet.leader.map_or("none known".into(), |number| format!("server {number}")));
    fields.say("servers", voters(tablet));
    fields.say("operations/s", rate(tablet.operations_per_s));
    fields.say("records", tablet.records.to_string());
    fields.say("size", bytes(tablet.bytes));
    fields.say("lag", format!("{} entries", tablet.lag));
    fields.head(format!("{:<10}{:<10}{:<12}{}", "server", "term", "records", "applied of"));
    for server in &picture.servers {
        let Some(RoleStatus::Server(said)) = server.said.as_ref().map(|said| &said.role) else { continue };
        let Some(held) = said.tablets.iter().find(|held| held.tablet == tablet.tablet) else { continue };
        fields.0.push(Line::raw(format!(
            "{:<10}{:<10}{:<12}{} of {}",
            server.number.to_string(),
            held.term,
            held.records,
            held.applied_index,
            held.last_index
        )));
    }
    format!("tablet {}", tablet.tablet)
}

fn slave_fields(fields: &mut Fields, slave: &SlaveLine) -> String {
    fields.say("state", slave.state.to_string());
    fields.say("why", &slave.what);
    fields.say("host", &slave.address);
    fields.say("operations/s", rate(slave.operations_per_s));
    if let Some(of_slave) = &slave.latency {
        fields.say("latency", quantiles(of_slave));
    }
    if let Some(said) = &slave.said {
        process(fields, said);
        fields.say("clients", slave.connections.to_string());
        if let RoleStatus::Slave(said) = &said.role {
            links(fields, said);
        }
    }
    format!("slave {}", slave.id)
}

fn links(fields: &mut Fields, said: &SlaveStatus) {
    fields.say("listens on", said.listeners.join(", "));
    fields.head(format!("{:<10}{:<28}{}", "server", "address", "connection"));
    for link in &said.servers {
        let state = match (&link.error, link.is_connected) {
            (_, true) => "up".to_owned(),
            (Some(error), false) => format!("down: {error}"),
            (None, false) => "not connected".to_owned(),
        };
        let (number, address) = (link.number.to_string(), link.address.to_string());
        fields.0.push(Line::raw(format!("{number:<10}{address:<28}{}", in_one_line(state.as_bytes()))));
    }
}
