//! An interface as the workers see it.

use core::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;

use super::Sample;
use crate::fsm::Time;
use crate::net::kernel::{Filter, Slot};
use crate::net::listener::Progress;
use crate::net::sender::Sender;
use crate::net::unicast;
use crate::wire::{Family, Vrid};

/// Where the routers of one interface send, and how they find out whether its listener has
/// caught up.
#[derive(Debug)]
pub struct Port {
    /// A number that no other interface has had, in any network namespace.
    pub number: u32,
    /// Interface index.
    pub index: u32,
    /// How the interface is called in the log.
    pub name: String,
    /// Send socket.
    pub sender: Arc<Sender>,
    /// Send sockets for unicast peers, one for each family that is heard.
    pub unicast: Vec<unicast::Sender>,
    /// The listener.
    pub progress: Arc<Progress>,
    /// What the kernel knows of the virtual routers; none without the eBPF filter.
    pub slots: Option<PortSlots>,
}

impl Port {
    /// Every advertisement that the kernel received before this time is in the queue of its
    /// worker.
    pub(super) fn drained_until(&self, now: Time) -> Time {
        self.progress.until(now)
    }

    /// No advertisement was lost for want of room that the kernel received later than this.
    pub(super) fn lost_until(&self, now: Time) -> Time {
        self.progress.lost_until(now)
    }

    /// The kernel keeps repetitions of an advertisement; see [`Host::absorb`](super::Host::absorb).
    pub(super) fn absorb(&self, router: (Family, Vrid), sample: &Sample, received: Time) -> bool {
        let addresses = [sample.source, sample.destination];
        let slot = self.slots.as_ref().and_then(|slots| slots.of(router));
        slot.is_some_and(|slot| slot.begin(addresses, sample.message(), received))
    }

    /// When the last repetition came.
    pub(super) fn last_absorbed(&self, router: (Family, Vrid)) -> Time {
        let slot = self.slots.as_ref().and_then(|slots| slots.of(router));
        slot.map_or_else(Time::default, Slot::last)
    }

    /// The kernel keeps nothing more.
    pub(super) fn end_absorption(&self, router: (Family, Vrid)) -> Time {
        let slot = self.slots.as_ref().and_then(|slots| slots.of(router));
        slot.map_or_else(Time::default, Slot::end)
    }

    /// The send socket for unicast peers of a family.
    pub(super) fn unicast(&self, family: Family) -> Option<&unicast::Sender> {
        self.unicast.iter().find(|sender| sender.family() == family)
    }
}

/// The slots of the virtual routers of one interface. They are given back when the last worker has
/// forgotten the interface, so that none can be used for two.
#[derive(Debug)]
pub struct PortSlots {
    filter: Arc<Filter>,
    /// By family and VRID: the number of the slot and one more, or 0.
    numbers: [[AtomicU32; 256]; 2],
}

impl PortSlots {
    /// No slot is taken yet.
    #[must_use]
    pub fn new(filter: &Arc<Filter>) -> Self {
        Self {
            filter: Arc::clone(filter),
            numbers: core::array::from_fn(|_| core::array::from_fn(|_| AtomicU32::new(0))),
        }
    }

    /// The filter whose slots these are.
    #[must_use]
    pub const fn filter(&self) -> &Arc<Filter> {
        &self.filter
    }

    /// The slot of a virtual router, which is taken if it has none. Called by the supervisor alone.
    pub fn take(&self, router: (Family, Vrid)) -> Option<u32> {
        let number = self.number(router);
        match number.load(Ordering::Relaxed) {
            0 => {
                let taken = self.filter.slots().take()?;
                number.store(taken + 1, Ordering::Release);
                Some(taken)
            }
            known => Some(known - 1),
        }
    }

    fn of(&self, router: (Family, Vrid)) -> Option<Slot<'_>> {
        let number = self.number(router).load(Ordering::Acquire);
        self.filter.slots().slot(number.checked_sub(1)?)
    }

    fn number(&self, (family, vrid): (Family, Vrid)) -> &AtomicU32 {
        let family = match family {
            Family::V4 => 0,
            Family::V6 => 1,
        };
        &self.numbers[family][usize::from(vrid.number())]
    }
}

impl Drop for PortSlots {
    fn drop(&mut self) {
        let slots = self.filter.slots();
        for number in self.numbers.as_flattened() {
            if let Some(number) = number.load(Ordering::Relaxed).checked_sub(1) {
                slots.give_back(number);
            }
        }
    }
}
