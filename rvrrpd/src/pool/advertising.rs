//! When router advertisements leave (RFC 4861 §6.2.4, §6.2.6): random times, none of them too soon
//! after the one before.

use core::time::Duration;

use crate::fsm::Time;

/// How many advertisements follow each other soon, so that hosts that lost one have the next
/// (MAX_INITIAL_RTR_ADVERTISEMENTS).
const INITIAL: u8 = 3;
/// How soon, at the latest (MAX_INITIAL_RTR_ADVERT_INTERVAL).
const LONGEST_INITIAL_INTERVAL: Duration = Duration::from_secs(16);
/// Least time between two advertisements, whoever asks (MIN_DELAY_BETWEEN_RAS).
const SHORTEST_GAP: Duration = Duration::from_secs(3);
/// An answer is delayed by a random time up to this one (MAX_RA_DELAY_TIME).
const LONGEST_DELAY: Duration = Duration::from_millis(500);

/// The schedule of one virtual router.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// When the next one is due; none: nothing is advertised.
    next: Option<Time>,
    /// How many of the initial ones are still to come.
    initial: u8,
    /// The next one answers somebody already.
    answers: bool,
    /// When the last one left. It outlives [`Self::end`].
    sent: Option<Time>,
}

impl Schedule {
    /// There is something new to advertise: the next one is due at once.
    pub(super) fn begin(&mut self, now: Time) {
        self.next = Some(self.not_before(now));
        self.initial = INITIAL;
        self.answers = false;
    }

    /// Nothing is advertised any more.
    pub(super) fn end(&mut self) {
        self.next = None;
    }

    /// A host asked at this time: one advertisement answers everybody who asks until it leaves.
    /// One that is due before the answer would be serves as well. `random` is any number.
    pub(super) fn solicited(&mut self, received: Time, random: u64) {
        let Some(next) = self.next.filter(|_| !self.answers) else {
            return;
        };
        let answer = self.not_before(received) + within(Duration::ZERO, LONGEST_DELAY, random);
        self.answers = true;
        self.next = Some(next.min(answer));
    }

    /// When the next one is due.
    pub(super) const fn next(&self) -> Option<Time> {
        self.next
    }

    /// One leaves, and the next one is due after a random time between `least` and `most`, which
    /// are 3 s or more. `random` is any number.
    pub(super) fn sent(&mut self, now: Time, least: Duration, most: Duration, random: u64) {
        self.sent = Some(now);
        self.answers = false;
        self.initial = self.initial.saturating_sub(1);
        if self.next.is_some() {
            let mut interval = within(least, most, random);
            if self.initial > 0 {
                interval = interval.min(LONGEST_INITIAL_INTERVAL);
            }
            self.next = Some(now + interval);
        }
    }

    fn not_before(&self, time: Time) -> Time {
        self.sent.map_or(time, |sent| time.max(sent + SHORTEST_GAP))
    }
}

/// The time between the two that a random number picks, to the microsecond.
fn within(least: Duration, most: Duration, random: u64) -> Duration {
    let span = most.saturating_sub(least).as_micros();
    let picked = u128::from(random) % (span + 1);
    least + Duration::from_micros(u64::try_from(picked).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LEAST: Duration = Duration::from_secs(198);
    const MOST: Duration = Duration::from_secs(600);

    fn at(seconds: f64) -> Time {
        Time::START + Duration::from_secs_f64(seconds)
    }

    /// The next one leaves; when.
    fn leave(schedule: &mut Schedule, random: u64) -> Time {
        let now = schedule.next().unwrap();
        schedule.sent(now, LEAST, MOST, random);
        now
    }

    /// RFC 4861 §6.2.4: the first at once, three of them within 16 s of each other, then the
    /// configured interval.
    #[test]
    fn initial_ones() {
        let mut schedule = Schedule::default();
        assert_eq!(schedule.next(), None);
        schedule.begin(at(10.0));
        let times: Vec<Time> = (0..5).map(|_| leave(&mut schedule, 0)).collect();
        assert_eq!(times, [10.0, 26.0, 42.0, 240.0, 438.0].map(at));
        // An interval that is shorter anyway stays so.
        schedule.begin(at(1000.0));
        leave(&mut schedule, 0);
        schedule.sent(
            at(1016.0),
            3 * Duration::from_secs(1),
            Duration::from_secs(4),
            0,
        );
        assert_eq!(schedule.next(), Some(at(1019.0)));
    }

    /// RFC 4861 §6.2.6: an answer after a random delay; one for all who ask meanwhile.
    #[test]
    fn answers() {
        let mut schedule = Schedule::default();
        schedule.solicited(at(1.0), 0);
        assert_eq!(schedule.next(), None, "a Backup answers nobody");
        schedule.begin(at(10.0));
        for _ in 0..3 {
            leave(&mut schedule, 0);
        }
        schedule.solicited(at(100.0), 400_000);
        assert_eq!(schedule.next(), Some(at(100.4)));
        schedule.solicited(at(100.1), 0);
        assert_eq!(leave(&mut schedule, 0), at(100.4));
        // Too soon after: 3 s and the delay.
        schedule.solicited(at(101.0), 500_000);
        assert_eq!(leave(&mut schedule, 0), at(103.9));
        assert_eq!(schedule.next(), Some(at(301.9)), "the interval begins anew");
        // What is due before the answer serves.
        schedule.solicited(at(301.8), 400_000);
        assert_eq!(leave(&mut schedule, 0), at(301.9));
    }

    /// MIN_DELAY_BETWEEN_RAS also over a change of state.
    #[test]
    fn master_again() {
        let mut schedule = Schedule::default();
        schedule.begin(at(10.0));
        leave(&mut schedule, 0);
        schedule.end();
        assert_eq!(schedule.next(), None);
        schedule.begin(at(11.0));
        assert_eq!(schedule.next(), Some(at(13.0)));
    }

    /// A process that was stalled sends one, not all that it missed.
    #[test]
    fn no_burst_after_a_stall() {
        let mut schedule = Schedule::default();
        schedule.begin(at(10.0));
        schedule.sent(at(5000.0), LEAST, MOST, 0);
        assert!(schedule.next().unwrap() > at(5003.0));
    }

    proptest! {
        /// Whatever is asked and whenever: two are 3 s apart, and none is later than the longest
        /// interval after the one before.
        #[test]
        fn rate(
            steps in prop::collection::vec((0_u64..10_000_000, any::<u64>(), 0_u8..4), 0..200),
            least in 3_u64..100,
            span in 0_u64..100,
        ) {
            let (least, most) = (Duration::from_secs(least), Duration::from_secs(least + span));
            let mut schedule = Schedule::default();
            let (mut now, mut last) = (Time::START, None);
            for (wait, random, what) in steps {
                let later = now + Duration::from_micros(wait);
                while let Some(next) = schedule.next().filter(|next| *next <= later) {
                    if let Some(last) = last {
                        prop_assert!(next.since(last) >= SHORTEST_GAP);
                    }
                    last = Some(next);
                    schedule.sent(next, least, most, random);
                    prop_assert!(schedule.next().unwrap().since(next) <= most);
                }
                now = later;
                match what {
                    0 => schedule.begin(now),
                    1 => schedule.end(),
                    _ => schedule.solicited(now, random),
                }
            }
        }
    }
}
