//! The procedures of the book, line by line on real hosts. One lab for all pages, in the order of the book: each page begins
//! where the one before ended.

use std::time::Duration;

use crate::console::{ALL_RUN, Page, Place, Step, wait_until_all_run};
use crate::support::lab::Lab;
use crate::support::terminal::Terminal;
use crate::support::wait_for;
use crate::tutorial::BOOK_COLUMNS;
use crate::upgrade::TOLD_RELEASE;

/// The pages with console blocks, in their order.
pub const PLAYED: [&str; 10] = [
    "docs/src/operations/first-cluster.md",
    "docs/src/operations/members.md",
    "docs/src/operations/configuration.md",
    "docs/src/operations/upgrade.md",
    "docs/src/operations/certificates.md",
    "docs/src/operations/backup.md",
    "docs/src/operations/slaves.md",
    "docs/src/operations/lost.md",
    "docs/src/operations/monitoring.md",
    "docs/src/operations/scripts.md",
];

/// An operator on the admin's machine, with a prompt and a shell, who may log in to hosts as `dkc`.
struct Desk {
    lab: Lab,
    prompt: Option<Terminal>,
}

impl Desk {
    fn open(&mut self) -> String {
        let mut terminal = self.lab.terminal_wide(BOOK_COLUMNS, &[]);
        let seen = terminal.seen_until_asked(|| panic!("nothing is asked"));
        self.prompt = Some(terminal);
        seen
    }

    /// In a shell on the admin's machine.
    fn shell(&self, line: &str) -> String {
        let dkc = format!("dkc() {{ {} \"$@\"; }}", self.lab.dkc_line());
        self.lab.sh("admin", &format!("exec 2>&1; cd /root; {dkc}; {line}")).stdout
    }

    /// A host dies, and the others have noticed.
    fn lose(&self, host: &str) {
        self.lab.run(&["kill", host]).ok();
        wait_for("the ring to have the server of the lost host DOWN", Duration::from_secs(60), || {
            let said = self.lab.dkc("status cluster -n c0 -o json").stdout;
            said.contains("[DOWN]").then_some(())
        });
    }

    /// The program of the hosts, but for the release that it says it is.
    fn make_release(&self, file: &str) {
        const NEXT: &str = "0.2.0";
        let (from, to) = (TOLD_RELEASE, TOLD_RELEASE.replace(env!("CARGO_PKG_VERSION"), NEXT));
        let get =
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new dkc@h1 cat /var/lib/dkc/c0-0/dkcd";
        let line = format!("{get} | LC_ALL=C sed 's/{from}/{to}/g' > {file} && chmod 755 {file}");
        self.lab.sh("admin", &line).ok();
    }

    /// In a shell on a host, as the user who logs in there.
    fn on(&self, host: &str, line: &str) -> String {
        let line = format!("exec 2>&1; cd /home/dkc; {line}");
        let words = ["service", "dkc", host, "env", "HOME=/home/dkc", "sh", "-c", &line];
        self.lab.run(&words).stdout
    }
}

/// `10.77.0.14$ ` is h4.
fn host_of(prompt: &str) -> String {
    let last = prompt.trim_end_matches("$ ").rsplit('.').next().and_then(|byte| byte.parse::<u8>().ok());
    format!("h{}", last.unwrap_or_else(|| panic!("no host has the prompt {prompt}")) - 10)
}

impl Place for Desk {
    fn run(&mut self, step: &Step) -> String {
        let mut answers = step.answers().into_iter();
        let mut answer = || answers.next().unwrap_or_else(|| "y".into());
        match (&mut self.prompt, step.prompt.as_str()) {
            (_, "$ ") if step.line == "dkc" => self.open(),
            (_, "$ ") => self.shell(&step.line),
            (Some(terminal), prompt) if prompt.starts_with("(dkc") => terminal.run(&step.line, &mut answer),
            (None, prompt) if prompt.starts_with("(dkc") => panic!("no prompt {prompt}"),
            (_, prompt) => self.on(&host_of(prompt), &step.line),
        }
    }

    fn prompt(&mut self) -> String {
        self.prompt.as_mut().expect("a prompt").shell_prompt()
    }

    fn aside(&mut self, what: &str) {
        if what == ALL_RUN {
            return wait_until_all_run(|| self.lab.dkc("status --short").stdout);
        }
        match what.split(' ').collect::<Vec<_>>().as_slice() {
            ["lose", host] => self.lose(host),
            ["the", "next", "release", "is", "in", file] => self.make_release(file),
            ["copy", file, host] => {
                let address = format!("dkc@{host}");
                let copy = format!(
                    "scp -q -o BatchMode=yes -o StrictHostKeyChecking=accept-new /root/{file} {address}:"
                );
                self.lab.sh("admin", &copy).ok();
            }
            _ => panic!("unknown: {what}"),
        }
    }
}

#[test]
fn every_procedure_does_what_it_says() {
    let mut desk = Desk { lab: Lab::up(6, &[]), prompt: None };
    for path in PLAYED {
        let page = Page::read(path);
        assert!(!page.steps().is_empty(), "{path}");
        page.play(&mut desk);
    }
}
