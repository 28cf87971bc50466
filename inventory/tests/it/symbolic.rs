//! A tiny executor: carries a plan's steps out on `Observed`, as real hosts would look afterwards. Each step checks
//! what a real one would: a file that is not what the plan says must not be replaced.

use dkc_core::config::layout;
use dkc_inventory::edit::{forget_deployed, record_deployed, record_founded};
use dkc_inventory::model::{Inventory, NodeName};
use dkc_inventory::observed::{
    CertificateView, HostFacts, HostView, NodeView, Observed, RunState, UNIT_FILE,
};
use dkc_inventory::plan::{ClusterAction, HostAction, Plan, Step};
use dkc_inventory::render;

/// The hosts after the first `count` steps.
pub fn apply_some(observed: &Observed, plan: &Plan, count: usize) -> Observed {
    let mut after = observed.clone();
    for step in plan.steps.iter().take(count) {
        match after.hosts.get_mut(&step.host) {
            Some(HostView::Facts(facts)) => carry_out(facts, step),
            other => panic!("step {} on a host that said nothing: {other:?}", step.number),
        }
    }
    after
}

pub fn apply(observed: &Observed, plan: &Plan) -> Observed {
    apply_some(observed, plan, plan.steps.len())
}

/// What the shell writes down once all steps are done.
pub fn record(inventory: &Inventory, plan: &Plan) -> Inventory {
    let is =
        |want: fn(&HostAction) -> bool| plan.steps.iter().filter_map(|step| step.action.on_host()).any(want);
    let mut after = inventory.clone();
    if is(|action| matches!(action, HostAction::CheckConfiguration { .. })) {
        after = record_deployed(&after, &plan.nodes()).inventory;
    }
    if is(|action| matches!(action, HostAction::RemoveNode { .. })) {
        after = forget_deployed(&after, &plan.nodes()).inventory;
    }
    for step in &plan.steps {
        if let (Some(HostAction::FoundCluster { .. }), Some(node)) = (step.action.on_host(), &step.node) {
            after = record_founded(&after, node.cluster()).inventory;
        }
    }
    after
}

fn carry_out(facts: &mut HostFacts, step: &Step) {
    // What only looks at the ring changes no host.
    if let Some(ClusterAction::WaitHealthy { .. } | ClusterAction::Canary) = step.action.on_cluster() {
        return;
    }
    match step.action.on_host().expect("the ring is not simulated here") {
        HostAction::MakeRoot { .. } => facts.root_has_marker = true,
        HostAction::MakeAuthority { .. } | HostAction::MakeUser { .. } => {}
        HostAction::UploadProgram { digest, bytes, .. } => {
            facts.programs.insert(digest.clone(), *bytes);
        }
        // What is linked or remembered stays; nothing else matters to a plan.
        HostAction::PrunePrograms { .. } => {}
        HostAction::RemoveRoot { .. } => {
            assert!(facts.root_has_marker && facts.nodes.values().all(|view| !view.exists));
            facts.root_has_marker = false;
            facts.programs.clear();
        }
        action => {
            let node: &NodeName = step.node.as_ref().expect("a step of a node names it");
            let programs = facts.programs.clone();
            let view = facts.nodes.entry(node.clone()).or_default();
            on_node(view, action, |digest| programs.contains_key(digest));
        }
    }
}

fn on_node(view: &mut NodeView, action: &HostAction, has_program: impl Fn(&str) -> bool) {
    match action {
        HostAction::MakeNode { uuid, owner, .. } => {
            view.exists = true;
            view.owner.clone_from(owner);
            view.marker = Some(*uuid);
        }
        HostAction::WriteFile { text, replaces, .. } => {
            assert_eq!(
                view.files.get(layout::CONFIG),
                replaces.as_ref(),
                "the file is not the one planned for"
            );
            view.files.insert(layout::CONFIG.into(), render::digest(text));
            view.config_text = Some(text.clone());
        }
        HostAction::IssueCertificate { is_server, namespaces, .. } => {
            assert!(view.exists);
            view.certificate_days = Some(89);
            view.issuer_days = is_server.then_some(1094);
            view.certificate = Some(CertificateView {
                serial: "1".into(),
                fingerprint: "2".into(),
                issuer: None,
                authority: "ca".into(),
                from_s: 0,
                until_s: 90 * 86_400,
                namespaces: (!is_server).then(|| namespaces.iter().cloned().collect()),
            });
            view.files.insert(layout::TLS_CA.into(), "anchors".into());
            view.files.insert(layout::TLS_CERT.into(), "leaf".into());
        }
        HostAction::LinkProgram { digest, .. } => {
            assert!(has_program(digest), "linked before it was uploaded");
            let before = view.program.replace(digest.clone());
            if before.as_ref() != Some(digest) {
                view.program_before = before;
            }
        }
        HostAction::ReturnProgram { digest, .. } => {
            assert!(has_program(digest), "it is kept");
            view.program = Some(digest.clone());
            view.program_before = None;
        }
        HostAction::CheckProgram { digest, .. } => assert!(has_program(digest) && view.identity.is_some()),
        HostAction::InitialiseData { uuid, .. } => {
            assert!(view.identity.is_none_or(|identity| identity == *uuid));
            view.identity = Some(*uuid);
        }
        HostAction::CheckConfiguration { .. }
        | HostAction::WaitReady { .. }
        | HostAction::PrepareStop { .. } => {
            assert!(view.exists);
        }
        HostAction::ReloadNode { .. } => {
            assert!(matches!(view.run, RunState::Running { .. }));
            if let Some(status) = &mut view.status {
                status.config_in_use.clone_from(&view.config_text);
            }
        }
        HostAction::FoundCluster { .. } => assert!(matches!(view.run, RunState::Running { .. })),
        HostAction::InstallService { text, .. } => {
            view.files.insert(UNIT_FILE.into(), render::digest(text));
        }
        HostAction::StartNode { .. } => {
            assert!(view.identity.is_some(), "nothing starts without an identity");
            view.run = RunState::Running { pid: 1 };
        }
        HostAction::StopNode { .. } => {
            view.run = RunState::Stopped;
            view.status = None;
        }
        HostAction::RemoveNode { uuid, .. } => {
            assert_eq!(view.marker, Some(*uuid), "only what carries our marker is removed");
            assert_eq!(view.run, RunState::Stopped);
            *view = NodeView::default();
        }
        other => panic!("not a step of a node: {other:?}"),
    }
}
