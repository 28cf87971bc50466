//! What a command may use: the inventory, the operator, the settings of this line, and the other machines.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::ClusterName;
use dkc_inventory::edit::{EditError, Edited};
use dkc_inventory::model::Inventory;

use crate::cli::Settings;
use crate::error::{CommandError, Exit, codes};
use crate::interrupt::Interrupt;
use crate::store::{Locked, Store};
use crate::ui::{Answer, Format, Listing, Ui};
use crate::world::World;

/// How long one answer of a host may take unless `--timeout` says otherwise: a silent host is then `unknown`.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// One run of `dkc`, from its first command to its last.
pub struct Session {
    pub store: Store,
    pub ui: Ui,
    /// Of the running line: what was set for the session, with the line's own flags laid over it.
    pub settings: Settings,
    /// What `set` chose for all lines to come.
    pub defaults: Settings,
    /// `use cluster NAME`.
    pub current_cluster: Option<ClusterName>,
    pub interrupt: Interrupt,
    pub world: World,
    /// True in the prompt, where questions may be asked; false in a batch and for a single command without terminal.
    pub is_interactive: bool,
    /// True inside a playground, whose prompt says so.
    pub is_playground: bool,
    /// False while a playground is made: its plans are the same each time, and shown only when one fails.
    pub shows_plans: bool,
    /// What the running line is, as typed and redacted: for the lock, the audit log and the plan.
    pub line: String,
}

impl Session {
    pub fn new(
        store: Store,
        ui: Ui,
        settings: Settings,
        interrupt: Interrupt,
        is_interactive: bool,
    ) -> Session {
        Session {
            store,
            world: World::new(Arc::new(ui.clone())),
            ui,
            defaults: settings.clone(),
            settings,
            current_cluster: None,
            interrupt,
            is_interactive,
            is_playground: false,
            shows_plans: true,
            line: String::new(),
        }
    }

    /// Ends the connections to hosts.
    pub async fn close(&mut self) {
        self.world.close().await;
    }

    /// The inventory as it stands. Takes no lock: a read never waits for a writer.
    pub fn inventory(&self) -> Result<Inventory, CommandError> {
        self.store.load()
    }

    /// Takes the inventory for changing; the other operator sees who holds it.
    pub fn lock(&self) -> Result<Locked, CommandError> {
        self.store.lock(&self.line)
    }

    /// Changes the inventory on this machine by one edit, and tells what came of it.
    pub fn edit(
        &self,
        edit: impl FnOnce(&Inventory) -> Result<Edited, EditError>,
    ) -> Result<(), CommandError> {
        let locked = self.lock()?;
        let edited = edit(&locked.load()?)?;
        if edited.is_changed && !self.settings.dry_run {
            locked.save(&edited.inventory)?;
        }
        edited.lines.iter().for_each(|line| self.ui.say(line));
        if !edited.is_changed && edited.lines.is_empty() && !self.settings.dry_run {
            self.ui.say("nothing to change: it is so already");
        }
        if self.settings.dry_run {
            let would = if edited.is_changed { "would make" } else { "nothing to change at" };
            self.ui.say(&format!("{would} generation {}", edited.inventory.generation));
            if edited.is_changed && self.settings.exit_code {
                return Err(CommandError::silent(Exit::Pending));
            }
        }
        Ok(())
    }

    /// Prints data in the format of this line, or in `usual` when none was asked for.
    pub fn show(&self, usual: Format, listing: &Listing) {
        self.ui.show(self.settings.output.unwrap_or(usual), listing);
        self.say_nothing_found(listing.rows.is_empty() && listing.documents.is_empty());
    }

    /// A person wonders about silence; a script counts lines.
    pub fn say_nothing_found(&self, is_empty: bool) {
        if is_empty && self.is_interactive {
            self.ui.say("nothing to show");
        }
    }

    /// Timeout per host reply.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// The cluster that a command means: the one named, else the one in use.
    pub fn cluster_name(&self, named: Option<&ClusterName>) -> Result<ClusterName, CommandError> {
        named.or(self.current_cluster.as_ref()).cloned().ok_or_else(|| {
            CommandError::new(&codes::NO_CLUSTER_NAMED, "which cluster? none is named and none is in use")
                .next("add -n NAME, or: use cluster NAME")
        })
    }

    /// Asks whether to go on with what can be undone or what disturbs. `--yes` answers it; in a batch, or with
    /// nobody there, only `--yes` does.
    pub fn confirm(&self, question: &str) -> Result<(), CommandError> {
        if self.settings.yes {
            return Ok(());
        }
        let answer = if self.is_interactive { self.ui.ask_yes(question) } else { Answer::Nobody };
        confirmed(answer, "add --yes to apply without being asked")
    }

    /// Asks for a word before something is lost for good. Only the word itself answers it, typed or by `--confirm`;
    /// `--yes` does not.
    pub fn confirm_word(&self, question: &str, word: &str) -> Result<(), CommandError> {
        match &self.settings.confirm {
            Some(given) if given == word => Ok(()),
            Some(given) => Err(CommandError::new(
                &codes::WRONG_CONFIRMATION,
                format!("--confirm {given} is not what this operation asks for"),
            )
            .now("nothing changed")
            .next(format!("read the plan, then: --confirm {word}"))),
            None => {
                let answer =
                    if self.is_interactive { self.ui.ask_word(question, word) } else { Answer::Nobody };
                confirmed(answer, &format!("add --confirm {word}"))
            }
        }
    }
}

fn confirmed(answer: Answer, how: &str) -> Result<(), CommandError> {
    match answer {
        Answer::Yes => Ok(()),
        Answer::No => Err(CommandError::new(&codes::DECLINED, "not confirmed").now("nothing changed")),
        Answer::Nobody => Err(CommandError::new(
            &codes::CONFIRMATION_NEEDED,
            "this changes something, and nobody can be asked here",
        )
        .now("nothing changed")
        .next(how)),
    }
}
