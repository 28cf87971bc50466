//! `explain`: what an error id means and what to do, in English and Japanese.

use crate::error::{Code, CommandError, codes};
use crate::session::Session;
use crate::ui::{Format, Listing};

/// Explain an error id, in English and Japanese
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES\n  explain DKC-E0810\n  explain")]
pub struct Args {
    /// Error id (default: list all)
    #[arg(value_name = "CODE", add = crate::complete::codes())]
    pub code: Option<String>,
}

pub async fn run(session: &mut Session, args: Args) -> Result<(), CommandError> {
    let Some(word) = args.code else {
        session.show(Format::Table, &listing(codes::ALL));
        return Ok(());
    };
    let code = codes::find(&word).ok_or_else(|| {
        CommandError::new(&codes::UNKNOWN_CODE, format!("unknown error id {word}"))
            .next("explain     (lists all ids)")
    })?;
    match session.settings.output {
        Some(format) => session.ui.show(format, &listing(&[code])),
        None => session.ui.data(&text(code)),
    }
    Ok(())
}

fn text(code: &Code) -> String {
    let exit = format!("exit {} ({})", code.exit.number(), code.exit.meaning());
    format!("{code}: {exit}\n\n{}\n\n{}\n", code.english, code.japanese)
}

fn listing(listed: &[&Code]) -> Listing {
    let mut listing = Listing::new(&["id", "exit", "meaning"]);
    for code in listed {
        let first_sentence = code.english.split_inclusive(". ").next().unwrap_or_default().trim();
        listing.push(
            vec![code.to_string(), code.exit.number().to_string(), first_sentence.to_owned()],
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
