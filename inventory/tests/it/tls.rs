//! Certificates on demand: which node does what before which other, and who is refused.

use dkc_core::control::CertificateStatus;
use dkc_core::ids::{ClusterName, SlaveId};
use dkc_core::meta::MetaCommand;
use dkc_inventory::certificates::{self, CertificateRow};
use dkc_inventory::model::Inventory;
use dkc_inventory::observed::Observed;
use dkc_inventory::plan::{self, Plan, RevokeRequest, RotateRequest};

use crate::change_members::Stage;
use crate::lab::{self, operation, refused};
use crate::plans::running;

fn cluster() -> ClusterName {
    "c0".parse().unwrap()
}

fn rotate_request(ca: bool) -> RotateRequest {
    let authorities = lab::authorities();
    RotateRequest { operation: operation("tls rotate"), cluster: cluster(), authorities, ca }
}

fn revoke_request(slave: u32) -> RevokeRequest {
    let (slave, holder) = (SlaveId(slave), "ann@admin1".to_owned());
    RevokeRequest { operation: operation("tls revoke"), cluster: cluster(), slave, holder }
}

/// The words of every step, after its phase.
fn steps(plan: &Plan) -> Vec<String> {
    plan.steps.iter().map(|step| format!("{} {}", step.phase, step.action.words())).collect()
}

/// The same step on every node, in the order of the plan.
fn on_all(phase: u32, servers: &str, slave: &str) -> Vec<String> {
    let server = |number: u32| format!("{phase} {}", servers.replace('%', &number.to_string()));
    (0..3).map(server).chain([format!("{phase} {slave}")]).collect()
}

fn reload(phase: u32) -> Vec<String> {
    let words = "use the certificates of c0-% for new connections";
    on_all(phase, words, "use the certificates of c0-slave0 for new connections")
}

fn issue(phase: u32) -> Vec<String> {
    let servers = "issue a server certificate into /var/lib/dkc/c0-%/tls";
    on_all(phase, servers, "issue a slave certificate into /var/lib/dkc/c0-slave0/tls")
}

#[test]
fn leaves_are_issued_everywhere_and_then_used() {
    let (inventory, mut observed) = running();
    let plan = plan::rotate(&inventory, &observed, &rotate_request(false)).unwrap();
    assert_eq!(steps(&plan), [issue(1), reload(2)].concat());
    assert_eq!(plan.danger, plan::Danger::Reversible);
    assert_eq!(plan.impact, ["no connection is closed; new ones use the new certificates"]);

    // Who does not run reads its files when it starts; who is not installed gets its own from deploy.
    let facts = lab::facts_mut(&mut observed, "10.77.0.13");
    facts.nodes.values_mut().for_each(|view| view.run = Default::default());
    lab::facts_mut(&mut observed, "10.77.0.21").nodes.clear();
    let plan = plan::rotate(&inventory, &observed, &rotate_request(false)).unwrap();
    assert_eq!(steps(&plan), [&issue(1)[..3], &reload(2)[..2]].concat());
    assert_eq!(plan.impact[1], "not installed, gets its certificate from deploy: c0-slave0");
}

#[test]
fn another_authority_is_trusted_by_all_before_anybody_shows_its_certificates_and_alone_after_all_do() {
    let (inventory, observed) = running();
    let plan = plan::rotate(&inventory, &observed, &rotate_request(true)).unwrap();
    let trust = |phase| {
        let servers = "write the trust anchors into /var/lib/dkc/c0-%/tls";
        on_all(phase, servers, "write the trust anchors into /var/lib/dkc/c0-slave0/tls")
    };
    let one = |words: &str| vec![words.to_owned()];
    let want = [
        one("1 create the next certificate authority of c0, on this machine next to the inventory"),
        trust(2),
        reload(3),
        one("4 sign with the next certificate authority of c0 from now on"),
        issue(5),
        reload(6),
        one("7 forget the certificate authority that c0 had before"),
        trust(8),
        reload(9),
    ];
    assert_eq!(steps(&plan), want.concat());
    assert_eq!(plan.danger, plan::Danger::Disruptive);
}

#[test]
fn a_node_that_cannot_be_reached_or_an_authority_that_is_elsewhere_stops_it_before_it_begins() {
    let (inventory, mut observed) = running();
    let check = |observed: &Observed, request: &RotateRequest, want: &str| {
        let got = refused(plan::rotate(&inventory, observed, request));
        assert_eq!(got, want);
    };
    let nowhere = RotateRequest { authorities: Default::default(), ..rotate_request(true) };
    let lost = "cannot issue certificates: the certificate authority of c0 is not on this machine";
    check(&observed, &nowhere, &format!("Refused: {lost}"));
    let unknown = RotateRequest { cluster: "c1".parse().unwrap(), ..rotate_request(false) };
    check(&observed, &unknown, "UnknownName: cluster c1 is not registered");
    let nothing = "Refused: 10.77.0.11: server 0 of c0 is not installed\n10.77.0.12: server 1 of c0 is not installed\n\
                   10.77.0.13: server 2 of c0 is not installed\n10.77.0.21: slave 0 is not installed";
    check(&lab::bare_hosts(&inventory), &nowhere, nothing);
    lab::silence(&mut observed, "10.77.0.12");
    for ca in [false, true] {
        check(&observed, &rotate_request(ca), "Unreachable: 10.77.0.12: no reply within 5 s");
    }
}

#[test]
fn a_slave_is_revoked_once_through_any_server_that_answers() {
    let mut stage = Stage::three();
    let plan = plan::revoke(&stage.inventory, &stage.observed, &revoke_request(0)).unwrap();
    let uuid = stage.inventory.slaves[&SlaveId(0)].node_uuid;
    assert_eq!(steps(&plan), [format!("1 revoke the identity of slave 0 ({uuid}) at every server")]);
    assert_eq!(plan.danger, plan::Danger::Disruptive);
    assert_eq!(plan.endpoints().len(), 3);
    let unknown = refused(plan::revoke(&stage.inventory, &stage.observed, &revoke_request(7)));
    assert_eq!(unknown, "UnknownName: slave 7 is not registered");
    let (inventory, observed) = running();
    let silent = refused(plan::revoke(&inventory, &observed, &revoke_request(0)));
    assert_eq!(silent, "Refused: the ring of c0 is unreachable: no server with a founded ring answers");

    stage.tell(MetaCommand::RevokeSlave { uuid, id: SlaveId(0), by: "ann@admin1".into() });
    let again = plan::revoke(&stage.inventory, &stage.observed, &revoke_request(0)).unwrap();
    assert!(again.is_empty());
    let rows = rows(&stage.inventory, &stage.observed);
    assert_eq!(rows[4].notice.as_deref(), Some("revoked"));
}

fn rows(inventory: &Inventory, observed: &Observed) -> Vec<CertificateRow> {
    certificates::rows(inventory, observed, &cluster(), None, 10 * 86_400)
}

#[test]
fn rows_say_who_signed_what_and_where_a_running_node_differs() {
    let (inventory, mut observed) = running();
    let all = rows(&inventory, &observed);
    let holders: Vec<&str> = all.iter().map(|row| row.holder.as_str()).collect();
    assert_eq!(holders, ["authority", "c0-0", "c0-1", "c0-2", "c0-slave0"]);
    assert_eq!(all[0].notice.as_deref(), Some("not on this machine: nothing can be issued here"));
    assert_eq!((all[1].days_left, all[1].issuer.as_deref()), (Some(80), Some("authority")));
    assert_eq!((all[1].issuer_days_left, all[4].issuer_days_left), (Some(1094), None));
    assert_eq!(all[4].namespaces, ["default"]);

    let mut check = |change: &dyn Fn(&mut CertificateStatus), want: Option<&str>| {
        let facts = lab::facts_mut(&mut observed, "10.77.0.11");
        let view = facts.nodes.values_mut().next().unwrap();
        let mut in_use = CertificateStatus {
            serial: "1".into(),
            issuer: None,
            from_s: 0,
            until_s: 90 * 86_400,
            namespaces: Vec::new(),
            trouble: None,
        };
        change(&mut in_use);
        view.status.as_mut().unwrap().certificate = Some(in_use);
        assert_eq!(rows(&inventory, &observed)[1].notice.as_deref(), want);
    };
    check(&|_| {}, None);
    check(&|in_use| in_use.serial = "0".into(), Some("the running node still uses another one"));
    check(&|in_use| in_use.trouble = Some("no".into()), Some("not renewed: no"));

    let issuer = inventory.uuid_of(&inventory.servers_of(&cluster())[1]);
    let facts = lab::facts_mut(&mut observed, "10.77.0.21");
    facts.nodes.values_mut().for_each(|view| view.certificate.as_mut().unwrap().issuer = issuer);
    assert_eq!(rows(&inventory, &observed)[4].issuer.as_deref(), Some("c0-1"));
    lab::silence(&mut observed, "10.77.0.13");
    let silent = &rows(&inventory, &observed)[3];
    assert_eq!((silent.notice.as_deref(), silent.is_silent), (Some("no reply within 5 s"), true));
}
