//! The tutorial of the book, line by line on this machine: in a playground, with the applications' own clients.

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::console::{ALL_RUN, Page, Place, Step, wait_until_all_run};
use crate::support::terminal::Terminal;
use crate::transcripts::Stage;

/// As wide as a page of the book.
pub const BOOK_COLUMNS: u16 = 100;
/// What the tutorial calls the playground's directory.
const DIRECTORY: &str = "/tmp/dkc-play-1000/4f86";
/// The first of the ports that the tutorial names: three servers, the slave, and the next free one.
const FIRST_PORT: u16 = 18_020;

/// A person on one machine, who has `dkc` in the path, and a second terminal.
struct Here {
    stage: Stage,
    prompt: Option<Terminal>,
    /// What the page says, and what it is here.
    names: Vec<(String, String)>,
}

impl Here {
    fn path() -> String {
        let program = Path::new(env!("CARGO_BIN_EXE_dkc"));
        format!(
            "{}:{}",
            program.parent().expect("its directory").display(),
            std::env::var("PATH").unwrap_or_default()
        )
    }

    fn environment(&self) -> [(&'static str, String); 4] {
        [
            ("DKC_INVENTORY", self.stage.inventory().display().to_string()),
            ("XDG_STATE_HOME", self.stage.state().display().to_string()),
            ("NO_COLOR", "1".into()),
            ("LC_ALL", "C.UTF-8".into()),
        ]
    }

    /// Opens the playground and gets to know its ports.
    fn open(&mut self, line: &str) -> String {
        let words = line.split(' ').map(|word| if word == "dkc" { env!("CARGO_BIN_EXE_dkc") } else { word });
        let environment = self.environment();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut terminal = Terminal::start_wide(BOOK_COLUMNS, &words.collect::<Vec<_>>(), &environment);
        let seen = terminal.seen_until_asked(|| panic!("nothing is asked"));
        let directory = seen.split("runs in ").nth(1).and_then(|rest| rest.split_whitespace().next());
        let directory = directory.unwrap_or_else(|| panic!("no directory in {seen}")).to_owned();
        let free = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a port")
            .port();
        let ports = self.ports(&directory).into_iter().chain([free]);
        self.names =
            (FIRST_PORT..).zip(ports).map(|(page, here)| (page.to_string(), here.to_string())).collect();
        self.names.push((DIRECTORY.into(), directory));
        self.prompt = Some(terminal);
        seen
    }

    /// Of the servers and of the slave, which are ascending.
    fn ports(&self, directory: &str) -> Vec<u16> {
        let inventory = format!("{directory}/inventory");
        let asked = ["-c", "show cluster -o jsonl; show pair -o jsonl"];
        let shown =
            self.stage.program().args(["--inventory", &inventory]).args(asked).output().expect("it runs");
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        let numbers = shown.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
        numbers.filter(|port| *port >= FIRST_PORT).collect()
    }

    /// In the second terminal.
    fn shell(&self, line: &str) -> String {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        command.args(["-c", line]).env("PATH", Here::path()).envs(self.environment());
        command.stdout(writer.try_clone().expect("a copy")).stderr(writer);
        let mut child = command.spawn().expect("sh");
        drop(command);
        let mut seen = String::new();
        reader.read_to_string(&mut seen).expect("text");
        child.wait().expect("it ends");
        seen
    }
}

impl Place for Here {
    fn run(&mut self, step: &Step) -> String {
        // Ports here are not smaller than those of the page: from the greatest down, none is replaced twice.
        let line =
            self.names.iter().rev().fold(step.line.clone(), |line, (page, here)| line.replace(page, here));
        let mut answers = step.answers().into_iter();
        let mut answer = || answers.next().unwrap_or_else(|| "y".into());
        let seen = match (&mut self.prompt, step.prompt.as_str()) {
            (_, "$ ") if line.starts_with("dkc playground") => self.open(&line),
            (_, "$ ") => self.shell(&line),
            (Some(terminal), _) => terminal.run(&line, &mut answer),
            (None, prompt) => panic!("no prompt {prompt}"),
        };
        self.names.iter().fold(seen, |seen, (page, here)| seen.replace(here, page))
    }

    fn prompt(&mut self) -> String {
        self.prompt.as_mut().expect("a prompt").shell_prompt()
    }

    fn aside(&mut self, what: &str) {
        assert_eq!(what, ALL_RUN, "nothing else happens meanwhile");
        let directory =
            self.names.iter().find(|(page, _)| page == DIRECTORY).expect("a playground").1.clone();
        let inventory = format!("{directory}/inventory");
        wait_until_all_run(|| {
            let shown = self.stage.program().args(["--inventory", &inventory, "status", "--short"]).output();
            String::from_utf8_lossy(&shown.expect("it runs").stdout).into_owned()
        });
    }
}

impl Drop for Here {
    /// A playground that is left by an error is removed by its own program.
    fn drop(&mut self) {
        if let Some(terminal) = self.prompt.as_mut().filter(|_| std::thread::panicking()) {
            terminal.terminate();
            terminal.ends();
        }
    }
}

#[test]
fn every_line_of_the_tutorial_does_what_it_says() {
    let page = Page::read("docs/src/tutorial.md");
    assert!(page.steps().len() > 15, "only {} lines", page.steps().len());
    let mut here = Here { stage: Stage::empty(), prompt: None, names: Vec::new() };
    page.play(&mut here);
}

/// A page's text cut at its console blocks: prose, block, prose, block, prose …
fn cut_at_blocks(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut is_console = false;
    for line in text.lines() {
        if is_console && line == "```" {
            (is_console, _) = (false, pieces.push(String::new()));
        }
        pieces.last_mut().expect("a piece").push_str(&format!("{line}\n"));
        if line == "```console" {
            (is_console, _) = (true, pieces.push(String::new()));
        }
    }
    pieces
}

#[test]
fn the_japanese_tutorial_has_the_same_console_blocks() {
    const JAPANESE: &str = "docs/ja/src/tutorial.md";
    let english = std::fs::read_to_string("docs/src/tutorial.md").expect("text");
    let japanese = std::fs::read_to_string(JAPANESE).expect("text");
    let (english, mut pieces) = (cut_at_blocks(&english), cut_at_blocks(&japanese));
    assert_eq!(pieces.len(), english.len(), "as many blocks");
    let blocks = pieces.iter_mut().zip(&english).skip(1).step_by(2);
    blocks.for_each(|(piece, block)| piece.clone_from(block));
    let wanted = pieces.concat();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(JAPANESE, &wanted).expect("written");
    } else {
        assert!(wanted == japanese, "a console block of {JAPANESE} is not that of the English page");
    }
}
