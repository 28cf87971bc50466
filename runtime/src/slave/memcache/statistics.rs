//! Counters of memcached's commands, under memcached's names.

use std::sync::atomic::AtomicU64;

use dkc_core::kv::{Delta, Reply, StoreMode, Write};

use crate::slave::statistics::{add, counters};

counters!(
    /// Of one pair.
    Statistics:
    cmd_get,
    cmd_set,
    cmd_flush,
    cmd_touch,
    get_hits,
    get_misses,
    delete_hits,
    delete_misses,
    incr_hits,
    incr_misses,
    decr_hits,
    decr_misses,
    touch_hits,
    touch_misses,
    cas_hits,
    cas_misses,
    cas_badval,
);

impl Statistics {
    pub fn count_get(&self, is_hit: bool) {
        add(&self.cmd_get, 1);
        add(if is_hit { &self.get_hits } else { &self.get_misses }, 1);
    }

    pub fn count_touch(&self, is_hit: bool) {
        add(&self.cmd_touch, 1);
        add(if is_hit { &self.touch_hits } else { &self.touch_misses }, 1);
    }

    /// Counts a write that got this reply.
    pub fn count_write(&self, kind: WriteKind, reply: &Reply) {
        let is_found = !matches!(reply, Reply::NotFound);
        let (hits, misses): (&AtomicU64, &AtomicU64) = match kind {
            WriteKind::Store => return add(&self.cmd_set, 1),
            WriteKind::Cas => {
                add(&self.cmd_set, 1);
                return match reply {
                    Reply::Stored { .. } => add(&self.cas_hits, 1),
                    Reply::Exists => add(&self.cas_badval, 1),
                    _ => add(&self.cas_misses, 1),
                };
            }
            WriteKind::Touch => return self.count_touch(is_found),
            WriteKind::Delete => (&self.delete_hits, &self.delete_misses),
            WriteKind::Increment => (&self.incr_hits, &self.incr_misses),
            WriteKind::Decrement => (&self.decr_hits, &self.decr_misses),
        };
        add(if is_found { hits } else { misses }, 1);
    }
}

/// The counters of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteKind {
    Store,
    Cas,
    Touch,
    Delete,
    Increment,
    Decrement,
}

impl WriteKind {
    pub fn of(write: &Write) -> WriteKind {
        match write {
            Write::Store {
                mode: StoreMode::Cas(_) | StoreMode::AppendIf(_) | StoreMode::PrependIf(_),
                ..
            } => WriteKind::Cas,
            Write::Delete { .. } => WriteKind::Delete,
            Write::Increment { is_decrement: false, .. } => WriteKind::Increment,
            Write::Increment { is_decrement: true, .. } => WriteKind::Decrement,
            Write::Adjust { adjustment, .. } => match adjustment.delta {
                Delta::Unsigned { is_decrement: true, .. } => WriteKind::Decrement,
                _ => WriteKind::Increment,
            },
            Write::Touch { .. } | Write::GetAndTouch { .. } => WriteKind::Touch,
            Write::Store { .. } | Write::Flush { .. } | Write::Operations(_) => WriteKind::Store,
        }
    }
}
