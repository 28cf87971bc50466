//! What one run leaves behind for the checkers: what clients were told, what operators were told, what was seen of the
//! servers while they ran, and how they stand at the end. Times are numbers of events, so that no two are equal.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use dkc_core::ids::{NodeId, TabletId};
use dkc_history::Operation;
use dkcd::simulation::observe::Applied;

#[derive(Default)]
pub struct Record {
    events: Cell<u64>,
    pub history: RefCell<Vec<Operation>>,
    pub expiring: RefCell<Vec<Expiring>>,
    pub queue: RefCell<Vec<Queued>>,
    pub flushable: RefCell<Vec<Flushable>>,
    pub locks: RefCell<Vec<Lock>>,
    pub isolated_changes: RefCell<Vec<IsolatedChange>>,
    pub comebacks: RefCell<Vec<Comeback>>,
    pub newcomers: RefCell<Vec<Newcomer>>,
    pub put_backs: RefCell<Vec<PutBack>>,
    pub applied: RefCell<Vec<Applied>>,
    pub last: RefCell<Option<Last>>,
    /// Why the servers did not come to rest after all faults had ended.
    pub unrest: RefCell<Option<String>>,
    /// A panic, or an end for a broken invariant, inside a server.
    pub failure: RefCell<Option<String>>,
    pub counts: RefCell<BTreeMap<&'static str, u64>>,
}

impl Record {
    /// The next moment.
    pub fn now(&self) -> u64 {
        self.events.set(self.events.get() + 1);
        self.events.get()
    }

    pub fn count(&self, what: &'static str) {
        *self.counts.borrow_mut().entry(what).or_default() += 1;
    }
}

/// A read of a key whose values expire, or the one write of such a value.
#[derive(Debug, Clone)]
pub struct Expiring {
    pub key: u32,
    pub begin: u64,
    pub end: u64,
    pub what: ExpiringCall,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpiringCall {
    Stored(u64),
    Found(u64),
    NotFound,
}

/// A call on the list that is a queue.
#[derive(Debug, Clone)]
pub struct Queued {
    pub begin: u64,
    pub end: u64,
    pub what: QueueCall,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCall {
    Pushed(u64),
    PushUnknown(u64),
    Popped(Option<u64>),
    PopUnknown,
    Seen(Vec<u64>),
}

/// A call in the namespace that is flushed.
#[derive(Debug, Clone)]
pub struct Flushable {
    pub begin: u64,
    pub end: u64,
    pub what: FlushableCall,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlushableCall {
    Stored {
        number: u64,
        value: u64,
    },
    StoreUnknown {
        number: u64,
        value: u64,
    },
    Found {
        number: u64,
        value: u64,
    },
    NotFound {
        number: u64,
    },
    /// Whether every tablet has answered.
    Flushed {
        is_done: bool,
    },
    Listed(Vec<u64>),
}

/// The lock for membership operations, as one operator had it.
#[derive(Debug, Clone)]
pub struct Lock {
    pub operator: u64,
    /// When it was granted for certain, and when giving it back was asked for.
    pub held: (u64, u64),
    /// When it was asked for; before that it was certainly not held.
    pub asked: u64,
}

/// A change of members that was asked of a server which nobody could hear.
#[derive(Debug, Clone)]
pub struct IsolatedChange {
    pub node: NodeId,
    pub word: &'static str,
    pub is_done: bool,
}

/// What a removed node, or somebody with its name, was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comeback {
    /// Its UUID asked to be registered again.
    Registered { is_taken: bool },
    /// Another node asked for its id.
    IdAskedFor { is_taken: bool },
    /// It was started with its old disk, and servers that know of its removal were connected to it.
    Connected { to: NodeId },
    /// It led a tablet in the eyes of a member at the end.
    Leads { tablet: TabletId, in_the_eyes_of: NodeId },
}

/// A server started with an older copy of its disk.
#[derive(Debug, Clone)]
pub struct PutBack {
    pub node: NodeId,
    /// The copy lacks what another server had time to remember.
    pub has_forgotten: bool,
    /// The copy has all that was there last.
    pub has_lost_nothing: bool,
    /// That server was there all the time.
    pub is_witnessed: bool,
    /// It ended by itself.
    pub is_refused: bool,
    /// Its log has another vote or another last entry.
    pub has_promised: bool,
}

/// A replica that was given a vote, and whether it had anything of the tablet then.
#[derive(Debug, Clone)]
pub struct Newcomer {
    pub tablet: TabletId,
    pub node: NodeId,
    pub has_state: bool,
}

/// How everything stands after healing.
#[derive(Debug, Clone, Default)]
pub struct Last {
    /// Of each tablet: its replicas with applied index and state.
    pub tablets: BTreeMap<TabletId, Vec<Replica>>,
    pub replicas_wanted: usize,
    pub meta: Vec<Replica>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    pub node: NodeId,
    pub applied: u64,
    pub state_hash: u64,
    /// Listed in the ring map.
    pub is_listed: bool,
}
