//! An operation between its plan and its end, on nodes of this machine: the ring or the inventory changes while the operator
//! thinks, or between an operation that stopped half way and its resume.

use crate::here::Here;

#[test]
fn a_ring_that_changed_while_the_operator_thought_is_not_touched() {
    let here = Here::registered(2);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    let mut terminal = here.prompt();
    terminal.line("restart cluster -n c0").expect("Apply? [y/N]");
    here.ok("ring suspendmerge -n c0 --yes");
    here.ok("ring serviceout -n c0 --no 1 --yes");
    terminal.line("y").expect("DKC-E0602").expect("nothing changed").prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
    // A new plan knows the ring as it is.
    here.ok("ring servicein -n c0 --no 1 --yes");
    here.ok("status cluster --short");
}

#[test]
fn an_authority_is_made_only_after_a_yes_and_never_again_for_a_founded_cluster() {
    let here = Here::registered(1);
    let authority = here.stage.inventory().join("authority/c0");
    let mut terminal = here.prompt();
    let made = "create the certificate authority of c0";
    terminal.line("deploy").expect(made).expect("Apply? [y/N]");
    terminal.line("n").expect("nothing changed").prompt().line("quit");
    terminal.ends();
    assert!(here.exits("deploy --dry-run", 0).contains(made));
    assert!(!authority.exists(), "made although nobody said yes");
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");

    let trusted = std::fs::read_to_string(authority.join("ca.pem")).expect("the authority");
    std::fs::remove_file(authority.join("ca.key")).expect("removed");
    // Whoever needs no certificate needs no authority.
    assert!(here.ok("deploy --yes").contains("nothing to do"));
    std::fs::remove_file(format!("{}/c0-0/tls/node.pem", here.data())).expect("removed");
    let refused = here.exits("deploy --yes", 4);
    assert!(refused.contains("DKC-E0450"), "{refused}");
    assert!(!authority.join("ca.key").exists(), "made again");
    assert_eq!(std::fs::read_to_string(authority.join("ca.pem")).expect("the authority"), trusted);
}

#[test]
fn after_any_other_change_a_half_done_operation_is_planned_anew() {
    let here = Here::registered(1);
    let node = format!("{}/c0-0", here.data());
    let mut terminal = here.prompt();
    terminal.line("deploy").expect("Apply? [y/N]");
    // Meanwhile somebody puts something that is not ours where the node is to be.
    std::fs::create_dir_all(&node).expect("a directory");
    std::fs::write(format!("{node}/thesis.txt"), "years of work").expect("a file");
    terminal.line("y").expect("does not belong to this node").expect("resume op-").prompt().line("quit");
    terminal.ends();
    let text = terminal.text();
    let operation =
        text.rsplit("resume op-").next().map(|rest| format!("op-{}", &rest[..8])).expect("its name");
    std::fs::remove_dir_all(&node).expect("removed");

    here.ok("modify cluster -n c0 --config heartbeat_ms=60");
    let refused = here.exits(&format!("resume {operation} --yes"), 6);
    assert!(refused.contains("DKC-E0601"), "{refused}");
    assert!(!std::path::Path::new(&node).exists(), "nothing changed");
    // What was not deployed is still to be deployed.
    here.exits("deploy --dry-run --exit-code", 10);
    here.ok("deploy --yes");
    here.exits("deploy --dry-run --exit-code", 0);
    let deployed = std::fs::read_to_string(format!("{node}/node.yaml")).expect("the configuration");
    assert!(deployed.contains("heartbeat_ms: 60"), "{deployed}");
}

#[test]
fn nothing_is_deployed_where_others_could_replace_it() {
    let here = Here::registered(1);
    let root = here.data();
    let mode = |mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&root, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    std::fs::create_dir_all(&root).expect("a directory");
    for open_to_others in [0o777, 0o1777, 0o775] {
        mode(open_to_others);
        let refused = here.exits("deploy --yes", 4);
        assert!(refused.contains("is not safe: others may write there"), "{refused}");
        assert!(
            refused.contains("DKC-E0448") && refused.contains(&format!("chmod go-w {root}")),
            "{refused}"
        );
        assert!(std::fs::read_dir(&root).expect("there").next().is_none(), "something was written");
    }
    mode(0o755);
    here.ok("deploy --yes");
    // Also a node that runs already, whose directory was opened later.
    mode(0o757);
    assert!(here.exits("check", 1).contains("is not safe"), "check is silent");
    here.exits("deploy --config-only --yes", 4);
    mode(0o755);
}
