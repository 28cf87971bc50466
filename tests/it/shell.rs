//! The shell as a whole program: exit statuses, batches, standard input, what goes to which stream.

use std::io::Write;
use std::process::{Output, Stdio};

use crate::transcripts::Stage;

/// Runs the program with arguments and standard input.
fn run(stage: &Stage, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = stage
        .program()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // The program may end before it has read everything; that is its right.
    let _ = child.stdin.take().expect("piped").write_all(input);
    child.wait_with_output().expect("the program ends")
}

fn registered() -> Stage {
    let stage = Stage::empty();
    let script =
        b"register cluster -n c0 10.0.0.1 10.0.0.2 10.0.0.3\nregister slave --cluster c0 --host 10.0.0.1\n";
    assert!(run(&stage, &[], script).status.success());
    stage
}

fn check_exit(stage: &Stage, line: &str, want: i32) {
    let words = shlex::split(line).expect("words");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let output = run(stage, &words, b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(want), "{line}: {said}");
    if want != 0 {
        assert!(output.stdout.is_empty(), "{line}: an error belongs to standard error");
        assert!(said.starts_with("error[DKC-E") || want == 10, "{line}: {said}");
    }
}

#[test]
fn each_outcome_has_its_exit_status() {
    let stage = registered();
    for (line, want) in [
        ("show host", 0),
        ("--version", 0),
        ("help", 0),
        ("start --help", 0),
        ("register host 10.0.0.9", 0),
        ("register host 10.0.0.9", 0),
        ("sho host", 2),
        ("show", 2),
        ("register host", 2),
        ("register host 'no such!'", 2),
        ("register cluster -n c1 10.0.0.1:99999", 2),
        ("register pair --id 0 --protocol smtp", 2),
        ("data set -n c0", 2),
        ("-f /nonexistent show host", 2),
        ("-f /nonexistent", 1),
        ("show host 10.9.9.9", 3),
        ("show cluster c9", 3),
        ("use cluster c9", 3),
        ("unregister slave --id 7", 3),
        ("undo --to 999", 3),
        ("explain E9999", 3),
        ("register host --user other 10.0.0.9", 4),
        ("unregister host 10.0.0.1", 4),
        ("unregister cluster -n c0", 4),
        ("register pair --id 0 --listen 0.0.0.0:11211", 4),
        ("undo --broken", 4),
        ("modify host --user a 10.0.0.9 --dry-run --exit-code", 10),
        ("modify host --user dkc 10.0.0.9 --dry-run --exit-code", 0),
    ] {
        check_exit(&stage, line, want);
    }
}

/// A refusal for programs: one line of JSON on standard error, in whichever way the format was asked for.
#[test]
fn with_json_every_refusal_is_an_object() {
    let stage = registered();
    let check = |line: &str, input: &str, id: &str, exit: i32| {
        let words = shlex::split(line).expect("words");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let output = run(&stage, &words, input.as_bytes());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let object =
            said.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{line}: {said}"));
        for member in [&format!("\"id\":\"{id}\""), "\"cause\":[", "\"now\":", "\"try\":", "\"what\":\""] {
            assert!(object.contains(member), "{line}: {member} is not in {object}");
        }
        assert_eq!(output.status.code(), Some(exit), "{line}: {said}");
        assert!(!said.contains("error["), "{line}: {said}");
    };
    check("show cluster c9 -o json", "", "DKC-E0302", 3);
    check("-o json unregister cluster -n c0", "", "DKC-E0402", 4);
    check("sho host --output=json", "", "DKC-E0102", 2);
    check("register host -ojsonl", "", "DKC-E0101", 2);
    check("-f - -o json", "show cluster c9\n", "DKC-E0302", 3);
    check("", "set output json\nshow cluster c9\n", "DKC-E0302", 3);
    check("-o json -f /nonexistent", "", "DKC-E0106", 1);
    let text = |words: &[&str]| String::from_utf8_lossy(&run(&stage, words, b"").stdout).into_owned();
    assert_eq!(text(&["lock", "show", "-o", "json"]), "[]\n");
    let settings = text(&["set", "-o", "jsonl", "--timeout", "7s"]);
    assert!(settings.starts_with("{\"setting\":\"output\",\"value\":\"jsonl\"}\n"), "{settings}");
}

/// With one cluster registered that one is meant, but by what loses data.
#[test]
fn the_only_cluster_needs_no_name_unless_data_is_lost() {
    let stage = registered();
    check_exit(&stage, "modify config heartbeat_ms=60", 0);
    check_exit(&stage, "destroy cluster", 2);
    check_exit(&stage, "shrink --no 1", 2);
    check_exit(&stage, "unregister cluster", 2);
    check_exit(&stage, "register cluster -n c1 10.0.0.4", 0);
    let output = run(&stage, &["modify", "config", "heartbeat_ms=70"], b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("registered are c0, c1") && output.status.code() == Some(2), "{said}");
}

#[test]
fn a_batch_stops_at_the_first_failure_and_names_its_line() {
    let stage = Stage::empty();
    let output = run(&stage, &[], b"register host a\n\n# what follows fails\nshow host b\nregister host c\n");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("(standard input):4:"), "{said}");
    let hosts = run(&stage, &["list", "host"], b"");
    assert_eq!(String::from_utf8_lossy(&hosts.stdout), "a\n");
}

#[test]
fn the_same_words_work_one_shot_from_a_file_and_from_standard_input() {
    let stage = registered();
    let file = stage.inventory().join("words");
    std::fs::write(&file, "list host\n").expect("written");
    let file = file.display().to_string();
    let wanted = run(&stage, &["list", "host"], b"").stdout;
    assert!(!wanted.is_empty());
    for (arguments, input) in [
        (vec!["-f", file.as_str()], "".as_bytes()),
        (vec!["-f", "-"], b"list host"),
        (vec!["-c", "list host"], b""),
        (vec![], b"list host\nquit\nlist host\n"),
    ] {
        assert_eq!(run(&stage, &arguments, input).stdout, wanted, "{arguments:?}");
    }
}

#[test]
fn lines_that_are_no_lines_are_refused_and_nothing_of_them_runs() {
    let stage = Stage::empty();
    let long = [b"register host a".to_vec(), vec![b'a'; 2 * 1024 * 1024]].concat();
    let table: [(&[u8], &str); 3] = [
        (b"register host \xff\xfe\n", "not valid UTF-8"),
        (&long, "longer than 1048576 bytes"),
        (b"register host 'a\n", "inside a quote"),
    ];
    for (input, want) in table {
        let output = run(&stage, &[], input);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(want), "{said}");
    }
    assert!(run(&stage, &["list", "host"], b"").stdout.is_empty());
}

#[test]
fn a_broken_inventory_is_said_with_its_line_and_only_replaced_when_asked_to() {
    let stage = registered();
    let file = stage.inventory().join("inventory.yaml");
    let text = std::fs::read_to_string(&file).expect("an inventory");
    for broken in
        [text.replacen("replicas:", "replicaz:", 1), text[..text.len() / 2].to_owned(), String::new()]
    {
        std::fs::write(&file, &broken).expect("written");
        let output = run(&stage, &["show", "host"], b"");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains("inventory.yaml:") && said.contains("undo --broken"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).expect("untouched"), broken);
        check_exit(&stage, "register host 10.0.0.77", 3);
        check_exit(&stage, "undo --broken", 0);
        check_exit(&stage, "show host 10.0.0.1", 0);
    }
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let stage = registered();
    let mut child = stage
        .program()
        .args(["show", "config", "-c", "c0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn json_is_json_and_nothing_but_data_is_on_standard_output() {
    let stage = registered();
    for verb in
        ["show host", "show cluster", "show slave", "show config -c c0", "list host", "history", "audit list"]
    {
        let words: Vec<&str> = verb.split(' ').chain(["-o", "json"]).collect();
        let output = run(&stage, &words, b"");
        let parsed: Result<serde_json::Value, _> = serde_json::from_slice(&output.stdout);
        assert!(parsed.is_ok_and(|value| value.is_array()), "{verb}");
    }
}

#[test]
fn the_record_has_changes_and_refusals_and_shows_when_it_was_touched() {
    let stage = registered();
    check_exit(&stage, "unregister host 10.0.0.1", 4);
    check_exit(&stage, "audit verify", 0);
    let listed = run(&stage, &["audit", "list", "-o", "jsonl"], b"");
    let last = String::from_utf8_lossy(&listed.stdout).lines().last().expect("entries").to_owned();
    assert!(last.contains("\"result\":\"DKC-E0402\"") && last.contains("unregister host 10.0.0.1"), "{last}");
    let file = stage.inventory().join("audit.jsonl");
    let text = std::fs::read_to_string(&file).expect("the record");
    std::fs::write(&file, text.replace("DKC-E0402", "done")).expect("written");
    check_exit(&stage, "register host 10.0.0.8", 0);
    check_exit(&stage, "audit verify", 1);
}

/// The shells ask the program itself, which knows the names in the inventory.
#[test]
fn completion_in_a_shell_knows_the_inventory() {
    let stage = registered();
    let output = stage
        .program()
        .env("DKC_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "3")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9")
        .env("_CLAP_IFS", "\n")
        .args(["--", "dkc", "show", "host", "10.0"])
        .output()
        .expect("the program runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "10.0.0.1\n10.0.0.2\n10.0.0.3");
}

#[test]
fn explain_answers_in_the_language_of_the_locale_and_with_a_word_in_either() {
    let stage = Stage::empty();
    let explained = |locale: &str, line: &str| {
        let output = stage.program().env("LC_ALL", locale).args(line.split(' ')).output().expect("it runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text")
    };
    let english = explained("C.UTF-8", "explain DKC-E0305");
    let japanese = explained("ja_JP.UTF-8", "explain DKC-E0305");
    assert!(english.contains("not registered") && english.is_ascii(), "{english}");
    assert!(japanese.contains("登録されていません") && !japanese.contains("not registered"), "{japanese}");
    assert_eq!(explained("C.UTF-8", "explain DKC-E0305 --language ja"), japanese);
    assert_eq!(explained("ja_JP.UTF-8", "explain DKC-E0305 --language en"), english);
    // All ids are listed, each in one line.
    let listed = explained("ja_JP.UTF-8", "explain");
    assert!(listed.lines().count() > 50 && listed.contains("登録されていません"), "{listed}");
}
