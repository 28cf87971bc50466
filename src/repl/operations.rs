//! The operations of a data prompt, as the parser knows them.

/// The operations, a line each: what `help` shows in the prompt.
pub fn all() -> String {
    let line = crate::cli::line();
    let Some(data) = line.find_subcommand("data") else { return String::new() };
    let mut text = String::new();
    for operation in data.get_subcommands().filter(|operation| !operation.is_hide_set()) {
        let nouns: Vec<&str> = operation.get_subcommands().map(clap::Command::get_name).collect();
        let name = match nouns.is_empty() {
            true => operation.get_name().to_owned(),
            false => format!("{} {}", operation.get_name(), nouns.join("|")),
        };
        let about = operation.get_about().map(ToString::to_string).unwrap_or_default();
        text += &format!("  {name:<38} {about}\n");
    }
    text + "\n`help OPERATION` shows its options and examples, Tab completes keys, `quit` or Ctrl-D goes back.\n"
}

/// A word with which a line of the prompt may begin.
pub fn is_one(word: &str) -> bool {
    let line = crate::cli::line();
    line.find_subcommand("data")
        .is_some_and(|data| word.starts_with('-') || data.find_subcommand(word).is_some())
}
