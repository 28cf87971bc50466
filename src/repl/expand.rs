//! Abbreviations: in the prompt a unique prefix of a verb or noun stands for the whole word, and is shown in
//! full before it runs. A batch never comes here.

use crate::error::{CommandError, codes};

/// Words with shortened verbs and nouns written out.
#[derive(Debug, PartialEq, Eq)]
pub struct Expanded {
    pub words: Vec<String>,
    pub is_changed: bool,
}

/// Expands the verb and the nouns after it. Unknown words are left to the parser, which reports them.
pub fn expand(mut words: Vec<String>) -> Result<Expanded, CommandError> {
    let mut command = crate::cli::line();
    let mut is_changed = false;
    for word in &mut words {
        let Some(full) = full_word(&command, word)? else { break };
        if *word != full {
            word.clone_from(&full);
            is_changed = true;
        }
        match command.find_subcommand(&full) {
            Some(next) => command = next.clone(),
            None => break,
        }
    }
    Ok(Expanded { words, is_changed })
}

/// The subcommand that this word abbreviates: itself, or the only one with this prefix.
fn full_word(command: &clap::Command, word: &str) -> Result<Option<String>, CommandError> {
    if word.starts_with('-') || word.is_empty() {
        return Ok(None);
    }
    if command.find_subcommand(word).is_some() {
        return Ok(Some(word.to_owned()));
    }
    let visible = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    let names = visible.flat_map(|sub| std::iter::once(sub.get_name()).chain(sub.get_visible_aliases()));
    let fitting: Vec<&str> = names.filter(|name| name.starts_with(word)).collect();
    match fitting.as_slice() {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        several => Err(CommandError::new(
            &codes::AMBIGUOUS,
            format!("'{word}' is ambiguous: {}", several.join(", ")),
        )
        .next("type one more letter")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, want: &str) {
        let words = line.split(' ').map(str::to_owned).collect();
        let got = match expand(words) {
            Ok(expanded) => {
                format!("{}{}", if expanded.is_changed { "= " } else { "" }, expanded.words.join(" "))
            }
            Err(error) => error.what,
        };
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn a_unique_beginning_stands_for_the_word() {
        check("reg h 10.0.0.1", "= register host 10.0.0.1");
        check("show host", "show host");
        check("sho c c0", "'c' is ambiguous: cluster, config");
        check("data se -n c0 k v", "= data set -n c0 k v");
        check("data s -n c0 k v", "'s' is ambiguous: set, sub");
        check("show css", "show css");
        check("st", "'st' is ambiguous: start, stop, status");
        check("xyz host", "xyz host");
        check("exi", "= exit");
    }
}
