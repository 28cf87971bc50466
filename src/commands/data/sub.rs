//! Sub-keys: a key may have a set of names of other keys, which are keys of their own. Printed and removed recursively.
//!
//! *Invariant:* whatever cycles the names form, each key is visited once, and at most `TREE_KEYS_MAX`. A removal goes from the leaves to
//! the root: one that was interrupted can be repeated.

use std::collections::HashSet;

use bytes::Bytes;
use dkc_core::control::Blob;
use dkc_core::kv::{Fault, Value};

use super::companion::{remove_key, sub_keys};
use super::sealed::{Encrypt, Opener};
use super::server::{Server, fault};
use super::values::{Given, Style, shown};
use super::{answer, quoted, texts, words};
use crate::error::{CommandError, Exit, codes};
use crate::session::Session;
use crate::ui::{Format, Listing, in_one_line};

/// Keys of one tree that are printed or removed at once.
pub const TREE_KEYS_MAX: usize = 10_000;

/// Sub-keys of a key
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "A sub-key is a key of its own whose name stands in its parent's list, a set that Redis clients read with\n\
                  SMEMBERS {PARENT}:subkeys (PARENT::subkeys if PARENT has a {tag}).\n\n\
                  EXAMPLES\n  data sub set -n c0 user:1 user:1/mail ann@example.org\n  data sub list -n c0 user:1\n  \
                  data print -n c0 user:1 --all\n  data rm -n c0 user:1 --all"
)]
pub enum SubCommand {
    /// Store a value and make its key a sub-key
    Set {
        #[arg(add = crate::complete::keys())]
        parent: String,
        #[arg(add = crate::complete::keys())]
        key: String,
        #[command(flatten)]
        given: Given,
        #[command(flatten)]
        encrypt: Encrypt,
    },
    /// Make keys sub-keys, whether or not they exist
    Add {
        #[arg(add = crate::complete::keys())]
        parent: String,
        #[arg(required = true, value_name = "KEY", add = crate::complete::keys())]
        keys: Vec<String>,
    },
    /// Take sub-keys off the list and remove them
    Rm {
        #[arg(add = crate::complete::keys())]
        parent: String,
        #[arg(required = true, value_name = "KEY", add = crate::complete::keys())]
        keys: Vec<String>,
        /// Keep the keys and their values
        #[arg(long, conflicts_with = "all")]
        keep: bool,
        /// Also remove all keys below them
        #[arg(long)]
        all: bool,
    },
    /// List the sub-keys of a key
    List {
        #[arg(add = crate::complete::keys())]
        parent: String,
    },
}

impl SubCommand {
    pub fn is_changing(&self) -> bool {
        !matches!(self, SubCommand::List { .. })
    }

    pub fn values(&self) -> Vec<&str> {
        match self {
            SubCommand::Set { given, .. } => given.value.as_deref().into_iter().collect(),
            _ => Vec::new(),
        }
    }
}

pub async fn run(session: &Session, server: &mut Server, command: SubCommand) -> Result<(), CommandError> {
    match command {
        SubCommand::Set { parent, key, given, encrypt } => {
            let value = encrypt.sealed(session, vec![given.bytes()?])?.remove(0);
            set(server, &parent, &key, value).await?;
            session.ui.say(&format!(
                "{}: stored below {}",
                quoted(key.as_bytes()),
                quoted(parent.as_bytes())
            ));
            Ok(())
        }
        SubCommand::Add { parent, keys } => {
            let names = keys.iter().map(|key| Bytes::from(key.clone()));
            let add = [Bytes::from_static(b"SADD"), sub_keys(&parent)?].into_iter().chain(names).collect();
            let added = answer(&parent, server.run(add).await?)?;
            session.ui.say(&format!("{}: {added} sub-keys added", quoted(parent.as_bytes())));
            Ok(())
        }
        SubCommand::Rm { parent, keys, keep, all } => {
            let names = keys.iter().map(|key| Bytes::from(key.clone()));
            if all {
                let mut tree = Tree::default();
                for key in &keys {
                    tree.collect(server, key).await?;
                }
                remove_tree(session, server, tree, &keys.join(", ")).await?;
            } else if !keep {
                for key in &keys {
                    remove_key(server, key).await?;
                }
            }
            let take_off =
                [Bytes::from_static(b"SREM"), sub_keys(&parent)?].into_iter().chain(names).collect();
            let removed = answer(&parent, server.run(take_off).await?)?;
            let shown = quoted(parent.as_bytes());
            if removed == 0 {
                let what = format!("{shown} had no such sub-keys");
                return Err(CommandError::new(&codes::NO_KEY, what));
            }
            session.ui.say(&format!("{shown}: {removed} sub-keys removed"));
            Ok(())
        }
        SubCommand::List { parent } => {
            let names = list(server, &parent).await?;
            let mut listing = Listing::new(&["key"]);
            for name in &names {
                listing.push(vec![in_one_line(name)], Blob::from_bytes(name));
            }
            match session.settings.output {
                Some(_) => session.show(Format::Table, &listing),
                None => listing.rows.iter().for_each(|row| session.ui.data_line(&row[0])),
            }
            Ok(())
        }
    }
}

/// In one log entry if both keys lie in one slot; otherwise the name comes first, so that no value is out of reach.
async fn set(server: &mut Server, parent: &str, key: &str, value: Vec<u8>) -> Result<(), CommandError> {
    let add = vec![Bytes::from_static(b"SADD"), sub_keys(parent)?, Bytes::from(key.to_owned())];
    let store = vec![Bytes::from_static(b"SET"), Bytes::from(key.to_owned()), value.into()];
    let slot = |key: &str| dkc_core::ring::slot_of(&server.namespace, key.as_bytes());
    if slot(parent) != slot(key) {
        server.run(add).await?;
        server.run(store).await.map_err(|error| {
            error.now(format!("{} is a sub-key already; repeat the command", quoted(key.as_bytes())))
        })?;
        return Ok(());
    }
    let answers = server.run_together(vec![add, store], Vec::new()).await?.unwrap_or_default();
    answers.into_iter().try_for_each(|value| match value {
        Value::Fault(why) => Err(fault(parent, why)),
        _ => Ok(()),
    })
}

/// Names in byte order.
async fn list(server: &mut Server, parent: &str) -> Result<Vec<Vec<u8>>, CommandError> {
    Ok(texts(server.run(vec![Bytes::from_static(b"SMEMBERS"), sub_keys(parent)?]).await?))
}

/// A sub-key has another name, if it stands in the list.
pub async fn rename_below(
    server: &mut Server,
    parent: &str,
    old: &str,
    new: &str,
) -> Result<(), CommandError> {
    let names = sub_keys(parent)?;
    let line = |verb: &'static str, key: &str| {
        vec![Bytes::from_static(verb.as_bytes()), names.clone(), Bytes::from(key.to_owned())]
    };
    if answer(parent, server.run(line("SISMEMBER", old)).await?)? == 0 {
        let what = format!("{} is no sub-key of {}", quoted(old.as_bytes()), quoted(parent.as_bytes()));
        return Err(CommandError::new(&codes::NO_KEY, what)
            .now("the key is renamed, the list of sub-keys is as it was"));
    }
    server.run_together(vec![line("SADD", new), line("SREM", old)], Vec::new()).await?;
    Ok(())
}

/// One key of a tree.
struct Branch {
    key: String,
    depth: usize,
    /// Was met before: what is below it is not looked at again.
    is_again: bool,
    value: Value,
}

/// Keys in the order of a walk from the root.
#[derive(Default)]
pub struct Tree {
    branches: Vec<Branch>,
    seen: HashSet<String>,
}

impl Tree {
    pub async fn collect(&mut self, server: &mut Server, root: &str) -> Result<(), CommandError> {
        let mut waiting = vec![(root.to_owned(), 0)];
        while let Some((key, depth)) = waiting.pop() {
            if !self.seen.insert(key.clone()) {
                self.branches.push(Branch { key, depth, is_again: true, value: Value::Nil });
                continue;
            }
            if self.seen.len() > TREE_KEYS_MAX {
                let what = format!("more than {TREE_KEYS_MAX} keys lie below {}", quoted(root.as_bytes()));
                return Err(CommandError::new(&codes::DATA_REFUSED, what)
                    .now("nothing changed")
                    .next(format!("begin further below: data sub list {root}")));
            }
            let mut asked = vec![words(&["GET", &key])];
            // What can have no sub-keys has none.
            asked.extend(sub_keys(&key).ok().map(|names| vec![Bytes::from_static(b"SMEMBERS"), names]));
            let mut answers = server.run_together(asked, Vec::new()).await?.unwrap_or_default().into_iter();
            let value = answers.next().unwrap_or(Value::Nil);
            let names = texts(answers.next().unwrap_or(Value::Nil));
            let names = names.into_iter().filter_map(|name| String::from_utf8(name).ok());
            let below: Vec<_> = names.map(|name| (name, depth + 1)).collect();
            waiting.extend(below.into_iter().rev());
            self.branches.push(Branch { key, depth, is_again: false, value });
        }
        Ok(())
    }
}

/// `"k" => "v"`, then what is below it, indented and with a `+`.
pub async fn print_tree(
    session: &Session,
    server: &mut Server,
    root: &str,
    style: Style,
    opener: &mut Option<Opener>,
) -> Result<(), CommandError> {
    let mut tree = Tree::default();
    tree.collect(server, root).await?;
    let is_missing = tree.branches.len() == 1 && tree.branches[0].value == Value::Nil;
    let mut listing = Listing::new(&["depth", "key", "value"]);
    for branch in tree.branches {
        let value = match (branch.value, opener.as_mut()) {
            (Value::Text(bytes), Some(opener)) => Some(opener.open(bytes.into())?),
            (Value::Text(bytes), None) => Some(bytes.to_vec()),
            _ if branch.is_again => None,
            (Value::Fault(Fault::WrongType), _) => {
                line(session, &branch.key, branch.depth, "not a string (data attr)");
                continue;
            }
            _ => None,
        };
        let told = match (&value, branch.is_again) {
            (_, true) => "see above".to_owned(),
            (Some(value), _) => shown(value, style),
            (None, _) => "value is not found".to_owned(),
        };
        match session.settings.output {
            None => line(session, &branch.key, branch.depth, &told),
            Some(_) => {
                let row = vec![branch.depth.to_string(), branch.key.clone(), told];
                let blob = value.as_deref().map(Blob::from_bytes);
                listing.push(
                    row,
                    serde_json::json!({ "key": branch.key, "depth": branch.depth, "value": blob }),
                );
            }
        }
    }
    if session.settings.output.is_some() {
        session.show(Format::Table, &listing);
    }
    if is_missing { Err(CommandError::silent(Exit::Failed)) } else { Ok(()) }
}

fn line(session: &Session, key: &str, depth: usize, told: &str) {
    let plus = if depth > 0 { "+" } else { "" };
    session.ui.data_line(&format!("{}{plus}{} => {told}", "  ".repeat(depth), quoted(key.as_bytes())));
}

/// Removes keys with all that is below them, after a question.
pub async fn remove_all(session: &Session, server: &mut Server, keys: &[String]) -> Result<(), CommandError> {
    let mut tree = Tree::default();
    for key in keys {
        tree.collect(server, key).await?;
    }
    remove_tree(session, server, tree, &keys.join(", ")).await
}

async fn remove_tree(
    session: &Session,
    server: &mut Server,
    tree: Tree,
    roots: &str,
) -> Result<(), CommandError> {
    let keys: Vec<&Branch> = tree.branches.iter().filter(|branch| !branch.is_again).collect();
    if keys.len() > 1 {
        session.confirm(&format!("Remove {} keys, {roots} and all below?", keys.len()))?;
    }
    let mut removed = 0;
    for branch in keys.iter().rev() {
        let outcome = remove_key(server, &branch.key).await;
        removed += usize::from(
            outcome.map_err(|error| error.now(format!("{removed} of {} keys are removed", keys.len())))?,
        );
    }
    if removed == 0 {
        return Err(CommandError::new(&codes::NO_KEY, format!("{roots} => value is not found")));
    }
    session.ui.say(&format!("{removed} keys removed"));
    Ok(())
}
