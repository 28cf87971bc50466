//! The context of a command: the inventory, the operator, the settings of this line, and the other machines.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use dkc_core::ids::{ClusterName, Namespace};
use dkc_inventory::edit::{EditError, Edited};
use dkc_inventory::model::Inventory;
use dkc_inventory::plan::{Detail, Plan, Target};

use crate::arguments::{ConfigTarget, NodeTarget, OfConfig, Settings};
use crate::error::{CommandError, Exit, codes};
use crate::interrupt::Interrupt;
use crate::store::{Locked, Store};
use crate::ui::{Answer, Format, Listing, Ui};
use crate::world::World;

/// Default of `--timeout`: a host that does not reply within this time is `unknown`.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Reads and runs commands until the operator leaves: the prompt, or the lines of standard input. A function value, because
/// `playground` opens a prompt of its own, and the prompt is a layer above the commands.
pub type CommandLoop = for<'a> fn(&'a mut Session) -> Pin<Box<dyn Future<Output = Exit> + 'a>>;

/// Whose keys the lines of a data prompt are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataPrompt {
    pub cluster: ClusterName,
    pub namespace: Namespace,
}

/// One run of `dkc`, from its first command to its last.
pub struct Session {
    pub store: Store,
    pub ui: Ui,
    /// Settings of the running line: the session's, overridden by the line's own flags.
    pub settings: Settings,
    /// Session settings, changed with `set`.
    pub defaults: Settings,
    /// `use cluster NAME`.
    pub current_cluster: Option<ClusterName>,
    /// Lines are operations of `data` on this.
    pub data_prompt: Option<DataPrompt>,
    pub interrupt: Interrupt,
    pub world: World,
    /// True if questions may be asked; false in a batch and without a terminal.
    pub is_interactive: bool,
    /// True inside a playground, whose prompt says so.
    pub is_playground: bool,
    /// False while a playground is created: its plans are always the same and shown only on failure.
    pub shows_plans: bool,
    pub command_loop: CommandLoop,
    /// The running line, redacted: for the lock, the audit log and the plan.
    pub line: String,
}

impl Session {
    pub fn new(
        store: Store,
        ui: Ui,
        settings: Settings,
        interrupt: Interrupt,
        is_interactive: bool,
        command_loop: CommandLoop,
    ) -> Session {
        Session {
            store,
            world: World::new(Arc::new(ui.clone())),
            ui,
            defaults: settings.clone(),
            settings,
            current_cluster: None,
            data_prompt: None,
            interrupt,
            is_interactive,
            is_playground: false,
            shows_plans: true,
            command_loop,
            line: String::new(),
        }
    }

    /// Ends the connections to hosts.
    pub async fn close(&mut self) {
        self.world.close().await;
    }

    /// The current inventory. Takes no lock: a read never waits for a writer.
    pub fn inventory(&self) -> Result<Inventory, CommandError> {
        let inventory = self.store.load()?;
        self.world.know_jump_hosts(inventory.jump_pins());
        Ok(inventory)
    }

    /// Locks the inventory for a change; other operators see the holder.
    pub fn lock(&self) -> Result<Locked, CommandError> {
        self.store.lock(&self.line)
    }

    /// Applies one edit to the inventory on this machine and reports the result.
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
            self.ui.say("already up to date");
        }
        if self.settings.dry_run {
            let would = if edited.is_changed { "would make" } else { "no change to" };
            self.ui.say(&format!("{would} generation {}", edited.inventory.generation));
            if edited.is_changed && self.settings.exit_code {
                return Err(CommandError::silent(Exit::Pending));
            }
        }
        Ok(())
    }

    /// Prints an error in this line's format.
    pub fn report(&self, error: &CommandError) {
        self.ui.error(error, self.settings.output);
    }

    /// Prints data in this line's format, `usual` by default.
    pub fn show(&self, usual: Format, listing: &Listing) {
        self.ui.show(self.settings.output.unwrap_or(usual), listing);
        self.say_nothing_found(listing.rows.is_empty() && listing.documents.is_empty());
    }

    /// Tells a person that the result is empty; scripts count lines.
    pub fn say_nothing_found(&self, is_empty: bool) {
        if is_empty && self.is_interactive {
            self.ui.say("nothing to show");
        }
    }

    /// Timeout per host reply.
    pub fn timeout(&self) -> Duration {
        self.settings.timeout.unwrap_or(TIMEOUT_DEFAULT)
    }

    /// The slaves that are named, else servers of the command's cluster.
    pub fn target(&self, nodes: &NodeTarget) -> Result<Target, CommandError> {
        if !nodes.id.is_empty() {
            return Ok(Target::Slaves { ids: nodes.id.clone() });
        }
        let cluster = self.cluster_name(nodes.of.name.as_ref())?;
        Ok(Target::Servers { cluster, numbers: nodes.no.clone() })
    }

    /// The cluster of a command: the one named, else the one in use, else the only one. Commands that lose data require a name.
    pub fn cluster_name(&self, named: Option<&ClusterName>) -> Result<ClusterName, CommandError> {
        if let Some(name) = named.or(self.current_cluster.as_ref()) {
            return Ok(name.clone());
        }
        let registered: Vec<ClusterName> = self.inventory()?.clusters.into_keys().collect();
        let which = |what: &str| CommandError::new(&codes::NO_CLUSTER_NAMED, what);
        match registered.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(which("no cluster is registered").next("register cluster -n NAME HOST…")),
            several => {
                let names: Vec<&str> = several.iter().map(|name| name.as_str()).collect();
                Err(which("no cluster specified")
                    .cause(format!("registered are {}", names.join(", ")))
                    .next("add -n NAME, or set a default: use cluster NAME"))
            }
        }
    }

    /// The configuration group of a command, or its cluster if it names none.
    pub fn config_target(&self, of: &OfConfig) -> Result<ConfigTarget, CommandError> {
        match &of.name {
            Some(name) => Ok(ConfigTarget::Config(name.clone())),
            None => Ok(ConfigTarget::Cluster(self.cluster_name(of.cluster.as_ref())?)),
        }
    }

    /// The plan's text in this line's level of detail.
    pub fn plan_text(&self, plan: &Plan) -> String {
        plan.text_in(if self.settings.long { Detail::Full } else { Detail::Grouped })
    }

    /// Asks for confirmation of reversible or disruptive operations. `--yes` confirms; without a terminal only `--yes`
    /// does.
    pub fn confirm(&self, question: &str) -> Result<(), CommandError> {
        if self.settings.yes {
            return Ok(());
        }
        let answer = if self.is_interactive { self.ui.ask_yes(question) } else { Answer::NoTerminal };
        confirmed(answer, "add --yes to apply without asking")
    }

    /// Asks for a word before data is lost. Only the word confirms, typed or given with `--confirm`; `--yes` does not.
    pub fn confirm_word(&self, question: &str, word: &str) -> Result<(), CommandError> {
        match &self.settings.confirm {
            Some(given) if given == word => Ok(()),
            Some(given) => Err(CommandError::new(
                &codes::WRONG_CONFIRMATION,
                format!("--confirm {given} does not match"),
            )
            .now("nothing changed")
            .next(format!("review the plan, then add --confirm {word}"))),
            None => {
                let answer =
                    if self.is_interactive { self.ui.ask_word(question, word) } else { Answer::NoTerminal };
                confirmed(answer, &format!("add --confirm {word}"))
            }
        }
    }
}

fn confirmed(answer: Answer, how: &str) -> Result<(), CommandError> {
    match answer {
        Answer::Yes => Ok(()),
        Answer::No => Err(CommandError::new(&codes::DECLINED, "not confirmed").now("nothing changed")),
        Answer::NoTerminal => Err(CommandError::new(
            &codes::CONFIRMATION_NEEDED,
            "confirmation required, but there is no terminal",
        )
        .now("nothing changed")
        .next(how)),
    }
}
