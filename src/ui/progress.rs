//! Progress on several hosts: bars on a terminal, plain lines without one, JSON events with `-o jsonl`.
//!
//! *Invariant:* bars leave at least three rows of the terminal free. Without a terminal a host's steps are printed at
//! most every five seconds (begin and end always), unchanged ones every thirty.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use parking_lot::Mutex;

use super::{Format, Ui, terminal_rows};

/// Rows kept free around the bars for the plan and the prompt.
const ROWS_KEPT_FREE: u16 = 3;
/// Rows if the terminal's size is unknown.
const ROWS_ASSUMED: u16 = 24;
/// Minimum time between a host's lines without a terminal.
const PLAIN_LINE_INTERVAL: Duration = Duration::from_secs(5);
/// Minimum time before an unchanged line is repeated.
const PLAIN_REPEAT_INTERVAL: Duration = Duration::from_secs(30);

/// Receives progress while a plan is carried out. Called from many tasks concurrently.
pub trait Progress: Send + Sync {
    /// A host begins; `total` counts its steps or bytes.
    fn begin(&self, host: &str, total: u64);
    /// A host has done `done` of its total and is now at `text`.
    fn advance(&self, host: &str, done: u64, text: &str);
    /// A host has finished: its result, and whether it succeeded.
    fn end(&self, host: &str, text: &str, is_good: bool);
}

impl Ui {
    /// The progress display for this standard error. `format` is the requested output format, if any.
    pub fn progress(&self, format: Option<Format>) -> Box<dyn Progress> {
        match format {
            Some(Format::Jsonl) => Box::new(Events { ui: self.clone() }),
            _ if self.inner.is_stderr_terminal => Box::new(Bars::new(self.clone())),
            _ => Box::new(Lines { ui: self.clone(), last: Mutex::default() }),
        }
    }
}

/// One bar per active host.
struct Bars {
    ui: Ui,
    multi: MultiProgress,
    rows_max: usize,
    bars: Mutex<BTreeMap<String, ProgressBar>>,
}

impl Bars {
    fn new(ui: Ui) -> Bars {
        let rows = terminal_rows().unwrap_or(ROWS_ASSUMED).saturating_sub(ROWS_KEPT_FREE).max(1);
        Bars {
            ui,
            multi: MultiProgress::with_draw_target(ProgressDrawTarget::stderr()),
            rows_max: usize::from(rows),
            bars: Mutex::default(),
        }
    }

    fn bar(&self, host: &str) -> Option<ProgressBar> {
        self.bars.lock().get(host).cloned()
    }

    /// Prints a permanent line. The bars are hidden meanwhile: a line that they print themselves is cleared with them at the end.
    fn line(&self, text: &str) {
        self.multi.suspend(|| self.ui.write_error(&format!("{text}\n")));
    }
}

impl Progress for Bars {
    fn begin(&self, host: &str, total: u64) {
        let mut bars = self.bars.lock();
        let active = bars.values().filter(|bar| !bar.is_finished()).count();
        // Hosts beyond the terminal's rows get no bar; their results are printed all the same.
        let bar = if active < self.rows_max {
            self.multi.add(ProgressBar::new(total))
        } else {
            ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden())
        };
        // The template is a constant; if it were invalid the default style would apply.
        if let Ok(style) = ProgressStyle::with_template("{prefix:20!} {bar:24} {pos:>3}/{len:3} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(host.to_owned());
        bars.insert(host.to_owned(), bar);
    }

    fn advance(&self, host: &str, done: u64, text: &str) {
        if let Some(bar) = self.bar(host) {
            bar.set_position(done);
            bar.set_message(self.ui.quiet(text).replace(['\n', '\t'], " "));
        }
    }

    fn end(&self, host: &str, text: &str, is_good: bool) {
        if let Some(bar) = self.bar(host) {
            bar.finish_and_clear();
        }
        self.line(&end_line(&self.ui, host, text, is_good));
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to clear.
        let _ = self.multi.clear();
    }
}

/// Plain lines for logs and pipes.
struct Lines {
    ui: Ui,
    last: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl Lines {
    fn say_if_due(&self, host: &str, text: &str) {
        let mut last = self.last.lock();
        let is_due = last.get(host).is_none_or(|(at, said)| {
            at.elapsed() >= if said == text { PLAIN_REPEAT_INTERVAL } else { PLAIN_LINE_INTERVAL }
        });
        if is_due {
            last.insert(host.to_owned(), (Instant::now(), text.to_owned()));
            self.ui.say(&format!("{host}: {text}"));
        }
    }
}

impl Progress for Lines {
    fn begin(&self, host: &str, total: u64) {
        self.say_if_due(host, &format!("0/{total}"));
    }

    fn advance(&self, host: &str, done: u64, text: &str) {
        self.say_if_due(host, &format!("{done} {text}"));
    }

    fn end(&self, host: &str, text: &str, is_good: bool) {
        self.ui.write_error(&(end_line(&self.ui, host, text, is_good) + "\n"));
    }
}

/// One JSON object per event, on standard output.
struct Events {
    ui: Ui,
}

impl Events {
    fn event(&self, event: serde_json::Value) {
        self.ui.data_line(&event.to_string());
    }
}

impl Progress for Events {
    fn begin(&self, host: &str, total: u64) {
        self.event(serde_json::json!({ "event": "begin", "host": host, "total": total }));
    }

    fn advance(&self, host: &str, done: u64, text: &str) {
        self.event(serde_json::json!({ "event": "advance", "host": host, "done": done, "text": text }));
    }

    fn end(&self, host: &str, text: &str, is_good: bool) {
        self.event(serde_json::json!({ "event": "end", "host": host, "text": text, "is_good": is_good }));
    }
}

fn end_line(ui: &Ui, host: &str, text: &str, is_good: bool) -> String {
    let mark = if is_good { ui.paint("32", "ok") } else { ui.paint("31", "FAILED") };
    format!("{host}: {mark} {}", ui.quiet(text)).trim_end().to_owned()
}
