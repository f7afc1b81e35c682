//! Repeated messages: what the last one of each sender was.
//!
//! Owned by the listener's thread. It is asked only about messages whose code was right, so nobody
//! without the key can fill it or move it.

use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;

use super::senders::{Sender, Senders};
use crate::fsm::Time;
use crate::wire::auth::{Stamp, clock_sequence, is_after};
use crate::wire::verdict::Reject;
use crate::wire::{Family, Vrid};

/// The senders of all virtual routers of one interface.
#[derive(Debug, Default)]
pub(super) struct Replay {
    routers: HashMap<(Family, Vrid), Senders<Number>>,
}

impl Replay {
    /// Judges the message `stamp` of `source`, received at `received`, which was `wall` since
    /// 1970. `silence` is after how much of it a sender may count from anew.
    ///
    /// Only the first message of a virtual router allocates.
    ///
    /// # Errors
    /// [`Reject::AuthStale`] (AUTH-RX-4), [`Reject::AuthReplay`] (AUTH-RX-5).
    pub(super) fn admit(
        &mut self,
        router: (Family, Vrid),
        source: IpAddr,
        stamp: Stamp,
        silence: Duration,
        (received, wall): (Time, Duration),
    ) -> Result<(), Reject> {
        let senders = self.routers.entry(router).or_default();
        match stamp {
            Stamp::Clock {
                sequence,
                clock_skew,
            } => admit_clock(senders, source, sequence, clock_skew, (received, wall)),
            Stamp::Counter(number) => admit_counter(senders, source, number, silence, received),
        }
    }
}

/// That of the last accepted message of a sender.
type Number = u64;

/// Messages of a sender must grow within `clock_skew` of now. A number from outside of that (the
/// clock of one of the two was set) orders nothing that could still be accepted.
fn admit_clock(
    senders: &mut Senders<Number>,
    source: IpAddr,
    number: Number,
    clock_skew: Duration,
    (received, wall): (Time, Duration),
) -> Result<(), Reject> {
    let now = clock_sequence(wall);
    let is_fresh = |number| distance(number, now) <= clock_sequence(clock_skew);
    if !is_fresh(number) {
        return Err(Reject::AuthStale);
    }
    admit(senders, source, number, received, |last| {
        is_after(number, last.memory) || !is_fresh(last.memory)
    })
}

/// Messages of a sender must grow, unless it was silent: then it may have been restarted, and
/// keepalived counts from 1 again.
fn admit_counter(
    senders: &mut Senders<Number>,
    source: IpAddr,
    number: u32,
    silence: Duration,
    received: Time,
) -> Result<(), Reject> {
    let number = Number::from(number);
    admit(senders, source, number, received, |last| {
        number > last.memory || received.since(last.received) > silence
    })
}

fn admit(
    senders: &mut Senders<Number>,
    source: IpAddr,
    number: Number,
    received: Time,
    is_next: impl FnOnce(&Sender<Number>) -> bool,
) -> Result<(), Reject> {
    if senders.find(source).is_some_and(|last| !is_next(last)) {
        return Err(Reject::AuthReplay);
    }
    senders.remember(Sender {
        source,
        received,
        memory: number,
    });
    Ok(())
}

/// How far two numbers are apart, whichever is ahead.
const fn distance(one: u64, other: u64) -> u64 {
    let ahead = one.wrapping_sub(other);
    let behind = other.wrapping_sub(one);
    if ahead < behind { ahead } else { behind }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(1_800_000_000);
    const SKEW: Duration = Duration::from_secs(30);
    const SECOND: Duration = Duration::from_secs(1);
    const SILENCE: Duration = Duration::from_secs(3);

    fn sender(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    /// A receiver whose clocks began at `WALL` and 0.
    #[derive(Default)]
    struct Receiver(Replay);

    impl Receiver {
        fn hear(&mut self, source: u8, stamp: Stamp, at: Duration) -> Result<(), Reject> {
            let received = Time::from_micros(at.as_micros().try_into().unwrap());
            let router = (Family::V4, Vrid::new(10).unwrap());
            let times = (received, WALL + at);
            self.0.admit(router, sender(source), stamp, SILENCE, times)
        }

        /// A message that was sealed when the receiver's clock showed `sent`.
        fn clock(&mut self, source: u8, sent: Duration, at: Duration) -> Result<(), Reject> {
            let sequence = clock_sequence(WALL + sent);
            let stamp = Stamp::Clock {
                sequence,
                clock_skew: SKEW,
            };
            self.hear(source, stamp, at)
        }

        fn counter(&mut self, source: u8, number: u32, at: Duration) -> Result<(), Reject> {
            self.hear(source, Stamp::Counter(number), at)
        }
    }

    /// AUTH-RX-5: the same one, and one that was overtaken; another sender's numbers are its own.
    #[test]
    fn auth_rx_5_repeated() {
        let mut receiver = Receiver::default();
        for at in (1..100).map(|seconds| SECOND * seconds) {
            assert_eq!(receiver.clock(1, at, at), Ok(()));
            assert_eq!(receiver.clock(1, at, at), Err(Reject::AuthReplay));
            let overtaken = receiver.clock(1, at - SECOND, at);
            assert_eq!(overtaken, Err(Reject::AuthReplay));
        }
        let at = SECOND * 99;
        assert_eq!(receiver.clock(2, at - SECOND, at), Ok(()));
        assert_eq!(receiver.clock(1, at, at), Err(Reject::AuthReplay));
    }

    /// AUTH-RX-5: by the counter alone, in one instant.
    #[test]
    fn auth_rx_5_counter_of_an_instant() {
        let mut receiver = Receiver::default();
        let stamp = |count| Stamp::Clock {
            sequence: clock_sequence(WALL) + count,
            clock_skew: SKEW,
        };
        for (count, verdict) in [
            (0, Ok(())),
            (1, Ok(())),
            (1, Err(Reject::AuthReplay)),
            (0, Err(Reject::AuthReplay)),
            (2, Ok(())),
        ] {
            assert_eq!(receiver.hear(1, stamp(count), SECOND), verdict, "{count}");
        }
    }

    /// AUTH-RX-4: to the fraction of a second, on both sides, also of who was never heard before.
    #[test]
    fn auth_rx_4_too_old_and_too_new() {
        let at = SECOND * 1000;
        let little = Duration::from_millis(1);
        for (sent, verdict) in [
            (at - SKEW - little, Err(Reject::AuthStale)),
            (at + SKEW + little, Err(Reject::AuthStale)),
            (at - SKEW, Ok(())),
            (at + SKEW, Ok(())),
            (Duration::ZERO, Err(Reject::AuthStale)),
            (at * 1000, Err(Reject::AuthStale)),
        ] {
            assert_eq!(Receiver::default().clock(1, sent, at), verdict, "{sent:?}");
        }
    }

    /// AUTH-RX-5: a sender whose clock was ahead is set right: it is heard again as soon as what it
    /// sent before is out of bounds, and no earlier.
    #[test]
    fn auth_rx_5_clock_that_was_set_back() {
        let mut receiver = Receiver::default();
        let ahead = SECOND * 29;
        assert_eq!(receiver.clock(1, SECOND + ahead, SECOND), Ok(()));
        assert_eq!(
            receiver.clock(1, SECOND * 2, SECOND * 2),
            Err(Reject::AuthReplay)
        );
        assert_eq!(receiver.clock(1, SECOND * 31, SECOND * 31), Ok(()));

        // Our own clock was set: what we remember is far in the future.
        let mut receiver = Receiver::default();
        assert_eq!(receiver.clock(1, SECOND * 500, SECOND * 500), Ok(()));
        assert_eq!(receiver.clock(1, SECOND, SECOND), Ok(()));
        assert_eq!(receiver.clock(1, SECOND, SECOND), Err(Reject::AuthReplay));
    }

    /// AUTH-RX-5: a counter grows; after silence it may begin anew, with the sender remembered.
    #[test]
    fn auth_rx_5_counter_and_restart() {
        let mut receiver = Receiver::default();
        assert_eq!(receiver.counter(1, 100, SECOND), Ok(()));
        assert_eq!(receiver.counter(1, 101, SECOND * 2), Ok(()));
        for number in [101, 100, 1] {
            let verdict = receiver.counter(1, number, SECOND * 5);
            assert_eq!(verdict, Err(Reject::AuthReplay), "{number}");
        }
        // Refused ones are no sign of life: a replay does not keep the door shut.
        let later = SECOND * 5 + Duration::from_millis(1);
        assert_eq!(receiver.counter(1, 1, later), Ok(()));
        assert_eq!(receiver.counter(1, 1, later), Err(Reject::AuthReplay));
        assert_eq!(receiver.counter(1, 2, later), Ok(()));
        // Gaps are allowed: messages are lost.
        assert_eq!(receiver.counter(1, 1000, later), Ok(()));
    }

    /// Bounded: the sender that was heard last stays, whoever else sends.
    #[test]
    fn many_senders() {
        let mut receiver = Receiver::default();
        for source in 0..=255 {
            let at = SECOND * (u32::from(source) + 1);
            assert_eq!(receiver.counter(source, 7, at), Ok(()));
            assert_eq!(receiver.counter(source, 7, at), Err(Reject::AuthReplay));
        }
        let router = (Family::V4, Vrid::new(10).unwrap());
        let senders = &receiver.0.routers[&router];
        let kept = senders.iter().map(|known| known.source);
        let mut kept: Vec<_> = kept.collect();
        kept.sort();
        assert_eq!(kept, (240..=255).map(sender).collect::<Vec<_>>());
    }

    /// A group's routers are apart from those of another group.
    #[test]
    fn groups_are_apart() {
        let mut replay = Replay::default();
        for (group, verdict) in [(10, Ok(())), (11, Ok(())), (10, Err(Reject::AuthReplay))] {
            let router = (Family::V4, Vrid::new(group).unwrap());
            let times = (Time::from_micros(1), WALL);
            let seen = replay.admit(router, sender(1), Stamp::Counter(5), SILENCE, times);
            assert_eq!(seen, verdict, "{group}");
        }
    }
}
