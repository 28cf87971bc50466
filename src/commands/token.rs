//! `token`: what lets a machine become a slave of a cluster without SSH. The cluster keeps the hash of a token only; the text is
//! printed once, to standard output, and is in no plan, journal, audit log or history.

use std::time::Duration;

use dkc_core::control::TokensView;
use dkc_core::ids::{ClusterId, ClusterName, Namespace};
use dkc_core::meta::{
    NewToken, TOKEN_LABEL_MAX_BYTES, TOKEN_NAMESPACES_MAX, TOKEN_TTL_MAX_MS, TOKEN_USES_MAX, TokenEnd,
    TokenView,
};
use dkc_core::ring::Node;
use dkc_core::token::{JoinToken, SecretHash, TOKEN_SERVERS_MAX, TokenId};
use dkc_inventory::enrolled;
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{self, IssueTokenRequest, RevokeTokenRequest, Target};
use dkc_inventory::ring_facts::RingFacts;
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::arguments::{OfCluster, parse_duration};
use crate::authority::Authority;
use crate::error::{CommandError, codes};
use crate::operation::{self, InventoryChanges};
use crate::session::Session;
use crate::store::holder;
use crate::ui::{Format, Listing};

/// Let machines become slaves without SSH
///
/// Whoever has a token can add a slave with access to its namespaces, until the token expires, is used up or is revoked. A token
/// names the cluster's servers and its certificate authority, so that a machine needs nothing else. It is printed once: keep it
/// where only the machine can read it, and pass it in a file or on standard input.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  token issue -n c0\n  token issue -n c0 --namespace sessions --ttl 30m --uses 10 --label \"web tier\"\n  \
                  token list -n c0\n  token revoke -n c0 0b1e7c1c-6f0f-4f0e-9d55-3f2b8d0c7a01"
)]
pub enum Args {
    /// Print a new token
    Issue(IssueArgs),
    /// Show tokens, what is left of them, and the slaves that joined
    List {
        #[command(flatten)]
        of: OfCluster,
    },
    /// End a token; slaves that joined with it stay
    Revoke {
        #[command(flatten)]
        of: OfCluster,
        /// The token's id, as in token list
        #[arg(value_name = "ID")]
        id: TokenId,
    },
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  token issue -n c0\n  token issue -n c0 --namespace sessions --ttl 30m --uses 10 --label \"web tier\"\n  \
                  token issue -n c0 --yes > token"
)]
pub struct IssueArgs {
    #[command(flatten)]
    pub of: OfCluster,
    /// What a machine becomes with it
    #[arg(long, value_enum, default_value_t = Role::Slave)]
    pub role: Role,
    /// Namespace that its slaves may use; repeatable
    #[arg(long, value_name = "NS", default_value = "default")]
    pub namespace: Vec<Namespace>,
    /// How long it works, at most 7 days
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_ttl)]
    pub ttl: Duration,
    /// How many slaves it adds, at most 1000
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(TOKEN_USES_MAX)))]
    pub uses: u32,
    /// A few words about it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, value_parser = parse_label)]
    pub label: String,
}

/// The roles that a token enrols for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// A process beside applications
    Slave,
}

fn parse_ttl(word: &str) -> Result<Duration, String> {
    let ttl = parse_duration(word)?;
    let is_allowed = (1..=u128::from(TOKEN_TTL_MAX_MS)).contains(&ttl.as_millis());
    if is_allowed { Ok(ttl) } else { Err("a token works for 1 ms to 7 days".into()) }
}

fn parse_label(word: &str) -> Result<String, String> {
    match word.len() <= TOKEN_LABEL_MAX_BYTES && !word.chars().any(char::is_control) {
        true => Ok(word.to_owned()),
        false => Err(format!("a label is one line of at most {TOKEN_LABEL_MAX_BYTES} bytes")),
    }
}

impl Args {
    pub fn is_changing(&self) -> bool {
        !matches!(self, Args::List { .. })
    }
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Issue(args) => issue(session, args).await,
        Args::List { of } => list(session, &of).await,
        Args::Revoke { of, id } => revoke(session, &of, id).await,
    }
}

/// A cluster with what its servers say.
pub async fn observed(
    session: &mut Session,
    of: &OfCluster,
    verb: &'static str,
) -> Result<(ClusterName, Inventory, Observed), CommandError> {
    let cluster = session.cluster_name(of.name.as_ref())?;
    let everyone = Target::Servers { cluster: cluster.clone(), numbers: Vec::new() };
    let hosts = everyone.hosts(&session.inventory()?).map_err(operation::refused(verb))?;
    let (inventory, observed) = operation::observe(session, hosts).await?;
    Ok((cluster, inventory, observed))
}

async fn issue(session: &mut Session, args: IssueArgs) -> Result<(), CommandError> {
    if args.namespace.len() > TOKEN_NAMESPACES_MAX {
        let what = format!("a token is for at most {TOKEN_NAMESPACES_MAX} namespaces");
        return Err(CommandError::new(&codes::USAGE, what).now("nothing changed"));
    }
    let (cluster, inventory, observed) = observed(session, &args.of, "token issue").await?;
    let token = new_token(session, &inventory, &observed, &cluster)?;
    let mut namespaces = args.namespace;
    namespaces.sort();
    namespaces.dedup();
    let new = NewToken {
        id: token.id,
        hash: SecretHash(Sha256::digest(token.secret.0).into()),
        namespaces,
        uses: args.uses,
        ttl_ms: u64::try_from(args.ttl.as_millis()).unwrap_or(u64::MAX),
        label: args.label,
        by: holder(),
    };
    let request = IssueTokenRequest {
        operation: operation::begin(session),
        ttl: humantime::format_duration(args.ttl).to_string(),
        cluster,
        token: new.clone(),
    };
    let plan =
        plan::issue_token(&inventory, &observed, &request).map_err(operation::refused("token issue"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await?;
    if !session.settings.dry_run {
        print(session, &token, &new);
    }
    Ok(())
}

/// A token for the cluster as it is now. Without servers if no ring is known: the plan refuses that.
fn new_token(
    session: &Session,
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
) -> Result<JoinToken, CommandError> {
    let nodes = RingFacts::of(inventory, observed, cluster).map(|facts| facts.view.ring.nodes.as_slice());
    let authorities = match nodes.is_some() {
        true => {
            let anchors_pem = anchors_pem(session, inventory, cluster)?;
            dkcd::net::tls::fingerprints(anchors_pem.as_bytes()).map_err(CommandError::bug)?
        }
        false => Vec::new(),
    };
    let serving = nodes.unwrap_or_default().iter().filter(|node| Node::stays_in_service(node));
    Ok(JoinToken {
        cluster: id_of(inventory, cluster)?,
        id: TokenId(uuid::Uuid::new_v4()),
        secret: dkcd::net::tls::new_secret().map_err(CommandError::bug)?,
        authorities,
        servers: serving.map(|node| node.address.clone()).take(TOKEN_SERVERS_MAX).collect(),
    })
}

fn id_of(inventory: &Inventory, cluster: &ClusterName) -> Result<ClusterId, CommandError> {
    let known = inventory.clusters.get(cluster);
    known
        .map(|known| known.id)
        .ok_or_else(|| CommandError::bug("a cluster that is not registered was observed"))
}

/// The trust anchors of the cluster's nodes.
pub fn anchors_pem(
    session: &Session,
    inventory: &Inventory,
    cluster: &ClusterName,
) -> Result<String, CommandError> {
    let authority = Authority::open(&session.store.authority_dir(), cluster, id_of(inventory, cluster)?);
    match authority {
        Ok(authority) => Ok(authority.anchors_pem().to_owned()),
        Err(error) => Err(CommandError::new(&codes::AUTHORITY, error.to_string()).now("nothing changed")),
    }
}

/// The only place where the text of a token is written.
fn print(session: &Session, token: &JoinToken, new: &NewToken) {
    #[derive(Serialize)]
    struct Issued<'a> {
        token: &'a str,
        id: TokenId,
        namespaces: &'a [Namespace],
        uses: u32,
        ttl_ms: u64,
        label: &'a str,
    }
    let text = token.encode();
    if session.settings.output.is_none() {
        return session.ui.data_line(&text);
    }
    let mut listing = Listing::new(&["id", "token"]);
    let NewToken { id, namespaces, uses, ttl_ms, label, .. } = new;
    let issued = Issued { token: &text, id: *id, namespaces, uses: *uses, ttl_ms: *ttl_ms, label };
    listing.push(vec![id.to_string(), text.clone()], issued);
    session.show(Format::Table, &listing);
}

/// Tokens and slaves, as the servers that answered know them.
pub fn tokens_of(
    inventory: &Inventory,
    observed: &Observed,
    cluster: &ClusterName,
) -> Result<TokensView, CommandError> {
    enrolled::tokens(inventory, observed, cluster).ok_or_else(|| {
        let what = format!("no server of {cluster} answers");
        CommandError::new(&codes::NO_SERVER, what).next(format!("status cluster -n {cluster}"))
    })
}

async fn list(session: &mut Session, of: &OfCluster) -> Result<(), CommandError> {
    #[derive(Serialize)]
    struct Shown<'a> {
        state: String,
        slaves: Vec<String>,
        #[serde(flatten)]
        token: &'a TokenView,
    }
    let (cluster, inventory, observed) = observed(session, of, "token list").await?;
    let view = tokens_of(&inventory, &observed, &cluster)?;
    let mut listing =
        Listing::new(&["id", "state", "uses", "namespaces", "issued", "expires", "slaves", "label", "by"]);
    for token in &view.tokens {
        let slaves = view.enrolled.values().filter(|slave| slave.token == token.id);
        let slaves: Vec<String> = slaves.map(|slave| slave.id.to_string()).collect();
        let names: Vec<String> = token.namespaces.iter().map(ToString::to_string).collect();
        let state = end_of(token).unwrap_or_else(|| "alive".into());
        let row = vec![
            token.id.to_string(),
            state.clone(),
            format!("{} of {} left", token.uses_left, token.uses),
            names.join(", "),
            time_of(token.issued_at_ms),
            time_of(token.expires_at_ms),
            slaves.join(", "),
            token.label.clone(),
            token.by.clone(),
        ];
        listing.push(row, Shown { state, slaves, token });
    }
    session.show(Format::Table, &listing);
    Ok(())
}

fn now_ms() -> u64 {
    u64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap_or(0)
}

/// How the token ended; `None` while it is alive. The cluster marks an expired token a little later; its time is over all the same.
pub fn end_of(token: &TokenView) -> Option<String> {
    match &token.end {
        Some(TokenEnd::UsedUp) => Some("used up".into()),
        Some(TokenEnd::Revoked(by)) => Some(format!("revoked by {by}")),
        Some(TokenEnd::Expired) => Some("expired".into()),
        None => (token.expires_at_ms <= now_ms()).then(|| "expired".into()),
    }
}

fn time_of(at_ms: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(i64::try_from(at_ms / 1000).unwrap_or(i64::MAX));
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_default()
}

async fn revoke(session: &mut Session, of: &OfCluster, id: TokenId) -> Result<(), CommandError> {
    let (cluster, inventory, observed) = observed(session, of, "token revoke").await?;
    let request = RevokeTokenRequest { operation: operation::begin(session), cluster, id, holder: holder() };
    let plan =
        plan::revoke_token(&inventory, &observed, &request).map_err(operation::refused("token revoke"))?;
    operation::carry_out(session, plan, InventoryChanges::default()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_live_has_bounds() {
        for word in ["1h", "7d", "90s", "1ms"] {
            assert!(parse_ttl(word).is_ok(), "{word}");
        }
        for word in ["0", "7d 1s", "never", "-1h", "1y"] {
            assert!(parse_ttl(word).is_err(), "{word}");
        }
    }

    #[test]
    fn a_label_is_one_short_line() {
        assert!(parse_label("web tier, 東京").is_ok());
        assert!(parse_label(&"x".repeat(TOKEN_LABEL_MAX_BYTES + 1)).is_err());
        assert!(parse_label("a\nb").is_err() && parse_label("\x1b[31m").is_err());
    }
}
