//! `playground`: a complete cluster on this machine, created by the same plans and steps as a real one and removed on quit.

mod directory;

use std::net::{Ipv4Addr, TcpListener};

use dkc_core::ids::{ClusterName, HostAddress, NodeAddress, SlaveId};
use dkc_inventory::edit::{self, RegisterCluster, RegisterHosts, RegisterPair, RegisterSlave};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{Selection, Target};

use directory::PlaygroundDir;

use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::store::Store;
use crate::ui::{Format, Listing};

/// First port to try: away from the ports of a real cluster.
const FIRST_PORT: u16 = 18_020;
/// Ports to try before giving up.
const PORTS_TRIED_MAX: u16 = 2_000;
const CLUSTER: &str = "c0";
const HOST: &str = "127.0.0.1";

/// Try dkc: start a cluster and a slave on this machine; quit removes them
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  playground\n  playground --servers 5 --keep\n  playground list\n  playground down"
)]
pub struct Args {
    #[command(subcommand)]
    pub action: Option<PlaygroundAction>,
    /// Number of servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub servers: u16,
    /// Number of slaves
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=9))]
    pub slaves: u16,
    /// Keep it running after quit
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum PlaygroundAction {
    /// Start a playground and open its prompt (the default)
    Up,
    /// Stop and remove kept playgrounds
    Down,
    /// List playgrounds
    List,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args.action {
        Some(PlaygroundAction::List) => list(session),
        Some(PlaygroundAction::Down) => down(session),
        None | Some(PlaygroundAction::Up) => up(session, &args).await,
    }
}

/// Creates it, opens its prompt, removes it. Dropping the directory removes it on any early return.
async fn up(session: &mut Session, args: &Args) -> Result<(), CommandError> {
    if session.is_playground {
        return Err(CommandError::new(&codes::REFUSED, "already inside a playground").now("nothing changed"));
    }
    let mut place = PlaygroundDir::make().map_err(playground_error)?;
    if args.keep {
        place.keep();
    }
    let store = Store::at(place.inventory_dir());
    let mut settings = session.defaults.clone();
    settings.yes = true;
    let (ui, interrupt) = (session.ui.clone(), session.interrupt.clone());
    let mut inner =
        Session::new(store, ui, settings, interrupt, session.is_interactive, session.command_loop);
    inner.is_playground = true;
    inner.shows_plans = false;
    let made = make(&mut inner, &place, args).await;
    let exit = match made {
        Ok(()) => play(session, &mut inner, &place, args).await,
        Err(error) => {
            inner.close().await;
            // A playground that failed to start is not worth keeping.
            place.remove_now().map_err(playground_error)?;
            let exit = if session.interrupt.is_requested() { Exit::Interrupted } else { error.exit };
            return Err(error.now("the playground was removed").next("playground").exit(exit));
        }
    };
    inner.close().await;
    if !args.keep {
        session.ui.say("playground: stopping and removing it");
        place.remove_now().map_err(playground_error)?;
    }
    if exit == Exit::Done { Ok(()) } else { Err(CommandError::silent(exit)) }
}

/// Registers, deploys and starts, as an operator would.
async fn make(inner: &mut Session, place: &PlaygroundDir, args: &Args) -> Result<(), CommandError> {
    let ports = free_ports(args.servers + args.slaves).ok_or_else(|| {
        CommandError::new(&codes::PLAYGROUND, format!("no free ports from {FIRST_PORT} upwards"))
            .now("nothing changed")
    })?;
    let (servers, slaves) = ports.split_at(usize::from(args.servers));
    let locked = inner.lock()?;
    let inventory = inventory(&locked.load()?, place, servers, slaves)?;
    locked.save(&inventory)?;
    drop(locked);
    inner.line = "deploy".into();
    super::deploy::run_selection(inner, Selection::default(), false).await?;
    let cluster = cluster_name();
    inner.line = format!("start cluster -n {cluster}");
    super::start::run_target(inner, Target::Servers { cluster: cluster.clone(), numbers: Vec::new() })
        .await?;
    if !slaves.is_empty() {
        inner.line = "start slave".into();
        super::start::run_target(inner, Target::Slaves { ids: Vec::new() }).await?;
    }
    inner.current_cluster = Some(cluster);
    Ok(())
}

fn cluster_name() -> ClusterName {
    CLUSTER.parse().expect("the constant is a valid name")
}

/// The inventory of a playground: one local host, one cluster, its slaves with a pair each.
fn inventory(
    empty: &Inventory,
    place: &PlaygroundDir,
    servers: &[u16],
    slaves: &[u16],
) -> Result<Inventory, CommandError> {
    let host: HostAddress = HOST.parse().expect("the constant is a valid address");
    let data_dir = Some(place.data_dir().display().to_string());
    let hosts =
        RegisterHosts { hosts: vec![host.clone()], local: true, data_dir, ..RegisterHosts::default() };
    let mut inventory = edit::register_hosts(empty, &hosts)?.inventory;
    let address = |port: &u16| NodeAddress { host: host.clone(), port: *port };
    let cluster = RegisterCluster {
        name: cluster_name(),
        servers: servers.iter().map(address).collect(),
        replicas: None,
        tablets: None,
        config: None,
        parameters: Default::default(),
    };
    inventory = edit::register_cluster(&inventory, &cluster, &mut uuid::Uuid::new_v4)?.inventory;
    for (id, port) in slaves.iter().enumerate() {
        let id = SlaveId(id as u32);
        let slave = RegisterSlave { cluster: cluster_name(), id: Some(id), host: Some(host.clone()) };
        inventory = edit::register_slave(&inventory, &slave, &mut uuid::Uuid::new_v4)?.inventory;
        let listen = Some(format!("{HOST}:{port}"));
        let pair = RegisterPair { id, listen, protocol: None, namespace: None };
        inventory = edit::register_pair(&inventory, &pair)?.inventory;
    }
    Ok(inventory)
}

/// Keeps all ports bound until enough are found, so none is returned twice.
fn free_ports(count: u16) -> Option<Vec<u16>> {
    let candidates = FIRST_PORT..FIRST_PORT + PORTS_TRIED_MAX;
    let open = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let held: Vec<TcpListener> = candidates.filter_map(open).take(usize::from(count)).collect();
    let ports: Option<Vec<u16>> = held.iter().map(|socket| Some(socket.local_addr().ok()?.port())).collect();
    ports.filter(|ports| ports.len() == usize::from(count))
}

/// The prompt for a person, the commands on standard input for a script.
async fn play(outer: &Session, inner: &mut Session, place: &PlaygroundDir, args: &Args) -> Exit {
    introduce(inner, place, args);
    inner.defaults = outer.defaults.clone();
    inner.settings = outer.defaults.clone();
    inner.shows_plans = true;
    // `up --keep` only brings it up.
    if inner.is_interactive && args.keep && args.action == Some(PlaygroundAction::Up) {
        return Exit::Done;
    }
    (inner.command_loop)(inner).await
}

fn introduce(inner: &Session, place: &PlaygroundDir, args: &Args) {
    let inventory = inner.inventory().unwrap_or_default();
    let listen = inventory.slaves.values().flat_map(|slave| &slave.pairs).map(|pair| pair.listen.as_str());
    let listen: Vec<&str> = listen.collect();
    inner.ui.say(&format!(
        "playground: cluster {CLUSTER} of {} servers runs in {}",
        args.servers,
        place.dir().display()
    ));
    if !listen.is_empty() {
        inner.ui.say(&format!("  memcached clients:  {}", listen.join(", ")));
    }
    inner.ui.say("  try:                data set test-key test-value; data print test-key; status");
    let inventory_dir = place.inventory_dir();
    inner.ui.say(&format!("  from another shell: dkc --inventory {} status", inventory_dir.display()));
    match args.keep {
        true => inner.ui.say("  kept after quit; remove it with: playground down"),
        false => inner.ui.say("  quit removes it"),
    }
}

fn list(session: &Session) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["directory", "inventory", "state"]);
    for place in PlaygroundDir::all().map_err(playground_error)? {
        let (dir, inventory) =
            (place.dir().display().to_string(), place.inventory_dir().display().to_string());
        let state = if place.is_in_use() { "in use" } else { "kept" };
        let document = serde_json::json!({ "directory": dir, "inventory": inventory, "state": state });
        listing.push(vec![dir, inventory, state.into()], document);
    }
    session.show(Format::Table, &listing);
    Ok(())
}

/// Removes kept and abandoned playgrounds, but none that a shell is in.
fn down(session: &Session) -> Result<(), CommandError> {
    let places = PlaygroundDir::all().map_err(playground_error)?;
    let (in_use, kept): (Vec<PlaygroundDir>, Vec<PlaygroundDir>) =
        places.into_iter().partition(PlaygroundDir::is_in_use);
    if kept.is_empty() {
        session.ui.say("playground: nothing to remove");
    } else if session.settings.dry_run {
        kept.iter().for_each(|place| session.ui.say(&format!("would remove {}", place.dir().display())));
        return Ok(());
    } else {
        session.confirm(&format!("Stop and remove {} with all data?", names(&kept)))?;
    }
    if !in_use.is_empty() {
        session.ui.say(&format!("playground: in use by a shell, not removed: {}", names(&in_use)));
    }
    kept.into_iter().try_for_each(|mut place| place.remove_now()).map_err(playground_error)
}

fn names(places: &[PlaygroundDir]) -> String {
    places.iter().map(|place| place.dir().display().to_string()).collect::<Vec<_>>().join(", ")
}

fn playground_error(error: directory::PlaygroundDirError) -> CommandError {
    CommandError::new(&codes::PLAYGROUND, error.to_string()).next("playground down")
}
