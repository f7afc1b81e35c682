//! The frames of a virtual router: made when something in them changes, not when they are sent;
//! where authentication numbers them, sealed in place when they are sent.
//!
//! An advertisement to the group is one Ethernet frame. To unicast peers it is one IP datagram for
//! each: they differ in the destination, with a pseudo-header also in the checksum, and each peer
//! sees numbers of its own, which the clock can keep ahead of.

use core::time::Duration;
use std::net::IpAddr;

use super::Message;
use crate::fsm::Params;
use crate::wire::PRIORITY_RESIGN;
use crate::wire::advert::{AdvertRepr, ChecksumForm, Peers};
use crate::wire::auth::{Key, Sequence, Stamp};
use crate::wire::ethernet;

/// The advertisement, and the one by which a Master resigns.
#[derive(Debug, Default)]
pub(super) struct Frames {
    advert: Packets,
    resign: Packets,
    /// By receiver, in the order of the packets; they stay when these are made anew.
    sequences: Vec<(Receiver, Sequence)>,
}

/// A peer, or the group.
type Receiver = Option<IpAddr>;

/// One advertisement, once for each receiver.
#[derive(Debug, Default)]
struct Packets {
    packets: Vec<(Receiver, Vec<u8>)>,
    /// When they were sealed last, since 1970.
    sealed: Option<Duration>,
}

impl Frames {
    /// Makes both advertisements anew.
    pub(super) fn make(&mut self, message: &Message, params: &Params, form: ChecksumForm) {
        let packets = |priority| Packets::new(message, params, form, priority);
        self.advert = packets(params.priority);
        self.resign = packets(PRIORITY_RESIGN);
        let before = core::mem::take(&mut self.sequences);
        // Who is new may be somebody known by another address or by the group.
        let highest = before.iter().map(|(_, sequence)| *sequence).max();
        let sequence_of = |receiver| {
            let known = before.iter().find(|(known, _)| *known == receiver);
            known.map(|(_, sequence)| *sequence).or(highest)
        };
        let receivers = self.advert.packets.iter().map(|(receiver, _)| *receiver);
        self.sequences = receivers
            .map(|receiver| (receiver, sequence_of(receiver).unwrap_or_default()))
            .collect();
    }

    /// Makes an advertisement ready to be sent at `now` (wall clock, since 1970) and says whether
    /// it is to be: a numbered one that is due twice in one pass leaves once, because peers refuse
    /// the same number.
    pub(super) fn seal(&mut self, key: &Key, resign: bool, now: Duration) -> bool {
        if !key.is_sealed() {
            return true;
        }
        let packets = if resign {
            &mut self.resign
        } else {
            &mut self.advert
        };
        if packets.sealed.replace(now) == Some(now) {
            return false;
        }
        let sequences = self.sequences.iter_mut();
        for ((receiver, bytes), (_, sequence)) in packets.packets.iter_mut().zip(sequences) {
            let start = match receiver {
                None => ethernet::HEADER_LEN,
                Some(_) => 0,
            };
            if let Some(datagram) = bytes.get_mut(start..) {
                key.seal(datagram, sequence, now);
            }
        }
        true
    }

    /// The frame to the group; none with unicast peers.
    pub(super) fn frame(&self, resign: bool) -> Option<&[u8]> {
        let mut packets = self.packets(resign).iter();
        packets.find_map(|(receiver, bytes)| receiver.is_none().then_some(bytes.as_slice()))
    }

    /// The datagrams to the unicast peers; none to the group.
    pub(super) fn datagrams(&self, resign: bool) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.packets(resign)
            .iter()
            .filter_map(|(receiver, bytes)| receiver.map(|peer| (peer, bytes.as_slice())))
    }

    fn packets(&self, resign: bool) -> &[(Receiver, Vec<u8>)] {
        if resign {
            &self.resign.packets
        } else {
            &self.advert.packets
        }
    }

    /// Numbers after what a peer has sent.
    pub(super) fn follow(&mut self, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            for (_, sequence) in &mut self.sequences {
                sequence.follow(stamp);
            }
        }
    }
}

impl Packets {
    fn new(message: &Message, params: &Params, form: ChecksumForm, priority: u8) -> Self {
        let advert = AdvertRepr {
            version: message.version,
            vrid: message.vrid,
            priority,
            interval: params.interval,
            addresses: &message.addresses,
            auth: &message.auth,
            checksum_form: form,
        };
        let packets = match &message.peers {
            Peers::Group => vec![(None, advert.frame(message.source_mac, params.source))],
            Peers::Listed { addresses, .. } => addresses
                .iter()
                .map(|peer| (Some(*peer), advert.datagram(params.source, *peer)))
                .collect(),
        };
        Self {
            packets,
            sealed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::wire::advert::{Advert, Datagram};
    use crate::wire::{Family, Mac, Version, Vrid};

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn message(auth: Key) -> Message {
        Message {
            vrid: Vrid::new(10).unwrap(),
            family: Family::V4,
            version: Version::V2,
            addresses: vec![IpAddr::from([192, 0, 2, 1])],
            auth,
            peers: Peers::Group,
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            checksum_form: Some(ChecksumForm::Message),
        }
    }

    fn to_peers(auth: Key, hosts: &[u8]) -> Message {
        let addresses = hosts.iter().map(|host| IpAddr::from([192, 0, 2, *host]));
        Message {
            peers: Peers::Listed {
                addresses: addresses.collect(),
                least_ttl: 255,
            },
            ..message(auth)
        }
    }

    fn params() -> Params {
        Params {
            version: Version::V2,
            priority: 100,
            interval: Duration::from_secs(1),
            preempt: false,
            preempt_delay: Duration::ZERO,
            startup_delay: Duration::ZERO,
            source: IpAddr::from([192, 0, 2, 251]),
        }
    }

    fn number(frames: &Frames, resign: bool) -> u32 {
        let datagram = Datagram::from_ethernet(frames.frame(resign).unwrap()).unwrap();
        assert_eq!(Advert::check(&datagram).unwrap().priority() == 0, resign);
        datagram.ah.unwrap().sequence()
    }

    /// The numbers that the peers see.
    fn numbers(frames: &Frames) -> Vec<u32> {
        let number = |(peer, bytes): (IpAddr, &[u8])| {
            let datagram = Datagram::from_ipv4(bytes).unwrap();
            assert_eq!(datagram.destination, peer);
            datagram.ah.unwrap().sequence()
        };
        assert!(frames.frame(false).is_none());
        frames.datagrams(false).map(number).collect()
    }

    /// Numbers grow over both frames and over a change of what they say, once in a pass.
    #[test]
    fn numbers_outlive_a_change() {
        let key = Key::ah(b"secret");
        let mut frames = Frames::default();
        let change = |frames: &mut Frames| {
            frames.make(&message(key.clone()), &params(), ChecksumForm::Message);
        };
        change(&mut frames);
        assert!(frames.seal(&key, false, NOW));
        assert_eq!(number(&frames, false), 1_800_000_000);
        assert!(!frames.seal(&key, false, NOW));
        assert_eq!(number(&frames, false), 1_800_000_000);
        assert!(frames.seal(&key, true, NOW));
        assert_eq!(number(&frames, true), 1_800_000_001);
        change(&mut frames);
        assert!(frames.seal(&key, false, NOW));
        assert_eq!(number(&frames, false), 1_800_000_002);
        frames.follow(Some(Stamp::Counter(1_900_000_000)));
        frames.follow(None);
        assert!(frames.seal(&key, false, NOW + Duration::from_millis(1)));
        assert_eq!(number(&frames, false), 1_900_000_001);
    }

    /// Each peer sees numbers without a gap, however many peers there are, so that they do not
    /// get ahead of the clock that they start from after a restart. Over a change of the peers, and
    /// of the mode, none goes back.
    #[test]
    fn every_peer_has_numbers_of_its_own() {
        let key = Key::ah(b"secret");
        let mut frames = Frames::default();
        let make = |frames: &mut Frames, hosts: &[u8]| {
            let message = to_peers(key.clone(), hosts);
            frames.make(&message, &params(), ChecksumForm::Message);
        };
        make(&mut frames, &[1, 2, 3]);
        for seconds in 0..3 {
            let now = NOW + Duration::from_secs(seconds);
            assert!(frames.seal(&key, false, now));
            let expected = u32::try_from(now.as_secs()).unwrap();
            assert_eq!(numbers(&frames), [expected; 3]);
        }
        make(&mut frames, &[3, 4]);
        assert!(frames.seal(&key, false, NOW));
        assert_eq!(numbers(&frames), [1_800_000_003; 2]);
        frames.make(&message(key.clone()), &params(), ChecksumForm::Message);
        assert!(frames.seal(&key, false, NOW));
        assert_eq!(number(&frames, false), 1_800_000_004);
        assert_eq!(frames.datagrams(false).count(), 0);
    }

    /// The others leave as they were made, as often as they are due.
    #[test]
    fn constant_frames_stay_as_they_are() {
        for key in [Key::None, Key::simple(b"secret")] {
            let mut frames = Frames::default();
            frames.make(&message(key.clone()), &params(), ChecksumForm::Message);
            let before = frames.frame(false).unwrap().to_vec();
            for _ in 0..2 {
                assert!(frames.seal(&key, false, NOW));
                assert_eq!(frames.frame(false).unwrap(), before);
            }
        }
    }
}
