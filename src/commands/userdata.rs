//! `userdata`: a script that turns a bare machine into a slave: it fetches the cluster's program from a server, verifies it, and runs
//! `join` with it. Also as a cloud-init document.
//!
//! *Invariant:* the script runs only the program whose SHA-256 it names. The token is in the script and in one file of the machine, never
//! in arguments or the environment.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dkc_core::control::{ControlReply, ControlRequest, ProgramView};
use dkc_core::ids::{ClusterName, NodeAddress};
use dkc_core::token::JoinToken;
use dkc_inventory::model::{Inventory, NodeName, node_dir};
use dkc_inventory::observed::Observed;
use dkcd::join::{JoinError, read_token};

use super::join::PairArguments;
use super::token::{anchors_pem, end_of, observed, tokens_of};
use crate::arguments::OfCluster;
use crate::error::{CommandError, codes};
use crate::observe;
use crate::session::Session;

const SCRIPT: &str = include_str!("userdata.sh");
/// Where cloud-init puts the script: a file system in memory.
const CLOUD_PATH: &str = "/run/dkc-join.sh";

/// Print a script or cloud-init document that makes a bare machine a slave
///
/// The machine needs curl or openssl, and a way to the cluster's servers; it needs no SSH. The script fetches the program from a
/// server over TLS, verified against the cluster's certificate authority and by its SHA-256, joins with the token, and installs and
/// starts a service. The output contains the token: handle it like a password until the token is used or expires.
#[derive(Debug, clap::Args)]
#[command(
    group(clap::ArgGroup::new("form").args(["shell", "cloud_init"])),
    after_help = "EXAMPLES\n  token issue -n c0 --yes > token\n  userdata -n c0 --token token > user-data\n  userdata -n c0 --token token --shell > join.sh\n  \
                  userdata -n c0 --token token --protocol redis --namespace sessions > user-data"
)]
pub struct Args {
    #[command(flatten)]
    pub of: OfCluster,
    /// File with the token (- for standard input); never the token itself
    #[arg(long, value_name = "FILE")]
    pub token: PathBuf,
    /// Print a shell script
    #[arg(long)]
    pub shell: bool,
    /// Print a cloud-init document (the default)
    #[arg(long)]
    pub cloud_init: bool,
    #[command(flatten)]
    pub pair: PairArguments,
}

/// What the script is made of.
struct Script<'a> {
    cluster: &'a ClusterName,
    token: JoinToken,
    authority: String,
    program: ProgramView,
    servers: Vec<NodeAddress>,
    pair: PairArguments,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let token = read_token(&args.token).map_err(|error| refused(error.to_string()))?;
    let (cluster, inventory, observed) = observed(session, &args.of, "userdata").await?;
    check_token(&inventory, &observed, &cluster, &token, &args.pair)?;
    let authority = authority_of(session, &inventory, &cluster, &token)?;
    let (program, servers) = program_of(session, &inventory, &observed, &cluster).await?;
    let script = Script { cluster: &cluster, token, authority, program, servers, pair: args.pair };
    let text = script.text();
    session.ui.data(&if args.shell { text } else { cloud_init(&text) });
    Ok(())
}

fn refused(what: String) -> CommandError {
    CommandError::new(&codes::NOT_JOINED, what).now("nothing changed")
}

/// Refuses what no machine could join with.
fn check_token(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
    token: &JoinToken,
    pair: &PairArguments,
) -> Result<(), CommandError> {
    if inventory.clusters.get(cluster).is_some_and(|known| known.id != token.cluster) {
        return Err(refused(format!(
            "the token is of another cluster ({}), not of {cluster}",
            token.cluster
        )));
    }
    let view = tokens_of(inventory, observed, cluster)?;
    let issue = format!("token issue -n {cluster}");
    let Some(known) = view.tokens.iter().find(|known| known.id == token.id) else {
        return Err(refused(format!("{cluster} does not know the token {}", token.id)).next(issue));
    };
    if let Some(end) = end_of(known) {
        return Err(refused(format!("the token {} is dead: {end}", token.id)).next(issue));
    }
    match &pair.namespace {
        Some(wanted) if !known.namespaces.contains(wanted) => {
            let (wanted, allowed) = (wanted.clone(), known.namespaces.clone());
            Err(refused(JoinError::Namespace { wanted, allowed }.to_string()))
        }
        _ => Ok(()),
    }
}

/// The authority of the cluster, which must be one that the token names.
fn authority_of(
    session: &Session,
    inventory: &Inventory,
    cluster: &ClusterName,
    token: &JoinToken,
) -> Result<String, CommandError> {
    let pem = anchors_pem(session, inventory, cluster)?;
    let fingerprints = dkcd::net::tls::fingerprints(pem.as_bytes()).map_err(CommandError::bug)?;
    match fingerprints.iter().any(|fingerprint| token.authorities.contains(fingerprint)) {
        true => Ok(pem),
        false => Err(refused("the token names another certificate authority: it was replaced since".into())
            .next(format!("token issue -n {cluster}"))),
    }
}

/// The program that most servers run, and those servers.
async fn program_of(
    session: &Session,
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
) -> Result<(ProgramView, Vec<NodeAddress>), CommandError> {
    let asked = inventory.servers_of(cluster).into_iter().map(|node| async move {
        Some((ask_program(session, inventory, observed, &node).await?, address_of(inventory, &node)?))
    });
    let mut by_digest: BTreeMap<String, (ProgramView, Vec<NodeAddress>)> = BTreeMap::new();
    for (program, address) in futures::future::join_all(asked).await.into_iter().flatten() {
        by_digest.entry(program.digest.clone()).or_insert_with(|| (program, Vec::new())).1.push(address);
    }
    by_digest.into_values().max_by_key(|(_, servers)| servers.len()).ok_or_else(|| {
        let what = format!("no server of {cluster} says which program it runs");
        CommandError::new(&codes::NO_SERVER, what).next(format!("status cluster -n {cluster}"))
    })
}

fn address_of(inventory: &Inventory, node: &NodeName) -> Option<NodeAddress> {
    let NodeName::Server(cluster, number) = node else { return None };
    Some(inventory.server(cluster, *number)?.address.clone())
}

async fn ask_program(
    session: &Session,
    inventory: &Inventory,
    observed: &Observed,
    node: &NodeName,
) -> Option<ProgramView> {
    let address = inventory.host_of(node)?;
    let facts = observed.facts(&address)?;
    facts.nodes.get(node)?.status.as_ref()?;
    let host = observe::open(&session.world, inventory, &address).await.ok()?;
    let mut control = host.control(&node_dir(&facts.root, node)).await.ok()?;
    match control.ask(&ControlRequest::Program, session.timeout()).await.ok()? {
        ControlReply::Program(program) => Some(program),
        _ => None,
    }
}

impl Script<'_> {
    fn text(&self) -> String {
        let Script { cluster, token, authority, program, servers, pair } = self;
        let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
        let path = format!("/dkc/{}/{}", token.id, program.digest);
        let variables = [
            ("architecture", program.architecture.clone()),
            ("digest", program.digest.clone()),
            ("bytes", program.bytes.to_string()),
            ("servers", servers.join(" ")),
            ("path", path),
            ("words", words(pair)),
            ("authority", authority.trim().to_owned()),
            ("token", token.encode()),
        ];
        let lines =
            variables.iter().map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', r"'\''")));
        format!(
            "#!/bin/sh\n# Makes this machine a slave of the dkc cluster {cluster}. Written by: dkc userdata\n\
             # It contains a token, which is a secret until it is used or expires.\n{}{SCRIPT}",
            lines.collect::<String>()
        )
    }
}

/// The arguments of `join`, quoted for a shell.
fn words(pair: &PairArguments) -> String {
    let protocol = pair.protocol.name().to_owned();
    let options = [
        ("--listen", pair.listen.clone()),
        ("--protocol", Some(protocol)),
        ("--namespace", pair.namespace.as_ref().map(ToString::to_string)),
    ];
    let given = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let quoted =
        given.map(|(name, value)| format!("{name} {}", shlex::try_quote(&value).unwrap_or_default()));
    quoted.collect::<Vec<_>>().join(" ")
}

/// The script as a file, and the command that runs it once.
fn cloud_init(script: &str) -> String {
    let indented: String = script
        .lines()
        .map(|line| if line.is_empty() { "\n".into() } else { format!("    {line}\n") })
        .collect();
    format!(
        "#cloud-config\nwrite_files:\n- path: {CLOUD_PATH}\n  owner: root:root\n  permissions: '0700'\n  content: |\n{indented}\
         runcmd:\n- [sh, {CLOUD_PATH}]\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(listen: Option<&str>) -> PairArguments {
        PairArguments {
            listen: listen.map(str::to_owned),
            protocol: dkc_core::config::Protocol::Redis,
            namespace: Some("sessions".parse().unwrap()),
        }
    }

    #[test]
    fn arguments_of_join_are_words_of_a_shell() {
        assert_eq!(words(&pair(None)), "--protocol redis --namespace sessions");
        let quoted = words(&pair(Some("/run/it's; rm -rf /")));
        let want = ["--listen", "/run/it's; rm -rf /", "--protocol", "redis", "--namespace", "sessions"];
        assert_eq!(shlex::split(&quoted).unwrap(), want);
    }

    #[test]
    fn a_cloud_init_document_holds_the_same_script() {
        let script = "#!/bin/sh\n# a: b\n\ntoken='x'\n";
        let document: serde_yaml::Value = serde_yaml::from_str(&cloud_init(script)).unwrap();
        assert_eq!(document["write_files"][0]["content"].as_str(), Some(script));
        assert_eq!(document["write_files"][0]["permissions"].as_str(), Some("0700"));
        assert_eq!(document["runcmd"][0][1].as_str(), Some(CLOUD_PATH));
    }
}
