//! Redacts a command line for the audit log, journals and the lock: removes the values of keys and the
//! arguments of programs that are run on hosts.
//!
//! *Invariant:* the parsed command knows the secret, and the parser finds its word: a word is the secret one if replacing it changes
//! the parsed value. No spelling is ever guessed.

use dkc_core::token;

use crate::cli::Command;

/// Replaces a redacted word.
const LEFT_OUT: &str = "…";

/// The words of a line that was parsed to `command`, quoted where necessary. `parse` parses other words the same way.
pub fn redacted(
    mut words: Vec<String>,
    command: Option<&Command>,
    parse: impl Fn(&[String]) -> Option<Command>,
) -> String {
    for place in secret_places(&words, command, parse) {
        words[place] = LEFT_OUT.into();
    }
    // Nobody should type a token as an argument. Whoever does it finds it nowhere afterwards.
    words.iter_mut().filter(|word| word.contains(token::PREFIX)).for_each(|word| *word = LEFT_OUT.into());
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Redacts one line of the prompt or of a batch. A line that does not parse is neither run nor stored, so it is shown as typed.
pub fn line(words: &[String]) -> String {
    let parse = |words: &[String]| crate::cli::parse_line(words).ok().map(|line| line.command);
    redacted(words.to_vec(), parse(words).as_ref(), parse)
}

fn secret_places(
    words: &[String],
    command: Option<&Command>,
    parse: impl Fn(&[String]) -> Option<Command>,
) -> Vec<usize> {
    match command {
        // Everything after `--`.
        Some(Command::Exec(args)) => (words.len() + 1 - args.program.len()..words.len()).collect(),
        Some(Command::Data(args)) => places_of_values(words, &args.values(), parse),
        _ => Vec::new(),
    }
}

/// Words that are equal to a value, and without which the parser finds another value in its place.
fn places_of_values(
    words: &[String],
    values: &[&str],
    parse: impl Fn(&[String]) -> Option<Command>,
) -> Vec<usize> {
    let is_value = |place: &usize| {
        let other = if words[*place] == "x" { "y" } else { "x" };
        let mut changed = words.to_vec();
        changed[*place] = other.into();
        let Some(Command::Data(args)) = parse(&changed) else { return false };
        let found = args.values();
        let differing: Vec<_> = found.iter().zip(values).filter(|(found, value)| found != value).collect();
        found.len() == values.len() && matches!(differing[..], [(found, _)] if *found == other)
    };
    let places = (0..words.len()).filter(|place| values.contains(&words[*place].as_str()));
    places.filter(is_value).collect()
}

fn quoted(word: &str) -> String {
    match word {
        word if !word.is_empty() && word.chars().all(is_plain) => word.to_owned(),
        word => shlex::try_quote(word).unwrap_or_default().into_owned(),
    }
}

/// Characters without a special meaning in any shell.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || "_-./:@=,+%…".contains(c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(typed: &str, want: &str) {
        assert_eq!(line(&shlex::split(typed).unwrap()), want, "{typed}");
    }

    #[test]
    fn a_value_is_left_out_in_every_spelling() {
        check("data set -n c0 key secret", "data set -n c0 key …");
        check("data set k S -n c0", "data set k … -n c0");
        check("data -n c0 set k S", "data -n c0 set k …");
        check("data set -n c0 k -S", "data set -n c0 k …");
        check("data set -n c0 k -- -S", "data set -n c0 k -- …");
        check("data set -n c0 -- k -S", "data set -n c0 -- k …");
        check("data set -n c0 k S --expires 60s", "data set -n c0 k … --expires 60s");
        check("data set -n c0 set set", "data set -n c0 set …");
        check("data set -n c0 data c0 --yes", "data set -n c0 data … --yes");
        check("--yes data set -n x x x", "--yes data set -n x x …");
        check("data set k -nc0 -nc1", "data set k … -nc1");
        check("data print -n c0 key", "data print -n c0 key");
        check("data set -n c0 key --file f", "data set -n c0 key --file f");
        check("data queue push -n c0 q a q -- -n", "data queue push -n c0 q … … -- …");
        check("data queue push q a a --encrypt", "data queue push q … … --encrypt");
        check("data keyqueue push kq k S", "data keyqueue push kq k …");
        check("data sub set p k S -n c0", "data sub set p k … -n c0");
        check("data sub add p k S -n c0", "data sub add p k S -n c0");
    }

    #[test]
    fn the_arguments_of_exec_are_left_out_and_its_program_is_not() {
        check("exec '@a b' -- ls", "exec '@a b' -- ls");
        check("exec h1 h2 -- mysql -pS3CRET -- x", "exec h1 h2 -- mysql … … …");
        check("exec h1 --timeout 5s -- sh -c 'echo S3CRET'", "exec h1 --timeout 5s -- sh … …");
    }

    #[test]
    fn a_token_that_somebody_typed_is_left_out_wherever_it_stands() {
        check("join --token dkc-token-1.AAAA --yes", "join --token … --yes");
        check("userdata -n c0 --token=dkc-token-1.AAAA", "userdata -n c0 …");
        check("token issue --label dkc-token-1.AAAA", "token issue --label …");
    }

    #[test]
    fn a_line_of_the_os_shell_is_treated_alike() {
        let words: Vec<String> =
            ["--inventory", "S", "data", "set", "k", "S", "-nS"].map(str::to_owned).to_vec();
        let parse = crate::cli::parse_command;
        let command = parse(&words);
        assert_eq!(redacted(words, command.as_ref(), parse), "--inventory S data set k … -nS");
    }

    /// Options in any spelling, each with whether it may stand before the noun `set`.
    fn options() -> impl Strategy<Value = Vec<(bool, Vec<String>)>> {
        let of = |is_early: bool, words: &str| {
            Just((is_early, words.split(' ').map(str::to_owned).collect::<Vec<_>>()))
        };
        let option = prop_oneof![
            of(true, "-n c0"),
            of(true, "-nc0"),
            of(true, "--name=c0"),
            of(true, "--cluster c0"),
            of(true, "--namespace other"),
            of(true, "--yes"),
            of(true, "-o json"),
            of(true, "--timeout=5s"),
            of(false, "--expires 60s"),
            of(false, "--expires=60s"),
            of(false, "--flags 7"),
            of(false, "--add"),
            of(false, "--cas 9"),
        ];
        prop::collection::vec(option, 0..4)
    }

    proptest! {
        #[test]
        fn no_spelling_keeps_the_value(
            options in options(),
            places in prop::collection::vec(0..4_usize, 4),
            key in "[a-z]{1,4}|set|data|c0",
            value in "(|-|--|set|data|c0|[a-z]|-n|60s)S3CRET( |'|=)?",
            dashes in 0..4_usize,
        ) {
            // Between data, set, the key and the value, and behind it.
            let mut gaps: Vec<Vec<String>> = vec![Vec::new(); 4];
            for ((is_early, option), place) in options.into_iter().zip(&places) {
                gaps[if is_early { *place } else { (*place).max(1) }].extend(option);
            }
            // Behind another word that is taken for the value, `-nS3CRET` is the name of a cluster.
            prop_assume!(!value.starts_with("-n") || gaps[2].is_empty());
            let mut words = vec!["data".to_owned()];
            for (at, word) in ["set", &key, &value].into_iter().enumerate() {
                words.append(&mut gaps[at]);
                if at > 0 && at == dashes && gaps[at + 1..].iter().all(Vec::is_empty) {
                    words.push("--".into());
                }
                words.push(word.to_owned());
            }
            words.append(&mut gaps[3]);
            let Ok(parsed) = crate::cli::parse_line(&words) else { return Ok(()) };
            let Command::Data(args) = &parsed.command else { panic!("{words:?}") };
            prop_assert_eq!(args.values(), [value.as_str()]);
            let kept = line(&words);
            prop_assert!(!kept.contains("S3CRET"), "{:?} is kept as {}", words, kept);
            // Everything else stays, in its place.
            let mut want = words.clone();
            let place = words.iter().rposition(|word| *word == value).unwrap();
            want[place] = LEFT_OUT.into();
            prop_assert_eq!(shlex::split(&kept), Some(want));
        }
    }
}
