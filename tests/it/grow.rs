//! `grow` on real hosts while an application writes: from one server to three, interrupted, killed and gone on with.

use std::time::Duration;

use crate::support::cluster::founded;
use crate::support::elastic::{
    ends_well, is_merging, is_running, press_ctrl_c, with_a_spare_that_is_cut_off, writes_go_on,
};
use crate::support::lab::Lab;
use crate::support::wait_for;
use crate::support::writer::{start_writer, wait_until_acknowledged};

#[test]
fn one_server_grows_to_three_without_a_pause_and_then_survives_the_loss_of_one() {
    let lab = Lab::up(4, &[2]);
    lab.dkc("register host --accept-new 10.77.0.11 10.77.0.12 10.77.0.13 10.77.0.14").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok().says("3 replicas configured");
    lab.dkc("register slave --cluster c0 --host 10.77.0.14").ok();
    lab.dkc("register pair --id 0 --listen 127.0.0.1:11211").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok().says("1 replica each; tolerates 0 failures");
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
        .says("is running 'grow c0 by 10.77.0.15:8020' on c0")
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
