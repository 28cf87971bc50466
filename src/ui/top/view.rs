//! What the operator looks at: the pane, the chosen row, what is open. Changed by keys; knows nothing of a terminal.

use std::time::Duration;

use dkc_inventory::live::{Live, Picture, ServerLine, SlaveLine, TabletLine};

/// Shortest and longest time between two looks.
pub const INTERVAL_MIN: Duration = Duration::from_millis(500);
pub const INTERVAL_MAX: Duration = Duration::from_secs(60);

/// What the operator does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    NextPane,
    PreviousPane,
    Open,
    Back,
    Pause,
    Slower,
    Faster,
    Help,
    /// The size of the terminal has changed.
    Redraw,
    Quit,
    Interrupt,
}

/// What is listed in the middle of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    Servers,
    Tablets,
    Slaves,
    Events,
}

pub const PANES: [Pane; 4] = [Pane::Servers, Pane::Tablets, Pane::Slaves, Pane::Events];

/// The row that is open.
pub enum Subject<'a> {
    Server(&'a ServerLine),
    Tablet(&'a TabletLine),
    Slave(&'a SlaveLine),
}

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    pub pane: Pane,
    pub row: usize,
    is_open: bool,
    pub is_help: bool,
    pub is_paused: bool,
    pub interval: Duration,
}

impl View {
    pub fn new(interval: Duration) -> View {
        View {
            pane: Pane::Servers,
            row: 0,
            is_open: false,
            is_help: false,
            is_paused: false,
            interval: interval.clamp(INTERVAL_MIN, INTERVAL_MAX),
        }
    }

    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes a key; those that end the screen are the caller's.
    pub fn press(&mut self, key: Key, live: &Live) {
        if std::mem::take(&mut self.is_help) {
            return;
        }
        let last_row = self.rows(live).saturating_sub(1);
        match key {
            Key::Up => self.row = self.row.min(last_row).saturating_sub(1),
            Key::Down => self.row = (self.row + 1).min(last_row),
            Key::NextPane => self.turn(1),
            Key::PreviousPane => self.turn(PANES.len() - 1),
            Key::Open => self.is_open = self.pane != Pane::Events && self.rows(live) > 0,
            Key::Back => self.is_open = false,
            Key::Pause => self.is_paused = !self.is_paused,
            Key::Slower => self.interval = (self.interval * 2).min(INTERVAL_MAX),
            Key::Faster => self.interval = (self.interval / 2).max(INTERVAL_MIN),
            Key::Help => self.is_help = true,
            Key::Redraw | Key::Quit | Key::Interrupt => {}
        }
    }

    fn turn(&mut self, by: usize) {
        let now = PANES.iter().position(|pane| *pane == self.pane).unwrap_or(0);
        self.pane = PANES[(now + by) % PANES.len()];
        (self.row, self.is_open) = (0, false);
    }

    fn rows(&self, live: &Live) -> usize {
        let count = |picture: &Picture| match self.pane {
            Pane::Servers => picture.servers.len(),
            Pane::Tablets => picture.tablets.len(),
            Pane::Slaves => picture.slaves.len(),
            Pane::Events => live.events.len(),
        };
        live.picture.as_ref().map_or(0, count)
    }

    /// The row that is chosen. Rows come and go: the last one if there are fewer now.
    pub fn subject<'a>(&self, picture: &'a Picture) -> Option<Subject<'a>> {
        fn row<T>(all: &[T], row: usize) -> Option<&T> {
            all.get(row.min(all.len().saturating_sub(1)))
        }
        match self.pane {
            Pane::Servers => row(&picture.servers, self.row).map(Subject::Server),
            Pane::Tablets => row(&picture.tablets, self.row).map(Subject::Tablet),
            Pane::Slaves => row(&picture.slaves, self.row).map(Subject::Slave),
            Pane::Events => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &[Key]) -> View {
        let mut view = View::new(Duration::from_secs(2));
        keys.iter().for_each(|key| view.press(*key, &Live::default()));
        view
    }

    #[test]
    fn panes_turn_in_both_directions() {
        assert_eq!(pressed(&[Key::NextPane]).pane, Pane::Tablets);
        assert_eq!(pressed(&[Key::PreviousPane]).pane, Pane::Events);
        assert_eq!(pressed(&[Key::NextPane; 4]).pane, Pane::Servers);
    }

    #[test]
    fn the_interval_stays_within_its_bounds() {
        assert_eq!(pressed(&[Key::Slower; 20]).interval, INTERVAL_MAX);
        assert_eq!(pressed(&[Key::Faster; 20]).interval, INTERVAL_MIN);
        assert_eq!(View::new(Duration::from_millis(1)).interval, INTERVAL_MIN);
    }

    #[test]
    fn any_key_ends_the_help_and_does_nothing_else() {
        let view = pressed(&[Key::Help, Key::NextPane]);
        assert_eq!(view, View::new(Duration::from_secs(2)));
        assert!(pressed(&[Key::Help]).is_help);
    }

    #[test]
    fn nothing_opens_where_nothing_is_listed() {
        assert!(!pressed(&[Key::Open]).is_open());
        assert_eq!(pressed(&[Key::Down, Key::Down]).row, 0);
    }
}
