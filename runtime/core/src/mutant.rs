//! Known bugs that a simulation can put back, one at a time, to show that its checkers notice. In every other
//! build `is_active` is constantly false and nothing of this is left.

/// A bug that other systems had, or that this one had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// An append is acknowledged before it is on disk.
    AckBeforeFsync,
    /// A vote is given and never reaches the disk.
    VoteNotPersisted,
    /// The applied position reaches the disk apart from the rows.
    AppliedOutsideBatch,
    /// The log is released although the state is not on disk.
    PurgeBeyondPersisted,
    /// Applying takes this node's clock instead of the one in the log.
    ExpiryByLocalClock,
    /// A retried write gets a new sequence.
    RetryWithNewSequence,
    /// An unknown outcome is reported as "did not happen".
    UnknownReportedAsFailed,
    /// A read is answered without a look at the lease after it.
    ReadWithoutLease,
    /// A restarted leader goes on leading without an election.
    LeaderRestore,
    /// Replicas are taken away before those that replace them have caught up.
    RemoveBeforeCatchUp,
    /// A snapshot carries the records but not the sessions.
    SnapshotWithoutSessions,
    /// A cas succeeds whatever the version.
    CasVersionIgnored,
    /// A removed node is admitted again.
    RemovedNodeAdmitted,
    /// The id of a node that left is given to another.
    NodeIdReused,
    /// A write's epoch is checked neither on arrival nor when it is applied.
    EpochUnchecked,
    /// A dropped replica forgets its vote and its log end.
    DropWithoutVoteFloor,
    /// A frozen generation is not read from memory while the engine does not have it.
    FrozenNotRead,
    /// What was removed is not among the rows of a frozen generation.
    TombstoneLostAtFreezing,
    /// A snapshot is installed over the rows of the state before.
    InstallUnderOldIncarnation,
    /// An ingestion brings the position of the moment when it is written, not of the one when its rows were frozen.
    PositionNewerThanRows,
    /// Incarnations that are in use count as ended.
    LiveIncarnationsEnded,
    /// A commit leaves a row that was looked up as it was.
    CachedRowOutlivesCommit,
    /// The tablet that comes of a split has no copy of the sessions.
    ChildWithoutSessions,
    /// A tablet that was split goes on answering for the slots that it gave away.
    ParentStillAnswers,
    /// The version counter of the tablet that comes of a split starts over.
    ChildVersionRestarts,
    /// Each replica of a tablet that comes of a split believes that it is the only one.
    ChildAlone,
    /// The catalog does not name a tablet that a split begins.
    BirthNotNamed,
    /// A leader reads slots that it is about to give away without a look at whether it has.
    ReadWhileSplitting,
    /// A replica that has not applied the split yet begins the new tablet empty, and goes on with what it has.
    ChildBornTwice,
    /// A tablet is split while it moves.
    SplitDuringMove,
    /// Nobody keeps the rows of a tablet that comes of a split.
    ChildRowsNotKept,
    /// A server whose log is shorter than others remember is admitted if they know the run.
    ShorterLogAdmitted,
    /// A server takes part before others have told what they remember of it.
    TakesPartUntold,
    /// What a server remembers of the others ends with its process.
    OthersForgotten,
    /// A server tells the end of its log before that is synced.
    LogEndToldUnsynced,
}

impl Mutant {
    /// For simulations that put back each of them.
    pub const ALL: [Mutant; 35] = [
        Mutant::AckBeforeFsync,
        Mutant::VoteNotPersisted,
        Mutant::AppliedOutsideBatch,
        Mutant::PurgeBeyondPersisted,
        Mutant::ExpiryByLocalClock,
        Mutant::RetryWithNewSequence,
        Mutant::UnknownReportedAsFailed,
        Mutant::ReadWithoutLease,
        Mutant::LeaderRestore,
        Mutant::RemoveBeforeCatchUp,
        Mutant::SnapshotWithoutSessions,
        Mutant::CasVersionIgnored,
        Mutant::RemovedNodeAdmitted,
        Mutant::NodeIdReused,
        Mutant::EpochUnchecked,
        Mutant::DropWithoutVoteFloor,
        Mutant::FrozenNotRead,
        Mutant::TombstoneLostAtFreezing,
        Mutant::InstallUnderOldIncarnation,
        Mutant::PositionNewerThanRows,
        Mutant::LiveIncarnationsEnded,
        Mutant::CachedRowOutlivesCommit,
        Mutant::ChildWithoutSessions,
        Mutant::ParentStillAnswers,
        Mutant::ChildVersionRestarts,
        Mutant::ChildAlone,
        Mutant::BirthNotNamed,
        Mutant::ReadWhileSplitting,
        Mutant::ChildBornTwice,
        Mutant::SplitDuringMove,
        Mutant::ChildRowsNotKept,
        Mutant::ShorterLogAdmitted,
        Mutant::TakesPartUntold,
        Mutant::OthersForgotten,
        Mutant::LogEndToldUnsynced,
    ];
}

#[cfg(feature = "mutants")]
mod active {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ACTIVE: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    /// Puts a bug back in everything that this thread runs from now on.
    pub fn set_active(mutant: Option<Mutant>) {
        ACTIVE.set(mutant);
    }

    /// Whether the bug is put back in this thread.
    pub fn is_active(mutant: Mutant) -> bool {
        ACTIVE.get() == Some(mutant)
    }
}

#[cfg(feature = "mutants")]
pub use active::{is_active, set_active};

/// The bug is put back; constantly false in deployed builds.
#[cfg(not(feature = "mutants"))]
pub const fn is_active(_: Mutant) -> bool {
    false
}
