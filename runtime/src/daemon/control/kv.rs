//! Key-value operations through the control socket: JSON in, JSON out, and the same routing as every slave's.

use bytes::Bytes;
use dkc_core::control::{ControlReply, DataRequest};
use dkc_core::ids::{Namespace, TabletId};
use dkc_core::kv::{Command, KEY_MAX_BYTES, Key, Operation, Operations, Read, Reply, Write};
use dkc_core::resp;

use super::ServerControl;
use crate::chance;
use crate::control::refusal;
use crate::router::RouteError;

/// Most keys in one reply; the caller continues with the cursor.
const KEYS_MAX: u32 = 10_000;
/// Most keys scanned for one reply when few have the wanted prefix: bounds the request.
pub(super) const SCANS_MAX: u32 = 64;

/// Most commands of one request.
const COMMANDS_MAX: usize = 1000;

/// An error reply.
pub(super) enum Failed {
    Bad(String),
    Route(RouteError),
}
impl From<RouteError> for Failed {
    fn from(error: RouteError) -> Failed {
        Failed::Route(error)
    }
}

impl ServerControl {
    pub async fn data(&self, request: DataRequest) -> ControlReply {
        match self.try_data(request).await {
            Ok(reply) => ControlReply::Data(reply),
            Err(error) => failed(error),
        }
    }

    async fn try_data(&self, request: DataRequest) -> Result<Reply, Failed> {
        match request {
            DataRequest::Command(command) => {
                check_key(&command)?;
                Ok(self.router.execute(command).await?)
            }
            DataRequest::Keys { namespace, prefix, cursor, limit } => {
                self.keys(namespace, &prefix, cursor.as_deref(), limit.clamp(1, KEYS_MAX)).await
            }
            DataRequest::Count { namespace } => self.count(namespace).await,
            DataRequest::Run { namespace, commands, watched } => {
                let command = as_command(namespace, &commands, watched)?;
                Ok(self.router.execute(command).await?)
            }
        }
    }

    async fn count(&self, namespace: Namespace) -> Result<Reply, Failed> {
        let command = Command::Read(Read::Count { namespace });
        let (mut records, mut bytes) = (0, 0);
        for reply in self.router.execute_everywhere(command).await? {
            if let Reply::Count { records: r, bytes: b } = reply? {
                records += r;
                bytes += b;
            }
        }
        Ok(Reply::Count { records, bytes })
    }

    /// Keys tablet by tablet. The cursor names the tablet and the last key seen in it.
    async fn keys(
        &self,
        namespace: Namespace,
        prefix: &[u8],
        cursor: Option<&[u8]>,
        limit: u32,
    ) -> Result<Reply, Failed> {
        let mut at = cursor.map_or(Ok(Cursor::default()), Cursor::parse)?;
        let tablets = self.router.tablets().await?;
        let mut found = Vec::new();
        for _ in 0..SCANS_MAX {
            let Some(scanned) = self.scan(&tablets, at, &namespace, limit - found.len() as u32).await? else {
                return Ok(Reply::Keys { keys: found, next: None });
            };
            found.extend(scanned.keys.into_iter().filter(|key| key.starts_with(prefix)));
            at = scanned.next;
            if found.len() as u32 >= limit {
                break;
            }
        }
        let is_end = tablets.iter().all(|tablet| *tablet < at.tablet);
        Ok(Reply::Keys { keys: found, next: (!is_end).then(|| at.text().into()) })
    }

    /// A page of the keys after a cursor, all of one tablet. `None` after the last tablet.
    pub(super) async fn scan(
        &self,
        tablets: &[TabletId],
        at: Cursor,
        namespace: &Namespace,
        limit: u32,
    ) -> Result<Option<Scanned>, Failed> {
        let Some(tablet) = tablets.iter().copied().find(|tablet| *tablet >= at.tablet) else {
            return Ok(None);
        };
        let after = if tablet == at.tablet { at.after.into() } else { Bytes::new() };
        let read = Read::Scan { namespace: namespace.clone(), after, limit };
        let Reply::Keys { keys, next } = self.router.execute_on(tablet, Command::Read(read)).await? else {
            return Err(Failed::Bad("unexpected reply to a scan".into()));
        };
        let next = match next {
            Some(after) => Cursor { tablet, after: after.to_vec() },
            None => Cursor { tablet: TabletId(tablet.0 + 1), after: Vec::new() },
        };
        Ok(Some(Scanned { tablet, keys, next }))
    }
}

/// Keys of one tablet, and where to continue.
pub(super) struct Scanned {
    pub tablet: TabletId,
    pub keys: Vec<Bytes>,
    pub next: Cursor,
}

pub(super) fn failed(error: Failed) -> ControlReply {
    match error {
        Failed::Bad(why) => refusal(why),
        Failed::Route(error) => {
            ControlReply::Error { is_outcome_unknown: error.is_outcome_unknown(), message: error.to_string() }
        }
    }
}

/// Commands of RESP as one entry or one read. Those on a connection, on all keys or with a wait are none.
fn as_command(
    namespace: Namespace,
    commands: &[Vec<Bytes>],
    watched: Option<Vec<(Bytes, u64)>>,
) -> Result<Command, Failed> {
    if commands.is_empty() || commands.len() > COMMANDS_MAX || commands.len() > 1 && watched.is_none() {
        return Err(Failed::Bad(format!("1 to {COMMANDS_MAX} commands, several only with `watched`")));
    }
    let mut all = Vec::with_capacity(commands.len());
    for words in commands {
        match resp::request(words, chance::unique_u64()) {
            Ok(resp::Request::Operation(operation)) => all.push(operation),
            Ok(_) => return Err(Failed::Bad(format!("{} is not a command on keys", shown(&words[0])))),
            Err(why) => return Err(Failed::Bad(why.into_owned())),
        }
    }
    let watched_keys = watched.iter().flatten().map(|(key, _)| key);
    for key in all.iter().flat_map(Operation::keys).chain(watched_keys) {
        check_key_bytes(key)?;
    }
    let key = Key { namespace, bytes: all[0].key.clone() };
    let operations = Box::new(Operations { key, watched, all });
    Ok(match operations.is_write() {
        true => Command::Write(Write::Operations(operations)),
        false => Command::Read(Read::Operations(operations)),
    })
}

fn check_key(command: &Command) -> Result<(), Failed> {
    check_key_bytes(command.key().map_or(&[], |key| &key.bytes))
}

/// Checked before routing: an empty or oversized key has no tablet.
pub(super) fn check_key_bytes(key: &[u8]) -> Result<(), Failed> {
    let bytes = key.len();
    match bytes {
        1..=KEY_MAX_BYTES => Ok(()),
        _ => Err(Failed::Bad(format!("a key has 1 to {KEY_MAX_BYTES} bytes, this one has {bytes}"))),
    }
}

/// `TABLET:HEX`, opaque to callers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Cursor {
    pub tablet: TabletId,
    pub after: Vec<u8>,
}

impl Cursor {
    pub fn text(&self) -> String {
        format!("{}:{}", self.tablet, hex::encode(&self.after))
    }

    pub fn parse(cursor: &[u8]) -> Result<Cursor, Failed> {
        let text = String::from_utf8_lossy(cursor);
        let parse = || {
            let (tablet, after) = text.split_once(':')?;
            Some(Cursor { tablet: tablet.parse().ok()?, after: hex::decode(after).ok()? })
        };
        let shown = || text.chars().take(80).collect::<String>();
        parse().ok_or_else(|| Failed::Bad(format!("invalid cursor '{}'", shown())))
    }
}

pub(super) fn not_given_out(cursor: &str) -> Failed {
    Failed::Bad(format!("'{}' is not a cursor that was given out", shown(cursor.as_bytes())))
}

/// The beginning of a key or of what a caller sent, for an error.
pub(super) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commands_on_keys_are_carried_out_and_several_only_together() {
        let check = |lines: &[&str], watched: Option<Vec<(Bytes, u64)>>, want: &str| {
            let split = |line: &&str| line.split(' ').map(|word| word.to_owned().into()).collect();
            let commands: Vec<Vec<Bytes>> = lines.iter().map(split).collect();
            let got = match as_command(Namespace::default(), &commands, watched) {
                Ok(Command::Read(_)) => "read".to_owned(),
                Ok(Command::Write(_)) => "write".to_owned(),
                Err(Failed::Bad(why)) => why,
                Err(Failed::Route(error)) => error.to_string(),
            };
            assert!(got.contains(want), "{lines:?}: {got}");
        };
        check(&["LLEN q"], None, "read");
        check(&["LLEN q", "LPOP q"], Some(vec![]), "write");
        check(&["LLEN q", "LPOP q"], None, "several only with");
        check(&[], Some(vec![]), "1 to 1000 commands");
        check(&["FLUSHALL"], None, "FLUSHALL is not a command on keys");
        check(&["BLPOP q 0"], None, "BLPOP is not a command on keys");
        check(&["LPOP"], None, "wrong number of arguments");
        check(&["GET "], None, "a key has 1 to");
        check(&["GET k"], Some(vec![(Bytes::new(), 0)]), "a key has 1 to");
    }

    #[test]
    fn a_cursor_reads_back_as_written_and_nothing_else_is_one() {
        for cursor in [Cursor::default(), Cursor { tablet: TabletId(7), after: vec![0, 255, 16] }] {
            assert_eq!(Cursor::parse(cursor.text().as_bytes()).ok(), Some(cursor));
        }
        for text in ["", "7", "x:00", "7:0", "7:zz", "7:é"] {
            assert!(Cursor::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
