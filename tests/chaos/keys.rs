//! Which key an application works on: a fixed number of places, each with one key at a time that all applications
//! share. A key is left after some hundred operations for a new one, so that a history of a key stays short, and an
//! unknown write cannot excuse everything that follows.

use std::sync::atomic::{AtomicU32, Ordering};

use dkc_history::Call;
use parking_lot::Mutex;

use crate::application::Form;
use crate::chance::Chance;

/// Places by use: registers with every command, chains of cas only, counters, lists.
const PLACES: [(Use, usize); 4] = [(Use::Register, 20), (Use::Chain, 12), (Use::Counter, 8), (Use::List, 4)];
/// Operations on one key before it is left; a list's answers grow with it.
const OPERATIONS_PER_KEY: u32 = 600;
const OPERATIONS_PER_LIST: u32 = 160;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Register,
    Chain,
    Counter,
    List,
}

impl Use {
    pub fn form(self) -> Form {
        match self {
            Use::Register | Use::Chain => Form::Padded,
            Use::Counter => Form::Number,
            Use::List => Form::Pieces,
        }
    }
}

/// What to do next, and where.
pub struct Task {
    pub key: u32,
    pub usage: Use,
    /// Unique in the key.
    pub value: u64,
    pub is_first: bool,
}

struct Place {
    usage: Use,
    key: u32,
    operations: u32,
    values: u64,
}

pub struct Keys {
    places: Vec<Mutex<Place>>,
    /// The next key that was never used.
    next: AtomicU32,
}

impl Keys {
    pub fn new() -> Keys {
        let all = PLACES.iter().flat_map(|(usage, count)| std::iter::repeat_n(*usage, *count));
        let place = |usage| Mutex::new(Place { usage, key: 0, operations: u32::MAX, values: 0 });
        Keys { places: all.map(place).collect(), next: AtomicU32::new(1) }
    }

    pub fn task(&self, chance: &mut Chance) -> Task {
        let mut place = chance.pick(&self.places).lock();
        let limit = if place.usage == Use::List { OPERATIONS_PER_LIST } else { OPERATIONS_PER_KEY };
        let is_first = place.operations >= limit;
        if is_first {
            place.key = self.next.fetch_add(1, Ordering::Relaxed);
            (place.operations, place.values) = (0, 0);
        }
        place.operations += 1;
        place.values += 1;
        Task { key: place.key, usage: place.usage, value: place.values, is_first }
    }
}

impl Task {
    /// The call, given the version of the key that this application read last.
    pub fn call(&self, version: Option<u64>, chance: &mut Chance) -> Call {
        let value = self.value;
        match (self.usage, self.is_first) {
            (Use::Counter, true) => Call::Add { value: 0 },
            (_, true) => Call::Add { value },
            (Use::Counter, false) if chance.one_in(3) => Call::Get,
            (Use::Counter, false) => Call::Increment { by: 1 },
            (Use::List, false) if chance.one_in(3) => Call::Get,
            (Use::List, false) => Call::Append { piece: value },
            (Use::Chain, false) => version.map_or(Call::Get, |version| Call::Cas { version, value }),
            (Use::Register, false) => match (chance.below(10), version) {
                (0..=2, _) => Call::Get,
                (3..=5, Some(version)) => Call::Cas { version, value },
                (9, _) => Call::Delete,
                (8, _) => Call::Add { value },
                _ => Call::Set { value },
            },
        }
    }
}
