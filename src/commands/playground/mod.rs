//! `playground`: a whole cluster on this machine to try things with, made by the same plan and steps as a real one,
//! and removed when it is left.

mod place;

use std::net::{Ipv4Addr, TcpListener};

use dkc_core::ids::{ClusterName, HostAddress, NodeAddress, SlaveId};
use dkc_inventory::edit::{self, RegisterCluster, RegisterHosts, RegisterPair, RegisterSlave};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{Selection, Target};

use place::Place;

use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::store::Store;
use crate::ui::{Format, Listing};
use crate::{batch, repl};

/// Where free ports are looked for: away from the ports that a real cluster uses.
const FIRST_PORT: u16 = 18_020;
/// So many ports are tried before something is wrong with this machine.
const PORTS_TRIED_MAX: u16 = 2_000;
const CLUSTER: &str = "c0";
const HOST: &str = "127.0.0.1";

/// Try dkc: servers and a slave on this machine, removed again on quit
#[derive(Debug, clap::Args)]
#[command(
    after_help = "EXAMPLES\n  playground\n  playground --servers 5 --keep\n  playground list\n  playground down"
)]
pub struct Args {
    #[command(subcommand)]
    pub action: Option<Action>,
    /// Number of servers
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub servers: u16,
    /// Number of slaves
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(0..=9))]
    pub slaves: u16,
    /// Leave it running on quit
    #[arg(long)]
    pub keep: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Subcommand)]
pub enum Action {
    /// Start it and open its prompt (what `playground` alone does)
    Up,
    /// Stop and remove one that was kept
    Down,
    /// Show what there is
    List,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args.action {
        Some(Action::List) => list(session),
        Some(Action::Down) => down(session),
        None | Some(Action::Up) => up(session, &args).await,
    }
}

/// Makes it, hands it over, removes it. Whatever happens in between, dropping the place removes it.
async fn up(session: &mut Session, args: &Args) -> Result<(), CommandError> {
    if session.is_playground {
        return Err(CommandError::new(&codes::REFUSED, "this is a playground already").now("nothing changed"));
    }
    let mut place = Place::make().map_err(trouble)?;
    if args.keep {
        place.keep();
    }
    let store = Store::at(place.inventory_dir());
    let mut settings = session.defaults.clone();
    settings.yes = true;
    let (ui, interrupt) = (session.ui.clone(), session.interrupt.clone());
    let mut inner = Session::new(store, ui, settings, interrupt, session.is_interactive);
    inner.is_playground = true;
    inner.shows_plans = false;
    let made = make(&mut inner, &place, args).await;
    let exit = match made {
        Ok(()) => play(session, &mut inner, &place, args).await,
        Err(error) => {
            inner.close().await;
            // A playground that did not come up is of no use to keep.
            place.remove_now().map_err(trouble)?;
            let exit = if session.interrupt.is_requested() { Exit::Interrupted } else { error.exit };
            return Err(error.now("the playground was removed again").next("playground").exit(exit));
        }
    };
    inner.close().await;
    if !args.keep {
        session.ui.say("playground: stopping and removing it");
        place.remove_now().map_err(trouble)?;
    }
    if exit == Exit::Done { Ok(()) } else { Err(CommandError::silent(exit)) }
}

/// Registers, deploys and starts, as an operator would.
async fn make(inner: &mut Session, place: &Place, args: &Args) -> Result<(), CommandError> {
    let ports = free_ports(args.servers + args.slaves).ok_or_else(|| {
        CommandError::new(&codes::PLAYGROUND, format!("no free ports from {FIRST_PORT} up"))
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
    CLUSTER.parse().expect("a constant that is a name")
}

/// The inventory of a playground: one local host, one cluster, its slaves with a pair each.
fn inventory(
    empty: &Inventory,
    place: &Place,
    servers: &[u16],
    slaves: &[u16],
) -> Result<Inventory, CommandError> {
    let host: HostAddress = HOST.parse().expect("a constant that is an address");
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

/// All are held open until all are found, so that none is found twice.
fn free_ports(count: u16) -> Option<Vec<u16>> {
    let candidates = FIRST_PORT..FIRST_PORT + PORTS_TRIED_MAX;
    let open = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
    let held: Vec<TcpListener> = candidates.filter_map(open).take(usize::from(count)).collect();
    let ports: Option<Vec<u16>> = held.iter().map(|socket| Some(socket.local_addr().ok()?.port())).collect();
    ports.filter(|ports| ports.len() == usize::from(count))
}

/// The prompt for a person, the commands on standard input for a script.
async fn play(outer: &Session, inner: &mut Session, place: &Place, args: &Args) -> Exit {
    introduce(inner, place, args);
    inner.defaults = outer.defaults.clone();
    inner.settings = outer.defaults.clone();
    inner.shows_plans = true;
    if inner.is_interactive {
        // `up --keep` only brings it up.
        let only_up = args.keep && args.action == Some(Action::Up);
        return if only_up { Exit::Done } else { Box::pin(repl::interact(inner)).await };
    }
    // Inside of a batch its lines come from elsewhere; here only what was piped to us is read.
    Box::pin(batch::run(inner, batch::Source::Standard)).await
}

fn introduce(inner: &Session, place: &Place, args: &Args) {
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
        true => inner.ui.say("  it is kept; remove it with: playground down"),
        false => inner.ui.say("  it is removed when you leave"),
    }
}

fn list(session: &Session) -> Result<(), CommandError> {
    let mut listing = Listing::new(&["directory", "inventory", "state"]);
    for place in Place::all().map_err(trouble)? {
        let (dir, inventory) =
            (place.dir().display().to_string(), place.inventory_dir().display().to_string());
        let state = if place.is_in_use() { "in use" } else { "kept" };
        let document = serde_json::json!({ "directory": dir, "inventory": inventory, "state": state });
        listing.push(vec![dir, inventory, state.into()], document);
    }
    session.show(Format::Table, &listing);
    Ok(())
}

/// Removes what was kept or left behind; one that a shell is in stays.
fn down(session: &Session) -> Result<(), CommandError> {
    let places = Place::all().map_err(trouble)?;
    let (in_use, kept): (Vec<Place>, Vec<Place>) = places.into_iter().partition(Place::is_in_use);
    if kept.is_empty() {
        session.ui.say("playground: there is none to remove");
    } else if session.settings.dry_run {
        kept.iter().for_each(|place| session.ui.say(&format!("would remove {}", place.dir().display())));
        return Ok(());
    } else {
        session.confirm(&format!("Stop and remove {} with all data?", said(&kept)))?;
    }
    if !in_use.is_empty() {
        session.ui.say(&format!("playground: left alone, a shell is in it: {}", said(&in_use)));
    }
    kept.into_iter().try_for_each(|mut place| place.remove_now()).map_err(trouble)
}

fn said(places: &[Place]) -> String {
    places.iter().map(|place| place.dir().display().to_string()).collect::<Vec<_>>().join(", ")
}

fn trouble(error: place::PlaceError) -> CommandError {
    CommandError::new(&codes::PLAYGROUND, error.to_string()).next("playground down")
}
