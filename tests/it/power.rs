//! Power that fails while something is deployed: what a step said it did is there afterwards, and what an older shell left
//! torn is mended.

use crate::support::lab::Lab;

const NODE: &str = "/var/lib/dkc/c0-0";

fn registered() -> Lab {
    let lab = Lab::up(1, &[]);
    lab.dkc("register host --accept-new 10.77.0.11").ok();
    lab.dkc("register cluster -n c0 10.77.0.11:8020").ok();
    lab
}

fn steps_of_a_deploy(lab: &Lab) -> usize {
    let plan = lab.dkc("deploy --dry-run").ok().stdout;
    let is_step = |line: &&str| {
        line.trim_start().split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
    };
    plan.lines().filter(is_step).count()
}

/// The host as it was before the first deploy.
fn wipe(lab: &Lab) {
    let line = "find /var/lib/dkc -mindepth 1 -maxdepth 1 ! -name lost+found -exec rm -rf {} + && sync";
    lab.sh("h1", line).ok();
}

/// The power of h1 fails as soon as the receipt of this step is there; the shell is ended before it can go on.
fn deploy_until(lab: &Lab, step: usize) {
    let begin = format!("{} deploy --yes > /root/said 2>&1 & echo $! > /root/pid", lab.dkc_line());
    lab.run(&["service", "root", "admin", "sh", "-c", &begin]).ok();
    // Looked at on the host itself, where nothing lies between the receipt and the look.
    let look = format!(
        "n=0; until ls /var/lib/dkc/receipts/*-{step} >/dev/null 2>&1; do n=$((n+1)); [ $n -lt 6000 ] || exit 1; sleep 0.005; done"
    );
    lab.sh("h1", &look).ok();
    lab.run(&["powercut", "h1"]).ok();
    lab.sh("admin", "kill -9 $(cat /root/pid); true").ok();
    lab.run(&["boot", "h1"]).ok();
}

#[test]
fn a_power_cut_after_any_step_of_a_deploy_leads_to_the_same_end() {
    let lab = registered();
    // The authority is made once, on the admin's machine; from then on every deploy has the same steps on the host.
    lab.dkc("deploy --yes").ok();
    wipe(&lab);
    let steps = steps_of_a_deploy(&lab);
    assert!(steps >= 7, "{steps} steps");
    for step in 1..=steps {
        deploy_until(&lab, step);
        lab.sh(
            "h1",
            "find /var/lib/dkc -type f -size 0 ! -path '*part*' ! -name '*.log' ! -path '*/lost+found/*'",
        )
        .ok()
        .prints("");
        lab.dkc("deploy --yes").ok();
        lab.dkc("deploy --dry-run --exit-code").exits(0);
        if step == steps {
            lab.dkc("start cluster -n c0 --yes").ok();
            lab.dkc("status cluster --short").ok().prints("c0: running");
        } else {
            wipe(&lab);
        }
    }
}

#[test]
fn what_a_power_cut_left_empty_is_mended_by_a_deploy_and_data_is_left_alone() {
    let lab = registered();
    lab.dkc("deploy --yes").ok();
    // As an earlier version left it: names without contents.
    let empty = format!(
        "cd {NODE} && truncate -s 0 .dkc-node node.yaml tls/ca.pem tls/node.pem tls/issuer.pem data/identity ../bin/*/dkc"
    );
    lab.sh("h1", &empty).ok();
    lab.dkc("deploy --yes").ok().says("upload");
    lab.dkc("deploy --dry-run --exit-code").exits(0);
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data set -n c0 kept yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.sh("h1", &format!("cd {NODE} && truncate -s 0 .dkc-node node.yaml tls/node.pem")).ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("stop cluster -n c0 --yes").ok();
    // What has data but no whole identity is nobody's to mend: a person decides.
    lab.sh("h1", &format!("cd {NODE} && truncate -s 0 data/identity")).ok();
    lab.dkc("deploy --yes").exits(4);
}
