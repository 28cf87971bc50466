//! `replace` on real hosts while an application writes: a member that runs, one that is stopped, one that is gone.

use crate::support::cluster::founded;
use crate::support::elastic::{ends_well, is_running, writes_go_on};
use crate::support::writer::{start_writer, wait_until_acknowledged};

#[test]
fn every_founder_is_replaced_one_alive_one_stopped_one_dead_with_its_host() {
    let lab = founded(7, &[]);
    lab.dkc("register host --accept-new 10.77.0.15 10.77.0.16 10.77.0.17").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    lab.dkc("replace -n c0 --no 0 --address 10.77.0.15 --yes").ok().says("tolerates 1 failure");
    writes_go_on(&lab);
    lab.dkc("stop cluster -n c0 --no 1 --yes").ok().says("it tolerates 0 failures more");
    lab.dkc("replace -n c0 --no 1 --address 10.77.0.16 --yes").ok().says("tolerates 1 failure");
    writes_go_on(&lab);
    lab.run(&["kill", "h3"]).ok();
    lab.dkc("grow -n c0 10.77.0.17 --yes").exits(4).says("No.2 of c0 is down").says("--allow-no-tolerance");
    lab.dkc("replace -n c0 --no 2 --address 10.77.0.17 --yes")
        .ok()
        .says("10.77.0.13 does not answer")
        .says("tolerates 1 failure");
    writes_go_on(&lab);
    // Nobody is left whom the slave was told of at first.
    lab.dkc("restart slave --id 0 --yes").ok();
    ends_well(&lab);
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.dkc("replace -n c0 --no 3 --address 10.77.0.11:8021 --yes").exits(4).says("start cluster -n c0");
    lab.dkc("start cluster -n c0 --yes").ok();
    is_running(&lab);
}
