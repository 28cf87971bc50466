//! Wording: phrases that were replaced once do not come back into help, errors, plans, logs, man pages or documents. The list
//! names the phrase and what to write instead; sources are searched as text, so it covers comments too.

use std::path::{Path, PathBuf};

/// A phrase and its replacement.
const BANISHED: &[(&str, &str)] = &[
    ("none is named and none is in use", "no cluster specified"),
    ("it is so already", "already up to date"),
    ("Limit of one answer", "timeout per host reply"),
    ("Ask again and again", "refresh every TIME"),
    ("reasons against it", "refused for N reasons"),
    ("cannot be spoken to", "unreachable"),
    ("stands twice", "duplicate"),
    ("what is no answer", "invalid reply"),
    ("makes no sense", "invalid reply"),
    ("the way leads through", "connected via"),
    ("for another hour", "for later"),
    ("may be given several times", "repeatable"),
    ("then retype", "then run the command again"),
    ("by somebody else", "another operator, another process"),
    ("nobody needs", "not needed"),
    ("cannot change any more", "can no longer change"),
    ("is not in the inventory any more", "is no longer in the inventory"),
    ("data moves to its new places", "data moves to its new replicas"),
    ("is lost for ever", "is lost"),
    ("serves all the time", "keeps serving"),
    ("the other side", "the peer, the client"),
    ("for ever ", "forever, permanently"),
    ("for ever.", "forever, permanently"),
    ("again and again", "repeatedly, every TIME"),
    ("came to nothing", "failed"),
    ("stands for election", "campaigns"),
    ("told apart", "distinguished"),
    ("lets go of", "releases"),
    ("let go of", "released"),
    ("is let in", "is admitted"),
    ("in good order", "cleanly"),
    ("orderly stop", "clean stop"),
    ("nobody waits for", "no caller waits for"),
    ("nobody uses", "idle"),
    ("is told to stop", "is asked to stop"),
    ("connects anew", "reconnects"),
    ("begins anew", "starts over"),
    ("is tried again", "is retried"),
    ("a stranger", "an unauthenticated peer"),
    ("may be any of", "is ambiguous"),
    ("half way", "unfinished, partly"),
    ("gives way to", "is replaced by"),
    ("in this moment", "at this moment"),
    ("sign of life", "keep-alive"),
    ("signs of life", "keep-alives"),
    ("is not understood", "is invalid, is not supported"),
    ("this very program", "this program"),
    ("unasked", "unrequested"),
    ("Absent:", "say what the module does not do in a sentence"),
    ("by nobody else", "only by ..."),
    ("by themselves", "automatically"),
    ("is told of", "is notified of"),
    ("Since when", "When ... began"),
    ("so large", "of this size"),
    ("cannot be read as", "is not a valid"),
    ("The cluster (default: the one in use)", "Cluster name (default: the one chosen with use)"),
];

fn files_below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).expect("a directory of the project") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => files_below(&path, found),
            false => found.push(path),
        }
    }
}

#[test]
fn banished_phrases_stay_out_of_help_errors_and_man_pages() {
    let mut files = Vec::new();
    ["src", "inventory/src", "runtime/src", "runtime/core/src", "man", "completions", "docs/src"]
        .iter()
        .for_each(|dir| files_below(Path::new(dir), &mut files));
    files.extend(["README.md", "ARCHITECTURE.md"].map(PathBuf::from));
    let mut found = Vec::new();
    for file in &files {
        // Man pages escape the hyphen.
        let text = std::fs::read_to_string(file).expect("a text file").replace("\\-", "-");
        for (phrase, instead) in BANISHED.iter().filter(|(phrase, _)| text.contains(phrase)) {
            found.push(format!("{}: '{phrase}', write '{instead}'", file.display()));
        }
    }
    assert!(files.len() > 100 && found.is_empty(), "{}", found.join("\n"));
}
