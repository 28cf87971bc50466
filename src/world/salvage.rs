//! The process on a host that reads the directory of a stopped server (`dkcd salvage`), begun where it does not run yet.

use std::time::Duration;

use dkc_core::control::{ControlReply, ControlRequest};
use dkc_core::salvage::SalvagedServer;

use super::{ControlClient, Host, Input, Script, WorldError};

/// It applies what a start would replay before it answers.
const BEGIN_LIMIT: Duration = Duration::from_secs(120);
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// $1 directory. Returns when the process in the background answers.
const BEGIN: &str = r#"exec "$1/dkcd" salvage --dir "$1""#;

/// A stopped server that is being read.
pub struct Salvager {
    pub client: ControlClient,
    pub found: SalvagedServer,
}

impl Host {
    /// One that an interrupted command has begun goes on.
    pub async fn salvager(&self, dir: &str) -> Result<Salvager, WorldError> {
        if let Ok(salvager) = self.salvager_there(dir).await {
            return Ok(salvager);
        }
        let arguments = [dir];
        let what = "read the stopped server";
        let script =
            Script { what, text: BEGIN, arguments: &arguments, input: Input::Nothing, limit: BEGIN_LIMIT };
        let output = self.run_as_owner(dir, script).await?;
        if output.status != 0 {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(WorldError::Failed {
                host: self.address().clone(),
                what,
                status: output.status,
                stderr,
            });
        }
        self.salvager_there(dir).await
    }

    async fn salvager_there(&self, dir: &str) -> Result<Salvager, WorldError> {
        let mut client = self.control(dir).await?;
        match client.ask(&ControlRequest::Salvage, ANSWER_LIMIT).await? {
            ControlReply::Salvaged(found) => Ok(Salvager { client, found: *found }),
            ControlReply::Error { message, .. } => Err(self.no_salvager(dir, message)),
            _ => Err(self.no_salvager(dir, "unexpected reply".into())),
        }
    }

    fn no_salvager(&self, dir: &str, reason: String) -> WorldError {
        WorldError::NoDaemon { host: self.address().clone(), dir: dir.into(), reason }
    }
}

impl Salvager {
    /// It ends automatically, too, when nobody asks any more; so a failure is none of the caller.
    pub async fn end(mut self) {
        let _ = self.client.ask(&ControlRequest::EndSalvage, ANSWER_LIMIT).await;
    }
}
