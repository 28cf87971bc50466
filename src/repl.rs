//! The prompt.

use crate::error::Exit;
use crate::session::Session;

/// Reads and runs lines until the operator leaves.
pub async fn interact(_session: &mut Session) -> Exit {
    Exit::Done
}
