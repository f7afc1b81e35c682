//! A LAN of routers in one thread under a virtual clock: the real frames, receive checks, engine
//! and state machine; the network, the threads and the clocks around them are simulated, and may
//! do anything that they do in life. See docs/simulation.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

mod campaign;
mod filter;
mod generate;
mod hostile;
mod judge;
mod lan;
mod listener;
mod node;
mod random;
mod scenario;
mod setup;
mod story;
mod twin;
mod world;

use std::time::{Duration, Instant, SystemTime};

use campaign::{Generate, campaign, report};

/// Seeds of every `make test`.
const SEEDS: u64 = 10_000;
/// The same of groups that speak different versions.
const MIXED_SEEDS: u64 = 4000;

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect(variable))
}

/// The scenarios that are asked for.
fn generator() -> Generate {
    match number("MIXED") {
        Some(1) => generate::mixed,
        _ => generate::scenario,
    }
}

#[test]
fn no_seed_breaks_an_invariant() {
    check(generate::scenario, SEEDS);
}

/// MIX-1: routers of version 2, of version 3 and of both, also while they change from one to
/// another.
#[test]
fn no_seed_of_a_mixed_group_breaks_an_invariant() {
    check(generate::mixed, MIXED_SEEDS);
}

fn check(generate: Generate, seeds: u64) {
    let begin = Instant::now();
    match campaign(generate, 0, number("SEEDS").unwrap_or(seeds), None) {
        Ok(totals) => {
            println!("{totals} in {:?}", begin.elapsed());
            // Otherwise nothing was tested.
            assert!(totals.judged > totals.seeds, "{totals}");
            assert!(totals.takeovers > totals.seeds, "{totals}");
            assert!(totals.absorbed > totals.seeds, "{totals}");
            assert!(totals.postponements > totals.seeds / 100, "{totals}");
        }
        Err(seed) => panic!("\n{}", report(generate, seed)),
    }
}

#[test]
fn a_seed_reproduces_exactly() {
    for seed in 0..20 {
        let generate = if seed % 2 == 0 {
            generate::scenario
        } else {
            generate::mixed
        };
        let story = || world::run(&generate(seed), true).story;
        let first = story();
        assert!(first.len() > 20, "{first:?}");
        assert_eq!(first, story());
    }
}

/// `make soak`: seeds that were never tried, for SECONDS; with MIXED=1 of mixed groups.
#[test]
#[ignore = "runs for SECONDS, by `make soak`"]
fn soak() {
    let seconds = number("SECONDS").unwrap_or(60);
    let until = Instant::now() + Duration::from_secs(seconds);
    let first = number("SEED").unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        u64::try_from(since.unwrap().as_micros()).unwrap() << 12
    });
    match campaign(generator(), first, u64::MAX - first, Some(until)) {
        Ok(totals) => println!("seeds from {first} on: {totals}"),
        Err(seed) => panic!("\n{}", report(generator(), seed)),
    }
}

#[test]
#[ignore = "tells the story of SEED"]
fn replay() {
    println!("{}", report(generator(), number("SEED").expect("SEED")));
}
