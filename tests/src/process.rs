//! A daemon under test: its process, its log, its end.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};

use crate::deadline::{Deadline, Pending, until, within};
use crate::sys::{self, Stamp};

/// Lines that a failure message shows.
const SHOWN: usize = 60;

/// Logs of the daemons that live in this process, for the watchdog.
static LOGS: Mutex<Vec<Weak<Log>>> = Mutex::new(Vec::new());

/// One line of a daemon's output.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub stamp: Stamp,
    /// Whether it came from stderr.
    pub stderr: bool,
    /// The text without the line feed.
    pub text: String,
}

/// Everything that a daemon wrote.
#[derive(Debug, Default)]
pub struct Log {
    name: String,
    lines: Mutex<Vec<Line>>,
    changed: Condvar,
    ended: AtomicU8,
}

impl Log {
    fn new(name: &str) -> Arc<Self> {
        let log = Arc::new(Self {
            name: name.to_owned(),
            ..Self::default()
        });
        let mut logs = LOGS.lock().unwrap();
        logs.retain(|log| log.strong_count() > 0);
        logs.push(Arc::downgrade(&log));
        log
    }

    /// All lines up to now.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap().clone()
    }

    /// Number of lines up to now; a mark for [`Self::wait_after`].
    #[must_use]
    pub fn mark(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// All lines after `mark`.
    #[must_use]
    pub fn lines_after(&self, mark: usize) -> Vec<Line> {
        self.lines.lock().unwrap()[mark..].to_vec()
    }

    /// The texts of all lines after `mark`.
    #[must_use]
    pub fn texts_after(&self, mark: usize) -> Vec<String> {
        self.lines.lock().unwrap()[mark..]
            .iter()
            .map(|line| line.text.clone())
            .collect()
    }

    /// The first value that `choose` finds in a line after `mark`.
    ///
    /// # Panics
    /// When the deadline passes; the message shows the last lines.
    #[track_caller]
    pub fn wait_after<T>(
        &self,
        mark: usize,
        what: &str,
        deadline: Deadline,
        choose: impl Fn(&Line) -> Option<T>,
    ) -> T {
        let _pending = Pending::new(&format!("log of {}: {what}", self.name));
        let mut lines = self.lines.lock().unwrap();
        let mut seen = mark;
        loop {
            if let Some(value) = lines[seen..].iter().find_map(&choose) {
                return value;
            }
            seen = lines.len();
            if deadline.passed() {
                let shown = tail(&lines);
                drop(lines);
                panic!(
                    "log of {}: not within {:?}: {what}; its last lines:\n{shown}",
                    self.name,
                    deadline.limit()
                );
            }
            lines = self.changed.wait_timeout(lines, deadline.left()).unwrap().0;
        }
    }

    /// Takes every line of `stream`.
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static, stderr: bool) {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for bytes in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                log.lines.lock().unwrap().push(Line {
                    stamp: Stamp::now(),
                    stderr,
                    text,
                });
                log.changed.notify_all();
            }
            log.ended.fetch_add(1, Ordering::Release);
        });
    }

    /// Waits until both streams have been read to their ends.
    #[track_caller]
    pub fn wait_end(&self, deadline: Deadline) {
        let what = format!("the output of {} ends", self.name);
        until(&what, deadline, || {
            (self.ended.load(Ordering::Acquire) == 2).then_some(())
        });
    }
}

/// The last lines as text.
fn tail(lines: &[Line]) -> String {
    let start = lines.len().saturating_sub(SHOWN);
    let shown: Vec<String> = lines[start..]
        .iter()
        .map(|line| {
            let mark = if line.stderr { "!" } else { " " };
            format!(
                "{:10.6}{mark}{}",
                line.stamp.0.as_secs_f64() % 1000.0,
                line.text
            )
        })
        .collect();
    shown.join("\n")
}

/// Writes the last lines of every daemon's log.
pub(crate) fn print_logs(out: &mut impl Write) {
    let Ok(logs) = LOGS.try_lock() else { return };
    for log in logs.iter().filter_map(Weak::upgrade) {
        if let Ok(lines) = log.lines.try_lock() {
            drop(writeln!(out, "--- log of {}:\n{}", log.name, tail(&lines)));
        }
    }
}

/// A daemon in the foreground. Dropping it kills it; in a failing test it shows its log.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    status: Option<ExitStatus>,
    log: Arc<Log>,
}

impl Process {
    /// Starts `command` and follows what it writes.
    ///
    /// # Panics
    /// Where it cannot be started.
    #[must_use]
    pub fn start(name: &str, mut command: Command) -> Self {
        sys::die_with_parent(&mut command);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {command:?}: {error}"));
        let log = Log::new(name);
        log.follow(child.stdout.take().expect("stdout"), false);
        log.follow(child.stderr.take().expect("stderr"), true);
        Self {
            name: name.to_owned(),
            child,
            status: None,
            log,
        }
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it wrote.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// Where it is gone.
    #[track_caller]
    pub fn signal(&self, signal: libc::c_int) {
        sys::kill(self.pid(), signal)
            .unwrap_or_else(|error| panic!("{}: signal {signal}: {error}", self.name));
    }

    /// Its exit status if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("wait for a child");
        }
        self.status
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When the deadline passes.
    #[track_caller]
    pub fn wait_exit(&mut self, deadline: Deadline) -> ExitStatus {
        let what = format!("{} ends", self.name);
        until(&what, deadline, || self.exited())
    }

    /// Kills it and its children and waits until it is gone.
    pub fn kill(&mut self) {
        if self.exited().is_some() {
            return;
        }
        for pid in self.children() {
            // It may have ended just now, which is what is wanted.
            drop(sys::kill(pid, libc::SIGKILL));
        }
        drop(self.child.kill());
        self.wait_exit(within(10.0));
    }

    /// Process ids of its children.
    fn children(&self) -> Vec<u32> {
        let pid = self.pid();
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|text| text.parse().ok())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let status = self
                .exited()
                .map_or_else(|| "runs".to_owned(), |s| s.to_string());
            let lines = self
                .log
                .lines
                .lock()
                .unwrap_or_else(|error| error.into_inner());
            eprintln!("--- log of {} ({status}):\n{}", self.name, tail(&lines));
        }
        self.kill();
    }
}
