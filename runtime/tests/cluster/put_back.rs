//! A server whose directory is put back from an older copy of itself does not take part again, whoever else is down; a cluster that is
//! put back as a whole goes on.

use std::fs;
use std::path::{Path, PathBuf};

use dkc_core::config::layout;
use dkc_core::control::ControlReply;
use dkc_core::kv::Reply;

use crate::lab::{Lab, Server, wait_for};
use crate::membership::{service_in, service_out};

const TOLD: &str = "was put back from an older copy";
const WAY_OUT: &str = "replace it: dkc replace -n c0 --no";

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for item in fs::read_dir(from).expect("a folder") {
        let item = item.expect("an item");
        match item.file_type().expect("a type").is_dir() {
            true => copy(&item.path(), &to.join(item.file_name())),
            false => drop(fs::copy(item.path(), to.join(item.file_name())).expect("copied")),
        }
    }
}

fn data_of(server: &Server) -> PathBuf {
    server.directory.join(layout::DATA_DIR)
}

/// Copies the data of a server that does not run.
fn save(server: &Server) -> PathBuf {
    let place = server.directory.join("copy");
    copy(&data_of(server), &place);
    place
}

fn put_back(server: &Server, from: &Path) {
    fs::remove_dir_all(data_of(server)).expect("removed");
    copy(from, &data_of(server));
}

fn write(at: &Server, key: &str) {
    let reply = at.set(key, "value");
    assert!(matches!(reply, ControlReply::Data(Reply::Stored { .. })), "{reply:?}");
}

fn is_refused(server: &mut Server) {
    wait_for("it ends", || server.has_ended() == Some(78));
    let log = server.log();
    let words = log.lines().last().unwrap_or_default();
    assert!(words.contains(TOLD) && words.contains(WAY_OUT), "{log}");
}

#[test]
fn a_server_with_an_older_copy_of_its_data_is_refused_and_replaced() {
    let mut lab = Lab::founded(3, 3, |_| {});
    write(&lab.servers[0], "before");
    lab.servers[2].kill();
    let old = save(&lab.servers[2]);
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    lab.wait_for_leaders();
    write(&lab.servers[0], "after");
    wait_for("it has applied as much as the others", || {
        let applied = |server: &Server| -> Vec<u64> {
            server.status().tablets.iter().map(|tablet| tablet.applied_index).collect()
        };
        applied(&lab.servers[2]) == applied(&lab.servers[0])
    });

    // The newest data is welcome, also after a kill.
    lab.servers[2].kill();
    let newest = lab.servers[2].directory.join("newest");
    copy(&data_of(&lab.servers[2]), &newest);
    put_back(&lab.servers[2], &newest);
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    lab.wait_for_leaders();

    // An older copy is not, and with one server down nobody else makes a quorum with it: there is no leader at all.
    lab.servers[2].kill();
    lab.servers[0].kill();
    put_back(&lab.servers[2], &old);
    lab.servers[2].start();
    is_refused(&mut lab.servers[2]);
    assert!(
        fs::read_to_string(lab.servers[2].directory.join(layout::PUT_BACK)).expect("a mark").contains(TOLD)
    );
    // It says so again without asking anybody, and without taking its port.
    lab.servers[1].kill();
    let taken = std::net::TcpListener::bind(lab.servers[2].entry.address.to_string()).expect("free");
    lab.servers[2].start();
    is_refused(&mut lab.servers[2]);
    drop(taken);

    lab.servers[0].start();
    lab.servers[1].start();
    lab.servers[0].wait_until_it_answers();
    lab.servers[1].wait_until_it_answers();
    wait_for("both serve", || lab.servers[0].try_get("after") == Some("value".into()));
    let new = lab.join(0);
    assert_eq!(lab.servers[0].change(dkc_core::meta::MemberChange::SuspendMerge), ControlReply::Ok);
    service_in(&lab.servers[0], &lab.servers[new]);
    service_out(&lab.servers[0], &lab.servers[2]);
    assert_eq!(lab.servers[0].change(dkc_core::meta::MemberChange::NoSuspendMerge), ControlReply::Ok);
    lab.wait_until_merged(0);
    wait_for("one failure is tolerated", || lab.servers[0].status().tolerates == 1);
    assert_eq!(lab.servers[new].get("before"), Some("value".into()));
    assert_eq!(lab.servers[new].get("after"), Some("value".into()));
}

#[test]
fn an_empty_data_directory_with_the_same_identity_is_refused() {
    let mut lab = Lab::founded(3, 1, |_| {});
    write(&lab.servers[0], "before");
    let server = &mut lab.servers[2];
    server.kill();
    fs::remove_dir_all(data_of(server)).expect("removed");
    let (status, text) = server.dkcd(&["init", "--uuid", &server.entry.node_uuid.to_string()]);
    assert_eq!((status, text.trim()), (0, "made"));
    server.start();
    is_refused(server);
}

#[test]
fn a_cluster_that_is_put_back_to_one_moment_goes_on_and_one_of_several_moments_does_not() {
    let mut lab = Lab::founded(3, 1, |_| {});
    write(&lab.servers[0], "before");
    lab.kill_all();
    let copies: Vec<PathBuf> = lab.servers.iter().map(save).collect();
    lab.start_all();
    lab.wait_for_leaders();
    write(&lab.servers[0], "after");
    let put_all_back = |lab: &mut Lab| {
        lab.kill_all();
        for (server, copy) in lab.servers.iter().zip(&copies) {
            put_back(server, copy);
        }
        lab.start_all();
        lab.wait_for_leaders();
        assert_eq!(lab.servers[0].get("before"), Some("value".into()));
    };
    put_all_back(&mut lab);
    assert_eq!(lab.servers[0].get("after"), None);

    // Now the copies of two are of an earlier moment than what the third has.
    write(&lab.servers[0], "later");
    lab.kill_all();
    for (server, copy) in lab.servers.iter().zip(&copies).take(2) {
        put_back(server, copy);
    }
    // Whoever remembers more has to be there to be heard.
    lab.servers[2].start();
    lab.servers[2].wait_until_it_answers();
    lab.servers[0].start();
    lab.servers[1].start();
    is_refused(&mut lab.servers[0]);
    is_refused(&mut lab.servers[1]);
    put_all_back(&mut lab);
}

#[test]
fn a_damaged_lineage_is_not_guessed_at() {
    let mut lab = Lab::founded(1, 1, |_| {});
    let server = &mut lab.servers[0];
    server.kill();
    let path = server.directory.join(layout::LINEAGE);
    let text = fs::read_to_string(&path).expect("readable");
    fs::write(&path, text.replacen("begins 4", "begins 5", 1)).expect("written");
    let (status, said) = server.dkcd(&["run"]);
    assert!(status == 74 && said.contains("its checksum does not agree"), "{status}: {said}");
}
