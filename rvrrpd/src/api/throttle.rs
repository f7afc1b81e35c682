//! Logins that fail slow their source down. The memory for it is bounded: of too many sources the
//! one that has been quiet for longest is forgotten.

use core::time::Duration;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Instant;

/// Sources that are remembered.
const MOST_SOURCES: usize = 1024;
/// Failures that have no consequence.
const FREE: u32 = 5;
/// The wait after the first failure that has one; doubled by each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Most doublings: 64 s.
const MOST_DOUBLINGS: u32 = 6;
/// After so long one failure is forgiven.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Where a request comes from. IPv6 hosts have a whole /64 to choose from.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Source {
    /// An IPv4 address, or the first 64 bits of an IPv6 one.
    Network(u64),
    /// A user of this host.
    User(u32),
}

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::Network(u32::from(address).into()),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64;
                Self::Network(u64::try_from(network).unwrap_or(u64::MAX))
            }
        }
    }
}

/// The sources that failed.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    sources: HashMap<Source, Failures>,
}

/// A try that was let pass.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// Count and time of the failures before.
    before: (u32, Instant),
    at: Instant,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    /// How many are not forgiven.
    fn left(&self, now: Instant) -> u32 {
        let forgiven = now.saturating_duration_since(self.last).as_secs() / FORGIVEN.as_secs();
        let forgiven = u32::try_from(forgiven).unwrap_or(u32::MAX);
        self.count.saturating_sub(forgiven)
    }

    fn wait(&self, now: Instant) -> Result<(), Duration> {
        let Some(doublings) = self.left(now).checked_sub(FREE) else {
            return Ok(());
        };
        let wait = FIRST_WAIT * (1 << doublings.min(MOST_DOUBLINGS));
        let waited = now.saturating_duration_since(self.last);
        if waited < wait {
            return Err(wait - waited);
        }
        Ok(())
    }
}

impl Throttle {
    /// Lets a source try; every try counts as a failure until [`Self::succeeded`].
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> Result<Turn, Duration> {
        if !self.sources.contains_key(&source) && self.sources.len() >= MOST_SOURCES {
            self.sources.retain(|_, failures| failures.left(now) > 0);
            let quietest = self
                .sources
                .iter()
                .min_by_key(|(_, failures)| failures.last);
            if let Some(quietest) = quietest.map(|(source, _)| *source)
                && self.sources.len() >= MOST_SOURCES
            {
                self.sources.remove(&quietest);
            }
        }
        let failures = self.sources.entry(source).or_insert(Failures {
            count: 0,
            last: now,
        });
        failures.wait(now)?;
        let before = (failures.count, failures.last);
        let count = failures.left(now);
        failures.count = count.saturating_add(1).min(FREE + MOST_DOUBLINGS + 1);
        failures.last = now;
        Ok(Turn { before, at: now })
    }

    /// Whether a source might try; nothing is counted.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn peek(&self, source: Source, now: Instant) -> Result<(), Duration> {
        let failures = self.sources.get(&source);
        failures.map_or(Ok(()), |failures| failures.wait(now))
    }

    /// A try was no failure: it is as if there had been none. Those before it stay, for who knows one
    /// password may guess at another; but no new wait begins.
    pub(super) fn succeeded(&mut self, source: Source, turn: Turn) {
        let Some(failures) = self.sources.get_mut(&source) else {
            return;
        };
        if failures.last == turn.at {
            (failures.count, failures.last) = turn.before;
        } else {
            // Others have tried since.
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_slow_down_and_are_forgiven() {
        let mut throttle = Throttle::default();
        let source = Source::from(IpAddr::from([10, 0, 0, 1]));
        let start = Instant::now();
        for _ in 0..FREE {
            assert!(throttle.admit(source, start).is_ok());
        }
        assert_eq!(throttle.peek(source, start), Err(FIRST_WAIT));
        assert!(throttle.admit(source, start).is_err());
        let mut now = start;
        for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            let Err(wait) = throttle.admit(source, now) else {
                panic!("no wait of {expected} s");
            };
            // A minute forgives one.
            assert!(wait <= Duration::from_secs(expected), "{wait:?}");
            now += wait;
            assert!(throttle.admit(source, now).is_ok());
        }
        let other = Source::from(IpAddr::from([10, 0, 0, 2]));
        assert!(throttle.admit(other, now).is_ok());
        assert!(throttle.admit(source, now + FORGIVEN * 20).is_ok());
    }

    #[test]
    fn who_knows_the_password_is_not_slowed_down() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..100 {
            let turn = throttle.admit(Source::User(7), now).unwrap();
            throttle.succeeded(Source::User(7), turn);
        }
    }

    /// Nor does a right one make the next right one wait, nor a wrong one come sooner.
    #[test]
    fn a_right_password_after_the_wait_begins_no_other_wait() {
        let mut throttle = Throttle::default();
        let (source, start) = (Source::User(7), Instant::now());
        for _ in 0..FREE {
            throttle.admit(source, start).unwrap();
        }
        assert!(throttle.admit(source, start).is_err());
        let now = start + FIRST_WAIT;
        for _ in 0..3 {
            let turn = throttle.admit(source, now).unwrap();
            throttle.succeeded(source, turn);
        }
        throttle.admit(source, now).unwrap();
        assert_eq!(throttle.peek(source, now), Err(FIRST_WAIT * 2));
        // Guesses beside a right one count.
        let now = now + FORGIVEN * 20;
        let right = throttle.admit(source, now).unwrap();
        let later = now + Duration::from_millis(1);
        for _ in 1..FREE {
            throttle.admit(source, later).unwrap();
        }
        throttle.succeeded(source, right);
        throttle.admit(source, later).unwrap();
        assert!(throttle.admit(source, later).is_err());
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..MOST_SOURCES as u64 * 3 {
            assert!(throttle.admit(Source::Network(number), now).is_ok());
            assert!(throttle.sources.len() <= MOST_SOURCES);
        }
    }

    #[test]
    fn an_ipv6_host_is_its_network() {
        let of = |text: &str| Source::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
