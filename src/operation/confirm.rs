//! The second step of an operation: shows the plan, and asks for confirmation unless it is a dry run.

use dkc_inventory::plan::{Danger, Plan};

use crate::error::CommandError;
use crate::session::Session;
use crate::ui::Format;

/// The plan is the data of a dry run.
pub fn show_dry(session: &Session, plan: &Plan) {
    let text = match session.settings.output {
        Some(Format::Json | Format::Jsonl) => {
            serde_json::to_string(plan).map(|text| text + "\n").unwrap_or_default()
        }
        Some(Format::Yaml) => serde_yaml::to_string(plan).unwrap_or_default(),
        _ => session.plan_text(plan),
    };
    session.ui.data(&text);
}

/// Asks for the confirmation that the plan's danger requires.
pub fn confirm(session: &Session, plan: &Plan) -> Result<(), CommandError> {
    match (plan.danger, &plan.confirm) {
        (Danger::Read, _) => Ok(()),
        (Danger::LosesData, Some(word)) => session.confirm_word("This operation loses data.", word),
        _ => session.confirm("Apply?"),
    }
}
