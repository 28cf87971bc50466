//! The whole cluster on one screen: its state, the ring, curves, what moves, and one list.

use dkc_core::ids::MemberNo;
use dkc_core::ring::SLOTS;
use dkc_inventory::live::{Event, Live, Picture, Rates, TabletLine};
use dkc_inventory::status::State;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Clear, LineGauge, Paragraph, Row, Sparkline, Table, TableState};

use super::view::{PANES, Pane, View};
use crate::ui::in_one_line;
use crate::ui::numbers::{bytes, duration, interval, latency, memory, rate};

/// Rows of the curves, with their titles.
const CURVES_ROWS: u16 = 4;
/// Events below the list, while another list is shown.
const EVENTS_SHOWN: u16 = 4;
/// Colours of servers in the picture of the ring.
const SERVER_COLORS: [Color; 6] =
    [Color::Cyan, Color::Yellow, Color::Green, Color::Magenta, Color::Blue, Color::Red];

const HELP: [&str; 10] = [
    "Tab, arrows   next list; choose a row",
    "Enter         open the row",
    "Esc           back",
    "p, Space      pause, go on",
    "+, -          look less often, more often",
    "q, Ctrl-C     end",
    "",
    "leads/holds   tablets it leads / replicas it holds",
    "p50, p99      half of the writes, 99 of 100, took no longer",
    "any key ends this help",
];

/// Colours, or none where the operator wants none.
#[derive(Clone, Copy)]
pub struct Palette {
    pub has_color: bool,
}

impl Palette {
    pub fn color(self, color: Color) -> Style {
        if self.has_color { Style::new().fg(color) } else { Style::new() }
    }

    pub fn state(self, state: State) -> Style {
        self.color(match state {
            State::Running => Color::Green,
            State::Merging => Color::Cyan,
            State::Degraded | State::Unknown => Color::Yellow,
            State::Stopped | State::Error => Color::Red,
        })
    }

    fn server(self, number: MemberNo) -> Style {
        self.color(SERVER_COLORS[number.0 as usize % SERVER_COLORS.len()])
    }
}

pub fn draw(frame: &mut Frame<'_>, live: &Live, picture: &Picture, view: &View, palette: Palette) {
    let moving = moving_rows(picture);
    let events = if view.pane == Pane::Events { 0 } else { EVENTS_SHOWN };
    let [head, ring, curves, moves, tabs, list, below, keys] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(2),
        Constraint::Length(CURVES_ROWS),
        Constraint::Length(moving),
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(events),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(heading(picture, palette).to_vec()), head);
    frame.render_widget(Paragraph::new(ring_lines(picture, ring.width, palette)), ring);
    draw_curves(frame, live, curves, palette);
    draw_moves(frame, picture, moves, palette);
    frame.render_widget(Paragraph::new(tab_line(live, picture, view)), tabs);
    draw_list(frame, live, picture, view, palette, list);
    let newest = live.events.iter().rev().take(usize::from(events));
    let newest: Vec<Line<'_>> = newest.map(|event| event_line(event, live, palette)).collect();
    frame.render_widget(Paragraph::new(newest), below);
    frame.render_widget(Paragraph::new(key_line(view)), keys);
}

fn heading(picture: &Picture, palette: Palette) -> [Line<'static>; 2] {
    let state = palette.state(picture.state).add_modifier(Modifier::BOLD);
    let ring = picture.ring_version.map(|version| format!("  ring {version}")).unwrap_or_default();
    let rates = rates_words(picture.rates.as_ref());
    [
        Line::from(vec![
            Span::styled(format!("{}: {}", picture.name, picture.state), state),
            Span::raw(format!("{ring}  {rates}")),
        ]),
        Line::raw(in_one_line(picture.words.as_bytes())),
    ]
}

fn key_line(view: &View) -> String {
    let pace = if view.is_paused { "paused".into() } else { format!("every {}", interval(view.interval)) };
    format!("q end  Tab list  Enter open  p pause  +/- {pace}  ? help")
}

fn rates_words(rates: Option<&Rates>) -> String {
    let Some(rates) = rates else { return "measuring".into() };
    let quantile = |per_mille| latency(rates.write_latency.per_mille_us(per_mille));
    format!(
        "{} reads/s  {} writes/s  write p50 {} p99 {}",
        rate(Some(rates.reads_per_s)),
        rate(Some(rates.writes_per_s)),
        quantile(500),
        quantile(990)
    )
}

/// The slots from left to right: where tablets begin, and the number of the server that leads them.
fn ring_lines(picture: &Picture, width: u16, palette: Palette) -> Vec<Line<'static>> {
    let width = u32::from(width);
    let of_column = |column: u32| {
        let slot = (u64::from(column) * u64::from(SLOTS) / u64::from(width.max(1))) as u32;
        picture
            .tablets
            .iter()
            .find(|tablet| (tablet.slots.0..tablet.slots.0 + tablet.slots.1).contains(&slot))
    };
    let columns: Vec<Option<&TabletLine>> = (0..width).map(of_column).collect();
    let leaders = columns.iter().map(|tablet| match tablet.and_then(|tablet| tablet.leader) {
        Some(number) => Span::styled(last_digit(number), palette.server(number)),
        None => Span::styled("-", palette.color(Color::Red)),
    });
    vec![Line::raw(tablet_marks(&columns)), Line::from(leaders.collect::<Vec<_>>())]
}

fn last_digit(number: MemberNo) -> String {
    (number.0 % 10).to_string()
}

/// `|0      |1      |2     `: ids where there is room for them.
fn tablet_marks(columns: &[Option<&TabletLine>]) -> String {
    let mut marks = String::new();
    let mut last = None;
    for (column, tablet) in columns.iter().enumerate() {
        let id = tablet.map(|tablet| tablet.tablet);
        if id == last && column > 0 {
            if marks.chars().count() <= column {
                marks.push(' ');
            }
            continue;
        }
        last = id;
        marks = marks.chars().take(column).collect();
        marks.push('|');
        marks.push_str(&id.map(|id| id.to_string()).unwrap_or_default());
    }
    marks.chars().take(columns.len()).collect()
}

fn draw_curves(frame: &mut Frame<'_>, live: &Live, area: Rect, palette: Palette) {
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area);
    let now = |numbers: &std::collections::VecDeque<u64>| numbers.back().copied();
    let operations = format!(" operations/s {} ", rate(now(&live.operations)));
    let p99 = format!(" write p99 {} ", latency(now(&live.write_p99_us).filter(|us| *us > 0)));
    for (title, numbers, color, area) in
        [(operations, &live.operations, Color::Cyan, left), (p99, &live.write_p99_us, Color::Yellow, right)]
    {
        let width = usize::from(area.width);
        let shown: Vec<u64> = numbers.iter().skip(numbers.len().saturating_sub(width)).copied().collect();
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Sparkline::default().block(block).data(shown).style(palette.color(color)), area);
    }
}

fn moving_rows(picture: &Picture) -> u16 {
    u16::from(picture.merge.is_some()) + u16::from(!picture.splits.is_empty())
}

fn draw_moves(frame: &mut Frame<'_>, picture: &Picture, area: Rect, palette: Palette) {
    let mut rows = area.rows();
    if let Some(merge) = &picture.merge
        && let Some(row) = rows.next()
    {
        let share = match merge.bytes {
            0 => merge.tablets_done as f64 / merge.tablets.max(1) as f64,
            bytes => merge.bytes_done as f64 / bytes as f64,
        };
        let gauge =
            LineGauge::default().ratio(share.clamp(0.0, 1.0)).label(in_one_line(merge.words().as_bytes()));
        frame.render_widget(gauge.filled_style(palette.color(Color::Cyan)), row);
    }
    if !picture.splits.is_empty()
        && let Some(row) = rows.next()
    {
        frame.render_widget(Paragraph::new(format!("splitting {}", picture.splits.join(", "))), row);
    }
}

fn tab_line(live: &Live, picture: &Picture, view: &View) -> Line<'static> {
    let tab = |pane: Pane| {
        let (name, count) = match pane {
            Pane::Servers => ("servers", picture.servers.len()),
            Pane::Tablets => ("tablets", picture.tablets.len()),
            Pane::Slaves => ("slaves", picture.slaves.len()),
            Pane::Events => ("events", live.events.len()),
        };
        let style =
            if pane == view.pane { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        [Span::styled(format!(" {name} {count} "), style), Span::raw(" ")]
    };
    Line::from(PANES.into_iter().flat_map(tab).collect::<Vec<_>>())
}

fn draw_list(
    frame: &mut Frame<'_>,
    live: &Live,
    picture: &Picture,
    view: &View,
    palette: Palette,
    area: Rect,
) {
    let (head, widths, rows): (&[&str], &[u16], Vec<Row<'static>>) = match view.pane {
        Pane::Servers => {
            (&SERVER_HEAD, &SERVER_WIDTHS, picture.servers.iter().map(|s| server_row(s, palette)).collect())
        }
        Pane::Tablets => (&TABLET_HEAD, &TABLET_WIDTHS, picture.tablets.iter().map(tablet_row).collect()),
        Pane::Slaves => {
            (&SLAVE_HEAD, &SLAVE_WIDTHS, picture.slaves.iter().map(|s| slave_row(s, palette)).collect())
        }
        Pane::Events => {
            let newest_first = live.events.iter().rev();
            (
                &[""],
                &[1],
                newest_first.map(|event| Row::new(vec![event_line(event, live, palette)])).collect(),
            )
        }
    };
    // The last column has what is left.
    let (last, before) = widths.split_last().unwrap_or((&1, &[]));
    let widths = before.iter().map(|width| Constraint::Length(*width)).chain([Constraint::Min(*last)]);
    let table = Table::new(rows, widths).row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let table = match view.pane {
        Pane::Events => table,
        _ => table.header(Row::new(head.iter().map(|word| Line::raw(*word))).style(Modifier::BOLD)),
    };
    let mut state = TableState::new().with_selected(Some(view.row));
    frame.render_stateful_widget(table, area, &mut state);
}

const SERVER_HEAD: [&str; 10] =
    ["No.", "state", "address", "reads/s", "writes/s", "p50", "p99", "leads/holds", "memory", "what"];
const SERVER_WIDTHS: [u16; 10] = [4, 9, 21, 8, 8, 7, 7, 11, 14, 10];

fn server_row(server: &dkc_inventory::live::ServerLine, palette: Palette) -> Row<'static> {
    let rates = server.rates.as_ref();
    let quantile = |per_mille| latency(rates.and_then(|rates| rates.write_latency.per_mille_us(per_mille)));
    let load = server.leads.zip(server.replicas).map(|(leads, holds)| format!("{leads}/{holds}"));
    let memory = server.said.as_deref().map(memory);
    Row::new(vec![
        Line::raw(server.number.to_string()),
        Line::styled(server.state.to_string(), palette.state(server.state)),
        Line::raw(server.address.clone()),
        Line::raw(rate(rates.map(|rates| rates.reads_per_s))),
        Line::raw(rate(rates.map(|rates| rates.writes_per_s))),
        Line::raw(quantile(500)),
        Line::raw(quantile(990)),
        Line::raw(load.unwrap_or_default()),
        Line::raw(memory.unwrap_or_default()),
        Line::raw(in_one_line(server.what.as_bytes())),
    ])
}

const TABLET_HEAD: [&str; 8] =
    ["tablet", "leader", "voters", "operations/s", "records", "size", "lag", "slots"];
const TABLET_WIDTHS: [u16; 8] = [7, 7, 12, 13, 10, 8, 8, 12];

fn tablet_row(tablet: &TabletLine) -> Row<'static> {
    let (first, count) = tablet.slots;
    Row::new(vec![
        tablet.tablet.to_string(),
        tablet.leader.map_or("-".into(), |number| number.to_string()),
        voters(tablet),
        rate(tablet.operations_per_s),
        tablet.records.to_string(),
        bytes(tablet.bytes),
        tablet.lag.to_string(),
        format!("{first}-{}", first + count.saturating_sub(1)),
    ])
}

/// `0 1 2 +3`: the last one catches up.
pub fn voters(tablet: &TabletLine) -> String {
    let voters = tablet.voters.iter().map(MemberNo::to_string);
    let learners = tablet.learners.iter().map(|number| format!("+{number}"));
    voters.chain(learners).collect::<Vec<_>>().join(" ")
}

const SLAVE_HEAD: [&str; 8] = ["id", "state", "host", "operations/s", "p99", "clients", "servers", "what"];
const SLAVE_WIDTHS: [u16; 8] = [4, 9, 21, 13, 7, 8, 8, 10];

fn slave_row(slave: &dkc_inventory::live::SlaveLine, palette: Palette) -> Row<'static> {
    let p99 = slave.latency.as_ref().and_then(|latency| latency.per_mille_us(990));
    Row::new(vec![
        Line::raw(slave.id.to_string()),
        Line::styled(slave.state.to_string(), palette.state(slave.state)),
        Line::raw(slave.address.clone()),
        Line::raw(rate(slave.operations_per_s)),
        Line::raw(latency(p99)),
        Line::raw(slave.connections.to_string()),
        Line::raw(format!("{}/{}", slave.servers.0, slave.servers.1)),
        Line::raw(in_one_line(slave.what.as_bytes())),
    ])
}

/// How long ago, and what.
fn event_line(event: &Event, live: &Live, palette: Palette) -> Line<'static> {
    let newest = live.events.back().map_or(event.at_ms, |newest| newest.at_ms);
    let ago = match (live.now_ms().unwrap_or(newest).saturating_sub(event.at_ms)) / 1_000 {
        0 => "now".into(),
        seconds => format!("{} ago", duration(seconds)),
    };
    let style = if event.is_bad { palette.color(Color::Red) } else { Style::new() };
    Line::styled(format!("{ago:>10}  {}", in_one_line(event.words.as_bytes())), style)
}

pub fn draw_help(frame: &mut Frame<'_>) {
    let width = HELP.iter().map(|line| line.len()).max().unwrap_or(0) as u16 + 4;
    let height = HELP.len() as u16 + 2;
    let area = frame.area();
    let area = Rect {
        x: area.width.saturating_sub(width) / 2,
        y: area.height.saturating_sub(height) / 2,
        width: width.min(area.width),
        height: height.min(area.height),
    };
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(format!(" {line}"))).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}
