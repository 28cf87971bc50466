//! A peer without a certificate, who may do one thing: show a token and ask for a certificate. All of it happens in its handshake
//! slot and within the handshake's time, in frames as small as those before Hello.
//!
//! ```text
//! server: AnchorsAre (PEM)   newcomer, once it trusts them: Enrol   server: EnrolAnswer, and the connection ends
//! ```
//!
//! *Invariant:* whatever else a newcomer sends ends the connection; nothing of it reaches a caller but one `Enrol`.

use dkc_core::ids::GroupId;
use dkc_core::wire::{Enrol, EnrolAnswer, Kind};
use futures::future::BoxFuture;

use super::connection::{FrameReader, Sender};
use super::tls::{Tls, TlsError};

/// Serves one newcomer to its end.
pub(super) async fn serve<'a>(
    tls: &Tls,
    frames: &mut FrameReader,
    sender: &Sender,
    answer: impl FnOnce(Enrol) -> BoxFuture<'a, EnrolAnswer>,
) -> Result<(), TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError::Handshake(format!("newcomer: {error}"));
    sender.send(Kind::AnchorsAre, 0, GroupId::META, &tls.anchors()).map_err(|error| failed(&error))?;
    let frame = frames.next_frame().await.map_err(|error| failed(&error))?;
    let answer = match (frame.kind, Enrol::decode(&frame.body)) {
        (Kind::Enrol, Ok(request)) => answer(request).await,
        (Kind::Enrol, Err(_)) => EnrolAnswer::Refused("not a request to enrol".into()),
        (kind, _) => {
            EnrolAnswer::Refused(format!("a peer without a certificate may enrol only, not send {kind:?}"))
        }
    };
    let sent = sender.send(Kind::EnrolAnswer, frame.id, frame.group, &answer.encode());
    sender.close("enrolment has ended");
    sent.map_err(|error| failed(&error))
}
