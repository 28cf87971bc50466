//! Transcripts: a file of `(dkc) command` lines, each followed by what a person would see. Each command runs through
//! the real program, all of a file against one inventory that begins empty. `UPDATE=1 cargo test` writes what was
//! seen; accept it by reading it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PROMPT: &str = "(dkc) ";

/// Where the commands of a transcript run.
pub struct Stage {
    /// Removed when the stage is.
    dir: tempfile::TempDir,
    inventory: PathBuf,
    /// Names in the transcript for what is only known when it runs, such as a host's address.
    pub names: Vec<(String, String)>,
}

impl Stage {
    pub fn empty() -> Stage {
        let dir = tempfile::tempdir().expect("a directory for the inventory");
        let inventory = dir.path().join("inventory");
        Stage { dir, inventory, names: Vec::new() }
    }

    pub fn inventory(&self) -> &Path {
        &self.inventory
    }

    /// Where the program keeps its state, such as the history of the prompt.
    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// The program, set up as for a person without terminal.
    pub fn program(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dkc"));
        command
            .env("DKC_INVENTORY", &self.inventory)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("SSH_CLIENT")
            .stdin(Stdio::null());
        command
    }

    /// What a person sees of one command, standard output and error in the order they were written.
    fn run(&self, line: &str) -> String {
        let line = self.names.iter().fold(line.to_owned(), |line, (name, value)| line.replace(name, value));
        let seen = tempfile::NamedTempFile::new().expect("a file for the output");
        let both = |what: &tempfile::NamedTempFile| what.reopen().expect("the same file");
        let append = || std::fs::OpenOptions::new().append(true).open(seen.path()).expect("the same file");
        let mut command = self.program();
        if line.contains(';') {
            command.arg("-c").arg(&line);
        } else {
            command.args(shlex::split(&line).unwrap_or_else(|| panic!("an open quote: {line}")));
        }
        let status = command.stdout(append()).stderr(append()).status().expect("the program runs");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut both(&seen), &mut text).expect("text");
        if !status.success() {
            text.push_str(&format!("[exit {}]\n", status.code().unwrap_or(-1)));
        }
        self.plain(&text)
    }

    /// What differs from run to run has a name instead.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(&self.inventory.display().to_string(), "<inventory>");
        let text = self.names.iter().fold(text, |text, (name, value)| text.replace(value, name));
        let mut lines = text.lines().map(plain_line).collect::<Vec<_>>().join("\n");
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines
    }
}

/// A line with its times and UUIDs named, and without the blanks of columns that depend on them.
fn plain_line(line: &str) -> String {
    let name = |word: &str| {
        let is_time = word.len() == 20 && word.ends_with('Z') && word.as_bytes()[10] == b'T';
        let is_uuid = word.len() == 36 && word.bytes().filter(|b| *b == b'-').count() == 4;
        if is_time {
            "<time>".to_owned()
        } else if is_uuid {
            "<uuid>".to_owned()
        } else {
            word.to_owned()
        }
    };
    line.split(' ').map(name).collect::<Vec<_>>().join(" ")
}

/// Plays a transcript and compares, or with `UPDATE` set writes what was seen.
pub fn play(path: &Path, stage: &Stage) {
    let wanted = std::fs::read_to_string(path).expect("a transcript");
    let mut seen = String::new();
    for line in wanted.lines() {
        if let Some(command) = line.strip_prefix(PROMPT) {
            seen.push_str(&format!("{line}\n{}", stage.run(command)));
        } else if line.starts_with('#') || (line.is_empty() && !seen.ends_with("\n\n")) {
            seen.push_str(&format!("{line}\n"));
        }
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &seen).expect("written");
        return;
    }
    let place = wanted.lines().zip(seen.lines()).position(|(a, b)| a != b).map_or(0, |at| at + 1);
    assert!(seen == wanted, "{}:{place}: what was seen differs:\n{seen}", path.display());
}

#[test]
fn what_a_person_types_gives_what_the_transcripts_say() {
    let mut paths: Vec<PathBuf> = std::fs::read_dir("tests/transcripts")
        .expect("transcripts")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "dkc"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        play(&path, &Stage::empty());
    }
}

/// A verb with a plan of its own has a file of its own at every station.
#[test]
fn a_verb_with_a_plan_has_its_command_its_transcript_and_its_manual_page() {
    // Parts that plans share, and not verbs.
    const SHARED: &[&str] = &[
        "action",
        "authority",
        "change_members",
        "diff",
        "gate",
        "header",
        "mod",
        "refusal",
        "scope",
        "splitting",
        "standing",
        "steps",
        "text",
        "timeouts",
    ];
    let mut verbs: Vec<String> = std::fs::read_dir("inventory/src/plan")
        .expect("the folder of plans")
        .filter_map(|entry| entry.expect("an entry").path().file_stem()?.to_str().map(str::to_owned))
        .filter(|stem| !SHARED.contains(&stem.as_str()))
        .collect();
    verbs.sort();
    assert!(verbs.len() > 5, "{verbs:?}");
    for verb in verbs {
        let command = [format!("src/commands/{verb}.rs"), format!("src/commands/{verb}/mod.rs")];
        assert!(command.iter().any(|path| Path::new(path).exists()), "{verb} has no command");
        for path in [format!("tests/transcripts/{verb}.dkc"), format!("man/dkc-{verb}.1")] {
            assert!(Path::new(&path).exists(), "{path} is missing");
        }
    }
}
