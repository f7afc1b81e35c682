//! The thread that writes the log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_channel::{Receiver, Sender};

use super::record::{Record, Severity};
use super::sink::{Lost, Sink};
use super::{CAPACITY, Error, Settings, Shared};

/// What the writer is told.
#[derive(Debug)]
pub(super) enum Message {
    /// Write this.
    Line(Record),
    /// Settings may have changed.
    Look,
    /// Answer when everything before this is written.
    Flush(Sender<()>),
}

/// The thread that writes the log, and what it has open.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Receiver<Message>,
    shared: Arc<Shared>,
    /// Settings that `sink` was opened with.
    settings: Arc<Settings>,
    sink: Sink,
}

impl Writer {
    /// Opens what the settings name.
    pub(super) fn open(queue: Receiver<Message>, shared: Arc<Shared>) -> Result<Self, Error> {
        let settings = shared.settings.load_full();
        let sink = Sink::open(&settings, shared.destination)?;
        Ok(Self {
            queue,
            shared,
            settings,
            sink,
        })
    }

    /// Writes until nobody can log any more.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.queue.recv() {
            self.handle(message);
            // Under a lasting flood the queue is never empty; the loss is told all the same.
            for _ in 0..CAPACITY {
                let Ok(message) = self.queue.try_recv() else {
                    break;
                };
                self.handle(message);
            }
            self.flush();
            self.tell_loss();
        }
    }

    fn handle(&mut self, message: Message) {
        self.follow_settings();
        match message {
            Message::Line(record) => self.write(&record),
            Message::Look => {}
            Message::Flush(done) => {
                self.flush();
                self.tell_loss();
                // Who asked may have given up waiting.
                let _gone = done.try_send(());
            }
        }
    }

    fn write(&mut self, record: &Record) {
        let written = self.sink.write(self.settings.style(), record);
        self.count_lost(written);
    }

    /// Writes what waits to be written together.
    fn flush(&mut self) {
        let written = self.sink.flush();
        self.count_lost(written);
    }

    fn count_lost(&self, written: Result<(), Lost>) {
        if let Err(Lost { lines, error }) = written
            // A closed pipe has no reader who could miss a line or be told.
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            self.shared.lost.fetch_add(lines, Ordering::Relaxed);
        }
    }

    /// Says once how many lines are missing, as soon as lines can be written again. Nothing waits.
    fn tell_loss(&mut self) {
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost == 0 {
            return;
        }
        let record = Record::own(
            Severity::Warning,
            format!("{lost} log lines were lost, they came faster than they could be written"),
        );
        let told = self.sink.write(self.settings.style(), &record);
        let told = told.and_then(|()| self.sink.flush());
        self.count_lost(told.map_err(|of| Lost { lines: lost, ..of }));
    }

    /// Opens the log anew when the settings were replaced. What cannot be opened leaves the old
    /// one in use, with an error in it.
    fn follow_settings(&mut self) {
        let settings = self.shared.settings.load();
        if Arc::ptr_eq(&settings, &self.settings) {
            return;
        }
        self.settings = Arc::clone(&settings);
        drop(settings);
        match Sink::open(&self.settings, self.shared.destination) {
            Ok(sink) => {
                self.flush();
                self.sink = sink;
            }
            Err(error) => self.write(&Record::own(
                Severity::Error,
                format!("the log stays where it is: {error}"),
            )),
        }
    }
}
