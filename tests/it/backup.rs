//! `backup` and `restore`: every record of one moment comes back in a cluster of another size, whatever is interrupted; and what is
//! damaged, foreign or taken is refused before anything changes.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::export::{content, records};
use crate::here::Here;
use crate::support::cluster::founded;
use crate::support::lab::Lab;
use crate::support::wait_for;
use crate::support::writer::{acknowledged, end_writer, start_writer, wait_until_acknowledged};

/// A cluster `c0` with records, also many small ones, in two namespaces and an empty one, `c1`, of another size; both run.
struct Two {
    here: Here,
}

impl Two {
    fn started(small: u32) -> Two {
        let here = Here::registered(2);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        here.ok(&format!("register cluster -n c1 --replicas 1 --tablets 5 127.0.0.1:{port}"));
        here.ok("deploy --yes");
        let two = Two { here };
        two.here.ok("start cluster -n c0 --yes");
        two.here.ok("start cluster -n c1 --yes");
        let from = two.here.stage.state().join("from.jsonl");
        let small = (0..small).map(|n| {
            format!(
                "{{\"key\":{{\"text\":\"small-{n}\"}},\"type\":\"string\",\"value\":{{\"text\":\"v\"}}}}\n"
            )
        });
        fs::write(&from, records() + &small.collect::<String>()).unwrap();
        two.here.ok(&format!("data import -n c0 {}", from.display()));
        two.here.ok("data set -n c0 --namespace other k v --flags 9");
        two
    }

    fn at(&self) -> PathBuf {
        self.here.stage.state().join("backups")
    }

    fn export(&self, cluster: &str, namespace: &str) -> String {
        let output = self.here.run(&format!("data export -n {cluster} --namespace {namespace}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[track_caller]
    fn equal(&self, cluster: &str, namespace: &str, wanted: &str) {
        assert_eq!(content(&self.export(cluster, namespace)), content(wanted), "{cluster} {namespace}");
    }

    /// The command, killed as soon as this file is there.
    fn killed_when(&self, line: &str, file: &Path) {
        let words = shlex::split(line).expect("words");
        let output = || Stdio::null();
        let mut shell =
            self.here.stage.program().args(words).stdout(output()).stderr(output()).spawn().unwrap();
        wait_for(&file.display().to_string(), Duration::from_secs(30), || file.exists().then_some(()));
        kill(&mut shell);
    }
}

fn kill(shell: &mut Child) {
    shell.kill().expect("it runs or has ended");
    shell.wait().expect("it has ended");
}

impl Drop for Two {
    fn drop(&mut self) {
        self.here.run("stop cluster -n c1 --yes --confirm c1");
        let dir = format!("{}/c1-0", self.here.data());
        let _ = Command::new(format!("{dir}/dkcd")).args(["stop", "--dir", &dir]).output();
    }
}

#[test]
fn a_restored_cluster_has_the_same_records_and_what_is_damaged_or_taken_changes_nothing() {
    let two = Two::started(0);
    let (here, at) = (&two.here, two.at());
    let (to, from) = (format!("--to file://{}", at.display()), format!("--from {}", at.display()));
    let create = format!("backup create -n c0 --backup one --description 'two words' {to}");
    assert!(here.ok(&format!("{create} --dry-run")).contains("back up all records of c0"));
    assert!(!at.exists(), "a dry run writes nothing");
    here.exits(&create, 5);
    here.ok(&format!("{create} --yes"));
    assert!(here.exits(&format!("{create} --yes"), 4).contains("DKC-E0733"));
    assert!(here.ok(&format!("backup list {from}")).contains("two words"));
    assert!(here.ok(&format!("backup show one -o json {from}")).contains("\"cluster\": \"c0\""));
    assert!(here.ok(&format!("backup verify one {from}")).contains("one: whole"));

    // Damaged, cut short, missing, exchanged: refused, and c1 stays empty.
    let one = at.join("one");
    let chunks: Vec<PathBuf> = fs::read_dir(&one).unwrap().map(|entry| entry.unwrap().path()).collect();
    let chunk = chunks.iter().find(|path| path.extension().is_some_and(|end| end == "zst")).unwrap();
    let manifest = one.join("manifest.json");
    let restore = format!("restore -n c1 --backup one {from} --yes");
    let refused = |path: &Path, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let whole = fs::read(path).unwrap();
        fs::write(path, change(whole.clone())).unwrap();
        for line in [&format!("backup verify one {from}"), &restore] {
            let said = here.exits(line, 4);
            assert!(said.contains("DKC-E0732") && said.contains("nothing changed"), "{said}");
        }
        fs::write(path, whole).unwrap();
    };
    refused(chunk, &|mut bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        bytes
    });
    refused(chunk, &|bytes| bytes[..bytes.len() - 1].to_vec());
    refused(chunk, &|_| Vec::new());
    refused(&manifest, &|bytes| String::from_utf8(bytes).unwrap().replace("c0", "c9").into_bytes());
    refused(&manifest, &|bytes| bytes[..bytes.len() / 2].to_vec());
    assert!(here.exits(&format!("restore -n c1 --backup none {from} --yes"), 3).contains("DKC-E0313"));
    assert!(
        here.exits(&format!("restore -n c1 --backup one --namespace none {from}"), 3).contains("DKC-E0313")
    );
    assert!(here.exits(&format!("restore -n c0 --backup one {from} --yes"), 4).contains("DKC-E0451"));
    assert_eq!(content(&two.export("c1", "default")).len(), 0);

    // One namespace, and then no more: the cluster is not empty.
    assert!(here.ok(&format!("restore -n c1 --backup one {from} --dry-run")).contains("store and count"));
    here.ok(&format!("restore -n c1 --backup one --namespace other {from} --yes"));
    two.equal("c1", "other", &two.export("c0", "other"));
    assert_eq!(content(&two.export("c1", "default")).len(), 0);
    assert!(here.exits(&restore, 4).contains("it has 1 records"));
    here.ok("data rm -n c1 --namespace other k");
    here.ok(&restore);
    two.equal("c1", "default", &records());
    two.equal("c1", "other", &two.export("c0", "other"));

    assert!(here.exits(&format!("backup delete one {from} --yes"), 5).contains("--confirm one"));
    here.ok(&format!("backup delete one {from} --confirm one"));
    assert!(!one.exists());
    here.exits(&format!("backup verify one {from}"), 3);
}

#[test]
fn a_killed_backup_goes_on_at_its_moment_or_with_another_one_and_a_killed_restore_ends_in_the_same_records() {
    let two = Two::started(6000);
    let (here, at) = (&two.here, two.at());
    let before = two.export("c0", "default");
    let progress = |name: &str| at.join(format!("{name}.part/progress.json"));
    let create = |name: &str| format!("backup create -n c0 --backup {name} --to {} --yes", at.display());

    // Killed once the moment is taken: what is written afterwards is not of that moment.
    two.killed_when(&create("one"), &progress("one"));
    assert!(!at.join("one").exists(), "it was not whole when the shell was killed");
    here.ok("data set -n c0 later v");
    here.ok("resume --yes");
    here.ok(&format!("backup verify one --from {}", at.display()));

    // Servers that restarted have lost the moment: the backup begins again, and has what was written since.
    two.killed_when(&create("two"), &progress("two"));
    here.ok("data set -n c0 latest v");
    here.ok("restart cluster -n c0 --yes");
    here.ok("resume --yes");

    let restore = format!("restore -n c1 --from {} --yes --backup", at.display());
    let words = shlex::split(&format!("{restore} one")).expect("words");
    let output = || Stdio::null();
    let mut shell = here.stage.program().args(words).stdout(output()).stderr(output()).spawn().unwrap();
    wait_for("a restored record", Duration::from_secs(30), || {
        (!here.ok("data count -n c1 -o json").contains("\"records\": 0")).then_some(())
    });
    kill(&mut shell);
    here.ok("resume --yes");
    two.equal("c1", "default", &before);

    let second = here.ok(&format!("backup show two -o json --from {}", at.display()));
    let first = here.ok(&format!("backup show one -o json --from {}", at.display()));
    let keys = |shown: &str| -> u64 {
        let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
        let chunks = shown[0]["chunks"].as_array().unwrap().clone();
        chunks.iter().map(|chunk| chunk["keys"].as_u64().unwrap()).sum()
    };
    assert_eq!(keys(&second), keys(&first) + 2, "later and latest");
}

/// The numbers of the writer's keys in a cluster.
fn numbers(lab: &Lab, cluster: &str) -> BTreeSet<u64> {
    let exported = lab.dkc(&format!("data export -n {cluster} --prefix w:")).ok().stdout;
    let keys = content(&exported).into_keys();
    keys.filter_map(|key| key.split("w:").nth(1)?.trim_end_matches(['"', '}']).parse().ok()).collect()
}

#[test]
fn a_backup_under_writes_is_one_moment_of_three_servers_and_comes_back_on_two() {
    let lab = founded(4, &[]);
    lab.dkc("register cluster -n c1 --tablets 5 10.77.0.11:8120 10.77.0.12:8120").ok();
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c1 --yes").ok();
    start_writer(&lab);
    wait_until_acknowledged(&lab, 300);
    let before = acknowledged(&lab);
    lab.dkc("backup create -n c0 --backup one --yes").ok();
    let after = acknowledged(&lab);
    wait_until_acknowledged(&lab, after.len() + 20);
    end_writer(&lab);
    lab.dkc("restore -n c1 --backup one --yes").ok();
    let restored = numbers(&lab, "c1");
    // The writer goes on when a write is acknowledged, and its keys lie on all tablets: one moment has all numbers up to one.
    let last = *restored.last().expect("records");
    let missing: Vec<u64> = (1..=last).filter(|number| !restored.contains(number)).collect();
    let acknowledged = acknowledged(&lab);
    let lost = missing.iter().filter(|number| acknowledged.contains(number)).count();
    assert_eq!(lost, 0, "the backup has {last}, but not {missing:?}");
    assert!(
        before.iter().all(|number| restored.contains(number)),
        "what was acknowledged before it is in it"
    );
    assert!(numbers(&lab, "c0").len() > restored.len(), "the writer went on");
}
