//! Join: makes this machine a slave that has enrolled with a token, laid out as a deploy does, so that it can be adopted later. There is
//! no inventory here; what a plan needs of one follows from the slave's configuration.

use dkc_core::config::{NodeConfig, Role};
use dkc_core::ids::NodeId;

use super::deploy::{config_step, host_refusals, node_refusal, program_steps, service_step, user_steps};
use super::start::{is_kept, is_running, port_refusals, start_action};
use super::steps::{ObservedNode, Phase, Steps, places};
use super::{Danger, DeployRequest, HostAction, Operation, Plan, Program, Refused, Selection};
use crate::generation::Generation;
use crate::model::{Cluster, Inventory, NodeName, Server, Slave};
use crate::observed::Observed;
use crate::system_user;

/// `join`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRequest {
    /// Its id and the command as typed.
    pub operation: Operation,
    /// Of the inventory on this machine, which the plan does not change.
    pub generation: Generation,
    /// What to install.
    pub program: Program,
    /// Of the slave, as the cluster gave it.
    pub config: NodeConfig,
    /// The directory on this machine with its key, certificate and trust anchors.
    pub staged: String,
}

/// The part of an inventory that a slave's configuration says. `None` for a server's.
pub fn inventory_of(config: &NodeConfig) -> Option<(Inventory, NodeName)> {
    let Role::Slave(role) = &config.role else { return None };
    let server = |entry: &dkc_core::config::ServerEntry| Server {
        number: entry.number,
        node_id: entry.node_id,
        node_uuid: entry.node_uuid,
        address: entry.address.clone(),
        is_founder: true,
        joins: Vec::new(),
        deployed: None,
    };
    let cluster = Cluster {
        id: config.cluster_id,
        replicas: 1,
        tablets: 1,
        servers: config.servers.iter().map(server).collect(),
        removed: Vec::new(),
        next_node_id: NodeId(0),
        config: None,
        parameters: Default::default(),
        founded: true,
    };
    let slave = Slave {
        cluster: config.cluster.clone(),
        host: None,
        node_uuid: config.node_uuid,
        pairs: role.pairs.clone(),
        deployed: None,
    };
    let inventory = Inventory {
        clusters: [(config.cluster.clone(), cluster)].into(),
        slaves: [(role.id, slave)].into(),
        ..Inventory::empty()
    };
    Some((inventory, NodeName::Slave(config.cluster.clone(), role.id)))
}

/// Plans what is missing until the slave runs here; no steps if it does.
pub fn join(observed: &Observed, request: &JoinRequest) -> Result<Plan, Refused> {
    let (mut inventory, node) = inventory_of(&request.config).expect("a slave's configuration");
    inventory.generation = request.generation;
    let deploy = DeployRequest {
        operation: request.operation.clone(),
        selection: Selection::default(),
        program: request.program.clone(),
        authorities: Default::default(),
        config_only: false,
    };
    let mut refusals = Vec::new();
    let places = places(&inventory, observed, &[node], &mut refusals);
    refusals.extend(host_refusals(&inventory, &deploy.program, &places));
    refusals.extend(places.iter().filter_map(|place| node_refusal(&inventory, &deploy, place)));
    refusals.extend(places.iter().flat_map(|place| port_refusals(&inventory, place)));
    Refused::unless_empty(refusals)?;
    let mut steps = Steps::default();
    program_steps(&mut steps, &deploy, &places);
    user_steps(&mut steps, &inventory, &places);
    for place in &places {
        node_steps(&mut steps, &inventory, request, place);
    }
    let mut plan = Plan::new(&inventory, &request.operation, Danger::Reversible);
    plan.steps = steps.numbered();
    plan.undo =
        "on the operator's machine: tls revoke; here: stop the service and remove its directory".into();
    Ok(plan)
}

fn node_steps(steps: &mut Steps, inventory: &Inventory, request: &JoinRequest, place: &ObservedNode<'_>) {
    let JoinRequest { config, program, staged, .. } = request;
    let (view, dir, uuid) = (place.facts.node(&place.node), place.dir(), config.node_uuid);
    let owner = system_user::runs_as(inventory, place.facts, &place.node);
    let user = owner.clone().unwrap_or_else(|| place.facts.user.clone());
    let mut actions = Vec::new();
    if view.marker != Some(uuid) {
        actions.push(HostAction::MakeNode { dir: dir.clone(), uuid, owner });
    }
    // What is there may have been renewed meanwhile.
    if view.certificate.is_none() {
        actions.push(HostAction::BringCertificate { dir: dir.clone(), staged: staged.clone() });
    }
    actions.extend(config_step(&dir, config, &view));
    if view.program.as_ref() != Some(&program.digest) {
        actions.push(HostAction::LinkProgram { dir: dir.clone(), digest: program.digest.clone() });
    }
    if view.identity.is_none() {
        actions.push(HostAction::InitialiseData { dir: dir.clone(), uuid });
    }
    if !actions.is_empty() {
        actions.push(HostAction::CheckConfiguration { dir: dir.clone() });
    }
    actions.extend(service_step(place, &dir, &user, config));
    actions.into_iter().for_each(|action| steps.node(Phase::InstallNodes, place, action));
    if !is_running(place) || !is_kept(place) {
        steps.node(Phase::Start, place, start_action(place));
        steps.node(Phase::Ready, place, HostAction::WaitReady { dir });
    }
}
