//! Shows which hosts have replied while an operator waits at a terminal: one line per host, updated as replies arrive, and
//! cleared before the result is printed. Without a terminal it shows nothing.
//!
//! *Invariant:* drawing starts after a delay, so that quick replies do not flicker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::{Mutex, MutexGuard};

use super::{Ui, terminal_rows};

/// Delay before anything is drawn.
const QUIET_TIME: Duration = Duration::from_millis(400);
/// Rows left free, so that the typed command stays visible.
const ROWS_KEPT_FREE: usize = 3;
const NOTHING_YET: &str = "…";

/// One line per queried host. Dropping it clears them.
pub struct HostReplies {
    lines: Arc<Lines>,
    drawing: Option<tokio::task::JoinHandle<()>>,
}

struct Lines {
    ui: Ui,
    multi: MultiProgress,
    /// Each host's reply so far, and its line once drawn.
    hosts: Mutex<BTreeMap<String, (String, Option<ProgressBar>)>>,
}

impl Ui {
    /// Begins to wait for these hosts. Must be called inside a runtime.
    pub fn waiting(&self, hosts: impl Iterator<Item = String>) -> HostReplies {
        let lines = Arc::new(Lines {
            ui: self.clone(),
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            hosts: Mutex::new(hosts.map(|host| (host, (NOTHING_YET.to_owned(), None))).collect()),
        });
        let begin = lines.clone();
        let drawing = self.inner.is_stderr_terminal.then(|| {
            tokio::spawn(async move {
                tokio::time::sleep(QUIET_TIME).await;
                begin.draw();
            })
        });
        HostReplies { lines, drawing }
    }
}

impl HostReplies {
    /// Records a host's reply.
    pub fn answered(&self, host: &str, words: &str) {
        let mut hosts = self.lines.hosts();
        if let Some((said, line)) = hosts.get_mut(host) {
            *said = self.lines.ui.quiet(words).into_owned();
            line.iter().for_each(|line| line.set_message(said.clone()));
        }
    }
}

impl Lines {
    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, (String, Option<ProgressBar>)>> {
        self.hosts.lock()
    }

    fn draw(&self) {
        let rows = usize::from(terminal_rows().unwrap_or_default()).saturating_sub(ROWS_KEPT_FREE);
        for (host, (said, line)) in self.hosts().iter_mut().take(rows) {
            let bar = self.multi.add(ProgressBar::no_length());
            // The template is a constant; if it were invalid the default style would apply.
            if let Ok(style) = ProgressStyle::with_template("{prefix:20!} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(host.clone());
            bar.set_message(said.clone());
            *line = Some(bar);
        }
    }
}

impl Drop for HostReplies {
    fn drop(&mut self) {
        self.drawing.iter().for_each(|drawing| drawing.abort());
        for (_, (_, line)) in self.lines.hosts().iter() {
            line.iter().for_each(ProgressBar::finish_and_clear);
        }
        // If the terminal is gone there is nothing to clear.
        let _ = self.lines.multi.clear();
    }
}
