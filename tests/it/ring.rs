//! The words of CHMPX on real hosts: merges led by hand, and led back.

use std::time::Duration;

use crate::support::cluster::founded;
use crate::support::elastic::{
    ends_well, is_merging, is_running, press_ctrl_c, with_a_spare_that_is_cut_off, writes_go_on,
};
use crate::support::wait_for;
use crate::support::writer::start_writer;

#[test]
fn merges_held_by_suspendmerge_or_without_automerge_are_led_by_hand() {
    let lab = founded(5, &[]);
    lab.dkc("register host --accept-new 10.77.0.15").ok();
    lab.dkc("grow -n c0 10.77.0.15 --yes").ok();
    start_writer(&lab);
    lab.dkc("ring suspendmerge -n c0 --yes").ok();
    lab.dkc("ring serviceout -n c0 --no 3 --yes").ok();
    lab.dkc("status cluster -n c0").says("merges are suspended").says("[DELETE] [Pending]");
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0").says("[DELETE] [Pending]");
    lab.dkc("ring compmerge -n c0 --yes").exits(4).says("MERGE");
    // What a person sees who leaves it running beside their work.
    let mut watch = lab.terminal(&["status", "cluster", "-n", "c0", "--watch=1s"]);
    watch.expect("Pending").expect("Pending");
    lab.dkc("ring merge -n c0 --yes").ok();
    watch.expect("Doing");
    wait_for("all to be caught up", Duration::from_secs(60), || {
        lab.dkc("status cluster -n c0").stdout.contains("[DELETE] [Done]").then_some(())
    });
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0").says("[DELETE] [Done]");
    lab.dkc("ring compmerge -n c0 --yes").ok();
    watch.expect("SERVICE OUT");
    press_ctrl_c(&lab);
    watch.ends();
    lab.dkc("ring nosuspendmerge -n c0 --yes").ok();
    is_running(&lab);

    lab.dkc("modify cluster -n c0 --config automerge=off").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("restart cluster -n c0 --yes").ok();
    lab.dkc("ring servicein -n c0 --no 3 --yes").ok();
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0").says("[ADD] [Pending]");
    // The whole operation says the words that automerge does not.
    lab.dkc("grow -n c0 10.77.0.15 --yes").ok().says("c0: running, 4 servers");
    ends_well(&lab);
}

#[test]
fn abortmerge_goes_back_and_the_same_command_begins_again() {
    let lab = with_a_spare_that_is_cut_off();
    let mut shell = lab.terminal(&["grow", "-n", "c0", "10.77.0.15:8020", "--yes"]);
    is_merging(&lab);
    shell.expect("merging");
    press_ctrl_c(&lab);
    shell.expect("interrupted");
    shell.ends();
    lab.dkc("ring serviceout -n c0 --no 1 --yes").exits(4).says("wait until all is Done, or ABORTMERGE");
    lab.dkc("ring abortmerge -n c0 --yes").ok().says("aborts the operation of");
    is_running(&lab);
    lab.dkc("status cluster -n c0").ok().never_says("grow c0").says("[SERVICE OUT] [UP]");
    lab.dkc("ring compmerge -n c0 --yes").exits(4).says("nothing is merging").says("SERVICEIN or SERVICEOUT");
    lab.run(&["heal"]).ok();
    lab.dkc("grow -n c0 10.77.0.15:8020 --yes").ok().says("c0: running, 4 servers");
}
