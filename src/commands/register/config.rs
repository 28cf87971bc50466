//! `register config`: a cluster's parameters. The next deploy brings them to its nodes.

use std::collections::BTreeMap;

use dkc_core::config::Setting;
use dkc_inventory::edit::{self, ModifyCluster};

use crate::arguments::OfCluster;
use crate::error::{CommandError, codes};
use crate::session::Session;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// Parameters to set
    #[arg(required = true, value_name = "KEY=VALUE", add = crate::complete::parameters())]
    pub parameters: Vec<String>,
}

pub fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let name = session.cluster_name(args.of.name.as_ref())?;
    let set = parse_parameters(&args.parameters)?;
    let request = ModifyCluster { name, replicas: None, tablets: None, set, unset: Vec::new() };
    session.edit(|inventory| edit::modify_cluster(inventory, &request))
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
