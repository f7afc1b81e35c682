//! Captures: every frame with the kernel's time stamp, kept in memory, and waiting for one.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::deadline::{Deadline, Pending, until, within};
use crate::frame::{Advert, Arp, Frame};
use crate::sys::{self, Stamp};

/// Frames that a failure message shows.
const SHOWN: usize = 40;

/// A running capture. Dropping it stops it; in a failing test it shows its last frames.
pub struct Capture {
    name: String,
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

/// How long a test waits for the reader, which shares the processors with everything else.
const READER_LIMIT: f64 = 20.0;
/// How long the reader waits for a frame, in milliseconds, before it says that there is none.
const READER_PAUSE: i32 = 10;

/// What the reader and the test share.
#[derive(Default)]
struct Shared {
    frames: Mutex<Vec<Frame>>,
    /// What came before this has been read.
    read_until: Mutex<Stamp>,
    changed: Condvar,
    stop: AtomicBool,
}

impl Capture {
    /// Reads `socket` until dropped. `port` names the interface of an index, none to ignore it.
    pub(crate) fn start(
        name: &str,
        socket: OwnedFd,
        port: impl Fn(i32) -> Option<String> + Send + 'static,
    ) -> Self {
        let shared = Arc::<Shared>::default();
        let reader = {
            let (shared, name) = (Arc::clone(&shared), name.to_owned());
            std::thread::spawn(move || read(&name, &socket, &shared, port))
        };
        Self {
            name: name.to_owned(),
            shared,
            reader: Some(reader),
        }
    }

    /// All frames up to now in the order of their time stamps, also those that the reader has yet
    /// to read. What is on its way to the socket is not among them: who wants a frame to be there
    /// waits for it ([`Self::wait_since`]).
    ///
    /// # Panics
    /// Where the reader does not come to it.
    #[must_use]
    #[track_caller]
    pub fn frames(&self) -> Vec<Frame> {
        let now = Stamp::now();
        until(
            "the capture has read everything",
            within(READER_LIMIT),
            || {
                let reads = self.reader.as_ref().is_some_and(|it| !it.is_finished());
                assert!(reads, "capture {} has ended by itself", self.name);
                (*self.shared.read_until.lock().unwrap() >= now).then_some(())
            },
        );
        let mut frames = self.shared.frames.lock().unwrap().clone();
        frames.sort_by_key(|frame| frame.stamp);
        frames
    }

    /// All frames from `start` on.
    #[must_use]
    #[track_caller]
    pub fn frames_since(&self, start: Stamp) -> Vec<Frame> {
        let mut frames = self.frames();
        frames.retain(|frame| frame.stamp >= start);
        frames
    }

    /// All adverts of `vrid` from `start` on, with their frames.
    #[must_use]
    #[track_caller]
    pub fn adverts_since(&self, start: Stamp, vrid: u8) -> Vec<(Frame, Advert)> {
        self.frames_since(start)
            .into_iter()
            .filter_map(|frame| {
                let advert = frame.advert()?;
                (advert.vrid == vrid).then_some((frame, advert))
            })
            .collect()
    }

    /// All ARP packets from `start` on, with their frames.
    #[must_use]
    #[track_caller]
    pub fn arps_since(&self, start: Stamp) -> Vec<(Frame, Arp)> {
        self.frames_since(start)
            .into_iter()
            .filter_map(|frame| {
                let arp = frame.arp()?;
                Some((frame, arp))
            })
            .collect()
    }

    /// The first frame from `start` on that fulfils `predicate`.
    ///
    /// # Panics
    /// When the deadline passes; the message shows what came instead.
    #[track_caller]
    pub fn wait_since(
        &self,
        start: Stamp,
        what: &str,
        deadline: Deadline,
        predicate: impl Fn(&Frame) -> bool,
    ) -> Frame {
        self.wait_count(start, 1, what, deadline, predicate)
            .remove(0)
    }

    /// The first `count` frames from `start` on that fulfil `predicate`.
    ///
    /// # Panics
    /// When the deadline passes; the message shows what came instead.
    #[track_caller]
    pub fn wait_count(
        &self,
        start: Stamp,
        count: usize,
        what: &str,
        deadline: Deadline,
        predicate: impl Fn(&Frame) -> bool,
    ) -> Vec<Frame> {
        let _pending = Pending::new(&format!("{}: {what}", self.name));
        let mut found = Vec::new();
        let mut seen = 0;
        let mut frames = self.shared.frames.lock().unwrap();
        loop {
            let new = frames[seen..].iter().filter(|frame| frame.stamp >= start);
            found.extend(new.filter(|frame| predicate(frame)).cloned());
            seen = frames.len();
            if found.len() >= count {
                found.truncate(count);
                return found;
            }
            if deadline.passed() {
                let shown = last_lines(&frames, start);
                drop(frames);
                panic!(
                    "{}: not within {:?}: {what} ({} of {count} seen); the last frames:\n{shown}",
                    self.name,
                    deadline.limit(),
                    found.len()
                );
            }
            frames = self
                .shared
                .changed
                .wait_timeout(frames, deadline.left())
                .unwrap()
                .0;
        }
    }

    /// Waits until `quiet` has passed without a frame that fulfils `predicate`, and returns those
    /// that came before, from `start` on.
    ///
    /// # Panics
    /// When the deadline passes first.
    #[track_caller]
    pub fn until_quiet(
        &self,
        start: Stamp,
        quiet: Duration,
        deadline: Deadline,
        predicate: impl Fn(&Frame) -> bool,
    ) -> Vec<Frame> {
        let began = Stamp::now();
        // The clock of the stamps may be set, as after a snapshot of the machine; this one is not.
        let (mut count, mut since) = (usize::MAX, Instant::now());
        loop {
            let asked = Instant::now();
            let mut found = self.frames_since(start);
            found.retain(|frame| predicate(frame));
            if found.len() != count {
                (count, since) = (found.len(), asked);
            }
            let last = found.last().map_or(began, |frame| frame.stamp.max(began));
            let silent = Stamp::now().since(last).min(since.elapsed());
            if silent >= quiet {
                return found;
            }
            assert!(
                !deadline.passed(),
                "{}: never quiet for {quiet:?} within {:?}",
                self.name,
                deadline.limit()
            );
            std::thread::sleep(quiet - silent);
        }
    }
}

impl Capture {
    /// The frames from `start` on that `predicate` says are answers: all until none has come for
    /// 0.15 s, or for a second where there is none. The kernel takes a broadcast to a macvlan in a thread
    /// of its own, and one that is late is not to be taken for an answer to the next question.
    #[must_use]
    #[track_caller]
    pub fn answers(&self, start: Stamp, predicate: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let quiet = Duration::from_millis(150);
        let found = self.until_quiet(start, quiet, within(5.0), &predicate);
        if !found.is_empty() {
            return found;
        }
        self.until_quiet(start, Duration::from_secs(1), within(5.0), predicate)
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let lost = self
            .reader
            .take()
            .is_some_and(|reader| reader.join().is_err());
        if std::thread::panicking() {
            let frames = self
                .shared
                .frames
                .lock()
                .unwrap_or_else(|error| error.into_inner());
            eprintln!(
                "--- capture {}, {} frames, the last:",
                self.name,
                frames.len()
            );
            eprintln!("{}", last_lines(&frames, Stamp::default()));
        } else {
            assert!(
                !lost,
                "capture {} lost frames, its verdicts are worth nothing",
                self.name
            );
        }
    }
}

/// The last frames from `start` on, one line each.
fn last_lines(frames: &[Frame], start: Stamp) -> String {
    let lines: Vec<String> = frames
        .iter()
        .filter(|frame| frame.stamp >= start)
        .map(|frame| format!("{frame:?}"))
        .collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

/// The thread of a capture.
fn read(name: &str, socket: &OwnedFd, shared: &Shared, port: impl Fn(i32) -> Option<String>) {
    let mut buffer = vec![0; 65536];
    while !shared.stop.load(Ordering::Relaxed) {
        let before = Stamp::now();
        let read_until = match sys::receive(socket, &mut buffer, READER_PAUSE) {
            Ok(Some(received)) => {
                if let Some(port) = port(received.interface) {
                    let frame = Frame {
                        stamp: received.stamp,
                        port,
                        bytes: buffer[..received.length].to_vec(),
                    };
                    shared.frames.lock().unwrap().push(frame);
                    shared.changed.notify_all();
                }
                received.stamp
            }
            Ok(None) => before,
            Err(error) => panic!("capture {name}: {error}"),
        };
        *shared.read_until.lock().unwrap() = read_until;
    }
    let lost = sys::dropped(socket).unwrap_or(0);
    assert_eq!(lost, 0, "capture {name}: the kernel dropped frames");
}
