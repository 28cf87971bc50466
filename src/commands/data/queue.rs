//! Queues and key-queues. A queue is a list; a key-queue is a list in which a key stands before each value. What is pushed goes to the
//! end; FIFO takes the oldest, from the beginning, LIFO the newest, from the end.
//!
//! *Invariant:* a push, a pop and a removal are one log entry each.

use bytes::Bytes;
use dkc_core::kv::Value;

use super::sealed::{Decrypt, Encrypt};
use super::server::{Server, fault};
use super::values::{Style, of_word, print_elements};
use super::{answer, quoted, texts, words};
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;

/// Elements of one page of a dump.
const PAGE: u64 = 500;
/// Elements popped at once.
const POP_MAX: u64 = 10_000;

/// Queues
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "A queue is a list: Redis clients use it with RPUSH, LPOP, RPOP, LLEN and LRANGE.\n\n\
                  EXAMPLES\n  data queue push -n c0 jobs first second\n  data queue pop -n c0 jobs\n  \
                  data queue pop -n c0 jobs --lifo --count 10\n  data queue dump -n c0 jobs"
)]
pub enum QueueCommand {
    /// Add values at the end
    Push {
        #[arg(value_name = "NAME", add = crate::complete::keys())]
        queue: String,
        /// The values; - reads one from standard input, -- precedes values that begin with a dash
        #[arg(required = true, value_name = "VALUE")]
        values: Vec<String>,
        #[command(flatten)]
        encrypt: Encrypt,
    },
    /// Take elements out and print them
    Pop(Pop),
    /// Remove elements without printing them
    #[command(visible_alias = "rm")]
    Remove(Remove),
    /// Print the number of elements
    Length(OfQueue),
    /// Print elements and leave them
    Dump(Dump),
}

/// Queues of keys with values
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "A key-queue is a list in which a key stands before each value: Redis clients push both with one RPUSH and pop both\n\
                  with LPOP NAME 2. Its keys are elements, not keys of the cluster.\n\n\
                  EXAMPLES\n  data keyqueue push -n c0 mail user:1 hello\n  data keyqueue pop -n c0 mail\n  \
                  data keyqueue length -n c0 mail"
)]
pub enum KeyQueueCommand {
    /// Add a key and its value at the end
    Push {
        #[arg(value_name = "NAME", add = crate::complete::keys())]
        queue: String,
        #[arg(value_name = "KEY")]
        element: String,
        #[command(flatten)]
        given: super::values::Given,
        #[command(flatten)]
        encrypt: Encrypt,
    },
    /// Take keys with their values out and print them
    Pop(Pop),
    /// Remove elements without printing them
    #[command(visible_alias = "rm")]
    Remove(Remove),
    /// Print the number of elements
    Length(OfQueue),
    /// Print elements and leave them
    Dump(Dump),
}

// A queue and nothing else.
#[derive(Debug, clap::Args)]
pub struct OfQueue {
    #[arg(value_name = "NAME", add = crate::complete::keys())]
    queue: String,
}

#[derive(Debug, clap::Args)]
pub struct Pop {
    #[arg(value_name = "NAME", add = crate::complete::keys())]
    queue: String,
    /// Take the newest, not the oldest
    #[arg(long)]
    lifo: bool,
    /// Number of elements
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=POP_MAX))]
    count: u64,
    #[command(flatten)]
    style: Style,
    #[command(flatten)]
    decrypt: Decrypt,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    #[arg(value_name = "NAME", add = crate::complete::keys())]
    queue: String,
    /// Number of elements
    #[arg(value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    count: u64,
    /// The newest, not the oldest
    #[arg(long)]
    lifo: bool,
}

#[derive(Debug, clap::Args)]
pub struct Dump {
    #[arg(value_name = "NAME", add = crate::complete::keys())]
    queue: String,
    /// Maximum number of elements, from the oldest
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    #[command(flatten)]
    style: Style,
    #[command(flatten)]
    decrypt: Decrypt,
}

impl QueueCommand {
    pub fn is_changing(&self) -> bool {
        !matches!(self, QueueCommand::Length(_) | QueueCommand::Dump(_))
    }

    pub fn values(&self) -> Vec<&str> {
        match self {
            QueueCommand::Push { values, .. } => values.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        }
    }
}

impl KeyQueueCommand {
    pub fn is_changing(&self) -> bool {
        !matches!(self, KeyQueueCommand::Length(_) | KeyQueueCommand::Dump(_))
    }

    pub fn values(&self) -> Vec<&str> {
        match self {
            KeyQueueCommand::Push { given, .. } => given.value.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

/// How many elements of the list one element of the queue takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Width {
    Value = 1,
    KeyAndValue = 2,
}

pub async fn run(session: &Session, server: &mut Server, command: QueueCommand) -> Result<(), CommandError> {
    match command {
        QueueCommand::Push { queue: name, values, encrypt } => {
            let values = values.iter().map(|value| of_word(value)).collect::<Result<_, _>>()?;
            let values = encrypt.sealed(session, values)?;
            push(session, server, &name, values, Width::Value).await
        }
        QueueCommand::Pop(args) => pop(session, server, args, Width::Value).await,
        QueueCommand::Remove(args) => remove(session, server, args, Width::Value).await,
        QueueCommand::Length(args) => length(session, server, &args.queue, Width::Value).await,
        QueueCommand::Dump(args) => dump(session, server, args, Width::Value).await,
    }
}

pub async fn run_keys(
    session: &Session,
    server: &mut Server,
    command: KeyQueueCommand,
) -> Result<(), CommandError> {
    match command {
        KeyQueueCommand::Push { queue: name, element, given, encrypt } => {
            let value = encrypt.sealed(session, vec![given.bytes()?])?.remove(0);
            elements_of(server, &name, Width::KeyAndValue).await?;
            push(session, server, &name, vec![element.into_bytes(), value], Width::KeyAndValue).await
        }
        KeyQueueCommand::Pop(args) => pop(session, server, args, Width::KeyAndValue).await,
        KeyQueueCommand::Remove(args) => remove(session, server, args, Width::KeyAndValue).await,
        KeyQueueCommand::Length(args) => length(session, server, &args.queue, Width::KeyAndValue).await,
        KeyQueueCommand::Dump(args) => dump(session, server, args, Width::KeyAndValue).await,
    }
}

async fn push(
    session: &Session,
    server: &mut Server,
    name: &str,
    values: Vec<Vec<u8>>,
    width: Width,
) -> Result<(), CommandError> {
    let line = words(&["RPUSH", name]).into_iter().chain(values.into_iter().map(Bytes::from)).collect();
    let length = answer(name, server.run(line).await?)?;
    session.ui.say(&format!("{}: {} elements", quoted(name.as_bytes()), length as u64 / width as u64));
    Ok(())
}

async fn pop(session: &Session, server: &mut Server, args: Pop, width: Width) -> Result<(), CommandError> {
    let mut opener = args.decrypt.opener(session)?;
    elements_of(server, &args.queue, width).await?;
    let verb = if args.lifo { "RPOP" } else { "LPOP" };
    let count = (args.count * width as u64).to_string();
    let mut taken = texts(server.run(words(&[verb, &args.queue, &count])).await?);
    if width == Width::KeyAndValue && args.lifo {
        // The newest comes first, and so the value before its key.
        taken.chunks_mut(2).for_each(<[Vec<u8>]>::reverse);
    }
    if taken.is_empty() {
        if session.settings.output.is_none() && !args.style.raw {
            session.ui.data_line(&format!("{} => queue is empty", quoted(args.queue.as_bytes())));
        }
        return Err(CommandError::silent(Exit::Failed));
    }
    print_elements(session, &args.queue, in_elements(taken, width), args.style, &mut opener)
}

/// The list taken as elements.
fn in_elements(taken: Vec<Vec<u8>>, width: Width) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    match width {
        Width::Value => taken.into_iter().map(|value| (None, value)).collect(),
        Width::KeyAndValue => {
            let pair = |pair: &[Vec<u8>]| (Some(pair[0].clone()), pair[1].clone());
            taken.chunks_exact(2).map(pair).collect()
        }
    }
}

/// Elements of the queue. Refuses a list in which keys and values cannot stand in turn.
async fn elements_of(server: &mut Server, name: &str, width: Width) -> Result<u64, CommandError> {
    let length = answer(name, server.run(words(&["LLEN", name])).await?)? as u64;
    if !length.is_multiple_of(width as u64) {
        let what = format!("{} is no key-queue: its list has {length} elements", quoted(name.as_bytes()));
        return Err(CommandError::new(&codes::DATA_REFUSED, what)
            .now("nothing changed")
            .next(format!("data queue dump {name}")));
    }
    Ok(length / width as u64)
}

async fn remove(
    session: &Session,
    server: &mut Server,
    args: Remove,
    width: Width,
) -> Result<(), CommandError> {
    let name = &args.queue;
    elements_of(server, name, width).await?;
    let count = args.count * width as u64;
    let (first, last) = if args.lifo {
        ("0".to_owned(), format!("-{}", count + 1))
    } else {
        (count.to_string(), "-1".into())
    };
    let (length, trim) = (words(&["LLEN", name]), words(&["LTRIM", name, &first, &last]));
    let answers = server.run_together(vec![length.clone(), trim, length], Vec::new()).await?;
    let numbers = answers.unwrap_or_default().into_iter().map(|value| match value {
        Value::Fault(why) => Err(fault(name, why)),
        Value::Integer(number) => Ok(number as u64),
        _ => Ok(0),
    });
    let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
    let [before, _, after] = numbers[..] else {
        return Err(CommandError::bug("unexpected answer to a transaction"));
    };
    let (removed, left) = ((before - after) / width as u64, after / width as u64);
    session.ui.say(&format!("{}: {removed} elements removed, {left} left", quoted(name.as_bytes())));
    if removed == 0 { Err(CommandError::silent(Exit::Failed)) } else { Ok(()) }
}

async fn length(
    session: &Session,
    server: &mut Server,
    name: &str,
    width: Width,
) -> Result<(), CommandError> {
    let length = elements_of(server, name, width).await?;
    super::print_number(session, name, length);
    Ok(())
}

async fn dump(session: &Session, server: &mut Server, args: Dump, width: Width) -> Result<(), CommandError> {
    let mut opener = args.decrypt.opener(session)?;
    elements_of(server, &args.queue, width).await?;
    let width_elements = width as u64;
    let mut all = Vec::new();
    while (all.len() as u64) < args.limit {
        let at = all.len() as u64;
        let count = PAGE.min(args.limit - at);
        let (first, last) = (at * width_elements, (at + count) * width_elements - 1);
        let range = words(&["LRANGE", &args.queue, &first.to_string(), &last.to_string()]);
        let page = in_elements(texts(server.run(range).await?), width);
        let is_end = (page.len() as u64) < count;
        all.extend(page);
        if is_end {
            break;
        }
    }
    session.say_nothing_found(all.is_empty());
    print_elements(session, &args.queue, all, args.style, &mut opener)
}
