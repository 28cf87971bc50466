//! `register config`: a configuration group, which any number of clusters can be attached to.

use std::collections::BTreeMap;

use dkc_core::config::Setting;
use dkc_core::ids::ConfigName;
use dkc_inventory::edit::{self, RegisterConfig};

use crate::arguments::NamedConfig;
use crate::error::{CommandError, codes};
use crate::session::Session;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  register config -n prod\n  register config -n prod memory_bytes=1073741824 log_format=json"
)]
pub struct Args {
    #[command(flatten)]
    pub named: NamedConfig,
    /// Parameters to set; all others have their defaults
    #[arg(value_name = "KEY=VALUE", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let request = RegisterConfig { name: args.named.name, set: parse_parameters(&args.parameters)? };
    session.edit(|inventory| edit::register_config(inventory, &request))
}

/// What `--config` of a cluster says: a group's name, and parameters.
pub fn parse_config(
    words: &[String],
) -> Result<(Option<ConfigName>, BTreeMap<String, Setting>), CommandError> {
    let (parameters, groups): (Vec<String>, Vec<String>) =
        words.iter().cloned().partition(|word| word.contains('='));
    let usage = |what: String| CommandError::new(&codes::USAGE, what);
    let group = match groups.as_slice() {
        [] => None,
        [one] => Some(one.parse().map_err(|error: dkc_core::ids::BadWord| usage(error.to_string()))?),
        [one, other, ..] => {
            let what = format!("a cluster has one configuration group, not {one} and {other}");
            return Err(usage(what).next("for a parameter: --config KEY=VALUE"));
        }
    };
    Ok((group, parse_parameters(&parameters)?))
}

/// Parses `KEY=VALUE` words into a map. A value is a number if it parses as one, else text.
pub fn parse_parameters(words: &[String]) -> Result<BTreeMap<String, Setting>, CommandError> {
    words.iter().map(|word| parse_parameter(word)).collect()
}

fn parse_parameter(word: &str) -> Result<(String, Setting), CommandError> {
    let (key, value) = word.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(|| {
        CommandError::new(&codes::USAGE, format!("'{word}' is not KEY=VALUE"))
            .next("for example: log_level=debug")
    })?;
    let Ok(value) = value.parse();
    Ok((key.to_owned(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_is_a_number_or_text() {
        let parsed = |word: &str| parse_parameter(word).map(|(key, value)| format!("{key} {value:?}")).ok();
        assert_eq!(parsed("heartbeat_ms=75").as_deref(), Some("heartbeat_ms Number(75)"));
        assert_eq!(parsed("log_level=debug").as_deref(), Some("log_level Text(\"debug\")"));
        assert_eq!(parsed("log_level=a=b").as_deref(), Some("log_level Text(\"a=b\")"));
        assert_eq!(parsed("=5"), None);
        assert_eq!(parsed("log_level"), None);
    }
}
