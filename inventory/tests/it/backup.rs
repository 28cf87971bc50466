//! `backup` and `restore`: what their plans say, and where a restore is refused.

use dkc_core::control::RoleStatus;
use dkc_inventory::observed::HostView;
use dkc_inventory::plan::{self, BackupRequest, Plan, Refused, RestoreRequest};

use crate::change_members::Stage;
use crate::lab::{operation, refused};

fn backup(stage: &Stage) -> Result<Plan, Refused> {
    let request = BackupRequest {
        operation: operation("backup create -n c0"),
        cluster: "c0".parse().unwrap(),
        name: "one".into(),
        description: String::new(),
        directory: "/b/one".into(),
    };
    plan::backup(&stage.inventory, &stage.observed, &request)
}

fn restore(stage: &Stage, cluster: &str) -> Result<Plan, Refused> {
    let request = RestoreRequest {
        operation: operation("restore -n c0 --backup one"),
        cluster: cluster.parse().unwrap(),
        directory: "/b/one".into(),
        digest: "d".into(),
        records: 5,
        namespace: None,
    };
    plan::restore(&stage.inventory, &stage.observed, &request)
}

/// Every replica has so many records.
fn holding(mut stage: Stage, records: u64) -> Stage {
    for view in stage.observed.hosts.values_mut() {
        let HostView::Facts(facts) = view else { continue };
        for status in facts.nodes.values_mut().filter_map(|node| node.status.as_mut()) {
            let RoleStatus::Server(server) = &mut status.role else { continue };
            server.tablets.iter_mut().for_each(|tablet| tablet.records = records);
        }
    }
    stage
}

#[test]
fn both_are_one_step_that_says_what_it_does() {
    let stage = holding(Stage::three(), 0);
    assert_eq!(
        backup(&stage).unwrap().text(),
        "\
plan op-0000002a: backup create -n c0
  inventory: generation 6 (stays)
  ring:      version 1
  class:     reversible
    10.77.0.11
       1. back up all records of c0 at one moment to /b/one

  impact: reads 12.0 MB, and holds writes back for a moment
  impact: the backup is not encrypted: whoever reads the directory reads the records
  undo:   backup delete one
"
    );
    assert_eq!(
        restore(&stage, "c0").unwrap().text(),
        "\
plan op-0000002a: restore -n c0 --backup one
  inventory: generation 6 (stays)
  ring:      version 1
  class:     disruptive
    10.77.0.11
       1. store and count the 5 records of /b/one

  impact: c0 is to be used when all records are stored and counted
  undo:   destroy cluster -n c0
"
    );
}

#[test]
fn records_are_never_mixed_with_others() {
    assert_eq!(refused(restore(&Stage::three(), "c0")), "Refused: c0 is not empty: it has 60 records");
    assert_eq!(refused(restore(&Stage::three(), "c9")), refused(backup_of_unknown()));
}

fn backup_of_unknown() -> Result<Plan, Refused> {
    let stage = Stage::three();
    let request = BackupRequest {
        operation: operation("backup create"),
        cluster: "c9".parse().unwrap(),
        name: "one".into(),
        description: String::new(),
        directory: "/b/one".into(),
    };
    plan::backup(&stage.inventory, &stage.observed, &request)
}
