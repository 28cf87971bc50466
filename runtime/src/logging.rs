//! What the daemon logs: one line for each event, to stderr; journald or the supervisor's log file takes it from there.

use std::sync::OnceLock;

use dkc_core::config::{LogFormat, Parameters};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Exchanges the filter. Empty until logging has begun; one a process.
static EXCHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// The consensus library tells each round at `info`; what matters of it comes as warnings.
fn filter(level: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::try_new(format!("{level},openraft=error"))
}

pub fn begin(parameters: &Parameters) {
    let filter = filter(&parameters.log_level).unwrap_or_else(|_| EnvFilter::new("info,openraft=error"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        // A line that cannot be written is lost. To say so on standard error, which cannot be written, would end the process:
        // the supervisor that read it may have been killed.
        .log_internal_errors(false);
    // Begun already: only in tests that run several daemons in one process.
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

/// Logs by another level from now on. One that cannot be read changes nothing.
pub fn set_level(level: &str) -> Result<(), ParseError> {
    let filter = filter(level)?;
    if let Some(exchange) = EXCHANGE.get() {
        exchange(filter);
    }
    Ok(())
}
