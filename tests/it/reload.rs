//! A parameter that can change in a running node reaches it with a deploy of the configuration alone.

use std::time::Duration;

use crate::here::Here;
use crate::support::wait_for;

fn is_automerge(here: &Here) -> bool {
    here.ask(0, r#"{"do":"meta"}"#)["meta"]["is_automerge"].as_bool().expect("it is founded")
}

#[test]
fn a_changed_parameter_is_in_use_without_a_restart_and_what_needs_one_is_not() {
    let here = Here::registered(1);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    let before = here.pid(0);
    assert!(is_automerge(&here));
    here.ok("modify cluster -n c0 --config automerge=off");
    let said = here.ok("deploy --config-only --yes");
    assert!(said.contains("reload, no restart: automerge on c0-0"), "{said}");
    wait_for("automerge is off", Duration::from_secs(30), || (!is_automerge(&here)).then_some(()));
    assert_eq!(here.pid(0), before, "the same process");
    assert!(here.ok("deploy --config-only --yes").contains("nothing to do"));

    here.ok("modify cluster -n c0 --config automerge=on --config heartbeat_ms=70");
    let said = here.ok("deploy --config-only --yes");
    assert!(said.contains("restart needed") && !said.contains("reload"), "{said}");
    let answer = here.ask(0, r#"{"do":"reload"}"#);
    let refusal = answer["error"]["message"].as_str().unwrap_or_default();
    assert!(refusal.contains("heartbeat_ms differ from what is in use and need a restart"), "{answer}");
    assert!(!is_automerge(&here), "nothing of it is in use before the restart");
    here.ok("restart cluster -n c0 --yes");
    assert_ne!(here.pid(0), before);
    wait_for("automerge is on", Duration::from_secs(30), || is_automerge(&here).then_some(()));
}
