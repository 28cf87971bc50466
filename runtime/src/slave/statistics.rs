//! What a slave counts, for `stats` and for status. Counted since the start, or since `stats reset`.

use std::fmt::Display;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::BytesMut;
use dkc_core::kv::{Command, Reply, Write};
use dkc_core::memcache::write_stat;

macro_rules! counters {
    ($($name:ident),* $(,)?) => {
        #[derive(Default)]
        pub(crate) struct Statistics {
            /// Connections of applications that stand.
            connections: AtomicU32,
            /// Waves of commands that were begun and have no answer yet.
            waves: AtomicU32,
            $(pub $name: AtomicU64,)*
        }
        impl Statistics {
            /// Every counter with its name.
            fn counters(&self) -> Vec<(&'static str, &AtomicU64)> {
                vec![$((stringify!($name), &self.$name)),*]
            }
        }
    };
}

counters!(
    total_connections,
    rejected_connections,
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
    bytes_read,
    bytes_written,
    // Commands that ended with a definite error, and those whose outcome is unknown.
    errors,
    outcomes_unknown,
);

/// Counts one of something for as long as it lives.
pub(crate) struct Held<'a>(&'a AtomicU32);
impl<'a> Held<'a> {
    fn new(count: &'a AtomicU32) -> Held<'a> {
        count.fetch_add(1, Ordering::Relaxed);
        Held(count)
    }
}
impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}

impl Statistics {
    pub fn connection(&self) -> Held<'_> {
        add(&self.total_connections, 1);
        Held::new(&self.connections)
    }

    pub fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn wave(&self) -> Held<'_> {
        Held::new(&self.waves)
    }

    pub fn waves_under_way(&self) -> u32 {
        self.waves.load(Ordering::Relaxed)
    }

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
        let (hits, misses) = match kind {
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

    pub fn reset(&self) {
        self.counters().iter().for_each(|(_, counter)| counter.store(0, Ordering::Relaxed));
    }

    /// Prometheus text.
    pub fn metrics(&self) -> String {
        let mut text =
            format!("# TYPE dkc_slave_connections gauge\ndkc_slave_connections {}\n", self.connections());
        for (name, counter) in self.counters() {
            let count = counter.load(Ordering::Relaxed);
            text.push_str(&format!(
                "# TYPE dkc_slave_{name}_total counter\ndkc_slave_{name}_total {count}\n"
            ));
        }
        text
    }

    /// The general statistics, with the names that clients of memcached look for.
    pub fn write(&self, out: &mut BytesMut, facts: &[(&str, &dyn Display)]) {
        for (name, value) in facts {
            write_stat(out, name, value);
        }
        write_stat(out, "curr_connections", &self.connections());
        for (name, counter) in self.counters() {
            write_stat(out, name, &counter.load(Ordering::Relaxed));
        }
    }
}

/// Under which counters a write falls.
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
    pub fn of(command: &Command) -> WriteKind {
        match command {
            Command::Write(Write::Store { mode: dkc_core::kv::StoreMode::Cas(_), .. }) => WriteKind::Cas,
            Command::Write(Write::Delete { .. }) => WriteKind::Delete,
            Command::Write(Write::Increment { is_decrement: false, .. }) => WriteKind::Increment,
            Command::Write(Write::Increment { is_decrement: true, .. }) => WriteKind::Decrement,
            Command::Write(Write::Touch { .. } | Write::GetAndTouch { .. }) => WriteKind::Touch,
            _ => WriteKind::Store,
        }
    }
}
