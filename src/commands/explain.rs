//! `explain`: what an error id means and what to do, in the operator's language.

use crate::error::{Code, CommandError, Language, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Explain an error id, in English or Japanese
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  explain DKC-E0810\n  explain DKC-E0810 --language ja\n  explain")]
pub struct Args {
    /// Error id (default: list all)
    #[arg(value_name = "CODE", add = crate::complete::codes())]
    pub code: Option<String>,
    /// Language (default: Japanese where LC_ALL, LC_MESSAGES or LANG asks for it, else English)
    #[arg(long, value_name = "LANGUAGE")]
    pub language: Option<Language>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let language = args.language.unwrap_or_else(|| Language::of_environment(|name| std::env::var(name).ok()));
    let Some(word) = args.code else {
        session.show(Format::Table, &listing(codes::ALL, language));
        return Ok(());
    };
    let code = codes::find(&word).ok_or_else(|| {
        CommandError::new(&codes::UNKNOWN_CODE, format!("unknown error id {word}"))
            .next("explain     (lists all ids)")
    })?;
    match session.settings.output {
        Some(format) => session.ui.show(format, &listing(&[code], language)),
        None => session.ui.data(&text(code, language)),
    }
    Ok(())
}

fn text(code: &Code, language: Language) -> String {
    let exit = format!("exit {} ({})", code.exit.number(), code.exit.meaning_in(language));
    format!("{code}: {exit}\n\n{}\n", code.words(language))
}

/// The table is in one language, the documents are in both.
fn listing(listed: &[&Code], language: Language) -> Listing {
    let mut listing = Listing::new(&["id", "exit", "meaning"]);
    for code in listed {
        listing.push(
            vec![
                code.to_string(),
                code.exit.number().to_string(),
                first_sentence(code.words(language)).to_owned(),
            ],
            serde_json::json!({
                "id": code.to_string(),
                "exit": code.exit.number(),
                "english": code.english,
                "japanese": code.japanese,
            }),
        );
    }
    listing
}

fn first_sentence(words: &str) -> &str {
    let english = words.split_inclusive(". ").next().unwrap_or_default();
    english.split_inclusive('。').next().unwrap_or_default().trim()
}
