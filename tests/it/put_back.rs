//! A server's data that is put back from an older copy, as a restored disk or a snapshot of a virtual machine does it: refused by the
//! server itself, shown with the way out, and healed by `replace` while an application writes.

use crate::support::cluster::founded;
use crate::support::elastic::{ends_well, is_running, writes_go_on};
use crate::support::writer::{start_writer, wait_until_acknowledged};

const DATA: &str = "/var/lib/dkc/c0-2/data";
const TOLD: &str = "was put back from an older copy";

#[test]
fn an_older_copy_of_a_servers_data_is_refused_shown_and_replaced() {
    let lab = founded(4, &[]);
    start_writer(&lab);
    wait_until_acknowledged(&lab, 100);
    lab.dkc("stop cluster -n c0 --no 2 --yes").ok();
    lab.sh("h3", &format!("rm -rf /tmp/copy && cp -a {DATA} /tmp/copy")).ok();
    lab.dkc("start cluster -n c0 --no 2 --yes").ok();
    is_running(&lab);
    writes_go_on(&lab);
    lab.dkc("stop cluster -n c0 --no 2 --yes").ok();
    lab.sh("h3", &format!("rm -rf {DATA} && cp -a /tmp/copy {DATA}")).ok();
    lab.dkc("start cluster -n c0 --no 2 --yes").exits(8).says(TOLD);
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0 --short").says("c0: degraded");
    lab.dkc("status cluster -n c0").says(TOLD);
    lab.dkc("check host 10.77.0.13").says(TOLD).says("replace -n c0 --no 2 --address HOST:PORT");
    lab.dkc("start cluster -n c0 --no 2 --yes")
        .exits(4)
        .says("DKC-E0470")
        .says("replace -n c0 --no 2 --address HOST:PORT");
    lab.dkc("replace -n c0 --no 2 --address 10.77.0.13:8021 --yes").ok().says("tolerates 1 failure");
    is_running(&lab);
    ends_well(&lab);
}
