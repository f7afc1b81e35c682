//! The frames of a virtual router: made when something in them changes, not when they are sent;
//! where authentication numbers them, sealed in place when they are sent.

use core::time::Duration;

use super::Message;
use crate::fsm::Params;
use crate::wire::PRIORITY_RESIGN;
use crate::wire::advert::{AdvertRepr, ChecksumForm};
use crate::wire::auth::{Key, Sequence, Stamp};
use crate::wire::ethernet;

/// The advertisement, and the one by which a Master resigns.
#[derive(Debug, Default)]
pub(super) struct Frames {
    advert: Frame,
    resign: Frame,
    /// Stays when the frames are made anew.
    sequence: Sequence,
}

#[derive(Debug, Default)]
struct Frame {
    bytes: Vec<u8>,
    /// When it was sealed last, since 1970.
    sealed: Option<Duration>,
}

impl Frames {
    /// Makes both frames anew.
    pub(super) fn make(&mut self, message: &Message, params: &Params, form: ChecksumForm) {
        let frame = |priority| Frame {
            bytes: AdvertRepr {
                version: message.version,
                vrid: message.vrid,
                priority,
                interval: params.interval,
                addresses: &message.addresses,
                auth: &message.auth,
                checksum_form: form,
            }
            .frame(message.source_mac, params.source),
            sealed: None,
        };
        self.advert = frame(params.priority);
        self.resign = frame(PRIORITY_RESIGN);
    }

    /// Makes a frame ready to be sent at `now` (wall clock, since 1970) and says whether it is to
    /// be: a numbered frame that is due twice in one pass leaves once, because peers refuse the
    /// same number.
    pub(super) fn seal(&mut self, key: &Key, resign: bool, now: Duration) -> bool {
        if !key.is_sealed() {
            return true;
        }
        let frame = if resign {
            &mut self.resign
        } else {
            &mut self.advert
        };
        if frame.sealed.replace(now) == Some(now) {
            return false;
        }
        if let Some(datagram) = frame.bytes.get_mut(ethernet::HEADER_LEN..) {
            key.seal(datagram, &mut self.sequence, now);
        }
        true
    }

    /// The bytes of a frame.
    pub(super) fn bytes(&self, resign: bool) -> &[u8] {
        if resign {
            &self.resign.bytes
        } else {
            &self.advert.bytes
        }
    }

    /// Numbers after what a peer has sent.
    pub(super) fn follow(&mut self, stamp: Option<Stamp>) {
        if let Some(stamp) = stamp {
            self.sequence.follow(stamp);
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
            source_mac: Mac([2, 0, 0, 0, 0, 1]),
            checksum_form: Some(ChecksumForm::Message),
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
        let datagram = Datagram::from_ethernet(frames.bytes(resign)).unwrap();
        assert_eq!(Advert::check(&datagram).unwrap().priority() == 0, resign);
        datagram.ah.unwrap().sequence()
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

    /// The others leave as they were made, as often as they are due.
    #[test]
    fn constant_frames_stay_as_they_are() {
        for key in [Key::None, Key::simple(b"secret")] {
            let mut frames = Frames::default();
            frames.make(&message(key.clone()), &params(), ChecksumForm::Message);
            let before = frames.bytes(false).to_vec();
            for _ in 0..2 {
                assert!(frames.seal(&key, false, NOW));
                assert_eq!(frames.bytes(false), before);
            }
        }
    }
}
