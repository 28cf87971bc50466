//! What holds for every inventory and every sequence of edits.

use std::collections::BTreeMap;

use dkc_core::config::Protocol;
use dkc_core::ids::{MemberNo, SlaveId};
use dkc_inventory::edit::{self, Change, EditError, Edited};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{
    self, DeployRequest, DestroyRequest, DestroyTarget, StartRequest, StopRequest, Target,
};
use dkc_inventory::yaml;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::Config;
use uuid::Uuid;

use crate::lab;
use crate::symbolic::{apply, apply_some, record};

/// Names on purpose include those that YAML readers would take for something else.
const NAMES: [&str; 6] = ["c0", "no", "1e3", "0x1f", "123", "2024-01-31"];
const HOSTS: [&str; 6] = ["10.0.0.1", "10.0.0.2", "on", "::1", "db1.example", "localhost"];
const WORDS: [&str; 5] = ["dkc", "yes", "12:30", "null", "rack-1"];
const LISTENERS: [&str; 4] = ["127.0.0.1:11211", "[::1]:11211", "127.0.0.1:6379", "/run/app.sock"];

/// One typed line; the numbers choose among the words above, so that lines often meet.
#[derive(Debug, Clone)]
enum Line {
    Host { host: usize, user: usize, group: usize, local: bool },
    Cluster { name: usize, servers: Vec<(usize, u16)>, replicas: Option<u32> },
    Slave { cluster: usize, host: Option<usize> },
    Pair { id: u32, listen: usize, resp: bool },
    ModifyHost { host: usize, zone: usize },
    ModifyCluster { name: usize, heartbeat_ms: u64 },
    ModifySlave { id: u32, host: Option<usize>, cluster: usize },
    DropHost { host: usize },
    DropCluster { name: usize },
    DropSlave { id: u32 },
    DropPair { id: u32, listen: usize },
    Deployed,
    Founded { name: usize },
}

fn line() -> impl Strategy<Value = Line> {
    let name = 0..NAMES.len();
    let host = 0..HOSTS.len();
    let word = 0..WORDS.len();
    let listen = 0..LISTENERS.len();
    prop_oneof![
        3 => (host.clone(), word.clone(), word.clone(), any::<bool>())
            .prop_map(|(host, user, group, local)| Line::Host { host, user, group, local }),
        3 => (name.clone(), vec((host.clone(), 8020_u16..8023), 1..5), proptest::option::of(0_u32..5))
            .prop_map(|(name, servers, replicas)| Line::Cluster { name, servers, replicas }),
        3 => (name.clone(), proptest::option::of(host.clone()))
            .prop_map(|(cluster, host)| Line::Slave { cluster, host }),
        3 => (0_u32..4, listen.clone(), any::<bool>()).prop_map(|(id, listen, resp)| Line::Pair { id, listen, resp }),
        1 => (host.clone(), word).prop_map(|(host, zone)| Line::ModifyHost { host, zone }),
        1 => (name.clone(), 1_u64..200).prop_map(|(name, heartbeat_ms)| Line::ModifyCluster { name, heartbeat_ms }),
        1 => (0_u32..4, proptest::option::of(host.clone()), name.clone())
            .prop_map(|(id, host, cluster)| Line::ModifySlave { id, host, cluster }),
        1 => host.prop_map(|host| Line::DropHost { host }),
        1 => name.clone().prop_map(|name| Line::DropCluster { name }),
        1 => (0_u32..4).prop_map(|id| Line::DropSlave { id }),
        1 => (0_u32..4, listen).prop_map(|(id, listen)| Line::DropPair { id, listen }),
        1 => Just(Line::Deployed),
        1 => name.prop_map(|name| Line::Founded { name }),
    ]
}

fn carry_out(
    inventory: &Inventory,
    line: &Line,
    fresh: &mut dyn FnMut() -> Uuid,
) -> Result<Edited, EditError> {
    let cluster = |index: usize| NAMES[index].parse().unwrap();
    let host = |index: usize| lab::host(HOSTS[index]);
    match line {
        Line::Host { host: index, user, group, local } => edit::register_hosts(
            inventory,
            &edit::RegisterHosts {
                hosts: vec![host(*index)],
                user: (!local).then(|| WORDS[*user].into()),
                group: vec![WORDS[*group].into()],
                local: *local,
                ..Default::default()
            },
        ),
        Line::Cluster { name, servers, replicas } => {
            let words: Vec<String> = servers
                .iter()
                .map(|(index, port)| match HOSTS[*index].contains(':') {
                    true => format!("[{}]:{port}", HOSTS[*index]),
                    false => format!("{}:{port}", HOSTS[*index]),
                })
                .collect();
            let request = lab::cluster_request(NAMES[*name], &words.join(" "));
            edit::register_cluster(
                inventory,
                &edit::RegisterCluster { replicas: *replicas, ..request },
                fresh,
            )
        }
        Line::Slave { cluster: name, host: index } => {
            let request = lab::slave_request(NAMES[*name], index.map(|index| HOSTS[index]));
            edit::register_slave(inventory, &request, fresh)
        }
        Line::Pair { id, listen, resp } => edit::register_pair(
            inventory,
            &edit::RegisterPair {
                listen: Some(LISTENERS[*listen].into()),
                protocol: resp.then_some(Protocol::Redis),
                ..lab::pair_request(*id)
            },
        ),
        Line::ModifyHost { host: index, zone } => edit::modify_host(
            inventory,
            &edit::ModifyHost {
                hosts: vec![host(*index)],
                zone: Change::Set(WORDS[*zone].into()),
                ..Default::default()
            },
        ),
        Line::ModifyCluster { name, heartbeat_ms } => edit::modify_cluster(
            inventory,
            &edit::ModifyCluster {
                name: cluster(*name),
                replicas: None,
                tablets: None,
                config: edit::Change::Keep,
                set: BTreeMap::from([("heartbeat_ms".into(), (*heartbeat_ms).into())]),
                unset: Vec::new(),
            },
        ),
        Line::ModifySlave { id, host: index, cluster: name } => edit::modify_slave(
            inventory,
            &edit::ModifySlave {
                id: SlaveId(*id),
                cluster: Some(cluster(*name)),
                host: index.map_or(Change::Reset, |index| Change::Set(host(index))),
            },
        ),
        Line::DropHost { host: index } => edit::unregister_hosts(inventory, &[host(*index)]),
        Line::DropCluster { name } => edit::unregister_cluster(
            inventory,
            &edit::UnregisterCluster { name: cluster(*name), forget: false },
        ),
        Line::DropSlave { id } => {
            edit::unregister_slave(inventory, &edit::UnregisterSlave { id: SlaveId(*id), forget: false })
        }
        Line::DropPair { id, listen } => edit::unregister_pair(
            inventory,
            &edit::UnregisterPair { id: SlaveId(*id), listen: Some(LISTENERS[*listen].into()) },
        ),
        Line::Deployed => Ok(edit::record_deployed(inventory, &inventory.node_names())),
        Line::Founded { name } => Ok(edit::record_founded(inventory, &cluster(*name))),
    }
}

/// The inventory after these lines; refused ones change nothing.
fn after(lines: &[Line]) -> Inventory {
    let mut fresh = lab::counter();
    let mut inventory = Inventory::empty();
    for line in lines {
        if let Ok(edited) = carry_out(&inventory, line, &mut fresh) {
            assert_eq!(
                edited.inventory.generation,
                inventory.generation.next_if(edited.is_changed),
                "{line:?}"
            );
            inventory = edited.inventory;
        }
    }
    inventory
}

proptest! {
    #![proptest_config(Config { cases: 192, failure_persistence: None, ..Config::default() })]

    /// Reading back also checks that every name still points somewhere, so edits keep integrity.
    #[test]
    fn any_edits_leave_an_inventory_that_reads_back_as_it_was(lines in vec(line(), 0..25)) {
        let inventory = after(&lines);
        let text = yaml::to_text(&inventory);
        prop_assert_eq!(yaml::parse(&text, "inventory.yaml"), Ok(inventory), "{}", text);
    }

    #[test]
    fn a_line_typed_again_changes_nothing_or_is_refused(lines in vec(line(), 0..15), last in line()) {
        let mut fresh = lab::counter();
        let before = after(&lines);
        let is_register = matches!(last, Line::Host { .. } | Line::Cluster { .. } | Line::Pair { .. });
        if let (true, Ok(once)) = (is_register, carry_out(&before, &last, &mut fresh)) {
            let twice = carry_out(&once.inventory, &last, &mut fresh);
            prop_assert!(twice.is_ok_and(|twice| !twice.is_changed), "{last:?}");
        }
    }

    #[test]
    fn after_a_deploy_there_is_nothing_to_deploy(lines in vec(line(), 0..25), cut in 0_usize..100) {
        let inventory = after(&lines);
        let observed = lab::bare_hosts(&inventory);
        // `anchors` is what a symbolic deploy leaves on hosts.
        let authorities = inventory.clusters.keys().map(|name| (name.clone(), lab::authority())).collect();
        let request = DeployRequest { authorities, ..lab::deploy_request() };
        // Deployed and founded in the inventory's eyes, but bare: refused, which other tests look at.
        let Ok(plan) = plan::deploy(&inventory, &observed, &request) else { return Ok(()) };
        // Killed after any step, the command typed again does the rest.
        let half = apply_some(&observed, &plan, plan.steps.len() * cut / 100);
        let rest = plan::deploy(&inventory, &half, &request).expect("a resumed deploy is not refused");
        let done = apply(&half, &rest);
        prop_assert_eq!(&done, &apply(&observed, &plan));
        let inventory = record(&inventory, &plan);
        let again = plan::deploy(&inventory, &done, &request).unwrap();
        prop_assert!(again.is_empty(), "{}", again.text());
        prop_assert_eq!(again.base, again.target);
        prop_assert!(!inventory.is_dirty());
    }

    #[test]
    fn a_cluster_goes_through_its_whole_life(servers in 1_u32..6, slaves in 0_u32..3, cut in 0_usize..100) {
        let inventory = life(servers, slaves);
        let observed = lab::bare_hosts(&inventory);
        let deploy = plan::deploy(&inventory, &observed, &lab::deploy_request()).unwrap();
        let (observed, inventory) = (apply(&observed, &deploy), record(&inventory, &deploy));

        let request = StartRequest { operation: lab::operation("start"), target: lab::servers(&[]) };
        let start = plan::start(&inventory, &observed, &request).unwrap();
        let half = apply_some(&observed, &start, start.steps.len() * cut / 100);
        let rest = plan::start(&inventory, &half, &request).unwrap();
        let (observed, inventory) = (apply(&half, &rest), record(&inventory, &start));
        prop_assert!(plan::start(&inventory, &observed, &request).unwrap().is_empty());

        let request = StartRequest { operation: lab::operation("start"), target: Target::Slaves { ids: Vec::new() } };
        let observed = apply(&observed, &plan::start(&inventory, &observed, &request).unwrap());
        let stop = |target| StopRequest {
            operation: lab::operation("stop"), target, allow_silent: false, allow_no_quorum: false,
        };
        let refused = plan::stop(&inventory, &observed, &stop(lab::servers(&[]))).is_err();
        prop_assert_eq!(refused, slaves > 0);

        let stop_slaves = plan::stop(&inventory, &observed, &stop(Target::Slaves { ids: Vec::new() })).unwrap();
        let observed = apply(&observed, &stop_slaves);
        let observed = apply(&observed, &plan::stop(&inventory, &observed, &stop(lab::servers(&[]))).unwrap());
        prop_assert!(plan::stop(&inventory, &observed, &stop(lab::servers(&[]))).unwrap().is_empty());

        let request = DestroyRequest {
            operation: lab::operation("destroy"),
            target: DestroyTarget::Cluster { name: "c0".parse().unwrap(), with_slaves: true },
            with_roots: true,
        };
        let observed = apply(&observed, &plan::destroy(&inventory, &observed, &request).unwrap());
        prop_assert!(plan::destroy(&inventory, &observed, &request).unwrap().is_empty());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(?s).{0,200}", tail in "[a-z0-9:\\-{}\\[\\] \n\"'&*!|>%@]{0,200}") {
        let _ = yaml::parse(&text, "f");
        let _ = yaml::parse(&format!("version: 1\ngeneration: 1\n{tail}"), "f");
    }
}

fn life(servers: u32, slaves: u32) -> Inventory {
    let mut fresh = lab::counter();
    let words: Vec<String> = (0..servers).map(|n| format!("10.0.0.{}:8020", n + 1)).collect();
    let request = lab::cluster_request("c0", &words.join(" "));
    let mut inventory = edit::register_cluster(&Inventory::empty(), &request, &mut fresh).unwrap().inventory;
    assert!(inventory.server(&request.name, MemberNo(0)).is_some());
    for id in 0..slaves {
        let address = format!("10.0.1.{}", id + 1);
        inventory = lab::register_hosts(&inventory, &address).unwrap().inventory;
        let slave = lab::slave_request("c0", Some(&address));
        inventory = edit::register_slave(&inventory, &slave, &mut fresh).unwrap().inventory;
        inventory = edit::register_pair(&inventory, &lab::pair_request(id)).unwrap().inventory;
    }
    inventory
}
