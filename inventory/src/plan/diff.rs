//! A small unified diff for plans. Values of fields that look like secrets are masked, although planned files should not
//! contain any.

use similar::{ChangeTag, TextDiff};

/// Context lines around a change.
const CONTEXT_LINES: usize = 2;
/// Longer files are not compared; planned files have about sixty lines.
const LINES_MAX: usize = 2_000;

/// The changed lines with context; empty if nothing differs. A new file is described by its size only.
pub fn unified(before: Option<&str>, after: &str) -> String {
    let Some(before) = before else {
        return format!("(new, {} lines)\n", after.lines().count());
    };
    let (old, new) = (before.lines().count(), after.lines().count());
    if old.max(new) > LINES_MAX {
        return format!("(replaced, {old} lines before, {new} after)\n");
    }
    let lines = compare(before, after);
    let is_near = |index: usize| {
        let from = index.saturating_sub(CONTEXT_LINES);
        lines[from..lines.len().min(index + CONTEXT_LINES + 1)].iter().any(|(mark, _)| *mark != ' ')
    };
    let mut out = String::new();
    let mut is_skipping = false;
    for (index, (mark, line)) in lines.iter().enumerate() {
        if is_near(index) {
            out.push_str(&format!("{mark}{}\n", masked(line)));
            is_skipping = false;
        } else if !is_skipping && index > 0 && !out.is_empty() {
            out.push_str(" …\n");
            is_skipping = true;
        }
    }
    out.strip_suffix(" …\n").map(String::from).unwrap_or(out)
}

/// Each line with `-`, `+` or a space.
fn compare(before: &str, after: &str) -> Vec<(char, String)> {
    let diff = TextDiff::from_lines(before, after);
    let marked = |change: similar::Change<&str>| {
        let mark = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => ' ',
        };
        (mark, change.value().trim_end_matches('\n').to_owned())
    };
    diff.iter_all_changes().map(marked).collect()
}

fn masked(line: &str) -> String {
    let Some((name, value)) = line.split_once(':') else { return line.to_owned() };
    let lower = name.to_ascii_lowercase();
    let is_secret = ["password", "secret", "token", "private"].iter().any(|word| lower.contains(word));
    match is_secret && !value.trim().is_empty() {
        true => format!("{name}: ********"),
        false => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::unified;

    fn check(before: Option<&str>, after: &str, want: &str) {
        assert_eq!(unified(before, after), want);
    }

    #[test]
    fn changes_are_shown_with_their_neighbours() {
        check(None, "a\nb\n", "(new, 2 lines)\n");
        check(Some("a\nb\n"), "a\nb\n", "");
        check(Some("1\n2\n3\n4\n5\n6\n7\n8\n"), "1\n2\n3\n4\nx\n6\n7\n8\n", " 3\n 4\n-5\n+x\n 6\n 7\n");
        check(Some("a\nb\nc\nd\ne\nf\ng\n"), "A\nb\nc\nd\ne\nf\nG\n", "-a\n+A\n b\n c\n …\n e\n f\n-g\n+G\n");
    }

    #[test]
    fn secrets_are_masked() {
        check(Some("x: 1\n"), "x: 1\npassword: hunter2\n", " x: 1\n+password: ********\n");
    }
}
