//! The state machine of a virtual router (RFC 9568 §6.4, RFC 3768 §6.4).
//!
//! Pure: [`Router::handle`] takes the time and an [`Event`] and appends [`Action`]s in the order
//! in which they must be carried out; [`Router::deadline`] says when it wants to be called again.
//! No sockets, no clock, no threads, no allocation.
//!
//! ```text
//!              ready, priority 255
//!        ┌──────────────────────────────────┐
//!        │                                  ▼
//!   ┌────┴───┐  ready  ┌────────┐  silence ┌────────┐ ─┐ every interval:
//!   │  Init  ├────────▶│ Backup ├─────────▶│ Master │  │ advertisement
//!   └────────┘◀────────┴────────┘◀─────────┴───┬────┘ ◀┘
//!        ▲   not ready    ▲     higher priority│
//!        └────────────────┼────────────────────┘ not ready: priority 0 first
//! ```
#![forbid(unsafe_code)]

mod action;
mod beat;
mod event;
mod params;
mod reason;
mod router;
mod time;

pub use action::{Action, Cause, NewMasterReason, Transition};
pub use event::{Advert, Event};
pub use params::Params;
pub use reason::{Reason, Reasons};
pub use router::{Deadline, Router, State};
pub use time::Time;

#[cfg(test)]
mod tests;
