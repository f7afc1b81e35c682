//! The beat: Masters of one interface with the same interval advertise at the same moments, so that
//! hundreds of advertisements are one wake-up and one system call, and not hundreds.
//!
//! The beats of an interval are its multiples on the clock. Each interface has its own sixteenth of the
//! interval for them, by the source of its advertisements: else all interfaces would be taken over in
//! the same moment, and the last one would wait for the work of the first.
//!
//! A Master is drawn towards the beat by advertising a little *earlier* than it has to, each time,
//! until it is there; from then on its interval is exact. Never later: the others go by the interval
//! that was advertised. What follows from an event (becoming Master, priority 0, an answer) leaves at
//! once, whatever the beat.

use core::time::Duration;
use std::net::IpAddr;

use super::Time;

/// Parts of an interval, one of which an interface has for its beat.
const PHASES: u32 = 16;

/// The part of an interval by which it may be shorter until the beat is reached: 50 intervals at
/// most.
const PART: u32 = 50;
/// No interval is shortened by more than this.
const MOST: Duration = Duration::from_millis(5);

/// A deadline of the Adver_Timer, moved towards the beat by as much as is permitted. What it moves
/// by is taken from the interval behind it.
pub(super) fn towards(deadline: Time, interval: Duration, source: IpAddr) -> Time {
    let past_beat = deadline.before(phase(interval, source)).past(interval);
    deadline.before(past_beat.min(interval / PART).min(MOST))
}

/// Where in the interval the beat is. Interfaces with addresses in a row have it one after another.
fn phase(interval: Duration, source: IpAddr) -> Duration {
    let sum = |octets: &[u8]| octets.iter().copied().map(u32::from).sum::<u32>();
    let sum = match source {
        IpAddr::V4(address) => sum(&address.octets()),
        IpAddr::V6(address) => sum(&address.octets()),
    };
    interval / PHASES * (sum % PHASES)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// V3-TM-7: wherever it starts, no interval is longer than it should be or shorter by more
        /// than a fiftieth, and it ends on the beat.
        #[test]
        fn v3_tm_7_never_late_and_soon_on_the_beat(
            start in 0_u64..1 << 40,
            centiseconds in 1_u64..=4095,
            last in 0_u8..=255,
        ) {
            let source = IpAddr::from([192, 0, 2, last]);
            let interval = Duration::from_millis(10 * centiseconds);
            let mut deadline = Time::from_micros(start) + interval;
            let rounds = (interval.as_micros() / interval.div_f64(50.0).min(MOST).as_micros()) + 2;
            for _ in 0..rounds {
                let next = towards(deadline, interval, source) + interval;
                let gap = next.since(deadline);
                prop_assert!(gap <= interval);
                prop_assert!(gap >= interval - (interval / 50).min(MOST));
                deadline = next;
            }
            prop_assert_eq!(towards(deadline, interval, source), deadline);
            prop_assert_eq!(deadline.past(interval), phase(interval, source));
        }
    }

    /// An interval of nothing is nobody's, and moves nothing.
    #[test]
    fn no_interval_no_beat() {
        let deadline = Time::from_micros(7);
        let source = IpAddr::from([192, 0, 2, 1]);
        assert_eq!(towards(deadline, Duration::ZERO, source), deadline);
    }

    /// Four interfaces have four beats.
    #[test]
    fn interfaces_take_turns() {
        let interval = Duration::from_millis(100);
        let phases = [0, 1, 2, 3].map(|subnet| phase(interval, IpAddr::from([10, subnet, 0, 1])));
        let apart = phases.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(apart.eq([interval / PHASES; 3]), "{phases:?}");
    }
}
