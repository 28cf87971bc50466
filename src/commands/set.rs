//! `set`: settings of this session; nothing is written.

use crate::error::{CommandError, codes};
use crate::session::Session;
use crate::ui::Listing;
use serde::Serialize;

/// Change a setting for this session, or show all
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  set\n  set output json\n  set output default\n  set timeout 10s")]
pub struct Args {
    /// Setting (default: show all)
    #[arg(requires = "value")]
    pub key: Option<Key>,
    /// Value; default resets it
    pub value: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Key {
    /// Output format: table, yaml, json, jsonl
    Output,
    /// Timeout per host reply
    Timeout,
}

#[derive(Serialize)]
struct Setting {
    setting: &'static str,
    value: String,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let (Some(key), Some(value)) = (args.key, args.value) else {
        show(session);
        return Ok(());
    };
    let bad =
        |cause: String| CommandError::new(&codes::USAGE, format!("invalid value '{value}'")).cause(cause);
    match (key, value.as_str()) {
        (Key::Output, "default") => session.defaults.output = None,
        (Key::Timeout, "default") => session.defaults.timeout = None,
        (Key::Output, word) => {
            let format = <crate::ui::Format as clap::ValueEnum>::from_str(word, false)
                .map_err(|_| bad("expected table, yaml, json, jsonl or default".into()))?;
            session.defaults.output = Some(format);
        }
        (Key::Timeout, word) => {
            session.defaults.timeout = Some(crate::arguments::parse_duration(word).map_err(bad)?)
        }
    }
    Ok(())
}

fn show(session: &Session) {
    let output = session.defaults.output.and_then(|format| {
        clap::ValueEnum::to_possible_value(&format).map(|value| value.get_name().to_owned())
    });
    let output = output.unwrap_or_else(|| "default".into());
    let timeout = format!("{:?}", session.defaults.timeout.unwrap_or(crate::session::TIMEOUT_DEFAULT));
    let mut listing = Listing::new(&["setting", "value"]);
    for (setting, value) in [("output", output), ("timeout", timeout)] {
        listing.push(vec![setting.into(), value.clone()], Setting { setting, value });
    }
    match session.settings.output {
        Some(format) => session.ui.show(format, &listing),
        None => {
            listing.rows.iter().for_each(|row| session.ui.data_line(&format!("{}: {}", row[0], row[1])));
        }
    }
}
