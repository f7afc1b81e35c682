//! The steady state: what a Master sends again and again, so that the kernel can keep it to itself.
//!
//! Owned by the listener's thread, which alone sees the bytes. An advertisement that says the same
//! as the last one of its virtual router is handed to the worker together with what it looks like;
//! the worker decides whether it is the one that it waits for.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use crate::wire::advert::Datagram;
use crate::wire::{Family, Vrid};

/// Longest message that the kernel compares: 61 IPv4 or 15 IPv6 addresses.
pub const LONGEST_SAMPLE: usize = 256;

/// What an advertisement looks like to a raw socket: all of it that has a meaning.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sample {
    /// Source address.
    pub source: IpAddr,
    /// The group, or our own address from a unicast peer.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    message: [u8; LONGEST_SAMPLE],
    length: usize,
}

impl Sample {
    /// What this packet looks like; one that is too long like none.
    #[must_use]
    pub fn of(datagram: &Datagram<'_>) -> Self {
        let mut sample = Self::empty();
        sample.take(datagram);
        sample
    }

    /// The VRRP message with its authentication data.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        self.message.get(..self.length).unwrap_or_default()
    }

    /// Whether a packet is a repetition of this one.
    #[must_use]
    pub fn is(&self, datagram: &Datagram<'_>) -> bool {
        datagram.ah.is_none()
            && self.source == datagram.source
            && self.destination == datagram.destination
            && self.ttl == datagram.ttl
            && self.message() == datagram.payload
    }

    const fn empty() -> Self {
        Self {
            source: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            destination: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            ttl: 0,
            message: [0; LONGEST_SAMPLE],
            length: 0,
        }
    }

    /// Takes over what a packet looks like; nothing if it is too long.
    fn take(&mut self, datagram: &Datagram<'_>) {
        let length = datagram.payload.len();
        if let Some(message) = self.message.get_mut(..length) {
            message.copy_from_slice(datagram.payload);
            self.length = length;
        } else {
            self.length = 0;
        }
        self.source = datagram.source;
        self.destination = datagram.destination;
        self.ttl = datagram.ttl;
    }
}

/// The last accepted advertisement of each virtual router of an interface.
#[derive(Debug, Default)]
pub(super) struct Steady {
    routers: HashMap<(Family, Vrid), Last>,
}

#[derive(Debug)]
struct Last {
    sample: Box<Sample>,
    /// How often it was repeated.
    repeated: u32,
}

impl Steady {
    /// Takes note of an accepted advertisement and returns what it looks like, if it repeats the
    /// one before. Only the first of a virtual router allocates, and those that are returned: of
    /// many repetitions that the worker does not want kept few are.
    pub(super) fn note(
        &mut self,
        router: (Family, Vrid),
        datagram: &Datagram<'_>,
    ) -> Option<Box<Sample>> {
        let last = self.routers.entry(router).or_insert_with(|| Last {
            sample: Box::new(Sample::empty()),
            repeated: 0,
        });
        if !last.sample.is(datagram) {
            last.sample.take(datagram);
            last.repeated = 0;
            return None;
        }
        last.repeated = last.repeated.saturating_add(1);
        last.repeated.is_power_of_two().then(|| last.sample.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagram(payload: &[u8]) -> Datagram<'_> {
        Datagram {
            family: Family::V4,
            source: IpAddr::from([192, 0, 2, 1]),
            destination: IpAddr::from([224, 0, 0, 18]),
            ttl: 255,
            payload,
            ah: None,
        }
    }

    #[test]
    fn only_repetitions_are_handed_on_and_ever_fewer() {
        let mut steady = Steady::default();
        let router = (Family::V4, Vrid::new(1).unwrap());
        let mut note = |payload| steady.note(router, &datagram(payload));
        assert!(note(b"one").is_none());
        let sample = note(b"one").unwrap();
        assert_eq!(sample.message(), b"one");
        assert!(note(b"two").is_none());
        assert!(note(b"one").is_none());
        let handed_on = (0..1000).filter(|_| note(b"one").is_some()).count();
        assert_eq!(handed_on, 10);
    }

    #[test]
    fn every_part_counts() {
        let mut sample = Sample::empty();
        let original = datagram(b"message");
        sample.take(&original);
        assert!(sample.is(&original));
        let others = [
            Datagram {
                source: IpAddr::from([192, 0, 2, 2]),
                ..original
            },
            Datagram {
                destination: IpAddr::from([192, 0, 2, 9]),
                ..original
            },
            Datagram {
                ttl: 254,
                ..original
            },
            datagram(b"messagf"),
            datagram(b"message\0"),
            datagram(b"messag"),
        ];
        for other in &others {
            assert!(!sample.is(other), "{other:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_never_handed_on() {
        let mut steady = Steady::default();
        let router = (Family::V4, Vrid::new(1).unwrap());
        let long = [7; LONGEST_SAMPLE + 1];
        for _ in 0..4 {
            assert!(steady.note(router, &datagram(&long)).is_none());
        }
        let longest = &long[..LONGEST_SAMPLE];
        assert!(steady.note(router, &datagram(longest)).is_none());
        assert!(steady.note(router, &datagram(longest)).is_some());
    }
}
