//! Many seeds, and what to do with one that fails.

use std::fmt;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use super::scenario::Scenario;
use super::world::{Outcome, run};

/// What a campaign has seen.
pub(crate) struct Totals {
    pub(crate) seeds: u64,
    pub(crate) judged: u64,
    pub(crate) takeovers: u64,
    pub(crate) absorbed: u64,
    pub(crate) postponements: u64,
    pub(crate) events: u64,
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} seeds, {} events, {} advertisements kept by the kernel, {} takeovers ({} postponed) \
             and {} quiet times judged",
            self.seeds, self.events, self.absorbed, self.takeovers, self.postponements, self.judged
        )
    }
}

/// Makes a scenario of a seed.
pub(crate) type Generate = fn(u64) -> Scenario;

/// Runs seeds from `first` on, on all processors, until `count` are done or the time is over. The
/// lowest seed that fails is the error.
pub(crate) fn campaign(
    generate: Generate,
    first: u64,
    count: u64,
    until: Option<Instant>,
) -> Result<Totals, u64> {
    let next = AtomicU64::new(first);
    let failed = AtomicU64::new(u64::MAX);
    let sums: [AtomicU64; 6] = Default::default();
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            let is_over = until.is_some_and(|until| Instant::now() >= until);
            if seed - first >= count || is_over || seed > failed.load(Ordering::Relaxed) {
                return;
            }
            let outcome = run(&generate(seed), false);
            if outcome.verdict.is_err() {
                failed.fetch_min(seed, Ordering::Relaxed);
            }
            let values = [
                1,
                outcome.judged,
                outcome.takeovers,
                outcome.absorbed,
                outcome.postponements,
                outcome.events,
            ];
            for (sum, value) in sums.iter().zip(values) {
                sum.fetch_add(value, Ordering::Relaxed);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(work);
        }
    });
    let [seeds, judged, takeovers, absorbed, postponements, events] =
        sums.map(AtomicU64::into_inner);
    match failed.into_inner() {
        u64::MAX => Ok(Totals {
            seeds,
            judged,
            takeovers,
            absorbed,
            postponements,
            events,
        }),
        seed => Err(seed),
    }
}

/// The story of a seed, with as few steps as it needs to fail.
pub(crate) fn report(generate: Generate, seed: u64) -> String {
    let scenario = shrink(generate(seed));
    let (mixed, again) = if scenario.groups.iter().any(|group| group.mixed) {
        ("mixed ", "MIXED=1 ")
    } else {
        ("", "")
    };
    let Outcome { verdict, story, .. } = run(&scenario, true);
    let verdict = match verdict {
        Ok(()) => "nothing is wrong".into(),
        Err(error) => error,
    };
    format!(
        "{scenario}\n{}\n{mixed}seed {seed}: {verdict}\n\
         again: {again}SEED={seed} cargo test -p rvrrpd --test simulation replay -- --ignored --nocapture\n",
        story.brief()
    )
}

/// Leaves out what is not needed: steps, then virtual routers.
fn shrink(mut scenario: Scenario) -> Scenario {
    let fails = |scenario: &Scenario| run(scenario, false).verdict.is_err();
    if !fails(&scenario) {
        return scenario;
    }
    let mut chunk = scenario.steps.len();
    while chunk > 0 {
        let mut start = 0;
        while start < scenario.steps.len() {
            let mut shorter = scenario.clone();
            let end = (start + chunk).min(shorter.steps.len());
            shorter.steps.drain(start..end);
            if fails(&shorter) {
                scenario = shorter;
            } else {
                start += chunk;
            }
        }
        chunk /= 2;
    }
    scenario
}
