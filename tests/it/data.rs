//! The data model of the shell on a running server: sub-keys, queues, numbers of a width, attributes, earlier values, encrypted values,
//! and the prompt of its own. What other clients see of it is read from an export.

use std::fs;

use crate::here::Here;

fn started() -> Here {
    let here = Here::registered(1);
    here.ok("deploy --yes");
    here.ok("start cluster -n c0 --yes");
    here
}

/// Lines of an export, by key.
#[track_caller]
fn is_exported(here: &Here, want: &str) {
    let text = here.ok("data export -n c0");
    assert!(text.contains(want), "{want} is not in {text}");
}

#[test]
fn sub_keys_queues_and_numbers_are_what_other_clients_know() {
    let here = started();
    let (ok, exits) = (
        |line: &str| here.ok(&format!("data {line} -n c0")),
        |line: &str, status: i32| here.exits(&format!("data {line} -n c0"), status),
    );

    // Sub-keys: a set of names beside the parent, in whatever slot the keys themselves lie.
    ok("set user one");
    ok("sub set user user/mail ann@example.org");
    ok("sub set user/mail user/mail/old bob@example.org");
    assert!(ok("sub add user elsewhere user").contains("2 sub-keys added"));
    assert_eq!(ok("sub list user"), "elsewhere\nuser\nuser/mail\n");
    let tree = ok("print user --all");
    let want = [
        "\"user\" => \"one\"",
        "  +\"elsewhere\" => value is not found",
        "  +\"user\" => see above",
        "  +\"user/mail\" => \"ann@example.org\"",
        "    +\"user/mail/old\" => \"bob@example.org\"",
    ];
    assert_eq!(tree.lines().collect::<Vec<_>>(), want);
    is_exported(&here, r#"{"key":{"text":"{user}:subkeys"},"type":"set","value":[{"text":"elsewhere"}"#);
    assert!(ok("sub rm user elsewhere --keep").contains("1 sub-keys removed"));
    assert!(exits("sub rm user elsewhere", 1).contains("had no such sub-keys"));
    assert!(exits("sub add 'a}b' x", 2).contains("no {tag}"));
    assert!(exits("rm user --all", 5).contains("--yes"), "several keys are not removed unasked");
    assert!(ok("rm user --all --yes").contains("3 keys removed"));
    assert!(exits("rm user --all", 1).contains("value is not found"));
    assert!(ok("count -o json").contains("\"records\": 0"));

    // Queues: lists, from whose beginning FIFO takes and from whose end LIFO does.
    ok("queue push q a b c d e");
    assert_eq!(ok("queue length q").trim(), "5");
    assert_eq!(ok("queue pop q").trim(), "\"q\" => \"a\"");
    assert_eq!(ok("queue pop q --lifo --count 2 --raw"), "e\nd\n");
    is_exported(&here, r#"{"key":{"text":"q"},"type":"list","value":[{"text":"b"},{"text":"c"}]}"#);
    assert!(ok("queue dump q --hex").contains("|b|"));
    assert!(ok("queue remove q 1 --lifo").contains("1 elements removed, 1 left"));
    assert!(ok("queue remove q 7").contains("1 elements removed, 0 left"));
    assert!(exits("queue pop q", 1).contains("queue is empty"));
    exits("queue remove q 1", 1);
    ok("keyqueue push kq k1 v1");
    ok("kqueue push kq k2 v2");
    ok("kqueue push kq k3 v3");
    is_exported(&here, r#""value":[{"text":"k1"},{"text":"v1"},{"text":"k2"},{"text":"v2"},"#);
    assert_eq!(ok("kqueue pop kq").trim(), "\"k1\" => \"v1\"");
    assert_eq!(ok("kqueue dump kq").trim(), "\"k2\" => \"v2\"\n\"k3\" => \"v3\"");
    assert_eq!(ok("kqueue pop kq --lifo").trim(), "\"k3\" => \"v3\"");
    assert_eq!(ok("kqueue length kq").trim(), "1");
    ok("queue push kq odd");
    assert!(exits("kqueue pop kq", 1).contains("is no key-queue: its list has 3 elements"));
    assert!(exits("print kq", 1).contains("holds another type of value"));
    assert!(exits("queue push", 2).contains("DKC-E0101"));

    // Numbers: decimal, bounded by their width; a failed comparison says what is there.
    ok("cas init n 254 --width 8 --expires 1h");
    assert_eq!(ok("cas get n --width 8").trim(), "\"n\" => 254 (0xFE)");
    assert_eq!(ok("cas incr n --width 8").trim(), "255");
    assert!(exits("cas incr n --width 8", 1).contains("does not fit into 8 bits"));
    assert!(exits("cas set n 7 8", 1).contains("DKC-E0735"));
    assert_eq!(ok("cas set n 255 256").trim(), "256");
    assert!(exits("cas get n --width 8", 1).contains("is not a number of 8 bits"));
    assert!(exits("cas decr n 300", 1).contains("is below 0"));
    assert!(exits("cas init n 256 --width 8", 1).contains("at most 255"));
    assert!(exits("cas incr absent", 1).contains("value is not found"));
    assert!(!ok("attr n").contains("never"), "the time to live stays when a number is replaced");
    assert_eq!(ok("incr n 4").trim(), "260");
}

#[test]
fn attributes_history_and_encrypted_values_belong_to_a_key_and_go_with_it() {
    let here = started();
    let (ok, exits) = (
        |line: &str| here.ok(&format!("data {line} -n c0")),
        |line: &str, status: i32| here.exits(&format!("data {line} -n c0"), status),
    );
    for value in ["one", "two", "three", "four"] {
        ok(&format!("set {{a}}k {value} --history 2"));
    }
    let history = ok("history {a}k");
    let values: Vec<&str> = history.lines().map(|line| line.split("=> ").nth(1).unwrap()).collect();
    assert_eq!(values, ["\"three\"", "\"two\""]);
    ok("sub set {a}parent {a}k four");
    ok("sub add {a}k below");
    ok("rename {a}k {a}new --parent {a}parent");
    assert_eq!(ok("sub list {a}parent").trim(), "{a}new");
    let attributes = ok("attr {a}new");
    for want in ["type: string", "bytes: 4", "sub_keys: 1", "earlier_values: 2", "expires_at: never"] {
        assert!(attributes.contains(want), "{want} is not in {attributes}");
    }
    assert!(exits("history {a}k", 1).contains("no earlier values"));
    assert!(exits("attr {a}k", 1).contains("value is not found"));
    assert!(exits("rename {a}k {a}x", 1).contains("value is not found"));
    assert!(exits("rename {a}new {b}new", 1).contains("give both names the same {tag}"));
    // A list of sub-keys alone is somebody's, too.
    assert!(exits("rename {a}new {a}parent --keep-existing", 1).contains("exists"));
    ok("rm {a}new");
    assert_eq!(ok("keys").trim(), "{a}parent::subkeys", "a key's companions go with it");

    let passphrase = here.stage.state().join("passphrase");
    let wrong = here.stage.state().join("wrong");
    let (plain, copy) = (here.stage.state().join("plain"), here.stage.state().join("copy"));
    fs::write(&passphrase, "correct horse\n").unwrap();
    fs::write(&wrong, "battery staple\n").unwrap();
    fs::write(&plain, [0, 0xff, b'S', b'3']).unwrap();
    let with = |file: &std::path::Path| format!("--passphrase-file {}", file.display());
    ok(&format!("set sealed --file {} {}", plain.display(), with(&passphrase)));
    assert_eq!(ok("print sealed").trim(), "\"sealed\" => encrypted value of 60 bytes (--decrypt)");
    assert!(ok("attr sealed").contains("AES-256-GCM, PBKDF2-HMAC-SHA256"));
    let output = here.run(&format!("data print -n c0 sealed --raw {}", with(&passphrase)));
    fs::write(&copy, &output.stdout).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&plain).unwrap());
    assert!(exits(&format!("print sealed {}", with(&wrong)), 1).contains("DKC-E0734"));
    assert!(exits("print sealed --decrypt", 5).contains("no passphrase was given"));
    fs::write(&wrong, "\n").unwrap();
    assert!(exits(&format!("print sealed {}", with(&wrong)), 1).contains("must be text"));
    ok(&format!("queue push q {} secret", with(&passphrase)));
    assert!(!ok("export").contains("secret"));
    assert_eq!(ok(&format!("queue pop q {}", with(&passphrase))).trim(), "\"q\" => \"secret\"");
}

#[test]
fn the_data_prompt_knows_its_cluster_completes_keys_and_leaves_no_value_behind() {
    let here = started();
    here.ok("data set -n c0 user:1:mail ann@example.org");
    here.ok("data set -n c0 user:2 two");
    let mut terminal = here.prompt();
    terminal.line("use cluster c0").expect("(dkc:c0) ");
    terminal.line("data").expect("Tab completes keys").expect("(dkc data c0) ");
    terminal
        .type_text("print user:1\t\r")
        .expect("\"user:1:mail\" => \"ann@example.org\"")
        .expect("(dkc data c0) ");
    terminal.type_text("get user:\t\t").expect("user:2").type_text("2\r").expect("\"user:2\" => \"two\"");
    terminal.expect("(dkc data c0) ").line("que pu jobs S3CRET").expect("(dkc data c0) queue push jobs …");
    terminal.expect("\"jobs\": 1 elements").expect("(dkc data c0) ");
    terminal.line("que pop jobs").expect("\"jobs\" => \"S3CRET\"").expect("(dkc data c0) ");
    terminal.line("print absent").expect("value is not found").expect("(dkc data c0) ");
    terminal.line("status").expect("data has no operation 'status'").expect("(dkc data c0) ");
    terminal.line("quit").expect("(dkc:c0) ");
    terminal.line("data --namespace other").expect("(dkc data c0/other) ");
    terminal.line("count").expect("0").expect("(dkc data c0/other) ").type_text("\x04").expect("(dkc:c0) ");
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
    let audit = fs::read_to_string(here.stage.inventory().join("audit.jsonl")).unwrap_or_default();
    assert!(audit.contains("queue push jobs") && !audit.contains("S3CRET"), "{audit}");
    assert!(here.exits("data -n c0", 2).contains("which operation?"));
}
