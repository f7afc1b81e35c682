//! How much of something there may be at a time: in all, and of one source, so that nobody takes
//! what others need.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::credentials::Level;
use super::throttle::Source;

/// How much there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of all sources together.
    pub(super) all: usize,
    /// What of it only those get that may write.
    pub(super) kept: usize,
    /// Of one source that may write.
    pub(super) writer: usize,
    /// Of one source that may not.
    pub(super) reader: usize,
}

/// Places, and who has how many.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    taken: Mutex<HashMap<Source, usize>>,
}

/// What was taken, until this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    source: Source,
    amount: usize,
}

impl Places {
    /// Nobody has any.
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            taken: Mutex::default(),
        })
    }

    /// Gives a source of this level so much; none where it has, or all have, too much already.
    /// Where nobody has anything, more than there is is given, too.
    pub(super) fn admit(
        self: &Arc<Self>,
        source: Source,
        level: Level,
        amount: usize,
    ) -> Option<Place> {
        let Bounds {
            all,
            kept,
            writer,
            reader,
        } = self.bounds;
        let (most, from_one) = match level {
            Level::Write => (all, writer),
            Level::Read => (all.saturating_sub(kept), reader),
        };
        let mut taken = self.taken.lock();
        let total: usize = taken.values().sum();
        let has = taken.get(&source).copied().unwrap_or(0);
        let fits =
            |before: usize, most: usize| before == 0 || before.saturating_add(amount) <= most;
        if !fits(total, most) || !fits(has, from_one) {
            return None;
        }
        taken.insert(source, has.saturating_add(amount));
        Some(Place {
            places: Arc::clone(self),
            source,
            amount,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock();
        match taken.get_mut(&self.source) {
            Some(has) if *has > self.amount => *has -= self.amount,
            _ => {
                taken.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    const BOUNDS: Bounds = Bounds {
        all: 10,
        kept: 2,
        writer: 6,
        reader: 4,
    };

    fn source(last: u8) -> Source {
        IpAddr::from([10, 0, 0, last]).into()
    }

    #[test]
    fn nobody_takes_it_all() {
        let places = Places::new(BOUNDS);
        let take = |last, level| places.admit(source(last), level, 1);
        let mut held: Vec<Place> = (0..4).map(|_| take(1, Level::Read).unwrap()).collect();
        assert!(take(1, Level::Read).is_none());
        held.extend((0..4).map(|_| take(2, Level::Read).unwrap()));
        // What is kept for those who may write.
        assert!(take(3, Level::Read).is_none());
        held.extend((0..2).map(|_| take(3, Level::Write).unwrap()));
        assert!(take(4, Level::Write).is_none());
        held.remove(0);
        assert!(take(3, Level::Read).is_none());
        held.push(take(3, Level::Write).unwrap());
        held.clear();
        assert!(places.taken.lock().is_empty());
        let six: Vec<Option<Place>> = (0..7).map(|_| take(1, Level::Write)).collect();
        assert_eq!(six.iter().flatten().count(), 6);
    }

    #[test]
    fn amounts_are_counted_and_one_that_is_too_large_goes_alone() {
        let places = Places::new(BOUNDS);
        let large = places.admit(source(1), Level::Read, 100).unwrap();
        assert!(places.admit(source(2), Level::Write, 1).is_none());
        drop(large);
        let three = places.admit(source(1), Level::Read, 3).unwrap();
        assert!(places.admit(source(1), Level::Read, 2).is_none());
        let one = places.admit(source(1), Level::Read, 1).unwrap();
        drop(three);
        assert!(places.admit(source(1), Level::Read, 3).is_some());
        drop(one);
        assert!(places.taken.lock().is_empty());
    }
}
