//! The beat: Masters with the same interval advertise at the same few moments, so that many
//! advertisements are one wake-up and one system call.
//!
//! The beats of an interval are its multiples on the clock, and the seven eighths between them.
//! Virtual routers are spread over them by interface and VRID: with one beat for all, those of a dead
//! Master would all be taken over in the same moment, and the last one would wait for the work of the
//! first.
//!
//! A Master is drawn towards its beat by advertising a little *earlier* than it has to, each time,
//! until it is there; from then on its interval is exact. Never later: the others go by the interval
//! that was advertised. What follows from an event (becoming Master, priority 0, an answer) leaves at
//! once, whatever the beat.

use core::time::Duration;
use std::net::IpAddr;

use super::Time;
use crate::wire::Vrid;

/// Beats of an interval.
const BEATS: u8 = 8;

/// The part of an interval by which it may be shorter until the beat is reached: 50 intervals at
/// most.
const PART: u32 = 50;
/// The most by which it may be shorter.
const MOST: Duration = Duration::from_millis(5);

/// Which of the beats of its interval a Master advertises at.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Beat(u8);

impl Beat {
    /// Beats that the virtual routers of one interface have: by the remainder of their VRID.
    pub const OF_INTERFACE: usize = 2;

    /// That of a virtual router whose advertisements have this source. Each interface has two beats;
    /// those of interfaces with addresses in a row come one after another.
    #[must_use]
    pub fn of(source: IpAddr, vrid: Vrid) -> Self {
        let sum = |octets: &[u8]| octets.iter().copied().map(usize::from).sum::<usize>();
        let interface = match source {
            IpAddr::V4(address) => sum(&address.octets()),
            IpAddr::V6(address) => sum(&address.octets()),
        };
        let group = usize::from(vrid.number()) % Self::OF_INTERFACE;
        let beats = usize::from(BEATS);
        let beat = (interface + group * (beats / Self::OF_INTERFACE)) % beats;
        Self(u8::try_from(beat).unwrap_or(0))
    }

    /// A deadline of the Adver_Timer, moved towards the beat by as much as is permitted. What it moves
    /// by is taken from the interval behind it.
    pub(super) fn attract(self, deadline: Time, interval: Duration) -> Time {
        let past_beat = deadline.before(self.phase(interval)).past(interval);
        deadline.before(past_beat.min(interval / PART).min(MOST))
    }

    /// How far behind a multiple of the interval it is.
    fn phase(self, interval: Duration) -> Duration {
        interval / u32::from(BEATS) * u32::from(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Never late, never shorter than permitted, and on the beat after no more intervals than
        /// the shortening needs; then exact.
        #[test]
        fn v3_tm_7_never_late_and_soon_on_the_beat(
            start in 0_u64..1 << 40,
            centiseconds in 1_u64..=4095,
            beat in (0..BEATS).prop_map(Beat),
        ) {
            let interval = Duration::from_millis(10 * centiseconds);
            let mut deadline = Time::from_micros(start) + interval;
            let rounds = (interval.as_micros() / interval.div_f64(50.0).min(MOST).as_micros()) + 2;
            for _ in 0..rounds {
                let next = beat.attract(deadline, interval) + interval;
                let gap = next.since(deadline);
                prop_assert!(gap <= interval);
                prop_assert!(gap >= interval - (interval / 50).min(MOST));
                deadline = next;
            }
            prop_assert_eq!(beat.attract(deadline, interval), deadline);
            prop_assert_eq!(deadline.past(interval), beat.phase(interval));
        }
    }

    /// No configuration has one, and nothing breaks.
    #[test]
    fn no_interval_no_beat() {
        let deadline = Time::from_micros(7);
        assert_eq!(Beat(5).attract(deadline, Duration::ZERO), deadline);
    }

    /// A thousand virtual routers on four interfaces are spread evenly over all beats.
    #[test]
    fn virtual_routers_take_turns() {
        let mut routers = [0; BEATS as usize];
        for (subnet, vrid) in (0..4).flat_map(|subnet| (1..=240).map(move |vrid| (subnet, vrid))) {
            let beat = Beat::of([10, subnet, 0, 1].into(), Vrid::new(vrid).unwrap());
            routers[usize::from(beat.0)] += 1;
        }
        assert_eq!(routers, [120; BEATS as usize]);
    }
}
