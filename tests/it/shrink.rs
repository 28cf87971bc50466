//! `shrink` on real hosts while an application writes; and that who left stays out.

use crate::support::cluster::founded;
use crate::support::elastic::{ends_well, writes_go_on};
use crate::support::writer::{start_writer, wait_until_acknowledged};

#[test]
fn three_servers_become_seven_and_three_again_and_what_left_stays_out() {
    let lab = founded(8, &[5]);
    lab.dkc("register host --accept-new 10.77.0.15 10.77.0.16 10.77.0.17 10.77.0.18").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    lab.dkc("grow -n c0 10.77.0.15 10.77.0.16 10.77.0.17 10.77.0.18 --stage").ok().says("version 1");
    lab.dkc("plan show").ok().says("joins").says("plan apply 1 -n c0").says("worst moment");
    lab.dkc("plan apply 2 -n c0 --yes").exits(6);
    lab.dkc("plan apply 1 -n c0 --yes")
        .ok()
        .says("tablets become 14, nothing to copy")
        .says("c0: running, 7 servers");
    lab.dkc("plan list").ok().never_says("c0");
    writes_go_on(&lab);
    lab.dkc("shrink -n c0 --no 1 --no 4 --no 5 --no 6 --yes")
        .ok()
        .says("c0: running, 3 servers")
        .says("tolerates 1 failure");
    writes_go_on(&lab);
    lab.sh("h2", "cat /var/lib/dkc/c0-1/REMOVED; pgrep -f c0-1 || true").ok().says("it can never return");
    lab.dkc("show cluster c0").ok().never_says("10.77.0.12").says("No.: 3");
    lab.dkc("shrink -n c0 --no 1 --yes").ok().says("nothing to do");
    lab.dkc("shrink -n c0 --no 3 --yes").exits(5).says("to confirm: c0@g");
    lab.dkc("shrink -n c0 --no 0 --no 2 --no 3 --yes").exits(4).says("left without a server");
    // Its daemon started by hand does not even listen; without the mark, as from a restored disk, the others say it.
    let by_hand = "cd /var/lib/dkc/c0-1; timeout 60 su dkc -c './dkcd run --dir /var/lib/dkc/c0-1' 2>&1; echo status $?";
    lab.sh("h2", by_hand).ok().says("REMOVED: removed from its cluster by").says("status 78");
    lab.sh("h2", "rm /var/lib/dkc/c0-1/REMOVED").ok();
    lab.sh("h2", by_hand)
        .ok()
        .says("this node was removed from the cluster and can never return")
        .says("status 78");
    lab.sh("h2", "cat /var/lib/dkc/c0-1/REMOVED").ok().says("removed from its cluster, says");
    writes_go_on(&lab);
    lab.dkc("check cluster -n c0").ok().says("OK  No.3 10.77.0.15:8020").never_says("NG");
    ends_well(&lab);
}
