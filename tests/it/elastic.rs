//! The ring grows, shrinks and is renewed on real hosts while an application writes; operations are interrupted, gone
//! on with and led back; two operators do not get in each other's way.

use std::time::Duration;

use crate::support::lab::Lab;
use crate::support::ring::founded;
use crate::support::wait_for;
use crate::support::writer::{
    acknowledged, all_acknowledged_are_there, end_writer, start_writer, wait_until_acknowledged,
};

/// The application goes on, and all that it was told is there.
fn writes_go_on(lab: &Lab) {
    wait_until_acknowledged(lab, acknowledged(lab).len() + 200);
}

fn ends_well(lab: &Lab) {
    writes_go_on(lab);
    end_writer(lab);
    all_acknowledged_are_there(lab);
}

#[track_caller]
fn is_running(lab: &Lab) {
    wait_for("c0: running", Duration::from_secs(60), || {
        (lab.dkc("status cluster -n c0 --short").stdout.trim() == "c0: running").then_some(())
    });
}

#[test]
fn one_server_grows_to_three_without_a_pause_and_then_survives_the_loss_of_one() {
    let lab = Lab::up(4, &[2]);
    lab.dkc("register host --accept-new 10.77.0.11 10.77.0.12 10.77.0.13 10.77.0.14").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok().says("3 replicas are wanted");
    lab.dkc("register slave --cluster c0 --host 10.77.0.14").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok().says("1 replica each; it then tolerates 0 failures");
    lab.dkc("start slave --id 0 --yes").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    lab.dkc("grow -n c0 10.77.0.12 10.77.0.13 --dry-run")
        .ok()
        .says("c0 then has 3 servers and tolerates 1 failure");
    lab.dkc("grow -n c0 10.77.0.12 10.77.0.13").exits(5).says("nothing changed");
    lab.dkc("show cluster c0").ok().never_says("10.77.0.12");
    lab.dkc("grow -n c0 10.77.0.12 10.77.0.13 --yes")
        .ok()
        .says("every tablet has 3 of 3 replicas; tolerates 1 failure");
    lab.dkc("grow -n c0 10.77.0.12 10.77.0.13 --yes").ok().says("nothing to do");
    lab.dkc("deploy --dry-run --exit-code").ok().says("nothing to do");
    lab.dkc("check cluster -n c0").ok().says("OK  No.2 10.77.0.13:8020").never_says("NG");
    writes_go_on(&lab);
    // The first of all servers is lost, with what it alone once knew.
    lab.run(&["kill", "h1"]).ok();
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0").says("[SERVICE IN] [DOWN]").says("degraded");
    lab.dkc("check cluster -n c0").says("NG  No.0 10.77.0.11:8020");
    ends_well(&lab);
}

#[test]
fn three_servers_become_seven_and_three_again_and_what_left_stays_out() {
    let lab = founded(8, &[5]);
    lab.dkc("register host --accept-new 10.77.0.15 10.77.0.16 10.77.0.17 10.77.0.18").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 200);
    lab.dkc("grow -n c0 10.77.0.15 10.77.0.16 10.77.0.17 10.77.0.18 --stage").ok().says("version 1");
    lab.dkc("plan show").ok().says("comes").says("plan apply 1 -n c0").says("worst moment");
    lab.dkc("plan apply 2 -n c0 --yes").exits(6);
    lab.dkc("plan apply 1 -n c0 --yes")
        .ok()
        .says("6 tablets have 6 leaders: 1 of 7 servers only hold copies")
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

/// A fourth member that stands by as [SERVICE OUT] and is then cut off from the others, but not from the admin: a
/// merge towards it begins and cannot end.
fn with_a_spare_that_is_cut_off() -> Lab {
    let lab = founded(5, &[]);
    lab.dkc("register host --accept-new 10.77.0.15").ok();
    lab.dkc("grow -n c0 10.77.0.15 --yes").ok();
    lab.dkc("ring serviceout -n c0 --no 3 --yes").ok();
    wait_for("No.3 to be out", Duration::from_secs(60), || {
        lab.dkc("status cluster -n c0").stdout.contains("[SERVICE OUT] [UP]").then_some(())
    });
    for host in ["h1", "h2", "h3"] {
        lab.run(&["cut", "h5", host]).ok();
    }
    lab
}

/// What a terminal does at Ctrl-C. Typed, it would end the lab's own process that holds the terminal.
fn press_ctrl_c(lab: &Lab) {
    lab.on("admin", &["pkill", "-INT", "-x", "dkc"]).ok();
}

#[test]
fn merges_held_by_suspendmerge_or_without_automerge_are_led_by_hand() {
    let lab = founded(5, &[]);
    lab.dkc("register host --accept-new 10.77.0.15").ok();
    lab.dkc("grow -n c0 10.77.0.15 --yes").ok();
    start_writer(&lab);
    lab.dkc("ring suspendmerge -n c0 --yes").ok();
    lab.dkc("ring serviceout -n c0 --no 3 --yes").ok();
    lab.dkc("status cluster -n c0").says("merging is suspended").says("[DELETE] [Pending]");
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

fn is_merging(lab: &Lab) {
    wait_for("c0: merging", Duration::from_secs(60), || {
        (lab.dkc("status cluster -n c0 --short").stdout.trim() == "c0: merging").then_some(())
    });
}

#[test]
fn ctrl_c_leaves_the_merge_to_the_cluster_a_second_operator_is_told_and_resume_ends_it() {
    let lab = with_a_spare_that_is_cut_off();
    start_writer(&lab);
    let mut shell = lab.terminal(&["grow", "-n", "c0", "10.77.0.15:8020", "--yes"]);
    is_merging(&lab);
    writes_go_on(&lab);
    lab.dkc("status cluster -n c0").ok().says("grow c0 by 10.77.0.15:8020").says("[ADD] [Doing]");
    let other = format!("hostname desk2; {} shrink -n c0 --no 0 --yes", lab.dkc_line());
    // The inventory of the first is locked; the second has a copy of their own.
    let copy = "cp -r /root/inventory /root/copy; rm -f /root/copy/lock";
    lab.sh("admin", copy).ok();
    let other = other.replace("DKC_INVENTORY=/root/inventory", "DKC_INVENTORY=/root/copy");
    lab.on("admin", &["unshare", "-u", "sh", "-c", &other])
        .exits(6)
        .says("is doing 'grow c0 by 10.77.0.15:8020' with c0")
        .says("root@");
    shell.expect("merging");
    press_ctrl_c(&lab);
    shell.expect("interrupted").expect("resume op-").expect("ring abortmerge -n c0");
    assert_eq!(shell.ends(), 8);
    is_merging(&lab);
    lab.run(&["heal"]).ok();
    lab.dkc("resume --yes").ok();
    is_running(&lab);
    wait_for("c0 to tolerate a failure again", Duration::from_secs(60), || {
        lab.dkc("status cluster -n c0").stdout.contains("tolerates 1 failure").then_some(())
    });
    lab.dkc("status cluster -n c0").never_says("grow c0");
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
    lab.dkc("ring abortmerge -n c0 --yes").ok().says("ends the operation of");
    is_running(&lab);
    lab.dkc("status cluster -n c0").ok().never_says("grow c0").says("[SERVICE OUT] [UP]");
    lab.dkc("ring compmerge -n c0 --yes").exits(4).says("nothing is merging").says("SERVICEIN or SERVICEOUT");
    lab.run(&["heal"]).ok();
    lab.dkc("grow -n c0 10.77.0.15:8020 --yes").ok().says("c0: running, 4 servers");
}

/// Steps that the newest operation has finished.
fn steps_done(lab: &Lab) -> usize {
    let newest = "cat \"$(ls -t /root/inventory/journal/*.jsonl | head -n 1)\" | grep -c '\"step\"'";
    lab.sh("admin", newest).stdout.trim().parse().unwrap_or(0)
}

#[test]
fn a_shell_killed_at_any_moment_is_gone_on_with_by_the_same_command() {
    let lab = founded(5, &[]);
    lab.dkc("register host --accept-new 10.77.0.15").ok();
    start_writer(&lab);
    for steps in [1, 3, 8, 5, 2] {
        // Without its journal there is only the ring to tell what is done.
        lab.sh("admin", "rm -rf /root/inventory/journal").ok();
        let line =
            format!("{} grow -n c0 10.77.0.15:8020 --yes </dev/null >/tmp/grow.log 2>&1 &", lab.dkc_line());
        lab.sh("admin", &line).ok();
        wait_for(&format!("{steps} steps, or the end"), Duration::from_secs(120), || {
            let has_ended = lab.on("admin", &["pgrep", "-x", "dkc"]).status != 0;
            (has_ended || steps_done(&lab) >= steps).then_some(())
        });
        lab.on("admin", &["pkill", "-9", "-x", "dkc"]);
    }
    lab.dkc("grow -n c0 10.77.0.15:8020 --yes").ok();
    is_running(&lab);
    lab.dkc("show cluster c0").ok().says("No.: 3").never_says("No.: 4");
    lab.dkc("status cluster -n c0").ok().never_says("grow c0");
    lab.dkc("shrink -n c0 --no 3 --yes").ok().says("c0: running, 3 servers");
    ends_well(&lab);
}
