//! A cluster whose members change while an application writes.

use std::time::Duration;

use super::cluster::founded;
use super::lab::Lab;
use super::wait_for;
use super::writer::{acknowledged, all_acknowledged_are_there, end_writer, wait_until_acknowledged};

/// The application goes on, and all that it was told is there.
pub fn writes_go_on(lab: &Lab) {
    wait_until_acknowledged(lab, acknowledged(lab).len() + 200);
}

pub fn ends_well(lab: &Lab) {
    writes_go_on(lab);
    end_writer(lab);
    all_acknowledged_are_there(lab);
}

#[track_caller]
pub fn is_running(lab: &Lab) {
    wait_for("c0: running", Duration::from_secs(60), || {
        (lab.dkc("status cluster -n c0 --short").stdout.trim() == "c0: running").then_some(())
    });
}

/// A fourth member that stands by as [SERVICE OUT] and is then cut off from the others, but not from the admin: a
/// merge towards it begins and cannot end.
pub fn with_a_spare_that_is_cut_off() -> Lab {
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
pub fn press_ctrl_c(lab: &Lab) {
    lab.on("admin", &["pkill", "-INT", "-x", "dkc"]).ok();
}

pub fn is_merging(lab: &Lab) {
    wait_for("c0: merging", Duration::from_secs(60), || {
        (lab.dkc("status cluster -n c0 --short").stdout.trim() == "c0: merging").then_some(())
    });
}
