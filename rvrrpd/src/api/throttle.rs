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
    pub(super) fn admit(&mut self, source: Source, now: Instant) -> Result<(), Duration> {
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
        let count = failures.left(now);
        failures.count = count.saturating_add(1).min(FREE + MOST_DOUBLINGS + 1);
        failures.last = now;
        Ok(())
    }

    /// Whether a source might try; nothing is counted.
    ///
    /// # Errors
    /// How long it has to wait.
    pub(super) fn peek(&self, source: Source, now: Instant) -> Result<(), Duration> {
        let failures = self.sources.get(&source);
        failures.map_or(Ok(()), |failures| failures.wait(now))
    }

    /// A try was no failure. Those before it stay: who knows one password may guess at another.
    pub(super) fn succeeded(&mut self, source: Source) {
        if let Some(failures) = self.sources.get_mut(&source) {
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
            assert_eq!(throttle.admit(source, start), Ok(()));
        }
        assert_eq!(throttle.admit(source, start), Err(FIRST_WAIT));
        let mut now = start;
        for expected in [1, 2, 4, 8, 16, 32, 64, 64, 64] {
            let Err(wait) = throttle.admit(source, now) else {
                panic!("no wait of {expected} s");
            };
            // A minute forgives one.
            assert!(wait <= Duration::from_secs(expected), "{wait:?}");
            now += wait;
            assert_eq!(throttle.admit(source, now), Ok(()));
        }
        let other = Source::from(IpAddr::from([10, 0, 0, 2]));
        assert_eq!(throttle.admit(other, now), Ok(()));
        assert_eq!(throttle.admit(source, now + FORGIVEN * 20), Ok(()));
    }

    #[test]
    fn who_knows_the_password_is_not_slowed_down() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..100 {
            assert_eq!(throttle.admit(Source::User(7), now), Ok(()));
            throttle.succeeded(Source::User(7));
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut throttle = Throttle::default();
        let now = Instant::now();
        for number in 0..MOST_SOURCES as u64 * 3 {
            assert_eq!(throttle.admit(Source::Network(number), now), Ok(()));
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
