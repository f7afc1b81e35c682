//! An interface as the workers see it.

use std::sync::Arc;

use super::Sample;
use crate::fsm::Time;
use crate::net::listener::Progress;
use crate::net::sender::Sender;
use crate::net::unicast;
use crate::wire::{Family, Vrid};

/// Where the routers of one interface send, and how they find out whether its listener has
/// caught up.
#[derive(Debug)]
pub struct Port {
    /// Interface index.
    pub index: u32,
    /// Send socket.
    pub sender: Arc<Sender>,
    /// Send sockets for unicast peers, one for each family that is heard.
    pub unicast: Vec<unicast::Sender>,
    /// The listener.
    pub progress: Arc<Progress>,
}

impl Port {
    /// Every advertisement that the kernel received before this time is in the queue of its
    /// worker.
    pub(super) fn drained_until(&self, now: Time) -> Time {
        self.progress.until(now)
    }

    /// Lets the kernel keep repetitions of an advertisement.
    pub(super) fn absorb(&self, _: (Family, Vrid), _: &Sample, _: Time) -> bool {
        false
    }

    pub(super) fn last_absorbed(&self, _: (Family, Vrid)) -> Time {
        Time::default()
    }

    pub(super) fn end_absorption(&self, _: (Family, Vrid)) -> Time {
        Time::default()
    }

    /// The send socket for unicast peers of a family.
    pub(super) fn unicast(&self, family: Family) -> Option<&unicast::Sender> {
        self.unicast.iter().find(|sender| sender.family() == family)
    }
}
