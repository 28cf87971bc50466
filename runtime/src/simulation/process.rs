//! A process on a simulated host: the tasks that began in it, whether it runs, is paused or has ended, and how far
//! its clock is off.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Once};
use std::task::Waker;

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use super::{WORLD, world};

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashKind {
    /// `kill -9`: the page cache survives, and its peers see the connections close.
    Kill,
    /// A power cut: peers see nothing, and what was not synced is lost, all or in part.
    PowerCut,
}

const ALIVE: u8 = 0;
const KILLED: u8 = 1;
const WITHOUT_POWER: u8 = 2;

pub struct Process {
    /// The host's name, which is also its address.
    pub host: String,
    state: AtomicU8,
    is_paused: AtomicBool,
    clock_offset_ms: AtomicI64,
    /// Tasks that were ready while the process was paused.
    parked: Mutex<Vec<Waker>>,
    tasks: Mutex<Tasks>,
}

#[derive(Default)]
struct Tasks {
    handles: Vec<AbortHandle>,
    /// At this length ended ones are removed.
    sweep_at: usize,
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<Process>>> = const { RefCell::new(None) };
}

/// While it exists, running code belongs to a process.
pub struct ProcessGuard(Option<Arc<Process>>);

impl Drop for ProcessGuard {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Process {
    /// A new process on a host. What ran there before must have ended.
    pub fn begin(host: &str, clock_offset_ms: i64) -> Arc<Process> {
        let process = Arc::new(Process {
            host: host.to_owned(),
            state: AtomicU8::new(ALIVE),
            is_paused: AtomicBool::new(false),
            clock_offset_ms: AtomicI64::new(clock_offset_ms),
            parked: Mutex::default(),
            tasks: Mutex::default(),
        });
        world().network().register(&process);
        process
    }

    /// The process whose code runs now.
    pub fn current() -> Option<Arc<Process>> {
        CURRENT.with_borrow(|current| current.clone())
    }

    pub fn enter(self: &Arc<Process>) -> ProcessGuard {
        ProcessGuard(CURRENT.replace(Some(self.clone())))
    }

    pub fn is_alive(&self) -> bool {
        self.state.load(Ordering::Relaxed) == ALIVE
    }

    pub fn is_without_power(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WITHOUT_POWER
    }

    pub fn is_paused(&self) -> bool {
        self.is_paused.load(Ordering::Relaxed)
    }

    pub fn clock_offset_ms(&self) -> i64 {
        self.clock_offset_ms.load(Ordering::Relaxed)
    }

    pub fn set_clock_offset_ms(&self, offset_ms: i64) {
        self.clock_offset_ms.store(offset_ms, Ordering::Relaxed);
    }

    pub(super) fn park(&self, waker: &Waker) {
        self.parked.lock().push(waker.clone());
    }

    pub(super) fn keep(&self, task: AbortHandle) {
        let mut tasks = self.tasks.lock();
        if tasks.handles.len() >= tasks.sweep_at {
            tasks.handles.retain(|task| !task.is_finished());
            tasks.sweep_at = 2 * tasks.handles.len() + 32;
        }
        tasks.handles.push(task);
    }

    /// Paused, as a virtual machine is: time passes, no task runs.
    pub fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
    }

    pub fn resume(&self) {
        self.is_paused.store(false, Ordering::Relaxed);
        self.parked.lock().drain(..).for_each(Waker::wake);
    }

    /// Ends it immediately. Its disk decides what survives.
    pub fn end(&self, how: CrashKind) {
        let state = if how == CrashKind::Kill { KILLED } else { WITHOUT_POWER };
        self.state.store(state, Ordering::Relaxed);
        world().disk(&self.host).crash(how);
        self.tasks.lock().handles.drain(..).for_each(|task| task.abort());
        self.parked.lock().clear();
        world().network().wake_all();
    }
}

/// Ends the current process. Anything but a clean exit is a violation.
pub fn exit(is_orderly: bool, words: &str) -> ! {
    let process = Process::current().expect("only processes end themselves");
    if is_orderly {
        process.end(CrashKind::Kill);
    }
    panic!("{words}");
}

/// A panic inside a world is a violation, even when a task catches it.
pub(super) fn catch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let world = WORLD.with(|world| world.try_borrow().ok().and_then(|world| world.clone()));
            match (world, Process::current()) {
                // A clean end goes this way too, when the process has ended already.
                (Some(_), Some(process)) if !process.is_alive() => {}
                (Some(world), Some(process)) => world.fail(format!("{} panicked: {info}", process.host)),
                _ => before(info),
            }
        }));
    });
}
