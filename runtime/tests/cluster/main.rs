//! Whole servers as processes on loopback: founding, service through the death of a leader, restarts, snapshots,
//! supervision, refusals, directories that go back in time.

mod authority;
mod certificates;
// A simulated network has no TLS to enrol through.
#[cfg(not(feature = "simulation"))]
mod enrolment;
mod hibernation;
mod lab;
mod membership;
mod metrics;
mod put_back;
mod refusals;
mod reload;
mod service;
mod slave;
mod split;
mod stranger;
mod supervision;
