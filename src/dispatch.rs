//! Which code a command runs and what it touches: the only place besides `enum Command` that lists all verbs.

use crate::cli::{self, Command};
use crate::commands::*;
use crate::error::CommandError;
use crate::session::Session;

/// What a command touches. It decides auditing and the effect of Ctrl-C.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Reads only: not audited, Ctrl-C ends it at once.
    Read,
    /// Changes the inventory on this machine.
    Local,
    /// Changes hosts or data; the first Ctrl-C stops it at the next safe point.
    Remote,
    /// Opens its own prompt; Ctrl-C goes to the commands there.
    Nested,
}

impl Command {
    pub fn kind(&self) -> Effect {
        match self {
            Command::Register(_)
            | Command::Unregister(_)
            | Command::Modify(_)
            | Command::Undo(_)
            | Command::Adopt(_)
            | Command::Trust(trust::Args::Update { .. })
            | Command::Plan(plan::Args::Discard { .. })
            | Command::Lock(lock::Args::Break) => Effect::Local,
            Command::Ring(args) if args.is_changing() => Effect::Remote,
            Command::Tls(args) if args.is_changing() => Effect::Remote,
            Command::Token(args) if args.is_changing() => Effect::Remote,
            Command::Data(args) if args.is_changing() => Effect::Remote,
            Command::Backup(args) if args.is_changing() => Effect::Remote,
            Command::Restore(_)
            | Command::Recover(_)
            | Command::Join(_)
            | Command::Deploy(_)
            | Command::Apply(_)
            | Command::Launch(_)
            | Command::Start(_)
            | Command::Stop(_)
            | Command::Restart(_)
            | Command::Upgrade(_)
            | Command::Destroy(_)
            | Command::Grow(_)
            | Command::Shrink(_)
            | Command::Replace(_)
            | Command::Detach(_)
            | Command::Attach(_)
            | Command::Plan(plan::Args::Apply { .. })
            | Command::Exec(_)
            | Command::Resume(_) => Effect::Remote,
            Command::Playground(_) | Command::Data(data::Args { command: None, .. }) => Effect::Nested,
            _ => Effect::Read,
        }
    }
}

/// Runs one command.
pub async fn dispatch(session: &mut Session, command: Command) -> Result<(), CommandError> {
    match command {
        Command::Register(args) => register::run(session, args).await,
        Command::Unregister(args) => unregister::run(session, args).await,
        Command::Modify(args) => modify::run(session, args).await,
        Command::Show(args) => show::run(session, args).await,
        Command::List(args) => list::run(session, args).await,
        Command::History(args) => history::run(session, args).await,
        Command::Undo(args) => undo::run(session, args).await,
        Command::Check(args) => check::run(session, args).await,
        Command::Diff(args) => diff::run(session, args).await,
        Command::Apply(args) => apply::run(session, args).await,
        Command::Deploy(args) => deploy::run(session, args).await,
        Command::Launch(args) => launch::run(session, args).await,
        Command::Start(args) => start::run(session, args).await,
        Command::Stop(args) => stop::run(session, args).await,
        Command::Restart(args) => restart::run(session, args).await,
        Command::Upgrade(args) => upgrade::run(session, args).await,
        Command::Grow(args) => grow::run(session, args).await,
        Command::Shrink(args) => shrink::run(session, args).await,
        Command::Replace(args) => replace::run(session, args).await,
        Command::Detach(args) => detach::run(session, args).await,
        Command::Attach(args) => attach::run(session, args).await,
        Command::Plan(args) => plan::run(session, args).await,
        Command::Destroy(args) => destroy::run(session, args).await,
        Command::Status(args) => status::run(session, args).await,
        Command::Top(args) => top::run(session, args).await,
        Command::Metrics(args) => metrics::run(session, args).await,
        Command::Ring(args) => ring::run(session, args).await,
        Command::Data(args) => data::run(session, args).await,
        Command::Backup(args) => backup::run(session, args).await,
        Command::Recover(args) => recover::run(session, args).await,
        Command::Restore(args) => restore::run(session, args).await,
        Command::Bench(args) => bench::run(session, args).await,
        Command::Playground(args) => playground::run(session, args).await,
        Command::Exec(args) => exec::run(session, args).await,
        Command::Logs(args) => logs::run(session, args).await,
        Command::Tls(args) => tls::run(session, args).await,
        Command::Token(args) => token::run(session, args).await,
        Command::Userdata(args) => userdata::run(session, args).await,
        Command::Join(args) => join::run(session, args).await,
        Command::Adopt(args) => adopt::run(session, args).await,
        Command::Trust(args) => trust::run(session, args).await,
        Command::Resume(args) => resume::run(session, args).await,
        Command::Use(args) => r#use::run(session, args).await,
        Command::Set(args) => set::run(session, args).await,
        Command::Audit(args) => audit::run(session, args).await,
        Command::Lock(args) => lock::run(session, args).await,
        Command::Symbolize(args) => symbolize::run(session, args).await,
        Command::Explain(args) => explain::run(session, args).await,
        Command::Completion(args) => completion::run(session, args).await,
        Command::Help(args) => help::run(session, args, cli::line()).await,
        Command::Quit(args) => quit::run(session, args).await,
        Command::Generate(args) => generate::run(session, args, &cli::program()).await,
    }
}
