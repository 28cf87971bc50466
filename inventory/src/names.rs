//! Suggestions for mistyped names. Only small edit distances count.

/// Suggestions shown at most.
const SUGGESTIONS_MAX: usize = 3;

/// Largest edit distance of a suggestion.
const DISTANCE_MAX: usize = 2;

/// The registered names closest to `word`: all at the smallest distance, in order.
pub fn nearest(word: &str, known: impl IntoIterator<Item = String>) -> Vec<String> {
    let reach = (word.chars().count() / 3).clamp(1, DISTANCE_MAX);
    let mut ranked: Vec<(usize, String)> = known
        .into_iter()
        .map(|name| (strsim::levenshtein(word, &name), name))
        .filter(|(d, _)| *d <= reach)
        .collect();
    ranked.sort();
    let best = ranked.first().map_or(0, |(distance, _)| *distance);
    ranked.into_iter().filter(|(d, _)| *d == best).take(SUGGESTIONS_MAX).map(|(_, name)| name).collect()
}

/// Advice for an unknown name: the closest ones, or how to list all.
pub fn suggestion(word: &str, known: impl IntoIterator<Item = String>, noun: &str) -> Vec<String> {
    let near = nearest(word, known);
    match near.is_empty() {
        true => vec![format!("list {noun}")],
        false => vec![format!("did you mean {}?", near.join(", ")), format!("list {noun}")],
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    fn check(word: &str, want: &[&str]) {
        let known = ["c0", "c1", "orders", "10.0.0.11"].map(String::from);
        assert_eq!(nearest(word, known), want, "{word}");
    }

    #[test]
    fn a_mistyped_name_finds_its_neighbours() {
        check("c2", &["c0", "c1"]);
        check("order", &["orders"]);
        check("ordres", &["orders"]);
        check("10.0.0.12", &["10.0.0.11"]);
        check("something-else", &[]);
    }
}
