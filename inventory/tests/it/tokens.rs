//! Tokens, and the slaves that join with them: what is planned, and what is refused before anybody is asked.

use dkc_core::config::{NodeConfig, Role};
use dkc_core::ids::{ClusterName, NodeUuid, SlaveId};
use dkc_core::meta::{ENROLLED_ID_FIRST, MetaCommand, NewToken};
use dkc_core::token::{SecretHash, TokenId};
use dkc_inventory::edit::{self, AdoptSlave};
use dkc_inventory::generation::Generation;
use dkc_inventory::model::{NodeName, this_machine};
use dkc_inventory::observed::{HostView, Observed, RunState};
use dkc_inventory::plan::{
    self, IssueTokenRequest, JoinRequest, Plan, RevokeRequest, RevokeTokenRequest, inventory_of,
};
use dkc_inventory::render;
use dkc_inventory::status::joined_slaves;
use uuid::Uuid;

use crate::change_members::Stage;
use crate::lab::{self, operation, refused};
use crate::plans::running;

const NOW_MS: u64 = 1_800_000_000_000;

fn cluster() -> ClusterName {
    "c0".parse().unwrap()
}

fn token() -> NewToken {
    NewToken {
        id: TokenId(Uuid::from_u128(7)),
        hash: SecretHash([9; 32]),
        namespaces: vec!["sessions".parse().unwrap()],
        uses: 2,
        ttl_ms: 3_600_000,
        label: "web".into(),
        by: "ann@admin1".into(),
    }
}

fn issue_request() -> IssueTokenRequest {
    IssueTokenRequest {
        operation: operation("token issue"),
        cluster: cluster(),
        token: token(),
        ttl: "1h".into(),
    }
}

fn revoke_request() -> RevokeTokenRequest {
    let holder = "ann@admin1".to_owned();
    RevokeTokenRequest { operation: operation("token revoke"), cluster: cluster(), id: token().id, holder }
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.phase, step.action.words())).collect()
}

fn slave() -> NodeUuid {
    NodeUuid(Uuid::from_u128(77))
}

/// Its token is issued, and one slave has joined with it.
fn joined() -> Stage {
    let mut stage = Stage::three();
    stage.tell(MetaCommand::IssueToken { token: token(), now_ms: NOW_MS });
    let NewToken { id, hash, .. } = token();
    stage.tell(MetaCommand::RedeemToken { id, hash, slave: slave(), now_ms: NOW_MS });
    stage
}

#[test]
fn a_token_is_issued_in_one_step_that_holds_no_secret() {
    let stage = Stage::three();
    let plan = plan::issue_token(&stage.inventory, &stage.observed, &issue_request()).unwrap();
    assert_eq!(steps(&plan), [format!("1 issue the token {}", token().id)]);
    assert!(plan.text().contains("ring:      version "), "{}", plan.text());
    assert_eq!(
        plan.impact[0],
        "whoever has the token can add 2 slaves with access to namespace sessions, for 1h"
    );
    assert_eq!(plan.undo, format!("token revoke -n c0 {}", token().id));
    assert_eq!((plan.danger, plan.endpoints().len()), (plan::Danger::Reversible, 3));
    let (inventory, observed) = running();
    let silent = refused(plan::issue_token(&inventory, &observed, &issue_request()));
    assert_eq!(silent, "Refused: the ring of c0 is unreachable: no server with a founded ring answers");
}

#[test]
fn a_token_is_revoked_once_and_an_unknown_one_never() {
    let mut stage = Stage::three();
    let revoke = |stage: &Stage| plan::revoke_token(&stage.inventory, &stage.observed, &revoke_request());
    assert_eq!(refused(revoke(&stage)), format!("UnknownName: token {} is not registered", token().id));
    stage = joined();
    let plan = revoke(&stage).unwrap();
    assert_eq!(steps(&plan), [format!("1 revoke the token {}", token().id)]);
    assert_eq!(
        plan.impact[1],
        "1 slave that joined with it stays connected: tls revoke -n c0 --slave ID disconnects one"
    );
    stage.tell(MetaCommand::RevokeToken { id: token().id, by: "ann@admin1".into() });
    assert!(revoke(&stage).unwrap().is_empty());
}

#[test]
fn a_slave_that_joined_is_shown_until_it_is_adopted_or_revoked_and_can_be_revoked_by_its_id() {
    let mut stage = joined();
    let shown = joined_slaves(&stage.inventory, &stage.observed, &cluster());
    assert_eq!((shown.len(), shown[0].id, shown[0].node_uuid), (1, ENROLLED_ID_FIRST, slave()));
    let request = RevokeRequest {
        operation: operation("tls revoke"),
        cluster: cluster(),
        slave: ENROLLED_ID_FIRST,
        holder: "ann@admin1".into(),
    };
    let plan = plan::revoke(&stage.inventory, &stage.observed, &request).unwrap();
    let words = format!("1 revoke the identity of slave {ENROLLED_ID_FIRST} ({}) at every server", slave());
    assert_eq!(steps(&plan), [words]);

    let adopt = AdoptSlave {
        cluster: cluster(),
        id: ENROLLED_ID_FIRST,
        host: Some("10.77.0.21".parse().unwrap()),
        node_uuid: slave(),
        pairs: Vec::new(),
        deployed: "digest".into(),
    };
    let adopted = edit::adopt_slave(&stage.inventory, &adopt).unwrap();
    assert!(adopted.is_changed && joined_slaves(&adopted.inventory, &stage.observed, &cluster()).is_empty());
    assert!(!edit::adopt_slave(&adopted.inventory, &adopt).unwrap().is_changed, "the same again");
    let other = AdoptSlave { node_uuid: NodeUuid(Uuid::from_u128(78)), ..adopt };
    assert!(edit::adopt_slave(&adopted.inventory, &other).is_err(), "another slave under its id");
    stage.tell(MetaCommand::RevokeSlave { uuid: slave(), id: ENROLLED_ID_FIRST, by: "ann@admin1".into() });
    assert!(joined_slaves(&stage.inventory, &stage.observed, &cluster()).is_empty());
}

/// As a cluster gives it to a machine that joins.
fn config() -> NodeConfig {
    let (inventory, _) = running();
    let mut config = render::node_config(&inventory, &NodeName::Slave(cluster(), SlaveId(0))).unwrap();
    config.node_uuid = slave();
    let Role::Slave(role) = &mut config.role else { panic!("a slave") };
    role.id = ENROLLED_ID_FIRST;
    config
}

fn join_request() -> JoinRequest {
    let program = lab::deploy_request().program;
    let staged = "/root/.config/dkc/joining/7".to_owned();
    JoinRequest {
        operation: operation("join"),
        generation: Generation::new(4),
        program,
        config: config(),
        staged,
    }
}

fn here() -> Observed {
    Observed { hosts: [(this_machine(), HostView::Facts(Box::new(lab::bare_host())))].into() }
}

#[test]
fn a_machine_that_joins_is_laid_out_as_a_deploy_does_it() {
    let plan = plan::join(&here(), &join_request()).unwrap();
    let dir = format!("/var/lib/dkc/c0-slave{ENROLLED_ID_FIRST}");
    let all = steps(&plan);
    let position = |words: &str| {
        all.iter().position(|step| step.contains(words)).unwrap_or_else(|| panic!("{words}: {all:?}"))
    };
    let order = [
        "upload dkcd".to_owned(),
        format!("create {dir}"),
        format!("write the enrolled key and certificate into {dir}/tls"),
        format!("write {dir}/node.yaml"),
        format!("link {dir}/dkcd"),
        format!("initialise {dir}/data"),
        "check the configuration".to_owned(),
        "start c0-slave1000000".to_owned(),
        "wait until c0-slave1000000 is ready".to_owned(),
    ];
    let places: Vec<usize> = order.iter().map(|words| position(words)).collect();
    assert!(places.is_sorted(), "{all:?}");
    assert_eq!((plan.base, plan.target), (Generation::new(4), Generation::new(4)), "the inventory stays");

    let (_, node) = inventory_of(&config()).unwrap();
    let text = render::config_text(&config());
    let (inventory, _) = inventory_of(&config()).unwrap();
    let adopted = render::config_text(&render::node_config(&inventory, &node).unwrap());
    assert_eq!(text, adopted, "a deploy of the adopted slave has nothing to write");
}

#[test]
fn what_this_machine_forbids_is_refused_before_the_token_is_shown() {
    let check = |change: &dyn Fn(&mut dkc_inventory::observed::HostFacts), want: &str| {
        let mut observed = here();
        change(lab::facts_mut(&mut observed, this_machine().as_str()));
        let got = refused(plan::join(&observed, &join_request()));
        assert!(got.contains(want), "{got}");
    };
    check(&|facts| facts.architecture = "riscv64".into(), "but this program was built for");
    check(&|facts| facts.root_is_foreign = true, "contains files that are not dkc's");
    check(&|facts| facts.disk_free_bytes = 1000, "free");
    let listening = "127.0.0.1:11211".to_owned();
    check(&|facts| facts.listening.extend([listening.clone()]), "11211");
}

#[test]
fn a_machine_that_has_joined_has_nothing_left_to_do() {
    let mut observed = here();
    let (_, node) = inventory_of(&config()).unwrap();
    let facts = lab::facts_mut(&mut observed, this_machine().as_str());
    let program = join_request().program;
    facts.root_has_marker = true;
    facts.programs.insert(program.digest.clone(), program.bytes);
    let deployed = running().1;
    let mut view = deployed.node(&NodeName::Slave(cluster(), SlaveId(0))).unwrap().clone();
    (view.marker, view.identity, view.program) = (Some(slave()), Some(slave()), Some(program.digest));
    view.files.insert("node.yaml".into(), render::config_digest(&config()));
    view.run = RunState::Running { pid: 7 };
    let unit = render::unit_text(&node, &format!("/var/lib/dkc/{node}"), &facts.user, facts.service, &[]);
    if let Some(unit) = unit {
        view.files.insert("unit".into(), render::digest(&unit));
    }
    facts.nodes.insert(node, view);
    let plan = plan::join(&observed, &join_request()).unwrap();
    assert!(plan.is_empty(), "{:?}", steps(&plan));
}
