//! `set`: settings of this session. They end with it; nothing is written.

use crate::error::{CommandError, codes};
use crate::session::Session;

/// Change a setting of this session, or show all
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  set\n  set output json\n  set output default\n  set timeout 10s")]
pub struct Args {
    /// The setting; without it all are shown
    #[arg(requires = "value")]
    pub key: Option<Key>,
    /// Its value; default goes back
    pub value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Key {
    /// How data is printed: table, yaml, json, jsonl
    Output,
    /// Limit of one answer of a host
    Timeout,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (Some(key), Some(value)) = (args.key, args.value) else {
        show(session);
        return Ok(());
    };
    let bad = |cause: String| {
        CommandError::new(&codes::USAGE, format!("'{value}' is not a value of this setting")).cause(cause)
    };
    match (key, value.as_str()) {
        (Key::Output, "default") => session.defaults.output = None,
        (Key::Timeout, "default") => session.defaults.timeout = None,
        (Key::Output, word) => {
            let format = <crate::ui::Format as clap::ValueEnum>::from_str(word, false)
                .map_err(|_| bad("it is one of table, yaml, json, jsonl, default".into()))?;
            session.defaults.output = Some(format);
        }
        (Key::Timeout, word) => {
            session.defaults.timeout = Some(crate::cli::parse_duration(word).map_err(bad)?)
        }
    }
    Ok(())
}

fn show(session: &Session) {
    let output = session.defaults.output.and_then(|format| {
        clap::ValueEnum::to_possible_value(&format).map(|value| value.get_name().to_owned())
    });
    session.ui.data_line(&format!("output: {}", output.unwrap_or_else(|| "default".into())));
    let timeout = session.defaults.timeout.unwrap_or(crate::session::TIMEOUT_DEFAULT);
    session.ui.data_line(&format!("timeout: {timeout:?}"));
}
