//! Logging: one line per event on stderr, which goes to journald or the supervisor's log file.

use std::sync::OnceLock;

use dkc_core::config::{LogFormat, Parameters};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Replaces the filter. One per process; empty until logging has started.
static EXCHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// The consensus library logs each round at `info`; its important messages are warnings.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{level},openraft=error"))
}

pub fn begin(parameters: &Parameters) {
    let filter = filter(&parameters.log_level).unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A line that cannot be written is dropped. Reporting that on standard error would panic: the supervisor that read it may
        // have been killed.
        .log_internal_errors(false);
    // Already initialised: only in tests with several daemons in one process.
    let _begun = match parameters.log_format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = EXCHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
            builder.try_init()
        }
        LogFormat::Json => {
            let builder = builder.json().with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = EXCHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
            builder.try_init()
        }
    };
}

/// Changes the log level. An invalid one changes nothing.
pub fn set_level(level: &str) -> Result<(), ParseError> {
    let filter = filter(level)?;
    if let Some(exchange) = EXCHANGE.get() {
        exchange(filter);
    }
    Ok(())
}
