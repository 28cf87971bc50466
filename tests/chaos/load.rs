//! The applications of a run, a thread each, and what they were told; at the end, one that reads everything.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dkc_history::{Call, Operation, Outcome, Reply};

use crate::application::{Application, Form};
use crate::chance::Chance;
use crate::cluster::{Cluster, SLAVES};
use crate::keys::Keys;
use crate::since;

/// On each slave. Each waits for its answer, so this is also how many commands are under way.
const APPLICATIONS_PER_SLAVE: u32 = 32;
/// Values differ in length, up to this.
const FILLER_MAX: u64 = 400;
/// A slave that was killed is back within a second or two.
const CONNECT_PAUSE: Duration = Duration::from_millis(100);
/// Versions of keys that an application remembers; older ones only make more cas fail.
const VERSIONS_MAX: usize = 256;
/// Attempts to read one key at the end, of a cluster that says it is whole.
const READ_ATTEMPTS_MAX: u32 = 5;

pub struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<History>>,
}

/// Everything that was called and answered.
#[derive(Default)]
pub struct History {
    pub operations: Vec<Operation>,
    /// Answers that no history can hold.
    pub odd: Vec<String>,
}

impl Load {
    pub fn start(cluster: &Cluster, seed: u64, epoch: Instant) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let keys = Arc::new(Keys::new());
        let mut threads = Vec::new();
        for slave in SLAVES {
            let socket = cluster.socket(slave);
            for _ in 0..APPLICATIONS_PER_SLAVE {
                let client = threads.len() as u32;
                let (socket, keys, is_over) = (socket.clone(), keys.clone(), is_over.clone());
                let worker = Worker {
                    client,
                    epoch,
                    chance: Chance::new(seed, 1_000 + u64::from(client)),
                    versions: HashMap::new(),
                    done: History::default(),
                };
                threads.push(std::thread::spawn(move || worker.run(&socket, &keys, &is_over)));
            }
        }
        Load { is_over, threads }
    }

    pub fn stop(self) -> History {
        self.is_over.store(true, Ordering::Relaxed);
        let mut history = History::default();
        for thread in self.threads {
            let done = thread.join().expect("an application's thread");
            history.operations.extend(done.operations);
            history.odd.extend(done.odd);
        }
        history
    }
}

struct Worker {
    client: u32,
    epoch: Instant,
    chance: Chance,
    /// The version of each key that a read of it showed last.
    versions: HashMap<u32, u64>,
    done: History,
}

impl Worker {
    fn run(mut self, socket: &std::path::Path, keys: &Keys, is_over: &AtomicBool) -> History {
        while !is_over.load(Ordering::Relaxed) {
            let Ok(mut application) = Application::connect(socket) else {
                std::thread::sleep(CONNECT_PAUSE);
                continue;
            };
            while !is_over.load(Ordering::Relaxed) && self.step(&mut application, keys) {}
        }
        self.done
    }

    /// One command. False when the connection is gone.
    fn step(&mut self, application: &mut Application, keys: &Keys) -> bool {
        let task = keys.task(&mut self.chance);
        let version = self.versions.remove(&task.key);
        let call = task.call(version, &mut self.chance);
        let filler = self.chance.below(FILLER_MAX) as usize;
        let begin = since(self.epoch);
        let answered = application.call(task.key, task.usage.form(), &call, filler);
        let end = since(self.epoch);
        let (outcome, is_good) = answered.unwrap_or_else(|odd| {
            self.done.odd.push(odd.0);
            (Outcome::Unknown, false)
        });
        if let Outcome::Done(Reply::Value { version: Some(version), .. }) = outcome {
            if self.versions.len() >= VERSIONS_MAX {
                self.versions.clear();
            }
            self.versions.insert(task.key, version);
        }
        self.done.operations.push(Operation {
            key: task.key,
            client: self.client,
            begin,
            end,
            call,
            outcome,
        });
        is_good
    }
}

/// Reads every key that was ever used and adds the answers to the history.
pub fn read_everything(cluster: &Cluster, history: &mut History, epoch: Instant) -> Result<(), String> {
    let mut keys: BTreeMap<u32, Form> = BTreeMap::new();
    for operation in &history.operations {
        let form = match operation.call {
            Call::Increment { .. } => Form::Number,
            Call::Append { .. } => Form::Pieces,
            Call::Set { .. } | Call::Cas { .. } | Call::Delete => Form::Padded,
            Call::Get | Call::Add { .. } => continue,
        };
        keys.insert(operation.key, form);
    }
    let socket = cluster.socket(SLAVES[0]);
    let mut application =
        Application::connect(&socket).map_err(|error| format!("reading at the end: {error}"))?;
    for (key, form) in keys {
        let operation = read(&mut application, key, form, epoch)?;
        history.operations.push(operation);
    }
    Ok(())
}

fn read(application: &mut Application, key: u32, form: Form, epoch: Instant) -> Result<Operation, String> {
    for _ in 0..READ_ATTEMPTS_MAX {
        let begin = since(epoch);
        let (outcome, _) = application.call(key, form, &Call::Get, 0).map_err(|odd| odd.0)?;
        if matches!(outcome, Outcome::Done(_)) {
            return Ok(Operation {
                key,
                client: u32::MAX,
                begin,
                end: since(epoch),
                call: Call::Get,
                outcome,
            });
        }
    }
    Err(format!("key {key} could not be read at the end, though the cluster is whole"))
}
