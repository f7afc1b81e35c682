//! The beat: all Masters of a process with the same interval advertise at the same moments, so that
//! a thousand advertisements are a few system calls and one wake-up, instead of a thousand.
//!
//! The beats of an interval are its multiples on the clock, so that those of an interval are also
//! those of its divisors. A Master is drawn towards them by advertising a little *earlier* than it
//! has to, each time, until it is on the beat; from then on its interval is exact. Never later: the
//! others go by the interval that was advertised. What follows from an event (becoming Master,
//! priority 0, an answer) leaves at once, whatever the beat.

use core::time::Duration;

use super::Time;

/// The part of an interval by which it may be shorter until the beat is reached: 50 intervals at
/// most.
const PART: u32 = 50;
/// No interval is shortened by more than this.
const MOST: Duration = Duration::from_millis(5);

/// A deadline of the Adver_Timer, moved towards the beat by as much as is permitted. What it moves
/// by is taken from the interval behind it.
pub(super) fn towards(deadline: Time, interval: Duration) -> Time {
    let past_beat = Duration::from_micros(
        u64::try_from(interval.as_micros())
            .ok()
            .and_then(|interval| deadline.as_micros().checked_rem(interval))
            .unwrap_or(0),
    );
    deadline.before(past_beat.min(interval / PART).min(MOST))
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
        ) {
            let interval = Duration::from_millis(10 * centiseconds);
            let mut deadline = Time::from_micros(start) + interval;
            let rounds = (interval.as_micros() / interval.div_f64(50.0).min(MOST).as_micros()) + 2;
            for _ in 0..rounds {
                let next = towards(deadline, interval) + interval;
                let gap = next.since(deadline);
                prop_assert!(gap <= interval);
                prop_assert!(gap >= interval - (interval / 50).min(MOST));
                deadline = next;
            }
            prop_assert_eq!(towards(deadline, interval), deadline);
            prop_assert_eq!(u128::from(deadline.as_micros()) % interval.as_micros(), 0);
        }
    }

    /// An interval of nothing is nobody's, and moves nothing.
    #[test]
    fn no_interval_no_beat() {
        let deadline = Time::from_micros(7);
        assert_eq!(towards(deadline, Duration::ZERO), deadline);
    }
}
