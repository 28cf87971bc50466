//! Tokens whose time has come are marked in the meta group's log, by its leader. Without this a token that nobody shows would count as
//! alive until the next entry about tokens, and a server with a late clock could still redeem it.

use std::sync::Arc;
use std::time::Duration;

use dkc_core::meta::MetaCommand;

use super::meta_group::MetaGroup;
use crate::clock;

/// Interval of looks at the tokens; each is one pass over a bounded table in memory.
const LOOK: Duration = Duration::from_secs(5);
/// Timeout of a proposal, which is repeated.
const PROPOSE_MAX: Duration = Duration::from_secs(2);

/// Marks expired tokens, for as long as it is polled. A token that is marked is not looked at again: no entry without an effect.
pub async fn keep_tokens_swept(meta: Arc<MetaGroup>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let now_ms = clock::now_ms();
        if !meta.group().is_leader() || !meta.state().has_overdue_token(now_ms) {
            continue;
        }
        if let Err(error) = meta.propose_here(&MetaCommand::ExpireTokens { now_ms }, PROPOSE_MAX).await {
            tracing::debug!(?error, "expired tokens not marked; will retry");
        }
    }
}
