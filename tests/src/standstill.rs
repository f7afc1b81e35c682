//! How long this machine stood still: a hypervisor, a snapshot or a freezer takes its processors away,
//! and whatever is to happen within a time happens later by that.
//!
//! One real-time thread on each processor looks at the clock a hundred times a second. A test that judges
//! how late something was adds [`between`] to what it allows, and only that: a daemon that has to
//! wait for other programs is late by itself.

use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use crate::sys::{self, Stamp};

/// How often the clock is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// What a sleep of a real-time thread takes longer without any fault of the machine.
const USUAL: Duration = Duration::from_millis(2);

/// What is known of each processor.
static PROCESSORS: Mutex<Vec<Arc<Mutex<Looks>>>> = Mutex::new(Vec::new());

/// What is known of one.
#[derive(Debug, Default)]
struct Looks {
    last: Stamp,
    /// Beginning and end of each standstill.
    standstills: Vec<(Stamp, Stamp)>,
}

impl Looks {
    /// Notes, where the last look was too long before `now`, that it stood still since.
    fn look(&mut self, now: Stamp) {
        let due = Stamp(self.last.0 + LOOK);
        if now.since(due) > USUAL {
            self.standstills.push((due, now));
        }
        self.last = now;
    }

    /// How long it stood still from `start` to `end`.
    fn between(&self, start: Stamp, end: Stamp) -> Duration {
        let parts = self.standstills.iter();
        parts
            .map(|(began, ended)| (*ended).min(end).since((*began).max(start)))
            .sum()
    }
}

/// Watches the machine from now on, for as long as the process runs.
///
/// # Panics
/// Where no thread can be made.
pub fn watch() {
    static WATCHERS: Once = Once::new();
    WATCHERS.call_once(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        for processor in 0..processors {
            let looks = Arc::new(Mutex::new(Looks {
                last: Stamp::now(),
                standstills: Vec::new(),
            }));
            PROCESSORS.lock().unwrap().push(Arc::clone(&looks));
            std::thread::Builder::new()
                .name(format!("standstill-{processor}"))
                .spawn(move || watch_one(processor, &looks))
                .expect("thread");
        }
    });
}

fn watch_one(processor: usize, looks: &Mutex<Looks>) -> ! {
    // Without the right to it a busy machine is taken for one that stands still, which allows more.
    let _ordinary = sys::run_first_on(processor);
    loop {
        std::thread::sleep(LOOK);
        looks.lock().unwrap().look(Stamp::now());
    }
}

/// How long processors stood still from `start` to `end`, all of them together: what happens on one
/// may have waited for another.
///
/// # Panics
/// Where a watcher did.
#[must_use]
pub fn between(start: Stamp, end: Stamp) -> Duration {
    let processors = PROCESSORS.lock().unwrap();
    let times = processors.iter().map(|looks| {
        let mut looks = looks.lock().unwrap();
        // One that lasts has not been noted.
        looks.look(Stamp::now());
        looks.between(start, end)
    });
    times.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Stamp {
        Stamp(Duration::from_millis(millis))
    }

    #[test]
    fn what_lies_between_counts() {
        let mut looks = Looks {
            last: at(1000),
            standstills: Vec::new(),
        };
        for millis in [1010, 1021, 1131, 1141, 1351] {
            looks.look(at(millis));
        }
        assert_eq!(
            looks.standstills,
            [(at(1031), at(1131)), (at(1151), at(1351))]
        );
        let millis = |start, end| looks.between(at(start), at(end)).as_millis();
        assert_eq!(millis(0, 2000), 300);
        assert_eq!(millis(1100, 1200), 31 + 49);
        assert_eq!(millis(1131, 1151), 0);
        assert_eq!(millis(1160, 1170), 10);
    }

    /// Whoever stops the process stops the machine, for all that it sees.
    #[test]
    fn a_stop_is_seen() {
        watch();
        let start = Stamp::now();
        let command = format!(
            "kill -STOP {0}; sleep 0.3; kill -CONT {0}",
            std::process::id()
        );
        let status = std::process::Command::new("sh")
            .args(["-c", &command])
            .status();
        assert!(status.expect("sh").success());
        assert!(between(start, Stamp::now()) >= Duration::from_millis(200));
    }
}
