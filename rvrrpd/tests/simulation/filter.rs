//! The kernel's filter, as far as it keeps adverts to itself.

use std::collections::HashMap;

use rvrrpd::fsm::Time;
use rvrrpd::pool::{Delivery, Sample};
use rvrrpd::wire::advert::Datagram;
use rvrrpd::wire::{Family, Vrid};

use super::listener::Frame;

#[derive(Default)]
pub(crate) struct Filter {
    armed: HashMap<(Family, Vrid), Armed>,
}

struct Armed {
    sample: Sample,
    /// What the worker would be given for the frame that was kept last.
    last: Delivery,
    /// Whether the worker knows of it.
    told: bool,
}

impl Filter {
    /// Whether a frame is kept.
    pub(crate) fn absorbs(&mut self, frame: &Frame, received: Time) -> bool {
        let Some(vrid) = Vrid::new(frame.vrid) else {
            return false;
        };
        let Some(armed) = self.armed.get_mut(&(frame.family, vrid)) else {
            return false;
        };
        let is_same =
            Datagram::from_ethernet(&frame.bytes).is_ok_and(|datagram| armed.sample.is(&datagram));
        if is_same {
            armed.last.advert.received = received;
            armed.told = false;
        }
        is_same
    }

    pub(crate) fn arm(&mut self, router: (Family, Vrid), sample: Sample, last: Delivery) {
        let told = true;
        self.armed.insert(router, Armed { sample, last, told });
    }

    /// The frame that was kept last, and once more if it is told for the first time.
    pub(crate) fn look(&mut self, router: (Family, Vrid)) -> (Delivery, Option<Delivery>) {
        let armed = self.armed.get_mut(&router).expect("absorption goes on");
        let news = (!armed.told).then(|| armed.last.clone());
        armed.told = true;
        (armed.last.clone(), news)
    }

    pub(crate) fn disarm(&mut self, router: (Family, Vrid)) {
        self.armed.remove(&router);
    }
}
