//! What follows from what was seen: silences, excess over theory, medians.

use std::collections::HashMap;
use std::time::Duration;

use rvrrpd_tests::sys::Stamp;

use crate::load::Router;
use crate::observer::{Sighting, Word};

/// Some values of the same kind, sorted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Values that are no numbers were not measured and are left out.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// All values of several samples.
    pub(crate) fn of(samples: &[Self]) -> Self {
        Self::new(samples.iter().flat_map(|sample| sample.0.iter().copied()))
    }

    /// The middle one, or the mean of both in the middle.
    pub(crate) fn median(&self) -> Option<f64> {
        let upper = *self.0.get(self.0.len() / 2)?;
        if self.0.len() % 2 == 1 {
            return Some(upper);
        }
        Some(f64::midpoint(self.0[self.0.len() / 2 - 1], upper))
    }

    pub(crate) fn least(&self) -> Option<f64> {
        self.0.first().copied()
    }

    pub(crate) fn most(&self) -> Option<f64> {
        self.0.last().copied()
    }
}

/// `ours` by `theirs`; none where that says nothing.
pub(crate) fn ratio(ours: Option<f64>, theirs: Option<f64>) -> Option<f64> {
    let (ours, theirs) = (ours?, theirs?);
    (ours >= 0.0 && theirs > 1e-6).then(|| ours / theirs)
}

/// The first time that each virtual router is heard from `host`, of what `which` chooses.
pub(crate) fn firsts(
    seen: &[Sighting],
    host: u8,
    which: impl Fn(Word) -> bool,
) -> HashMap<Router, Stamp> {
    let mut firsts = HashMap::new();
    for one in seen
        .iter()
        .filter(|one| one.host == host && which(one.word))
    {
        firsts.entry(one.router).or_insert(one.at);
    }
    firsts
}

/// The same of the last time.
pub(crate) fn lasts(
    seen: &[Sighting],
    host: u8,
    which: impl Fn(Word) -> bool,
) -> HashMap<Router, Stamp> {
    let chosen = seen
        .iter()
        .filter(|one| one.host == host && which(one.word));
    chosen.map(|one| (one.router, one.at)).collect()
}

/// By how many milliseconds each of `then` came later than `theory` after its entry in `since`.
pub(crate) fn excess(
    since: &HashMap<Router, Stamp>,
    then: &HashMap<Router, Stamp>,
    theory: impl Fn(Router) -> Duration,
) -> Sample {
    Sample::new(then.iter().filter_map(|(router, at)| {
        let due = since.get(router)?.0 + theory(*router);
        let late = milliseconds(at.0.saturating_sub(due));
        let early = milliseconds(due.saturating_sub(at.0));
        Some(late - early)
    }))
}

/// Longest silence of each virtual router that was heard: between advertisements of any host, and
/// after the last one up to `end`.
#[derive(Debug, Default)]
pub(crate) struct Silences {
    last: HashMap<Router, Stamp>,
    longest: HashMap<Router, Duration>,
}

impl Silences {
    /// Goes on with what was seen next.
    pub(crate) fn hear(&mut self, seen: &[Sighting]) {
        for one in seen {
            if matches!(one.word, Word::Advert(_)) {
                self.until(one.router, one.at);
                self.last.insert(one.router, one.at);
            }
        }
    }

    /// Nothing comes any more.
    pub(crate) fn end(&mut self, end: Stamp) {
        let routers: Vec<Router> = self.last.keys().copied().collect();
        for router in routers {
            self.until(router, end);
        }
    }

    fn until(&mut self, router: Router, at: Stamp) {
        if let Some(last) = self.last.get(&router) {
            let longest = self.longest.entry(router).or_default();
            *longest = (*longest).max(at.since(*last));
        }
    }

    /// The longest one of those virtual routers, none where none of them was heard.
    pub(crate) fn longest(&self, which: impl Fn(Router) -> bool) -> Option<Duration> {
        let chosen = self.longest.iter().filter(|(router, _)| which(**router));
        chosen.map(|(_, span)| *span).max()
    }
}

/// How many advertisements `host` sent.
pub(crate) fn adverts_of(seen: &[Sighting], host: u8) -> usize {
    let adverts = seen.iter().filter(|one| one.host == host);
    adverts.filter(|one| is_advert(one.word)).count()
}

/// Any advertisement.
pub(crate) fn is_advert(word: Word) -> bool {
    matches!(word, Word::Advert(_))
}

/// One that resigns.
pub(crate) fn is_resignation(word: Word) -> bool {
    word == Word::Advert(0)
}

/// One of a Master that stays.
pub(crate) fn is_claim(word: Word) -> bool {
    is_advert(word) && !is_resignation(word)
}

/// An advertisement that has come in.
pub(crate) fn is_heard(word: Word) -> bool {
    word == Word::Heard
}

/// Gratuitous ARP.
pub(crate) fn is_announcement(word: Word) -> bool {
    word == Word::Announcement
}

pub(crate) fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Stamp {
        Stamp(Duration::from_millis(ms))
    }

    fn says(ms: u64, host: u8, vrid: u8, word: Word) -> Sighting {
        let (at, router) = (at(ms), (0, vrid));
        Sighting {
            at,
            host,
            router,
            word,
        }
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Sample::new([]).median(), None);
        assert_eq!(Sample::new([3.0, 1.0, 2.0]).median(), Some(2.0));
        assert_eq!(Sample::new([4.0, 1.0, 2.0, 3.0]).median(), Some(2.5));
        let with_gap = Sample::new([f64::NAN, 5.0]);
        assert_eq!((with_gap.least(), with_gap.most()), (Some(5.0), Some(5.0)));
    }

    #[test]
    fn a_ratio_needs_both_and_something_to_divide_by() {
        assert_eq!(ratio(Some(1.0), Some(4.0)), Some(0.25));
        assert_eq!(ratio(Some(0.0), Some(4.0)), Some(0.0));
        for (ours, theirs) in [
            (None, Some(1.0)),
            (Some(1.0), None),
            (Some(1.0), Some(0.0)),
            (Some(-1.0), Some(1.0)),
        ] {
            assert_eq!(ratio(ours, theirs), None);
        }
    }

    #[test]
    fn excess_is_what_is_over_the_theory() {
        let seen = [
            says(0, 0, 1, Word::Advert(200)),
            says(100, 0, 1, Word::Advert(200)),
            says(150, 0, 2, Word::Advert(200)),
            says(470, 1, 1, Word::Advert(100)),
            says(480, 1, 1, Word::Announcement),
            says(500, 1, 2, Word::Advert(100)),
            says(600, 1, 2, Word::Advert(100)),
        ];
        let last = lasts(&seen, 0, is_advert);
        let theory = |_| Duration::from_millis(360);
        let adverts = excess(&last, &firsts(&seen, 1, is_advert), theory);
        let rounded = |value: Option<f64>| value.map(|ms| ms.round() as i64);
        assert_eq!(rounded(adverts.least()), Some(-10));
        assert_eq!(rounded(adverts.most()), Some(10));
        let arps = excess(&last, &firsts(&seen, 1, is_announcement), theory);
        assert_eq!(rounded(arps.median()), Some(20));
    }

    #[test]
    fn resignations_are_no_claims() {
        let seen = [
            says(0, 1, 1, Word::Advert(0)),
            says(5, 1, 1, Word::Advert(9)),
        ];
        assert_eq!(lasts(&seen, 1, is_resignation)[&(0, 1)], at(0));
        assert_eq!(firsts(&seen, 1, is_claim)[&(0, 1)], at(5));
        assert_eq!((adverts_of(&seen, 1), adverts_of(&seen, 0)), (2, 0));
    }

    #[test]
    fn the_longest_silence_may_be_the_last_one() {
        let mut silences = Silences::default();
        silences.hear(&[
            says(0, 0, 1, Word::Advert(200)),
            says(0, 0, 2, Word::Advert(200)),
            says(50, 0, 1, Word::Announcement),
        ]);
        silences.hear(&[says(110, 1, 1, Word::Advert(100))]);
        assert_eq!(silences.longest(|_| true), Some(Duration::from_millis(110)));
        silences.end(at(150));
        assert_eq!(
            silences.longest(|router| router == (0, 2)),
            Some(Duration::from_millis(150))
        );
        assert_eq!(
            silences.longest(|router| router == (0, 1)),
            Some(Duration::from_millis(110))
        );
        assert_eq!(silences.longest(|router| router == (9, 9)), None);
    }
}
