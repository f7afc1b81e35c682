//! From tracing to the writer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::Sender;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::CAPACITY;
use super::Shared;
use super::record::{self, Record};
use super::writer::Message;

/// Puts every visible event into the queue of the writer.
#[derive(Debug)]
pub(super) struct LogLayer {
    shared: Arc<Shared>,
    queue: Sender<Message>,
}

impl LogLayer {
    pub(super) fn new(shared: Arc<Shared>, queue: Sender<Message>) -> Self {
        Self { shared, queue }
    }

    fn debug(&self) -> u8 {
        self.shared.debug.load(Ordering::Relaxed)
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && record::can_be_visible(metadata, self.debug())
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.debug() {
            0 => LevelFilter::INFO,
            1 | 2 => LevelFilter::DEBUG,
            _ => LevelFilter::TRACE,
        })
    }

    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let Some(record) = Record::of_event(event, self.debug()) else {
            return;
        };
        let is_full = self.queue.len() >= CAPACITY;
        if is_full || self.queue.try_send(Message::Line(record)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
