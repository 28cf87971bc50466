//! `trust`: pinned host keys, of registered hosts and of jump hosts. A pin changes only here, never
//! automatically.

use dkc_core::ids::HostAddress;
use dkc_inventory::edit;
use dkc_inventory::model::{DEFAULT_SSH_PORT, Host, Inventory};
use serde::Serialize;

use crate::error::{CommandError, codes};
use crate::operation;
use crate::session::Session;
use crate::ui::{Format, Listing};
use crate::world::login::KeyVerdict;

/// Show or update pinned host keys
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "EXAMPLES\n  trust show\n  trust show 10.0.0.10\n  trust update 10.0.0.10 --host-key SHA256:…"
)]
pub enum Args {
    /// Show pinned host keys
    Show {
        #[arg(value_name = "HOST", add = crate::complete::hosts())]
        hosts: Vec<String>,
    },
    /// Show both fingerprints, then pin the key that the host presents now
    Update {
        #[arg(value_name = "HOST", add = crate::complete::hosts())]
        host: String,
        /// Expected fingerprint, for unattended use
        #[arg(long, value_name = "SHA256:…")]
        host_key: Option<String>,
    },
}

#[derive(Serialize)]
struct Pins<'a> {
    hostname: &'a str,
    is_jump_host: bool,
    host_key: &'a [String],
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Show { hosts } => show(session, &hosts),
        Args::Update { host, host_key } => update(session, host, host_key).await,
    }
}

fn show(session: &Session, names: &[String]) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    for name in names {
        entry(&inventory, name)?;
    }
    let is_asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let mut listing = Listing::new(&["host", "pinned host key"]);
    for (address, host) in inventory.hosts.iter().filter(|(_, host)| !host.local) {
        if is_asked(address.as_str()) {
            push(&mut listing, address.as_str(), false, &host.host_key);
        }
    }
    for (name, keys) in inventory.jump_hosts.iter().filter(|(name, _)| is_asked(name)) {
        push(&mut listing, name, true, keys);
    }
    session.show(Format::Table, &listing);
    Ok(())
}

fn push(listing: &mut Listing, name: &str, is_jump_host: bool, host_key: &[String]) {
    let keys = if host_key.is_empty() { "none yet".to_owned() } else { host_key.join("\n") };
    let spoken = if is_jump_host { format!("{name} (jump host)") } else { name.to_owned() };
    listing.push(vec![spoken, keys], Pins { hostname: name, is_jump_host, host_key });
}

/// A host whose key may be pinned, and how it is reached.
struct PinnedHost {
    address: HostAddress,
    host: Host,
    is_jump_host: bool,
}

fn entry(inventory: &Inventory, name: &str) -> Result<PinnedHost, CommandError> {
    let address: Option<HostAddress> = name.parse().ok();
    if let Some((address, host)) =
        address.and_then(|address| Some((address.clone(), inventory.hosts.get(&address)?.clone())))
    {
        return Ok(PinnedHost { address, host, is_jump_host: false });
    }
    let unknown = || {
        CommandError::new(&codes::UNKNOWN_HOST, format!("host {name} is not registered"))
            .next("list host, or trust show for jump hosts")
    };
    let pins = inventory.jump_hosts.get(name).ok_or_else(unknown)?.clone();
    let (host, port) = match name.strip_prefix('[').and_then(|name| name.rsplit_once("]:")) {
        Some((host, port)) => (host, port.parse().map_err(|_| unknown())?),
        None => (name, DEFAULT_SSH_PORT),
    };
    let host_key = Host { port, host_key: pins, ..Host::with_defaults() };
    Ok(PinnedHost { address: host.parse().map_err(|_| unknown())?, host: host_key, is_jump_host: true })
}

/// Shows the pinned and the presented key; pins the presented one only if it was named or confirmed.
async fn update(session: &mut Session, name: String, wanted: Option<String>) -> Result<(), CommandError> {
    let PinnedHost { address, host, is_jump_host } = entry(&session.inventory()?, &name)?;
    let shown = match session.world.shown_key(&address, &host).await {
        Ok(KeyVerdict::Trusted) => {
            session.ui.say(&format!("{address}: the pinned key is current; nothing changed"));
            return Ok(());
        }
        Ok(KeyVerdict::Changed(shown) | KeyVerdict::Unknown(shown)) => shown,
        Err(error) => return Err(operation::world_error(error)),
    };
    let pinned = if host.host_key.is_empty() { "none".to_owned() } else { host.host_key.join(" or ") };
    session.ui.say(&format!("{address}\n  pinned:    {pinned}\n  presented: {shown}"));
    match wanted {
        Some(wanted) if wanted == shown => {}
        Some(wanted) => {
            return Err(CommandError::new(
                &codes::HOST_KEY_CHANGED,
                format!("{address} presents a different key"),
            )
            .cause(format!("expected {wanted}, presented {shown}"))
            .now("nothing changed"));
        }
        None => session.confirm("Pin the presented key?")?,
    }
    let locked = session.lock()?;
    let edited = match is_jump_host {
        true => edit::set_jump_pins(&locked.load()?, &name, &[shown])?,
        false => edit::set_pins(&locked.load()?, &address, &[shown])?,
    };
    locked.save(&edited.inventory)
}
