//! Arguments shared by commands: global flags, the target of a command, and durations.

use std::time::Duration;

use clap::{Args, ValueEnum};
use dkc_core::ids::{ClusterName, ConfigName, MemberNo, SlaveId};

use crate::ui::Format;

/// Longest line of commands; it also rejects files that are not command lists early.
pub const LINE_MAX_BYTES: usize = 1024 * 1024;
/// Help heading of the flags that every command accepts.
pub const EVERYWHERE: &str = "Global options";

/// Flags that any command accepts, from the OS shell and at the prompt.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// Output format: table, yaml, json or jsonl (default: depends on the command)
    #[arg(short = 'o', long = "output", global = true, value_name = "FORMAT", hide_possible_values = true,
        help_heading = EVERYWHERE)]
    pub output: Option<Format>,
    /// Apply without asking (not enough for a plan that loses data)
    #[arg(short = 'y', long, global = true, help_heading = EVERYWHERE)]
    pub yes: bool,
    /// Confirmation word for a plan that loses data, such as c0@g42
    #[arg(long, global = true, value_name = "WORD", help_heading = EVERYWHERE)]
    pub confirm: Option<String>,
    /// Run all checks and show the plan; change nothing
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub dry_run: bool,
    /// With --dry-run: exit 10 when changes are pending
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub exit_code: bool,
    /// Show everything: every step of a plan, all that is known of a node
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub long: bool,
    /// Timeout per host reply, such as 5s or 500ms
    #[arg(long, global = true, value_name = "TIME", value_parser = parse_duration, help_heading = EVERYWHERE)]
    pub timeout: Option<Duration>,
}

impl Settings {
    /// These settings overridden by a line's own flags. `--yes` and `--confirm` apply to one line only, unless the
    /// program was started with them.
    pub fn overlaid(&self, line: &Settings) -> Settings {
        Settings {
            output: line.output.or(self.output),
            yes: line.yes || self.yes,
            confirm: line.confirm.clone().or_else(|| self.confirm.clone()),
            dry_run: line.dry_run || self.dry_run,
            exit_code: line.exit_code || self.exit_code,
            long: line.long || self.long,
            timeout: line.timeout.or(self.timeout),
        }
    }
}

/// The nouns of commands about hosts and nodes. `css` and `memcache` are the ancestor's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Noun {
    /// Hosts
    Host,
    /// Clusters and their servers
    #[value(alias = "css")]
    Cluster,
    /// Slaves
    #[value(alias = "memcache")]
    Slave,
}

// `-n`, which cluster a command is about: every verb flattens one of these blocks. Where a verb means something narrower, it says
// so with `#[command(mut_arg(CLUSTER, |arg| arg.help(...)))]`. No doc comments on the blocks: clap would take them for the text of
// the command that they are flattened into.

/// Name of the argument `-n`, for `mut_arg`.
pub const CLUSTER: &str = "name";

// The cluster, or the one in use.
#[derive(Debug, Clone, Args)]
pub struct OfCluster {
    /// Cluster name (default: the one chosen with use, or the only one)
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
}

// Where a mistake costs data.
#[derive(Debug, Clone, Args)]
pub struct NamedCluster {
    /// Cluster name; required, the cluster chosen with use does not apply
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: ClusterName,
}

// A filter: everything else is left out.
#[derive(Debug, Clone, Args)]
pub struct OnlyCluster {
    /// Only this cluster
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"],
        add = crate::complete::clusters())]
    pub name: Option<ClusterName>,
}

// A cluster that does not exist yet: there is nothing to complete.
#[derive(Debug, Clone, Args)]
pub struct NewCluster {
    /// Cluster name
    #[arg(short = 'n', long = "name", value_name = "NAME", aliases = ["cluster", "css"])]
    pub name: ClusterName,
}

// The shape and the parameters of a cluster that does not exist yet.
#[derive(Debug, Clone, Args)]
pub struct NewShape {
    /// Number of replicas (default: 3; with fewer servers, every server holds all data)
    #[arg(long, value_name = "COUNT")]
    pub replicas: Option<u32>,
    /// Number of tablets to begin with (default: 3 for up to 3 servers, beyond that twice the number of servers). grow splits
    /// them where the servers need more, ring split does it by hand
    #[arg(long, value_name = "COUNT")]
    pub tablets: Option<u16>,
    /// Attach it to a configuration group, or set a parameter for this cluster alone; repeatable
    #[arg(long, value_name = "NAME|KEY=VALUE", add = crate::complete::configs_and_parameters())]
    pub config: Vec<String>,
}

/// Name of the argument `-n` of commands about configuration groups.
pub const CONFIG: &str = "config";

/// A configuration group.
#[derive(Debug, Clone, Args)]
pub struct NamedConfig {
    /// Name of the configuration group
    #[arg(id = CONFIG, short = 'n', long = "name", value_name = "NAME", add = crate::complete::configs())]
    pub name: ConfigName,
}

/// A configuration group, or one cluster.
#[derive(Debug, Clone, Args)]
pub struct OfConfig {
    /// Name of a configuration group
    #[arg(id = CONFIG, short = 'n', long = "name", value_name = "NAME", add = crate::complete::configs())]
    pub name: Option<ConfigName>,
    /// One cluster instead (default: the one chosen with use, or the only one)
    #[arg(short = 'c', long, value_name = "CLUSTER", alias = "css", conflicts_with = CONFIG,
        add = crate::complete::clusters())]
    pub cluster: Option<ClusterName>,
}

/// What a command about parameters is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigTarget {
    /// A group, and all clusters that are attached to it.
    Config(ConfigName),
    /// One cluster.
    Cluster(ClusterName),
}

/// A cluster, or some of its servers.
#[derive(Debug, Clone, Args)]
pub struct ClusterTarget {
    #[command(flatten)]
    pub of: OfCluster,
    /// Only this member; repeatable
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
}

/// Nodes to be asked, one or several.
#[derive(Debug, Clone, Args)]
pub struct NodeTarget {
    #[command(flatten)]
    pub of: OfCluster,
    /// Only this member
    #[arg(short = 'N', long = "no", value_name = "NO")]
    pub no: Vec<MemberNo>,
    /// Show slaves instead of servers
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
}

/// Slaves by their ids.
#[derive(Debug, Clone, Args)]
pub struct SlaveTarget {
    /// The slave's id; repeatable (default: all slaves)
    #[arg(long, value_name = "ID", add = crate::complete::slaves())]
    pub id: Vec<SlaveId>,
}

/// `5s`, `500ms`, `2m`, `1h 30m`, or a bare number of seconds.
pub fn parse_duration(word: &str) -> Result<Duration, String> {
    match word.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => humantime::parse_duration(word)
            .map_err(|error| format!("expected a number with a unit, such as 5s, 500ms or 2m ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        let table = [
            ("5", Some(5_000)),
            ("5s", Some(5_000)),
            ("500ms", Some(500)),
            ("2m", Some(120_000)),
            ("1h30m", Some(5_400_000)),
        ];
        for (word, want) in table {
            assert_eq!(parse_duration(word).ok().map(|d| d.as_millis()), want, "{word}");
        }
        for word in ["", "s", "5 parsecs", "-1", "99999999999999999999s"] {
            assert!(parse_duration(word).is_err(), "{word}");
        }
    }
}
