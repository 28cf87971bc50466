//! The book in `docs/`: its links, its includes and its pages. *Invariant:* no page is missing from the summary of its book,
//! and nothing that a page points to is missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::console::prompt_of;
use crate::procedures::PLAYED;

/// The sources of each language.
const BOOKS: [&str; 2] = ["docs/src", "docs/ja/src"];

/// Every page of a book, the summary included.
fn pages(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory of pages") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(pages(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}

/// A page's lines outside of code blocks.
fn prose(text: &str) -> Vec<&str> {
    let mut is_code = false;
    let mut kept = Vec::new();
    for line in text.lines() {
        match line.starts_with("```") {
            true => is_code = !is_code,
            false if !is_code => kept.push(line),
            false => {}
        }
    }
    kept
}

/// Where the links of a page go, as they are written.
fn links(text: &str) -> Vec<String> {
    let ends = |rest: &str| rest.split_once(')').map(|(target, _)| target.to_owned());
    prose(text)
        .iter()
        .flat_map(|line| line.split("](").skip(1).filter_map(ends).collect::<Vec<_>>())
        .collect()
}

fn includes(text: &str) -> Vec<String> {
    text.split("{{#include ").skip(1).filter_map(|rest| Some(rest.split_once("}}")?.0.to_owned())).collect()
}

/// The name that mdBook gives a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    prose(text).iter().filter(|line| line.starts_with('#')).map(|line| anchor_of(line)).collect()
}

/// What is wrong with a link; nothing if it leads somewhere.
fn trouble_with(page: &Path, target: &str) -> Option<String> {
    if target.starts_with("https://") {
        return None;
    }
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let place = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    let Ok(text) = std::fs::read_to_string(&place) else {
        return Some(format!("{}: {target} is not there", page.display()));
    };
    let is_there = anchor.is_empty() || anchors(&text).contains(anchor);
    (!is_there).then(|| format!("{}: {target} has no such heading", page.display()))
}

#[test]
fn every_link_and_every_include_of_the_book_and_of_the_readme_leads_somewhere() {
    let mut troubles = Vec::new();
    let mut followed = 0;
    let readme = PathBuf::from("README.md");
    for page in BOOKS.iter().flat_map(|dir| pages(Path::new(dir))).chain([readme]) {
        let text = std::fs::read_to_string(&page).expect("text");
        for target in links(&text).into_iter().chain(includes(&text)) {
            followed += 1;
            troubles.extend(trouble_with(&page, &target));
        }
    }
    assert!(troubles.is_empty(), "{troubles:#?}");
    assert!(followed > 10, "only {followed}");
}

#[test]
fn the_summary_of_each_book_has_every_page_once() {
    for dir in BOOKS.map(Path::new) {
        let summary = dir.join("SUMMARY.md");
        let listed = links(&std::fs::read_to_string(&summary).expect("a summary"));
        let mut listed: Vec<PathBuf> = listed.iter().map(|target| dir.join(target)).collect();
        listed.sort();
        let there: Vec<PathBuf> = pages(dir).into_iter().filter(|page| *page != summary).collect();
        assert_eq!(listed, there, "{}", summary.display());
    }
}

/// What looks as if it was run is run: commands stand in console blocks, and these on pages that a test plays.
#[test]
fn only_pages_that_a_test_plays_have_console_blocks() {
    for page in BOOKS.iter().flat_map(|dir| pages(Path::new(dir))) {
        let text = std::fs::read_to_string(&page).expect("text");
        let is_played = page.ends_with("tutorial.md") || PLAYED.map(Path::new).contains(&page.as_path());
        let has_blocks = text.lines().any(|line| line == "```console");
        assert_eq!(has_blocks, is_played, "{}", page.display());
        let console =
            text.split("```console").skip(1).map(|rest| rest.split("\n```").next().unwrap_or_default());
        let typed: usize =
            console.map(|block| block.lines().filter(|line| prompt_of(line).is_some()).count()).sum();
        let all = text.lines().filter(|line| prompt_of(line).is_some()).count();
        assert_eq!(typed, all, "{}: a prompt outside of a console block", page.display());
    }
}

#[test]
fn a_dead_link_a_missing_heading_and_a_code_block_are_told_apart() {
    let page = Path::new("docs/src/introduction.md");
    assert_eq!(links("a [b](c.md#d) and [e](f)\n```text\n[g](h)\n```\n"), ["c.md#d", "f"]);
    assert!(trouble_with(page, "none.md").is_some());
    assert!(trouble_with(page, "reference/limits.md#none").is_some());
    assert_eq!(trouble_with(page, "reference/limits.md#limits"), None);
    assert_eq!(anchor_of("## Keep `it` running, always"), "keep-it-running-always");
}
