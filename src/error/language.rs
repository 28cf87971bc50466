//! The languages that `explain` speaks, and which one an operator's environment asks for.

/// A language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// English
    #[value(name = "en")]
    English,
    /// Japanese
    #[value(name = "ja")]
    Japanese,
}

/// The variables that decide, as POSIX orders them: the first that is set and not empty.
const VARIABLES: [&str; 3] = ["LC_ALL", "LC_MESSAGES", "LANG"];

impl Language {
    /// Japanese if the locale of messages is; English otherwise.
    pub fn of_environment(variable: impl Fn(&str) -> Option<String>) -> Language {
        let locale = VARIABLES.iter().filter_map(|name| variable(name)).find(|value| !value.is_empty());
        match locale.is_some_and(|locale| is_japanese(&locale)) {
            true => Language::Japanese,
            false => Language::English,
        }
    }
}

/// `ja`, `ja_JP`, `ja_JP.UTF-8`, `ja.utf8`, `ja@…`; but not `jam`, which is another language. An encoding that is not UTF-8 cannot
/// show what we print.
fn is_japanese(locale: &str) -> bool {
    let language = locale.split(['_', '.', '@']).next().unwrap_or_default();
    let encoding = locale.split_once('.').map(|(_, rest)| rest.split('@').next().unwrap_or_default());
    let is_shown = encoding.is_none_or(|name| name.to_ascii_lowercase().replace('-', "") == "utf8");
    language == "ja" && is_shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_variable_that_says_something_decides() {
        let table: [(&[(&str, &str)], Language); 8] = [
            (&[], Language::English),
            (&[("LANG", "ja_JP.UTF-8")], Language::Japanese),
            (&[("LANG", "ja")], Language::Japanese),
            (&[("LANG", "jam_JM.UTF-8")], Language::English),
            (&[("LANG", "ja_JP.eucJP")], Language::English),
            (&[("LANG", "en_US.UTF-8"), ("LC_MESSAGES", "ja_JP.utf8")], Language::Japanese),
            (&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "C")], Language::English),
            (&[("LANG", "ja_JP.UTF-8"), ("LC_ALL", "")], Language::Japanese),
        ];
        for (environment, want) in table {
            let variable = |name: &str| {
                environment.iter().find(|(is, _)| *is == name).map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(Language::of_environment(variable), want, "{environment:?}");
        }
    }
}
