//! The prompt, typed at as a person would: shortened words, clearing a line, pastes, leaving, being ended.

use crate::support::terminal::Terminal;
use crate::transcripts::Stage;

/// The prompt over an inventory, with its own state directory.
fn open(stage: &Stage) -> Terminal {
    let inventory = stage.inventory().display().to_string();
    let state = stage.state().display().to_string();
    let environment =
        [("DKC_INVENTORY", inventory.as_str()), ("XDG_STATE_HOME", state.as_str()), ("NO_COLOR", "1")];
    let mut terminal = Terminal::start(&[env!("CARGO_BIN_EXE_dkc")], &environment);
    terminal.expect("(dkc) ");
    terminal
}

#[test]
fn a_shortened_word_is_shown_in_full_and_run() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.line("reg ho 10.0.0.1").expect("(dkc) register host 10.0.0.1").prompt();
    terminal.line("list host").expect("10.0.0.1").prompt();
    terminal.line("st").expect("'st' is ambiguous: start, stop, status").prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn the_prompt_says_which_cluster_is_in_use_and_that_changes_wait_for_a_deploy() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.line("register cluster -n c0 10.0.0.1 10.0.0.2 10.0.0.3").expect("(dkc*) ");
    terminal.line("use cluster c0").expect("(dkc:c0*) ");
    terminal.line("use none").expect("(dkc*) ");
    terminal.type_text("\x04");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn ctrl_c_clears_the_line_and_an_open_quote_goes_on() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.type_text("register host 10.0.0.9\x03").prompt();
    terminal.line("register host \\").line("10.0.0.1").prompt();
    terminal.line("list host").expect("10.0.0.1\r\n").prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
    assert!(!terminal.text().contains("10.0.0.9\r\n10.0.0.1"));
}

#[test]
fn a_paste_of_several_lines_is_shown_and_asked_once() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    let paste = "\x1b[200~register host 10.0.0.1\nregister host 10.0.0.2\n\x1b[201~\r";
    terminal.type_text(paste).expect("2 commands:").expect("[y/N]").line("n").prompt();
    terminal
        .type_text(paste)
        .expect("2 commands:")
        .expect("[y/N]")
        .line("y")
        .expect("(dkc) register host 10.0.0.2")
        .prompt();
    terminal.line("list host").expect("10.0.0.1\r\n10.0.0.2\r\n").prompt();
    terminal.line("history").expect("2 (current)").prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn tab_completes_names_of_the_inventory() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.line("register host 10.77.0.11").prompt();
    terminal
        .type_text("show host 10\t")
        .expect("10.77.0.11")
        .type_text("\r")
        .expect("hostname: \"10.77.0.11\"")
        .prompt();
    terminal.line("quit");
    assert_eq!(terminal.ends(), 0);
}

#[test]
fn what_was_typed_is_remembered_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.line("list cluster").prompt().line("quit");
    terminal.ends();
    let history = stage.state().join("dkc/history");
    assert!(std::fs::read_to_string(&history).expect("a history").contains("list cluster"));
    assert_eq!(std::fs::metadata(&history).expect("a history").permissions().mode() & 0o777, 0o600);
    let mut again = open(&stage);
    again.type_text("\x1b[A\x1b[A").expect("list cluster");
}

#[test]
fn a_sigterm_leaves_the_prompt_and_one_inside_of_it_and_nothing_stays_behind() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.terminate();
    assert_eq!(terminal.ends(), 130);
    let mut terminal = open(&stage);
    terminal.line("playground --servers 1 --slaves 0").expect("quit removes it").expect("(dkc play:c0) ");
    let text = terminal.text();
    let place =
        text.split("runs in ").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("its directory");
    assert!(std::path::Path::new(place).exists() && !text.contains("plan op-"), "{text}");
    terminal.terminate();
    assert_eq!(terminal.ends(), 130);
    assert!(!std::path::Path::new(place).exists());
}

#[test]
fn top_fills_the_screen_and_gives_it_back() {
    let stage = Stage::empty();
    let mut terminal = open(&stage);
    terminal.line("playground --servers 1 --slaves 1").expect("quit removes it").expect("(dkc play:c0) ");
    // The second look has rates.
    terminal.line("top --interval 500ms").expect("\x1b[?1049h").expect_screen("0 writes/s  write p50");
    let ring = "0".repeat(140);
    for want in ["c0: running", "servers 1   tablets 3   slaves 1   events", "leads/holds", &ring, "q end"] {
        terminal.expect_screen(want);
    }
    terminal
        .type_text("\t")
        .expect_screen("operations/s  records")
        .type_text("\r")
        .expect_screen("c0 tablet 0");
    terminal.expect_screen("slots             0 to 5460 (5461)");
    terminal.type_text("\x1b").expect_screen("leader  voters").type_text("\t").expect_screen("servers  what");
    terminal.type_text("\r").expect_screen("c0 slave 0").expect_screen("listens on");
    terminal
        .type_text("\x1b")
        .expect_screen("servers  what")
        .type_text("?")
        .expect_screen("any key ends this help");
    // This one only ends the help.
    terminal.type_text("q").expect_screen("q end").type_text("q").expect("\x1b[?1049l").prompt();
    assert!(!terminal.screen().contains("clients  servers"), "{}", terminal.screen());
    // Ctrl-C ends it as well, and the prompt reads keys as before.
    terminal
        .line("top")
        .expect("\x1b[?1049h")
        .expect_screen("q end")
        .type_text("\x03")
        .expect("\x1b[?1049l")
        .prompt();
    terminal.line("metrics --id 0").expect("dkc_slave_connections 0").prompt();
    terminal.line("quit").expect("removing it").prompt().line("quit");
    assert_eq!(terminal.ends(), 0);
}
