//! Generates the completion scripts, the man pages and the reference of the book from the parser and the tables of the
//! programs. They are committed; a test fails if they are out of date, and `UPDATE=1 cargo test` rewrites them.
//!
//! The completion scripts are the registration of the dynamic engine: at each Tab the shell asks `dkc` itself. Static
//! scripts could not know the names in the inventory, and would be a second description of the grammar.

mod limits;
mod reference;

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::complete::{Shell, completion_script};
use crate::error::{CommandError, codes};
use crate::session::Session;

/// Write completion scripts, man pages and the book's reference into a directory
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

pub async fn run(session: &mut Session, args: Args, program: &clap::Command) -> Result<(), CommandError> {
    let files = files(program).map_err(|e| CommandError::bug(format!("cannot generate files: {e}")))?;
    for (path, text) in &files {
        write(&args.dir.join(path), text).map_err(|e| {
            CommandError::new(&codes::INVENTORY_UNWRITABLE, format!("cannot write {path}"))
                .cause(e.to_string())
        })?;
    }
    session.ui.say(&format!("wrote {} files below {}", files.len(), args.dir.display()));
    Ok(())
}

fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::File::create(path)?.write_all(text.as_bytes())
}

/// Every generated file: its path in the project, and its text.
pub fn files(program: &clap::Command) -> std::io::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for (shell, name) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        files.push((format!("completions/dkc.{name}"), completion_script(shell)?));
    }
    // Not built, so that global options appear on the page of dkc only.
    files.push(("man/dkc.1".into(), program_page(program)?));
    for verb in program.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        files.push((format!("man/dkc-{}.1", verb.get_name()), verb_page(verb)?));
    }
    files.extend(reference::pages(program));
    Ok(files)
}

/// The beginning of every page, up to its options.
fn first_sections(man: &clap_mangen::Man) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    Ok(page)
}

/// The page of `dkc` itself: its options and commands.
fn program_page(program: &clap::Command) -> std::io::Result<String> {
    let page = first_sections(&man(program.clone(), "dkc"))?;
    let mut text = String::from_utf8(page).map_err(std::io::Error::other)?;
    text.push_str(&preformatted("COMMANDS", &super::help::overview(program)));
    text.push_str(&ending(program));
    text.push_str(".SH FILES\n.TP\n\\fIinventory.yaml\\fR\nthe inventory, in the inventory directory\n");
    text.push_str(
        ".TP\n\\fIgenerations/\\fR, \\fIaudit.jsonl\\fR\nnext to it: earlier generations and the audit log\n",
    );
    Ok(text)
}

/// The page of a verb, with a section for each of its nouns.
fn verb_page(verb: &clap::Command) -> std::io::Result<String> {
    let full_name = format!("dkc {}", verb.get_name());
    let man = man(verb.clone().bin_name(full_name.clone()), &format!("dkc-{}", verb.get_name()));
    let mut page = first_sections(&man)?;
    for noun in verb.get_subcommands().filter(|noun| !noun.is_hide_set()) {
        page.extend(noun_section(noun, &full_name)?);
    }
    let mut text = String::from_utf8(page).map_err(std::io::Error::other)?;
    text.push_str(&ending(verb));
    text.push_str(".SH SEE ALSO\n\\fBdkc\\fR(1), for global options\n");
    Ok(text)
}

fn noun_section(noun: &clap::Command, verb_name: &str) -> std::io::Result<Vec<u8>> {
    let full_name = format!("{verb_name} {}", noun.get_name());
    let about = noun.get_about().map(|about| about.to_string()).unwrap_or_default();
    let mut section =
        format!(".SH \"{}\"\n{}\n.PP\n", full_name.to_uppercase(), escaped(&about)).into_bytes();
    let man = man(noun.clone().bin_name(full_name), "");
    let mut parts = Vec::new();
    man.render_synopsis_section(&mut parts)?;
    man.render_options_section(&mut parts)?;
    let parts = String::from_utf8(parts).map_err(std::io::Error::other)?;
    let without_headings = parts.lines().filter(|line| !line.starts_with(".SH") && !is_preamble(line));
    without_headings.for_each(|line| section.extend(format!("{line}\n").bytes()));
    Ok(section)
}

/// The two lines with which every rendered part begins; a page needs them once.
fn is_preamble(line: &str) -> bool {
    line.starts_with(".ie ") || line.starts_with(".el ")
}

fn man(command: clap::Command, name: &str) -> clap_mangen::Man {
    let command = command.disable_help_flag(true).disable_help_subcommand(true);
    let command = if name.is_empty() { command } else { command.display_name(name.to_owned()) };
    clap_mangen::Man::new(command).title(name.to_uppercase()).source("dkc").date("").manual("dkc")
}

/// The sections that the help page ends with: EXAMPLES and EXIT STATUS.
fn ending(command: &clap::Command) -> String {
    let text = command.get_after_help().map(|text| text.to_string()).unwrap_or_default();
    let sections = text.split("\n\n").filter_map(|section| section.split_once('\n'));
    sections.map(|(heading, body)| preformatted(heading, body)).collect()
}

fn preformatted(heading: &str, body: &str) -> String {
    let lines = body.lines().map(|line| format!("{}\n", escaped(line)));
    format!(".SH \"{heading}\"\n.nf\n{}.fi\n", lines.collect::<String>())
}

/// Escapes text for roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `UPDATE=1 cargo test` writes the files instead of comparing them.
    #[test]
    fn the_committed_completions_man_pages_and_reference_are_what_the_programs_say() {
        let files = files(&crate::cli::program()).expect("generated");
        let is_update = std::env::var_os("UPDATE").is_some();
        for (path, text) in &files {
            if is_update {
                write(Path::new(path), text).expect("written");
            }
            let committed = std::fs::read_to_string(path).unwrap_or_default();
            assert!(committed == *text, "{path} is out of date: UPDATE=1 cargo test -p dkc generate");
        }
        let expected: std::collections::BTreeSet<&String> = files.iter().map(|(path, _)| path).collect();
        for dir in ["man", "docs/src/reference", "docs/ja/src/reference"] {
            for entry in std::fs::read_dir(dir).expect("generated files") {
                let path = format!("{dir}/{}", entry.expect("an entry").file_name().to_string_lossy());
                assert!(expected.contains(&path), "{path} is generated no more");
            }
        }
    }
}
