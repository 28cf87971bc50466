//! Logging: one line per event on stderr, which goes to journald or the supervisor's log file.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use dkc_core::config::{LogFormat, Parameters};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer, format};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Replaces the filter. One per process; empty until logging has started.
static EXCHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// What `log_format` says. One per process.
static IS_JSON: AtomicBool = AtomicBool::new(false);

/// The consensus library logs each round at `info`; its important messages are warnings.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{level},openraft=error"))
}

pub fn begin(parameters: &Parameters) {
    let filter = filter(&parameters.log_level).unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    set_format(parameters.log_format);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        // A line that cannot be written is dropped. Reporting that on standard error would panic: the supervisor that read it may
        // have been killed.
        .log_internal_errors(false)
        .event_format(TextOrJson::default())
        .with_filter_reloading();
    let handle = builder.reload_handle();
    let _ = EXCHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
    // Already initialised: only in tests with several daemons in one process.
    let _begun = builder.try_init();
}

/// Writes an event in the format that `log_format` asks for at that moment.
struct TextOrJson {
    text: Format<Full>,
    json: Format<Json>,
}

impl Default for TextOrJson {
    fn default() -> TextOrJson {
        // Events of ours stand in no spans; the fields of others' spans would be text where JSON is expected.
        let json = format().with_target(false).json().with_current_span(false).with_span_list(false);
        TextOrJson { text: format().with_target(false), json }
    }
}

impl<S, N> FormatEvent<S, N> for TextOrJson
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        match IS_JSON.load(Ordering::Relaxed) {
            true => self.json.format_event(context, writer, event),
            false => self.text.format_event(context, writer, event),
        }
    }
}

/// Changes the format of the lines to come.
pub fn set_format(format: LogFormat) {
    IS_JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// Changes the log level. An invalid one changes nothing.
pub fn set_level(level: &str) -> Result<(), ParseError> {
    let filter = filter(level)?;
    if let Some(exchange) = EXCHANGE.get() {
        exchange(filter);
    }
    Ok(())
}
