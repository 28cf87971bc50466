//! Enrols at whichever server of the token does it. A machine that has just booted may have no route or a wrong clock for a moment, and a
//! cluster may be electing, so this tries again for a while; a refusal is final.

use std::time::Duration;

use dkc_core::token::JoinToken;
use tokio::time::Instant;

use super::{JoinError, StagedKey};
use crate::net::enrol::{EnrolError, Enrolled, enrol};

/// How long a machine tries while no server answers.
const TRY_MAX: Duration = Duration::from_secs(60);
/// Pause after all servers were asked.
const PAUSE: Duration = Duration::from_secs(1);

/// Asks one server after another. A server that lags behind may not know a token yet, so a refusal counts when all were asked.
pub async fn enrol_somewhere(token: &JoinToken, key: &StagedKey) -> Result<Enrolled, JoinError> {
    enrol_within(token, key, TRY_MAX).await
}

async fn enrol_within(token: &JoinToken, key: &StagedKey, limit: Duration) -> Result<Enrolled, JoinError> {
    let request = key.request()?;
    let until = Instant::now() + limit;
    loop {
        let mut errors = Vec::new();
        for server in &token.servers {
            match enrol(token, server, &request).await {
                Ok(enrolled) => return Ok(enrolled),
                Err(error) => errors.push(error),
            }
        }
        if let Some(at) = errors.iter().position(EnrolError::is_final) {
            return Err(JoinError::Refused(errors.swap_remove(at)));
        }
        if Instant::now() + PAUSE >= until {
            return Err(JoinError::NotNow(errors));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use dkc_core::token::{Secret, TokenId};

    use super::*;

    #[test]
    fn nobody_reachable_is_said_with_every_server_and_without_the_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = StagedKey::at(&folder.path().join("key.pem")).expect("a key");
        // Nobody listens there.
        let servers =
            vec!["127.0.0.1:1".parse().expect("an address"), "127.0.0.2:1".parse().expect("an address")];
        let token = JoinToken {
            cluster: "11111111-1111-4111-8111-111111111111".parse().expect("an id"),
            id: TokenId(uuid::Uuid::nil()),
            secret: Secret([0xa5; 32]),
            authorities: vec![[3; 32]],
            servers,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let error =
            runtime.block_on(enrol_within(&token, &key, Duration::ZERO)).expect_err("nobody is there");
        let said = error.to_string();
        assert!(
            said.contains("127.0.0.1:1") && said.contains("127.0.0.2:1") && !said.contains("165"),
            "{said}"
        );
        assert_eq!(error.exit_status(), 1, "a service manager tries again");
    }
}
