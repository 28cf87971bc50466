//! The prompt for the keys of one cluster: `data` without an operation. Its lines are read by the same loop as all others.

use std::time::{Duration, Instant};

use bytes::Bytes;
use dkc_core::control::DataRequest;
use dkc_core::ids::{ClusterName, Namespace};
use dkc_core::kv::Reply;

use super::KEYS_PAGE;
use super::server::Server;
use crate::error::{CommandError, Exit, codes};
use crate::session::{DataPrompt, Session};

/// A prompt whose commands are those of `data`.
pub async fn open(
    session: &mut Session,
    cluster: ClusterName,
    namespace: Namespace,
) -> Result<(), CommandError> {
    if !session.is_interactive {
        return Err(CommandError::new(&codes::USAGE, "which operation?")
            .next("data set|print|rm|keys|…     (help data lists all)"));
    }
    // A cluster that does not answer is reported before the prompt, not with every line of it.
    Server::find(session, cluster.clone(), namespace.clone()).await?;
    session.ui.say("`help` lists the operations, Tab completes keys, `quit` or Ctrl-D goes back.");
    let outer = session.data_prompt.replace(DataPrompt { cluster, namespace });
    let exit = (session.command_loop)(session).await;
    session.data_prompt = outer;
    if exit == Exit::Done { Ok(()) } else { Err(CommandError::silent(exit)) }
}

/// Keys of the cluster of a data prompt that begin so; what cannot be had in time is left out.
pub async fn keys_with_prefix(session: &Session, prefix: &str, limit: usize, time: Duration) -> Vec<String> {
    let until = Instant::now() + time;
    let Some(DataPrompt { cluster, namespace }) = session.data_prompt.clone() else { return Vec::new() };
    let Ok(mut server) = Server::find(session, cluster, namespace).await else { return Vec::new() };
    let (mut found, mut cursor) = (Vec::new(), None);
    while found.len() < limit {
        let (namespace, prefix) = (server.namespace.clone(), Bytes::from(prefix.to_owned()));
        let request = DataRequest::Keys { namespace, prefix, cursor: cursor.take(), limit: KEYS_PAGE };
        let left = until.saturating_duration_since(Instant::now());
        let Ok(Ok(Reply::Keys { keys, next })) = tokio::time::timeout(left, server.ask(request)).await else {
            break;
        };
        found.extend(keys.into_iter().filter_map(|key| String::from_utf8(key.to_vec()).ok()));
        match next {
            Some(next) => cursor = Some(next),
            None => break,
        }
    }
    found.truncate(limit);
    found
}
