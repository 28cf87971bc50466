//! `trust`: pinned host keys. A pin changes only here, never automatically.

use dkc_core::ids::HostAddress;
use dkc_inventory::edit;
use dkc_inventory::model::{Host, Inventory};
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
        hosts: Vec<HostAddress>,
    },
    /// Show both fingerprints, then pin the key that the host presents now
    Update {
        #[arg(value_name = "HOST", add = crate::complete::hosts())]
        host: HostAddress,
        /// Expected fingerprint, for unattended use
        #[arg(long, value_name = "SHA256:…")]
        host_key: Option<String>,
    },
}

#[derive(Serialize)]
struct Pins<'a> {
    hostname: &'a HostAddress,
    host_key: &'a [String],
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    match args {
        Args::Show { hosts } => show(session, &hosts),
        Args::Update { host, host_key } => update(session, host, host_key).await,
    }
}

fn show(session: &Session, hosts: &[HostAddress]) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    for address in hosts {
        entry(&inventory, address)?;
    }
    let mut listing = Listing::new(&["host", "pinned host key"]);
    for (address, host) in
        inventory.hosts.iter().filter(|(a, h)| !h.local && (hosts.is_empty() || hosts.contains(a)))
    {
        let keys = if host.host_key.is_empty() { "none yet".to_owned() } else { host.host_key.join("\n") };
        listing.push(vec![address.to_string(), keys], Pins { hostname: address, host_key: &host.host_key });
    }
    session.show(Format::Table, &listing);
    Ok(())
}

fn entry<'a>(inventory: &'a Inventory, address: &HostAddress) -> Result<&'a Host, CommandError> {
    inventory.hosts.get(address).ok_or_else(|| {
        CommandError::new(&codes::UNKNOWN_HOST, format!("host {address} is not registered")).next("list host")
    })
}

/// Shows the pinned and the presented key; pins the presented one only if it was named or confirmed.
async fn update(
    session: &mut Session,
    address: HostAddress,
    wanted: Option<String>,
) -> Result<(), CommandError> {
    let inventory = session.inventory()?;
    let host = entry(&inventory, &address)?.clone();
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
    let edited = edit::set_pins(&locked.load()?, &address, &[shown])?;
    locked.save(&edited.inventory)
}
