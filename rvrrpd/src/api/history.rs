//! The last events, numbered. Readers keep their place and come for more, so that however many
//! there are, each event is kept once, and who is too slow learns how many it has missed.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::events::Event;
use crate::stats::Identity;

/// Events that are kept: all virtual routers of a large host change a few times each.
const KEPT: usize = 4096;

/// An event with its number.
#[derive(Clone, Debug)]
pub(super) struct Numbered {
    /// The first one has number 1.
    pub(super) sequence: u64,
    /// Name of the router at that time.
    pub(super) identity: Option<Arc<Identity>>,
    /// What happened.
    pub(super) event: Event,
}

/// The last events.
#[derive(Debug, Default)]
pub(super) struct History {
    kept: Mutex<Kept>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Numbered>,
    /// Number of the last event.
    last: u64,
}

/// What a reader comes away with.
#[derive(Debug)]
pub(super) enum Next {
    /// An event.
    Event(Numbered),
    /// So many are gone, the last of which had this number.
    Lost(u64, u64),
    /// Nothing new.
    Nothing,
}

impl History {
    /// Adds an event, before which `lost` others were lost.
    pub(super) fn push(&self, lost: u64, event: Event) {
        let mut kept = self.kept.lock();
        kept.last += lost + 1;
        if kept.events.len() >= KEPT {
            kept.events.pop_front();
        }
        let numbered = Numbered {
            sequence: kept.last,
            identity: event.router.identity(),
            event,
        };
        kept.events.push_back(numbered);
        drop(kept);
        self.grown.notify_waiters();
    }

    /// Number of the last event.
    pub(super) fn last(&self) -> u64 {
        self.kept.lock().last
    }

    /// What comes after the event of this number.
    pub(super) fn after(&self, sequence: u64) -> Next {
        let kept = self.kept.lock();
        if sequence >= kept.last {
            return Next::Nothing;
        }
        let place = kept
            .events
            .partition_point(|known| known.sequence <= sequence);
        match kept.events.get(place) {
            Some(next) if next.sequence == sequence + 1 => Next::Event(next.clone()),
            Some(next) => Next::Lost(next.sequence - 1 - sequence, next.sequence - 1),
            None => Next::Lost(kept.last - sequence, kept.last),
        }
    }

    /// Whether nothing after the event of this number is gone.
    pub(super) fn has_all_after(&self, sequence: u64) -> bool {
        sequence <= self.last() && !matches!(self.after(sequence), Next::Lost(..))
    }

    /// Ends when there are more events than there were when this was called.
    pub(super) fn grown(&self) -> Notified<'_> {
        self.grown.notified()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::events::Change;
    use crate::stats::Status;

    fn event() -> Event {
        let router = Arc::<Status>::default();
        Event {
            change: Change::Added,
            before: router.condition(),
            after: router.condition(),
            router,
            at: SystemTime::UNIX_EPOCH,
        }
    }

    fn read(history: &History, mut place: u64) -> (Vec<u64>, u64) {
        let (mut seen, mut lost) = (Vec::new(), 0);
        loop {
            match history.after(place) {
                Next::Event(event) => {
                    place = event.sequence;
                    seen.push(place);
                }
                Next::Lost(count, last) => {
                    lost += count;
                    place = last;
                }
                Next::Nothing => return (seen, lost),
            }
        }
    }

    #[test]
    fn every_reader_sees_each_event_once() {
        let history = History::default();
        assert_eq!(read(&history, 0), (vec![], 0));
        for _ in 0..3 {
            history.push(0, event());
        }
        assert_eq!(read(&history, 0), (vec![1, 2, 3], 0));
        assert_eq!(read(&history, 2), (vec![3], 0));
        assert_eq!(read(&history, 3), (vec![], 0));
    }

    #[test]
    fn what_was_lost_is_counted() {
        let history = History::default();
        history.push(0, event());
        history.push(7, event());
        assert_eq!(read(&history, 0), (vec![1, 9], 7));
        for _ in 0..KEPT {
            history.push(0, event());
        }
        let kept = KEPT as u64;
        let (seen, lost) = read(&history, 0);
        assert_eq!((seen.len(), lost), (KEPT, 9));
        assert_eq!(seen.last(), Some(&(kept + 9)));
        assert!(!history.has_all_after(0));
        assert!(history.has_all_after(9) && history.has_all_after(kept + 9));
        assert!(!history.has_all_after(kept + 10));
    }
}
