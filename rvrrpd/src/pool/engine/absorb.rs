//! Absorption: the kernel keeps repetitions of the Master's advertisement to itself, so that a
//! Backup wakes once in a down interval and not for each of them.
//!
//! What the state machine hears is the same: the repetition that came last, with the time at which
//! it came, and in the order of these times before or after whatever else came.

use super::super::{Delivery, Setup};
use super::{Engine, Host};
use crate::fsm::{Advert, Event};
use crate::wire::{Family, Vrid};

const fn router_of<P>(setup: &Setup<P>) -> (Family, Vrid) {
    (setup.message.family, setup.message.vrid)
}

/// The last repetition that the kernel kept.
#[derive(Debug)]
struct Kept {
    advert: Advert,
    /// The router has not heard it yet.
    is_news: bool,
}

impl Kept {
    fn news(&self) -> Option<Advert> {
        self.is_news.then_some(self.advert)
    }
}

impl<P> Engine<P> {
    /// Hears an advertisement, and the one that the kernel kept before or after it.
    pub(super) fn hear<H: Host<Port = P>>(
        &mut self,
        place: usize,
        delivery: &Delivery,
        host: &mut H,
    ) {
        let advert = delivery.advert;
        let kept = self.reclaim(place, host);
        if let Some(kept) = kept.as_ref().and_then(Kept::news)
            && kept.received <= advert.received
        {
            self.handle(place, Event::Advert(kept), host);
        }
        self.handle(place, Event::Advert(advert), host);
        // Also one that was heard already: what waited in the queue meanwhile is older.
        if let Some(Kept { advert: kept, .. }) = kept
            && kept.received > advert.received
        {
            self.handle(place, Event::Advert(kept), host);
        }
        self.absorb(place, delivery, host);
    }

    /// From now on everything is delivered; what the kernel kept is heard.
    pub(super) fn end_absorption<H: Host<Port = P>>(&mut self, place: usize, host: &mut H) {
        if let Some(kept) = self.reclaim(place, host).as_ref().and_then(Kept::news) {
            self.handle(place, Event::Advert(kept), host);
        }
    }

    /// Hears what the kernel kept, which goes on keeping. False if that is nothing new.
    pub(super) fn heard_meanwhile<H: Host<Port = P>>(
        &mut self,
        place: usize,
        host: &mut H,
    ) -> bool {
        let Some(slot) = &mut self.slots[place] else {
            return false;
        };
        let (Some(absorbed), Some(port)) = (&mut slot.absorbed, &slot.setup.port) else {
            return false;
        };
        let last = host.last_absorbed(port, router_of(&slot.setup));
        if last <= absorbed.received {
            return false;
        }
        absorbed.received = last;
        let advert = *absorbed;
        self.handle(place, Event::Advert(advert), host);
        true
    }

    /// The same for all routers, so that one wakes for all of them: their Masters, too, have spoken
    /// since, and each would have to be looked at soon.
    pub(super) fn all_heard_meanwhile<H: Host<Port = P>>(&mut self, host: &mut H) {
        for place in 0..self.slots.len() {
            self.heard_meanwhile(place, host);
        }
    }

    /// Ends absorption and returns the last repetition.
    fn reclaim<H: Host<Port = P>>(&mut self, place: usize, host: &mut H) -> Option<Kept> {
        let slot = self.slots[place].as_mut()?;
        let known = slot.absorbed.take()?;
        let port = slot.setup.port.as_ref()?;
        let received = host.end_absorption(port, router_of(&slot.setup));
        Some(Kept {
            is_news: received > known.received,
            advert: Advert {
                received: received.max(known.received),
                ..known
            },
        })
    }

    /// Lets the kernel keep repetitions of the Master that is followed.
    fn absorb<H: Host<Port = P>>(&mut self, place: usize, delivery: &Delivery, host: &mut H) {
        let (Some(slot), Some((generation, sample))) = (&mut self.slots[place], &delivery.sample)
        else {
            return;
        };
        let (advert, setup) = (delivery.advert, &slot.setup);
        let Some(port) = setup
            .port
            .as_ref()
            .filter(|_| *generation == setup.generation && slot.router.follows(&advert))
        else {
            return;
        };
        if host.absorb(port, router_of(setup), sample, advert.received) {
            slot.absorbed = Some(advert);
        }
    }
}
