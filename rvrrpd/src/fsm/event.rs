//! What can happen to a virtual router.

use core::time::Duration;
use std::net::IpAddr;

use super::{Params, Reasons, Time};

/// Input of the state machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// The reasons that keep the router from running have changed: none means Startup, the first
    /// one means Shutdown (RFC 9568 §6.4).
    Readiness(Reasons),
    /// An advertisement that passed every receive rule.
    Advert(Advert),
    /// The deadline with this generation has come. One that was re-armed meanwhile is ignored.
    Timer {
        /// From [`super::Deadline::generation`].
        generation: u64,
    },
    /// The configuration, or an address of the interface, has changed.
    Params(Params),
}

/// What the state machine needs of an accepted advertisement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert {
    /// Priority, 0..=255.
    pub priority: u8,
    /// Source address of the IP packet.
    pub source: IpAddr,
    /// Interval that the sender announces; used by routers of version 3 only.
    pub interval: Duration,
    /// When the kernel received it: the down timer starts here, not when it was parsed.
    pub received: Time,
}
