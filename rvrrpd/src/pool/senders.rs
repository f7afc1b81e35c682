//! What is remembered of each sender of a virtual router.

use std::net::IpAddr;

use crate::fsm::Time;

/// Senders that are remembered for a virtual router; the one that was silent longest makes room.
/// More than a few send at once only while they are electing a Master.
const SENDERS: usize = 16;

/// The senders of one virtual router.
#[derive(Debug)]
pub(super) struct Senders<M>([Option<Sender<M>>; SENDERS]);

/// One sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<M> {
    /// Its address.
    pub(super) source: IpAddr,
    /// When what is remembered was received.
    pub(super) received: Time,
    /// What is remembered.
    pub(super) memory: M,
}

impl<M> Default for Senders<M> {
    fn default() -> Self {
        Self([const { None }; SENDERS])
    }
}

impl<M> Senders<M> {
    /// The sender with this address, if it is remembered.
    pub(super) fn find(&mut self, source: IpAddr) -> Option<&mut Sender<M>> {
        let mut known = self.0.iter_mut().flatten();
        known.find(|sender| sender.source == source)
    }

    /// Remembers a sender, in the place of what was remembered of it before.
    pub(super) fn remember(&mut self, sender: Sender<M>) {
        if let Some(known) = self.find(sender.source) {
            *known = sender;
            return;
        }
        // None comes before Some.
        let place = self
            .0
            .iter_mut()
            .min_by_key(|place| place.as_ref().map(|sender| sender.received));
        if let Some(place) = place {
            *place = Some(sender);
        }
    }

    /// Those that are remembered.
    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = &Sender<M>> {
        self.0.iter().flatten()
    }
}
