//! What `top` shows: rates, latencies and events, from two looks at a cluster one after the other. Pure; the caller brings the
//! time.
//!
//! *Invariant:* everything kept is bounded: `HISTORY_MAX` numbers for each curve and `EVENTS_MAX` events.

mod events;
mod look;
mod picture;

use std::collections::VecDeque;

pub use events::Event;
pub use look::Look;
pub use picture::{Picture, Rates, ServerLine, SlaveLine, TabletLine};

/// Numbers that a curve keeps: more than the columns of a wide terminal.
pub const HISTORY_MAX: usize = 240;
/// Events that are kept.
pub const EVENTS_MAX: usize = 200;

/// A cluster over time.
#[derive(Debug, Default)]
pub struct Live {
    last: Option<Look>,
    /// What the last look showed.
    pub picture: Option<Picture>,
    /// Operations a second of all servers together, the newest last.
    pub operations: VecDeque<u64>,
    /// In how many microseconds 99 of 100 writes were answered, the newest last.
    pub write_p99_us: VecDeque<u64>,
    /// The newest last.
    pub events: VecDeque<Event>,
}

impl Live {
    /// When the last look was taken.
    pub fn now_ms(&self) -> Option<u64> {
        self.last.as_ref().map(|look| look.at_ms)
    }

    /// Takes the next look. The first one has no rates.
    pub fn take(&mut self, look: Look) {
        let picture = Picture::of(self.last.as_ref(), &look);
        if let Some(rates) = &picture.rates {
            keep(&mut self.operations, rates.reads_per_s + rates.writes_per_s, HISTORY_MAX);
            let p99_us = rates.write_latency.per_mille_us(990).unwrap_or(0);
            keep(&mut self.write_p99_us, p99_us, HISTORY_MAX);
        }
        if let Some(last) = &self.last {
            for event in events::between(last, &look) {
                keep(&mut self.events, event, EVENTS_MAX);
            }
        }
        (self.last, self.picture) = (Some(look), Some(picture));
    }
}

fn keep<T>(kept: &mut VecDeque<T>, one: T, most: usize) {
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(one);
}
