//! Decides where a load runs: on the host of one of the cluster's slaves, if there is one.

use std::time::Duration;

use dkc_core::config::{Pair, Protocol as PairProtocol, layout};
use dkc_core::ids::{ClusterName, HostAddress, SlaveId};
use dkc_inventory::model::{self, Inventory, NodeName};

use super::{Args, failed};
use crate::bench::{Protocol, Ran, elsewhere};
use crate::error::{CommandError, Exit};
use crate::session::Session;
use crate::world::{Input, Script, WorldError};
use crate::{observe, operation};

/// Time that a load takes in addition to its duration: connecting, and the last replies.
const LOAD_EXTRA: Duration = Duration::from_secs(60);
/// Limit of writing every key once.
const FILL_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// `dkcd` of an earlier release does not know the command.
const STATUS_USAGE: i32 = 2;
const RUN: &str = r#"exec "$1" "$2" "$3""#;

pub(super) enum Place {
    /// On this machine, which reaches the listener.
    Here {
        target: String,
        protocol: Protocol,
    },
    /// On the first of these hosts that answers.
    Hosts(Vec<SlaveOnHost>),
    OwnSlave(ClusterName),
}

pub(super) struct SlaveOnHost {
    cluster: ClusterName,
    id: SlaveId,
    host: HostAddress,
    listen: String,
}

pub(super) fn of(inventory: &Inventory, name: &ClusterName, wants_own: bool) -> Result<Place, CommandError> {
    let cluster = inventory.clusters.get(name).ok_or_else(|| {
        failed(format!("bench of {name}: no such cluster")).now("no request was sent").next("list cluster")
    })?;
    if !cluster.founded {
        return Err(failed(format!("bench of {name}: it is not founded"))
            .now("no request was sent")
            .next(format!("start cluster -n {name}")));
    }
    if wants_own {
        return Ok(Place::OwnSlave(name.clone()));
    }
    let slaves = inventory.slaves.iter().filter(|(_, slave)| &slave.cluster == name);
    let usable: Vec<(SlaveId, &model::Slave, &Pair)> = slaves
        .filter_map(|(id, slave)| Some((*id, slave, slave.pairs.iter().find(|pair| is_memcached(pair))?)))
        .collect();
    let host_of = |slave: &model::Slave| {
        slave.host.clone().filter(|host| !inventory.hosts.get(host).is_some_and(|known| known.local))
    };
    if let Some((_, _, pair)) = usable.iter().find(|(_, slave, _)| host_of(slave).is_none()) {
        return Ok(Place::Here { target: pair.listen.clone(), protocol: Protocol::Memcache });
    }
    let on_hosts = usable.into_iter().filter_map(|(id, slave, pair)| {
        Some(SlaveOnHost { cluster: name.clone(), id, host: host_of(slave)?, listen: pair.listen.clone() })
    });
    let on_hosts: Vec<SlaveOnHost> = on_hosts.collect();
    Ok(if on_hosts.is_empty() { Place::OwnSlave(name.clone()) } else { Place::Hosts(on_hosts) })
}

/// A listener that the loader can connect to.
fn is_memcached(pair: &Pair) -> bool {
    pair.protocol == PairProtocol::Memcache && !pair.listen.starts_with('/')
}

/// Runs the load on the first of the slaves' hosts that answers.
pub(super) async fn run_on_host(
    session: &mut Session,
    args: &Args,
    slaves: &[SlaveOnHost],
) -> Result<(String, Ran), CommandError> {
    let inventory = session.inventory()?;
    let is_asked = |host: &HostAddress| slaves.iter().any(|slave| &slave.host == host);
    session.world.expect(inventory.hosts.iter().filter(|(host, _)| is_asked(host)));
    session.world.meet(inventory.hosts.iter().filter(|(host, _)| is_asked(host))).await;
    let mut silent = Vec::new();
    for slave in slaves {
        let opened = observe::root_of(&session.world, &inventory, &slave.host).await;
        operation::pin_learned(session)?;
        match opened {
            Ok((host, root)) => {
                session.ui.say(&format!("bench runs next to slave {} on {}", slave.id, slave.host));
                return run_beside(&host, &root, args, slave).await;
            }
            Err(error) => silent.push(format!("{}: {error}", slave.host)),
        }
    }
    let name = &slaves[0].cluster;
    let error = failed(format!("bench of {name}: no host with a slave answers"));
    Err(silent
        .into_iter()
        .fold(error, |error, cause| error.cause(cause))
        .now("no request was sent")
        .next(format!("bench -n {name} --own-slave"))
        .exit(Exit::Unreachable))
}

async fn run_beside(
    host: &crate::world::Host,
    root: &str,
    args: &Args,
    slave: &SlaveOnHost,
) -> Result<(String, Ran), CommandError> {
    let dir = model::node_dir(root, &NodeName::Slave(slave.cluster.clone(), slave.id));
    let program = format!("{dir}/{}", layout::PROGRAM_LINK);
    let load = args.load(slave.listen.clone(), Protocol::Memcache);
    let limit = if args.fill { FILL_LIMIT } else { load.duration + LOAD_EXTRA };
    let load = serde_json::to_string(&load).map_err(|error| CommandError::bug(error.to_string()))?;
    let arguments = [program.as_str(), elsewhere::WORD, load.as_str()];
    let script = Script { what: "the load", text: RUN, arguments: &arguments, input: Input::Nothing, limit };
    let what = || failed(format!("bench next to slave {} on {}", slave.id, slave.host));
    let output = match host.must(script).await {
        Ok(output) => output,
        Err(WorldError::Failed { status: STATUS_USAGE, .. }) => {
            return Err(what()
                .cause("the program installed there is an earlier release without bench")
                .now("no request was sent")
                .next(format!("deploy, or bench -n {} --own-slave", slave.cluster)));
        }
        Err(error) => {
            return Err(what()
                .cause(error.to_string())
                .next(format!("status slave --id {}     (is it deployed and running?)", slave.id)));
        }
    };
    let ran = serde_json::from_str(output.text().trim())
        .map_err(|error| what().cause(format!("invalid result: {error}")))?;
    Ok((format!("slave {} on {}", slave.id, slave.host), ran))
}
