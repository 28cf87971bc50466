//! The line of the first release, typed by a person: from registering hosts to a replicated, fsynced key and back.

use std::time::Duration;

use crate::support::cluster::{self, founded};
use crate::support::lab::Lab;
use crate::support::terminal::Terminal;
use crate::support::wait_for;

/// The session of the documentation, at a terminal, with one host under systemd and three without.
#[test]
fn a_person_types_the_whole_session() {
    let lab = Lab::up(4, &[1]);
    let mut shell = lab.terminal(&[]);
    let ask = |shell: &mut Terminal, line: &str, wants: &[&str]| {
        shell.prompt().line(line);
        for want in wants {
            match *want {
                "y" | "n" => shell.line(want),
                want => shell.expect(want),
            };
        }
    };
    let seen = |shell: &mut Terminal, begin: &str| {
        let screen = shell.screen();
        assert!(
            screen.lines().any(|line| line.starts_with(begin)),
            "no line {begin}… on the screen:\n{screen}"
        );
    };
    ask(&mut shell, "register host --user dkc --accept-new 10.77.0.11 10.77.0.12 10.77.0.13 10.77.0.14", &[]);
    ask(&mut shell, "show host 10.77.0.11", &["hostname: \"10.77.0.11\"", "user: \"dkc\""]);
    ask(&mut shell, "register cluster --name c0 10.77.0.11:8020 10.77.0.12:8020 10.77.0.13:8020", &[]);
    ask(&mut shell, "show cluster", &["name: c0", "No.: 0", "No.: 2"]);
    ask(&mut shell, "register slave --cluster c0 --host 10.77.0.14", &[]);
    ask(&mut shell, "register pair --id 0 --listen 127.0.0.1:11211", &[]);
    ask(&mut shell, "check", &["0 fail"]);
    ask(&mut shell, "deploy", &["[y/N]", "y"]);
    // The next prompt is there, so the progress has ended: how every host ended stays to be read.
    ask(&mut shell, "set", &["timeout: 5s"]);
    for host in 11..=14 {
        seen(&mut shell, &format!("10.77.0.{host}: ok"));
    }
    // What others wrote moves no cursor: output of programs, and a file that was changed on its host.
    let escape = "\\u{1b}[2J";
    ask(&mut shell, r"exec 10.77.0.11 -- printf 'a\033[2Jb\n'", &[&format!("10.77.0.11: a{escape}b")]);
    let failing = r#"exec 10.77.0.11 -- sh -c 'printf "a\033[2Jerr\n" >&2'"#;
    ask(&mut shell, failing, &[&format!("10.77.0.11: a{escape}err")]);
    let file = "$(ls /var/lib/dkc/c0-0/node.yaml /home/dkc/.local/share/dkc/c0-0/node.yaml 2>/dev/null)";
    lab.sh("h1", &format!(r"printf '# \033[2J\n' >>{file}")).ok();
    ask(&mut shell, "deploy", &[&format!("-# {escape}"), "[y/N]", "n", "not confirmed"]);
    ask(&mut shell, "deploy", &["[y/N]", "y"]);
    ask(&mut shell, "start cluster --name c0", &["[y/N]", "y"]);
    ask(&mut shell, "status cluster --short", &["c0: running"]);
    ask(&mut shell, "start slave --id 0", &["[y/N]", "y"]);
    ask(&mut shell, "set", &["timeout: 5s"]);
    seen(&mut shell, "10.77.0.14: ok");
    ask(&mut shell, "data set -n c0 test-key test-value", &[]);
    ask(&mut shell, "data print -n c0 test-key", &["\"test-key\" => \"test-value\""]);
    ask(&mut shell, "stop cluster --name c0", &["slave 0 still uses c0"]);
    ask(&mut shell, "stop slave --id 0", &["[y/N]", "y"]);
    ask(&mut shell, "stop cluster --name c0", &["[y/N]", "y"]);
    ask(&mut shell, "status cluster --short", &["c0: stopped"]);
    ask(&mut shell, "quit", &[]);
    assert_eq!(shell.ends(), 0);
}

#[test]
fn an_application_beside_a_slave_needs_to_know_nothing_of_the_servers() {
    let lab = founded(4, &[]);
    lab.sh("h4", "printf hello > /tmp/greeting && memccp --servers=127.0.0.1:11211 /tmp/greeting").ok();
    lab.sh("h4", "memccat --servers=127.0.0.1:11211 greeting").ok().prints("hello");
    lab.dkc("data print -n c0 greeting").ok().prints("\"greeting\" => \"hello\"");
    let talk = "set a 5 0 3\r\nabc\r\ngets a\r\nincr a 1\r\nset n 0 0 2\r\n41\r\nincr n 1\r\ndelete a\r\nget a\r\nquit\r\n";
    let said = cluster::talk(&lab, "h4", 11211, talk);
    let version = said
        .lines()
        .find(|l| l.starts_with("VALUE a"))
        .and_then(|l| l.split(' ').nth(4))
        .unwrap_or("?")
        .to_owned();
    let want = format!(
        "STORED\r\nVALUE a 5 3 {version}\r\nabc\r\nEND\r\n\
         CLIENT_ERROR cannot increment or decrement non-numeric value\r\nSTORED\r\n42\r\nDELETED\r\nEND\r\n"
    );
    assert_eq!(said, want);
}

/// At a terminal; h3 is frozen, so that it accepts a connection and says nothing.
fn replies_are_shown_while_another_host_is_waited_for(lab: &Lab) {
    let mut shell = lab.terminal(&[]);
    shell.prompt();
    lab.run(&["freeze", "h3"]).ok();
    shell.line("status cluster -n c0 --timeout 20s");
    wait_for("h1's reply beside h3's absent one", Duration::from_secs(30), || {
        let screen = shell.screen();
        let shows = |host: &str, words: &str| screen.contains(&format!("{host:20} {words}"));
        (shows("10.77.0.11", "c0-0 running") && shows("10.77.0.13", "…")).then_some(())
    });
    lab.run(&["thaw", "h3"]).ok();
    shell.prompt().line("quit");
    shell.ends();
}

#[test]
fn a_restarted_cluster_keeps_its_data() {
    let lab = founded(4, &[2]);
    lab.dkc("data set -n c0 kept yes").ok();
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    lab.dkc("status cluster --short").says("c0: stopped");
    lab.dkc("data print -n c0 kept")
        .exits(7)
        .says("c0 is not running")
        .says("start cluster -n c0")
        .never_says("Broken pipe");
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("start cluster -n c0 --yes").ok().says("nothing to do");
    replies_are_shown_while_another_host_is_waited_for(&lab);
    // A host without power is not waited for once the others have its server DOWN.
    lab.run(&["kill", "h3"]).ok();
    wait_for("status to go by what the ring says of h3", Duration::from_secs(60), || {
        let said = lab.dkc("status cluster -n c0 -o json").stdout;
        (said.contains("the ring has it DOWN") && said.contains("\"degraded\"")).then_some(())
    });
}

#[test]
fn the_same_lines_work_one_shot_from_a_file_and_from_standard_input() {
    let lab = founded(4, &[]);
    lab.dkc("status css --short").ok().prints("c0: running");
    lab.dkc("status memcache --short").ok().prints("slave 0: running");
    lab.dkc("status cluster -o json").ok().says("\"running\"");
    lab.sh("admin", "printf 'data set -n c0 k v\\n# a comment\\ndata print -n c0 k\\n' > /root/lines.dkc")
        .ok();
    lab.dkc("-f /root/lines.dkc").ok().says("\"k\" => \"v\"");
    let piped = format!("printf 'data print -n c0 k\\nstatus cluster --short\\n' | {} -f -", lab.dkc_line());
    lab.sh("admin", &piped).ok().says("\"k\" => \"v\"").says("c0: running");
    lab.sh("admin", "printf 'show host\\nnonsense\\nshow cluster\\n' > /root/bad.dkc").ok();
    lab.dkc("-f /root/bad.dkc").exits(2).says("bad.dkc:2").never_says("name: c0");
}

#[test]
fn a_destroyed_cluster_leaves_nothing_and_is_made_anew_empty() {
    let lab = founded(4, &[2]);
    lab.dkc("data set -n c0 k v").ok();
    lab.dkc("destroy cluster -n c0 --yes").exits(4).says("destroy slave --id 0");
    lab.dkc("destroy slave --id 0 --yes").ok();
    lab.dkc("destroy cluster -n c0 --yes").exits(5).says("to confirm: c0@g");
    lab.dkc("destroy cluster -n c0 --confirm c0@g1").exits(5).says("nothing changed");
    let plan = lab.dkc("destroy cluster -n c0 --dry-run").ok().stdout.clone();
    let word =
        plan.lines().find_map(|line| line.trim().strip_prefix("to confirm: ")).expect("the word").to_owned();
    lab.dkc(&format!("destroy cluster -n c0 --confirm {word} --with-programs")).ok();
    for host in ["h1", "h2", "h3"] {
        lab.sh(host, "ls -A /var/lib/dkc; ls /etc/systemd/system")
            .never_says("c0-")
            .never_says("bin")
            .never_says("dkcd@");
    }
    lab.dkc("destroy cluster -n c0 --yes").ok().says("nothing to do");
    lab.dkc("deploy --yes").ok();
    lab.dkc("start cluster -n c0 --yes").ok();
    lab.dkc("data print -n c0 k").exits(1).says("value is not found");
}

#[test]
fn under_systemd_a_killed_daemon_comes_back_by_itself_and_stop_and_start_go_through_its_unit() {
    const UNIT: &str = "dkcd@c0-0.service";
    let lab = founded(4, &[1]);
    let shown = |what: &str| {
        // The login user's own service manager: nothing on the host runs as root for it.
        let words = [
            "env",
            "XDG_RUNTIME_DIR=/run/user/2000",
            "systemctl",
            "--user",
            "show",
            "--value",
            "-p",
            what,
            UNIT,
        ];
        lab.run(&[&["as", "dkc", "h1"], &words[..]].concat()).ok().stdout.trim().to_owned()
    };
    lab.dkc("data set -n c0 kept yes").ok();
    let killed = shown("MainPID");
    assert_ne!(killed, "0", "the daemon on h1 is not systemd's");
    lab.on("h1", &["kill", "-9", &killed]).ok();
    wait_for("systemd to start the daemon again", Duration::from_secs(60), || {
        (shown("ActiveState") == "active" && !["0", &killed].contains(&shown("MainPID").as_str()))
            .then_some(())
    });
    wait_for("c0: running", Duration::from_secs(30), || {
        (lab.dkc("status cluster --short").stdout.trim() == "c0: running").then_some(())
    });
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
    lab.dkc("stop slave --id 0 --yes").ok();
    lab.dkc("stop cluster -n c0 --yes").ok();
    assert_eq!(shown("ActiveState"), "inactive");
    lab.dkc("start cluster -n c0 --yes").ok();
    assert_eq!(shown("ActiveState"), "active");
    lab.dkc("data print -n c0 kept").ok().prints("\"kept\" => \"yes\"");
}
