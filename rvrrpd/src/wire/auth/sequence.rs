//! Sequence numbers, by which a receiver knows a repeated message.

use core::time::Duration;

/// Where an authenticated message stands in the order of its sender's messages.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Stamp {
    /// `hmac-sha256`: [`Trailer::sequence`](super::Trailer::sequence).
    Clock {
        /// The number, which is a time.
        sequence: u64,
        /// How far it may be from the time of the receiver.
        clock_skew: Duration,
    },
    /// `rfc2338-ah`: the number of the message.
    Counter(u32),
}

/// The sequence numbers of a sender. It outlives a change of keys, addresses or priority.
///
/// Both kinds start from the wall clock, so that nothing has to be kept over a restart: a sender
/// that starts anew is ahead of all that it sent before, and no receiver takes it for a replay.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Sequence(u64);

impl Sequence {
    /// The number of the next message of `hmac-sha256`: the time, or one more than the number
    /// before it if the clock has not moved on. A clock that was set back by more than
    /// `clock_skew` is followed: receivers would refuse what is that far in the future.
    pub(super) fn next_clock(&mut self, now: Duration, clock_skew: Duration) -> u64 {
        let clock = clock_sequence(now);
        let ahead = self.0.wrapping_sub(clock);
        self.0 = if is_after(clock, self.0) || ahead >> 32 > clock_skew.as_secs() {
            clock
        } else {
            self.0.wrapping_add(1)
        };
        self.0
    }

    /// The number of the next message of `rfc2338-ah`: the seconds since 1970, or one more than
    /// the number before it. An interval is at least one second, so the clock keeps ahead. At the
    /// end of the 32 bits the numbers start again from the clock.
    pub(super) fn next_counter(&mut self, now: Duration) -> u32 {
        let clock = u32::try_from(now.as_secs()).unwrap_or(1);
        let next = u32::try_from(self.0)
            .ok()
            .and_then(|last| last.checked_add(1))
            .map_or(clock, |next| next.max(clock));
        self.0 = u64::from(next);
        next
    }

    /// Numbers after that of another router: keepalived counts what it sends and what it receives
    /// together and refuses what is not beyond both.
    pub const fn follow(&mut self, stamp: Stamp) {
        if let Stamp::Counter(heard) = stamp
            && heard as u64 > self.0
        {
            self.0 = heard as u64;
        }
    }
}

/// A time as a sequence number with counter 0.
#[must_use]
pub fn clock_sequence(time: Duration) -> u64 {
    let fraction = (u64::from(time.subsec_nanos()) << 16) / 1_000_000_000;
    time.as_secs() << 32 | fraction << 16
}

/// Whether one number comes after another, in the half of all numbers that lies ahead of it (RFC
/// 1982 §3.2), so that the end of the 32 bits of seconds in 2106 is none.
#[must_use]
pub const fn is_after(number: u64, other: u64) -> bool {
    let ahead = number.wrapping_sub(other);
    ahead != 0 && ahead <= u64::MAX / 2
}
