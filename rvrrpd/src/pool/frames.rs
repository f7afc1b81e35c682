//! The frames of a virtual router: made when something in them changes, not when they are sent;
//! where authentication numbers them, sealed in place when they are sent.
//!
//! An advertisement to the group is one Ethernet frame. To unicast peers it is one IP datagram for
//! each: they differ in the destination, with a pseudo-header also in the checksum, and each peer
//! sees numbers of its own, which the clock can keep ahead of.
//!
//! Where version 2 and 3 are spoken at once (MIX-1) each receiver gets both, version 3 first.

use core::time::Duration;
use std::net::IpAddr;

use super::Message;
use crate::fsm::Params;
use crate::wire::PRIORITY_RESIGN;
use crate::wire::advert::{AdvertRepr, ChecksumForm, Peers};
use crate::wire::auth::{Key, Sequence, Stamp};
use crate::wire::ethernet;

/// The advertisement, and the one by which a Master resigns. What each advertisement takes comes
/// first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Frames {
    /// Authentication numbers them.
    sealed: bool,
    to_peers: bool,
    advert: Packets,
    resign: Packets,
    /// By receiver, in the order of the packets; they stay when these are made anew.
    sequences: Vec<(Receiver, Sequence)>,
}

/// A peer, or the group.
type Receiver = Option<IpAddr>;

/// One advertisement, for each receiver once in each version.
#[derive(Debug, Default)]
#[repr(C)]
struct Packets {
    /// The first one, which nearly always is the only one; none before they are made.
    first: Option<(Receiver, Vec<u8>)>,
    /// The others. Those of a receiver follow each other, in the order in which they leave.
    others: Vec<(Receiver, Vec<u8>)>,
    /// When they were sealed last, since 1970.
    sealed: Option<Duration>,
}

impl Frames {
    /// Makes both advertisements anew.
    pub(super) fn make(&mut self, message: &Message, params: &Params, form: ChecksumForm) {
        let packets = |priority| Packets::new(message, params, form, priority);
        self.advert = packets(params.priority);
        self.resign = packets(PRIORITY_RESIGN);
        self.sealed = message.auth.is_sealed();
        self.to_peers = message.peers != Peers::Group;
        let before = core::mem::take(&mut self.sequences);
        // Who is new may be somebody known by another address or by the group.
        let highest = before.iter().map(|(_, sequence)| *sequence).max();
        let sequence_of = |receiver| {
            let known = before.iter().find(|(known, _)| *known == receiver);
            known.map(|(_, sequence)| *sequence).or(highest)
        };
        let receivers = self.advert.receivers();
        self.sequences = receivers
            .map(|receiver| (receiver, sequence_of(receiver).unwrap_or_default()))
            .collect();
    }

    /// Whether they are for unicast peers.
    pub(super) const fn are_to_peers(&self) -> bool {
        self.to_peers
    }

    /// Reads a little of the advertisement, as [`Slot::fetch`](super::engine) does of all.
    pub(super) fn fetch(&self) -> u64 {
        let first = self.advert.first.as_ref();
        let parts = first.map(|(_, frame)| [frame.first(), frame.get(64)]);
        let parts = parts.into_iter().flatten().flatten();
        parts.map(|byte| u64::from(*byte)).sum()
    }

    /// Makes an advertisement ready to be sent at `now` (wall clock, since 1970) and says whether
    /// it is to be: a numbered one that is due twice in one pass leaves once, because peers refuse
    /// the same number.
    pub(super) fn seal(&mut self, key: &Key, resign: bool, now: Duration) -> bool {
        if !self.sealed {
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
        let mut sequences = self.sequences.iter_mut();
        let mut sequence = sequences.next();
        for (receiver, bytes) in packets.first.iter_mut().chain(&mut packets.others) {
            while let Some((of, _)) = &sequence
                && of != receiver
            {
                sequence = sequences.next();
            }
            let start = match receiver {
                None => ethernet::HEADER_LEN,
                Some(_) => 0,
            };
            if let (Some(datagram), Some((_, sequence))) = (bytes.get_mut(start..), &mut sequence) {
                key.seal(datagram, sequence, now);
            }
        }
        true
    }

    /// The frames to the group, one for each version; none with unicast peers.
    pub(super) fn frames(&self, resign: bool) -> impl Iterator<Item = &[u8]> {
        let packets = self.packets(resign).all();
        packets.filter_map(|(receiver, bytes)| receiver.is_none().then_some(bytes.as_slice()))
    }

    /// The frame that is the whole advertisement and leaves each time as it is; none where there are
    /// several, or where they are numbered.
    pub(super) fn constant(&self) -> Option<&[u8]> {
        let mut frames = self.frames(false);
        let frame = frames.next().filter(|_| !self.sealed)?;
        frames.next().is_none().then_some(frame)
    }

    /// The datagrams to the unicast peers; none to the group.
    pub(super) fn datagrams(&self, resign: bool) -> impl Iterator<Item = (IpAddr, &[u8])> {
        self.packets(resign)
            .all()
            .filter_map(|(receiver, bytes)| receiver.map(|peer| (peer, bytes.as_slice())))
    }

    const fn packets(&self, resign: bool) -> &Packets {
        if resign { &self.resign } else { &self.advert }
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
        let advert = |version| AdvertRepr {
            version,
            vrid: message.vrid,
            priority,
            interval: params.interval,
            addresses: &message.addresses,
            auth: &message.auth,
            checksum_form: form,
        };
        let adverts = message
            .versions
            .each()
            .iter()
            .map(|version| advert(*version));
        let mut packets: Vec<_> = match &message.peers {
            Peers::Group => adverts
                .map(|advert| (None, advert.frame(message.source_mac, params.source)))
                .collect(),
            Peers::Listed { addresses, .. } => addresses
                .iter()
                .flat_map(|peer| {
                    let datagram = |advert: AdvertRepr<'_>| advert.datagram(params.source, *peer);
                    adverts
                        .clone()
                        .map(move |advert| (Some(*peer), datagram(advert)))
                })
                .collect(),
        };
        let others = packets.split_off(packets.len().min(1));
        Self {
            first: packets.pop(),
            others,
            sealed: None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &(Receiver, Vec<u8>)> {
        self.first.iter().chain(&self.others)
    }

    /// Each receiver once.
    fn receivers(&self) -> impl Iterator<Item = Receiver> {
        let mut last = None;
        let all = self.all().map(|(receiver, _)| *receiver);
        all.filter(move |receiver| last.replace(*receiver) != Some(*receiver))
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::fsm::Beat;
    use crate::wire::advert::{Advert, Datagram};
    use crate::wire::auth::{HmacKey, HmacKeys};
    use crate::wire::{Family, Mac, Version, Versions, Vrid};

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn message(auth: Key) -> Message {
        Message {
            vrid: Vrid::new(10).unwrap(),
            family: Family::V4,
            versions: Versions::V2,
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
            beat: Beat::default(),
        }
    }

    /// The only one.
    fn the_frame(frames: &Frames, resign: bool) -> &[u8] {
        let mut all = frames.frames(resign);
        let first = all.next().unwrap();
        assert!(all.next().is_none());
        first
    }

    fn number(frames: &Frames, resign: bool) -> u32 {
        let datagram = Datagram::from_ethernet(the_frame(frames, resign)).unwrap();
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
        assert_eq!(frames.frames(false).count(), 0);
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

    fn both(auth: Key) -> Message {
        Message {
            versions: Versions::Both,
            ..message(auth)
        }
    }

    /// MIX-1, MIX-2: version 3 first, both with the same priority, each with its own interval.
    #[test]
    fn mix_1_mix_2_both_versions() {
        let mut frames = Frames::default();
        let params = Params {
            interval: Duration::from_millis(1500),
            ..params()
        };
        frames.make(&both(Key::None), &params, ChecksumForm::PseudoHeader);
        for resign in [false, true] {
            assert!(frames.seal(&Key::None, resign, NOW));
            let said = frames.frames(resign).map(|frame| {
                let datagram = Datagram::from_ethernet(frame).unwrap();
                let advert = Advert::check(&datagram).unwrap();
                assert_eq!(advert.priority(), if resign { 0 } else { 100 });
                let form = advert.checksum_form();
                (advert.version(), advert.interval_raw(), form)
            });
            let expected = [
                (Version::V3, 150, ChecksumForm::PseudoHeader),
                (Version::V2, 2, ChecksumForm::Message),
            ];
            assert_eq!(said.collect::<Vec<_>>(), expected);
        }
    }

    /// MIX-1, AUTH-RX-5: the numbers of both versions are one row, so that whoever hears both
    /// never takes one for a repeated one; a peer's numbers are its own.
    #[test]
    fn mix_1_numbers_of_both_versions_are_one_row() {
        let key = Key::HmacSha256(HmacKeys {
            active: HmacKey {
                id: core::num::NonZeroU8::MIN,
                secret: b"secret".to_vec().into(),
            },
            others: Vec::new(),
            clock_skew: Duration::from_secs(30),
        });
        let sequence_of = |datagram: &Datagram<'_>| {
            let advert = Advert::check(datagram).unwrap();
            advert.trailer().unwrap().sequence()
        };
        let mut frames = Frames::default();
        frames.make(&both(key.clone()), &params(), ChecksumForm::Message);
        let mut seen = Vec::new();
        for second in 0..3 {
            for resign in [false, true] {
                assert!(frames.seal(&key, resign, NOW + Duration::from_secs(second)));
                seen.extend(
                    frames
                        .frames(resign)
                        .map(|frame| sequence_of(&Datagram::from_ethernet(frame).unwrap())),
                );
            }
        }
        assert_eq!(seen.len(), 12);
        assert!(seen.is_sorted_by(|one, next| one < next), "{seen:?}");

        let message = Message {
            versions: Versions::Both,
            ..to_peers(key.clone(), &[1, 2])
        };
        frames.make(&message, &params(), ChecksumForm::Message);
        assert!(frames.seal(&key, false, NOW + Duration::from_secs(60)));
        let sent: Vec<_> = frames
            .datagrams(false)
            .map(|(peer, bytes)| {
                let datagram = Datagram::from_ipv4(bytes).unwrap();
                assert_eq!(datagram.destination, peer);
                let version = Advert::check(&datagram).unwrap().version();
                (peer, version, sequence_of(&datagram))
            })
            .collect();
        let [one, two] = [1, 2].map(|host| IpAddr::from([192, 0, 2, host]));
        let row: Vec<_> = sent
            .iter()
            .map(|(peer, version, _)| (*peer, *version))
            .collect();
        let expected = [Version::V3, Version::V2].map(|version| (one, version));
        assert_eq!(row[..2], expected);
        assert_eq!(row[2..], expected.map(|(_, version)| (two, version)));
        assert_eq!(sent[1].2, sent[0].2 + 1);
        assert_eq!((sent[2].2, sent[3].2), (sent[0].2, sent[1].2));
    }

    /// The others leave as they were made, as often as they are due.
    #[test]
    fn constant_frames_stay_as_they_are() {
        for key in [Key::None, Key::simple(b"secret")] {
            let mut frames = Frames::default();
            frames.make(&message(key.clone()), &params(), ChecksumForm::Message);
            let before = the_frame(&frames, false).to_vec();
            for _ in 0..2 {
                assert!(frames.seal(&key, false, NOW));
                assert_eq!(the_frame(&frames, false), before);
            }
        }
    }
}
