//! Version 2 and 3 at once: which versions a sender speaks (MIX-1, RFC 9568 §8.4.2).
//!
//! Owned by the listener's thread, like what it remembers of numbered messages. It is told of
//! advertisements that were accepted, so with authentication nobody without the key can make it
//! ignore anybody.

use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;

use super::senders::{Sender, Senders};
use crate::fsm::Time;
use crate::wire::Vrid;

/// Half intervals for which an advertisement of version 3 stands for those of version 2. Five, so
/// that a Master that goes back to version 2 alone is heard before a Backup's down timer, three
/// intervals and a skew, has run out.
const HALF_INTERVALS: u32 = 5;

/// Advertisements of version 2 that one of version 3 stands for. The second one may have overtaken
/// the next one of version 3; a third one shows that there are none any more.
const DOUBLES: u8 = 2;

/// Advertisements of version 3 without one of version 2 after which their sender is reported:
/// as many as a Backup waits for.
const UNPAIRED: u8 = 3;

/// The senders of all virtual routers of one interface that speak both versions.
#[derive(Debug, Default)]
pub(super) struct Mixed {
    routers: HashMap<Vrid, Senders<Heard>>,
}

/// What was heard of a sender: when its last advertisement of version 3 came is known beside it.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// The interval that it announced.
    interval: Duration,
    /// Advertisements of version 3 since the last one of version 2.
    unpaired: u8,
    /// Advertisements of version 2 since the last one of version 3.
    doubles: u8,
}

impl Mixed {
    /// An advertisement of version 3 of `source` was accepted. Whether that shows that it sends
    /// none of version 2; true once, until one of version 2 is heard.
    ///
    /// Only the first one of a virtual router allocates.
    pub(super) fn hear_v3(
        &mut self,
        vrid: Vrid,
        source: IpAddr,
        interval: Duration,
        received: Time,
    ) -> bool {
        let senders = self.routers.entry(vrid).or_default();
        let before = senders
            .find(source)
            .map_or(0, |known| known.memory.unpaired);
        // One more than is reported means that it was.
        let unpaired = (before + 1).min(UNPAIRED + 1);
        senders.remember(Sender {
            source,
            received,
            memory: Heard {
                interval,
                unpaired,
                doubles: 0,
            },
        });
        unpaired == UNPAIRED
    }

    /// An advertisement of version 2 of `source` came, whose authentication was right. Whether it
    /// is to be ignored, because its sender speaks version 3, too.
    pub(super) fn hear_v2(&mut self, vrid: Vrid, source: IpAddr, received: Time) -> bool {
        let senders = self.routers.get_mut(&vrid);
        let Some(known) = senders.and_then(|senders| senders.find(source)) else {
            return false;
        };
        let heard = &mut known.memory;
        heard.unpaired = 0;
        heard.doubles = heard.doubles.saturating_add(1);
        heard.doubles <= DOUBLES
            && 2 * received.since(known.received) < HALF_INTERVALS * heard.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sender(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[derive(Default)]
    struct Receiver(Mixed);

    impl Receiver {
        fn v3(&mut self, source: u8, interval: Duration, at: Duration) -> bool {
            let vrid = Vrid::new(10).unwrap();
            self.0
                .hear_v3(vrid, sender(source), interval, Time::START + at)
        }

        fn v2(&mut self, source: u8, at: Duration) -> bool {
            let vrid = Vrid::new(10).unwrap();
            self.0.hear_v2(vrid, sender(source), Time::START + at)
        }
    }

    /// MIX-1: while version 3 of the same sender is heard, and no longer than a Backup waits.
    #[test]
    fn mix_1_version_2_of_who_sends_version_3_is_ignored() {
        for interval in [SECOND / 100, SECOND, SECOND * 40] {
            let mut receiver = Receiver::default();
            let at = SECOND * 10;
            assert!(!receiver.v2(1, at));
            receiver.v3(1, interval, at);
            assert!(receiver.v2(1, at));
            assert!(!receiver.v2(2, at), "another sender");
            receiver.v3(1, interval, at + interval);
            assert!(receiver.v2(1, at + interval * 3));
            assert!(!receiver.v2(1, at + interval * 7 / 2));
            receiver.v3(1, interval, at + interval * 4);
            assert!(receiver.v2(1, at + interval * 4));
            let other = Vrid::new(11).unwrap();
            let now = Time::START + at + interval * 4;
            assert!(!receiver.0.hear_v2(other, sender(1), now), "another group");
        }
    }

    /// MIX-1: a sender that goes back to version 2 alone is heard again before a Backup that has the
    /// shortest skew loses patience.
    #[test]
    fn mix_1_version_2_alone_is_heard_again_in_time() {
        for interval in [SECOND, SECOND * 40] {
            let mut receiver = Receiver::default();
            let at = SECOND * 10;
            receiver.v3(1, interval, at);
            let first = (0..3).find(|late| !receiver.v2(1, at + interval * *late));
            assert_eq!(first, Some(2), "{interval:?}");
        }
    }

    /// MIX-1: one of version 2 may overtake the one of version 3 that it belongs to.
    #[test]
    fn mix_1_reordered() {
        let mut receiver = Receiver::default();
        for second in (1..100).step_by(2) {
            let at = SECOND * second;
            receiver.v3(1, SECOND, at);
            assert!(receiver.v2(1, at));
            assert!(receiver.v2(1, at + SECOND));
            receiver.v3(1, SECOND, at + SECOND);
        }
    }

    /// MIX-1: a sender of version 3 alone is told of once, one of both never, also if some of its
    /// advertisements are lost.
    #[test]
    fn mix_1_version_3_alone_is_reported_once() {
        let mut receiver = Receiver::default();
        let reported = (1..1000).filter(|second| receiver.v3(1, SECOND, SECOND * *second));
        assert_eq!(reported.collect::<Vec<_>>(), [3]);
        assert!(receiver.v2(1, SECOND * 1000));
        let again = (1001..2000).filter(|second| receiver.v3(1, SECOND, SECOND * *second));
        assert_eq!(again.collect::<Vec<_>>(), [1003]);

        for second in 1..1000 {
            let at = SECOND * second;
            assert!(!receiver.v3(2, SECOND, at));
            if second % 3 != 0 {
                receiver.v2(2, at);
            }
        }
    }
}
