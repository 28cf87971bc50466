//! Tasks that belong to a process.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::process::Process;
use super::scope::{Scoped, child_scope};
use super::world;

/// Longest duration of blocking work, in milliseconds.
const BLOCKING_MAX_MS: u64 = 3;

/// A future that belongs to a process and is polled only while that runs.
pub struct OfProcess<F: Future> {
    process: Option<Arc<Process>>,
    future: Option<Pin<Box<Scoped<F>>>>,
}

impl<F: Future> Future for OfProcess<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let process = self.process.clone();
        if let Some(process) = &process {
            if !process.is_alive() {
                return Poll::Pending;
            }
            if process.is_paused() {
                process.park(context.waker());
                return Poll::Pending;
            }
        }
        let _entered = process.as_ref().map(Process::enter);
        match &mut self.future {
            Some(future) => future.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl<F: Future> Drop for OfProcess<F> {
    fn drop(&mut self) {
        let _entered = self.process.as_ref().map(Process::enter);
        self.future = None;
    }
}

pub fn of_this_node<F: Future>(future: F) -> OfProcess<F> {
    let future = Some(Box::pin(child_scope(future)));
    OfProcess { process: Process::current(), future }
}

pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let task = tokio::spawn(of_this_node(future));
    if let Some(process) = Process::current() {
        process.keep(task.abort_handle());
    }
    task
}

/// Spawns a task of another process than the current one.
pub fn spawn_in<F>(process: &Arc<Process>, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let _entered = process.enter();
    spawn(future)
}

/// Runs on the only thread, after a short delay.
pub fn spawn_blocking<F, T>(work: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn(async move {
        tokio::time::sleep(Duration::from_millis(world().draw(BLOCKING_MAX_MS + 1))).await;
        work()
    })
}
