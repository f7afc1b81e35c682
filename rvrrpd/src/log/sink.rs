//! Where lines end up. Only the writer thread uses a sink, so it may wait here.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::format::{Style, rfc3164_stamp};
use super::record::{Record, Severity, Value};
use super::{Destination, Error, Settings};
use crate::config::model::LogTarget;

/// Native socket of the systemd journal (systemd documentation, "Native Journal Protocol").
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Socket of the syslog daemon.
const SYSLOG: &str = "/dev/log";
/// Facility `daemon`, RFC 3164 §4.1.1.
const FACILITY_DAEMON: u8 = 3;
/// How long a line waits for a log service that does not read.
const SERVICE_PATIENCE: Duration = Duration::from_secs(1);
/// Mode of a log file that is made here.
const LOG_FILE_MODE: u32 = 0o640;

/// Bytes of lines that are written together: as much as a pipe takes at once or not at all
/// (pipe(7), PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Where lines end up, and those that are on their way there.
#[derive(Debug)]
pub(super) struct Sink {
    target: Target,
    /// Lines that are to be written together.
    waiting: String,
    /// Whether they are warnings and errors.
    grave: bool,
}

/// Where lines end up.
#[derive(Debug)]
enum Target {
    /// Information and debug lines to stdout, warnings and errors to stderr.
    Standard,
    /// Everything to `main`, or warnings and errors to `error` where there is one.
    Files { main: File, error: Option<File> },
    /// The systemd journal.
    Journal(Service),
    /// The syslog daemon.
    Syslog(Service),
}

/// Lines that could not be written.
#[derive(Debug)]
pub(super) struct Lost {
    /// How many.
    pub(super) lines: u64,
    /// Why.
    pub(super) error: io::Error,
}

impl Sink {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings, destination: Destination) -> Result<Self, Error> {
        let target = match (settings.target, destination) {
            (LogTarget::Journald, _) => Service::connect(Path::new(JOURNAL)).map(Target::Journal),
            (LogTarget::Syslog, _) => Service::connect(Path::new(SYSLOG)).map(Target::Syslog),
            (LogTarget::File, Destination::Standard) => Ok(Target::Standard),
            (LogTarget::File, Destination::Files) => Ok(Target::Files {
                main: append_to(&settings.main_log)?,
                error: settings.error_log.as_deref().map(append_to).transpose()?,
            }),
        };
        target.map(Self::to)
    }

    const fn to(target: Target) -> Self {
        Self {
            target,
            waiting: String::new(),
            grave: false,
        }
    }

    /// Takes one record. It is written with [`Self::flush`] at the latest: a thousand elections are
    /// not a thousand system calls, each of which wakes who reads.
    ///
    /// # Errors
    /// What could not be written, which may be what was taken before.
    pub(super) fn write(&mut self, style: Style, record: &Record) -> Result<(), Lost> {
        let sent = match &mut self.target {
            Target::Journal(service) => service.send(journal_entry(style, record).as_bytes()),
            Target::Syslog(service) => service.send(syslog_entry(style, record).as_bytes()),
            Target::Standard | Target::Files { .. } => {
                let line = style.line(record);
                let grave = matches!(record.severity, Severity::Error | Severity::Warning);
                let is_full = self.waiting.len() + line.len() > AT_ONCE;
                let flushed = if is_full || grave != self.grave {
                    self.flush()
                } else {
                    Ok(())
                };
                self.waiting.push_str(&line);
                self.grave = grave;
                return flushed;
            }
        };
        sent.map_err(|error| Lost { lines: 1, error })
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// It could not be written, and waits no longer.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let text = self.waiting.as_bytes();
        let written = match &mut self.target {
            Target::Standard if self.grave => write_all(io::stderr(), text),
            Target::Standard => write_all(io::stdout(), text),
            Target::Files {
                error: Some(error), ..
            } if self.grave => write_all(error, text),
            Target::Files { main, .. } => write_all(main, text),
            // What they are sent never waits.
            Target::Journal(_) | Target::Syslog(_) => Ok(()),
        };
        self.waiting.clear();
        written
    }
}

/// Writes whole lines. A file system that is full may take some of them.
fn write_all(mut place: impl io::Write, lines: &[u8]) -> Result<(), Lost> {
    let mut rest = lines;
    let written = loop {
        if rest.is_empty() {
            break place.flush();
        }
        match place.write(rest) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => rest = &rest[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    written.map_err(|error| Lost {
        lines: rest.iter().filter(|byte| **byte == b'\n').count() as u64,
        error,
    })
}

/// Opens a log file for appending.
fn append_to(path: &Path) -> Result<File, Error> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(LOG_FILE_MODE)
        // A FIFO that nobody reads must not hold up the start, nor a terminal become ours.
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })
}

/// A log service behind a datagram socket; it may come and go.
#[derive(Debug)]
pub(super) struct Service {
    path: PathBuf,
    socket: UnixDatagram,
}

impl Service {
    /// Connects to the service at `path`.
    pub(super) fn connect(path: &Path) -> Result<Self, Error> {
        match Self::socket(path) {
            Ok(socket) => Ok(Self {
                path: path.to_owned(),
                socket,
            }),
            Err(source) => Err(Error::Connect {
                path: path.to_owned(),
                source,
            }),
        }
    }

    fn socket(path: &Path) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SERVICE_PATIENCE))?;
        socket.connect(path)?;
        Ok(socket)
    }

    fn send(&mut self, entry: &[u8]) -> io::Result<()> {
        match self.socket.send(entry) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
            // The service was started anew: its old socket is dead, the path leads to the new one.
            Err(_) => {
                self.socket = Self::socket(&self.path)?;
                self.socket.send(entry).map(drop)
            }
        }
    }
}

/// Severity of syslog, RFC 3164 §4.1.1.
fn syslog_severity(severity: Severity) -> u8 {
    match severity {
        Severity::Error => 3,
        Severity::Warning => 4,
        Severity::Info => 6,
        Severity::Debug(_) => 7,
    }
}

fn syslog_entry(style: Style, record: &Record) -> String {
    format!(
        "<{}>{} rvrrpd[{}]: {}",
        FACILITY_DAEMON * 8 + syslog_severity(record.severity),
        rfc3164_stamp(record.time),
        std::process::id(),
        style.body(record),
    )
}

fn journal_entry(style: Style, record: &Record) -> String {
    // No value holds a newline, so the simple form `NAME=value` does for all of them.
    let mut entry = format!(
        "PRIORITY={}\nSYSLOG_FACILITY={FACILITY_DAEMON}\nSYSLOG_IDENTIFIER=rvrrpd\nMESSAGE={}\n",
        syslog_severity(record.severity),
        style.body(record),
    );
    let source = Value::Text(record.source.to_string());
    let fields = record.fields.iter().chain(&record.said);
    let fields = fields.map(|(name, value)| (*name, value));
    for (name, value) in std::iter::once(("source", &source)).chain(fields) {
        entry.push_str("RVRRPD_");
        entry.extend(name.chars().map(|c| match c.to_ascii_uppercase() {
            c @ ('A'..='Z' | '0'..='9') => c,
            _ => '_',
        }));
        entry.push('=');
        entry.push_str(&super::format::value(value));
        entry.push('\n');
    }
    entry
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixDatagram;
    use std::time::SystemTime;

    use super::{
        AT_ONCE, Record, Service, Severity, Sink, Style, Target, Value, append_to, write_all,
    };
    use crate::config::model::{LogFormat, TimeFormat, TimeZone};
    use crate::scratch::Scratch;

    const STYLE: Style = Style {
        zone: TimeZone::Utc,
        time: TimeFormat::Rfc3339,
        format: LogFormat::Text,
    };

    fn record(severity: Severity, message: &str) -> Record {
        Record {
            time: SystemTime::now(),
            severity,
            source: Cow::Borrowed("vr"),
            message: message.to_owned(),
            fields: vec![("peer-name", Value::Text("a\nMESSAGE=forged".to_owned()))],
            said: Vec::new(),
        }
    }

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn syslog_gets_priority_time_name_and_text() {
        let scratch = Scratch::new();
        let path = scratch.path("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::to(Target::Syslog(Service::connect(&path).unwrap()));
        sink.write(STYLE, &record(Severity::Warning, "no carrier"))
            .unwrap();
        let entry = received(&daemon);
        assert!(entry.starts_with("<28>"), "{entry}");
        let text = format!(
            " rvrrpd[{}]: warning(vr): no carrier peer-name=\"a\\nMESSAGE=forged\"",
            std::process::id()
        );
        // "<28>" and a time stamp of fifteen characters stand before it.
        assert_eq!(&entry[4 + 15..], text);
    }

    #[test]
    fn the_journal_gets_fields_that_nobody_can_forge() {
        let scratch = Scratch::new();
        let path = scratch.path("journal");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::to(Target::Journal(Service::connect(&path).unwrap()));
        sink.write(STYLE, &record(Severity::Error, "bad")).unwrap();
        let entry = received(&daemon);
        let lines: Vec<&str> = entry.lines().collect();
        assert_eq!(
            lines,
            [
                "PRIORITY=3",
                "SYSLOG_FACILITY=3",
                "SYSLOG_IDENTIFIER=rvrrpd",
                "MESSAGE=error(vr): bad peer-name=\"a\\nMESSAGE=forged\"",
                "RVRRPD_SOURCE=vr",
                "RVRRPD_PEER_NAME=a\\nMESSAGE=forged",
            ]
        );
    }

    #[test]
    fn a_service_that_was_started_anew_is_found_again() {
        let scratch = Scratch::new();
        let path = scratch.path("log");
        let old = UnixDatagram::bind(&path).unwrap();
        let mut sink = Sink::to(Target::Syslog(Service::connect(&path).unwrap()));
        // A drop alone leaves it open in a program that another test is just starting.
        old.shutdown(std::net::Shutdown::Both).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(sink.write(STYLE, &record(Severity::Info, "lost")).is_err());
        let new = UnixDatagram::bind(&path).unwrap();
        sink.write(STYLE, &record(Severity::Info, "found")).unwrap();
        assert!(received(&new).contains("found"));
    }

    #[test]
    fn an_absent_service_is_named() {
        let scratch = Scratch::new();
        let error = Service::connect(&scratch.path("absent")).unwrap_err();
        assert!(error.to_string().contains("absent"), "{error}");
    }

    #[test]
    fn log_files_are_appended_to_and_closed_to_others() {
        let scratch = Scratch::new();
        let path = scratch.path("main");
        for message in ["one", "two"] {
            let mut sink = Sink::to(Target::Files {
                main: append_to(&path).unwrap(),
                error: None,
            });
            sink.write(STYLE, &record(Severity::Info, message)).unwrap();
            sink.flush().unwrap();
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0);
    }

    #[test]
    fn lines_that_come_together_are_written_together_in_their_order() {
        let scratch = Scratch::new();
        let paths = ["main", "error"].map(|name| scratch.path(name));
        let [main, error] = paths.each_ref().map(|path| append_to(path).unwrap());
        let mut sink = Sink::to(Target::Files {
            main,
            error: Some(error),
        });
        let read = |index: usize| std::fs::read_to_string(&paths[index]).unwrap();
        let mut write = |severity, message: &str| {
            sink.write(STYLE, &record(severity, message)).unwrap();
        };
        write(Severity::Info, "first");
        assert_eq!(read(0), "");
        // Who reads both sees them in their order.
        write(Severity::Error, "second");
        assert!(read(0).contains("first"));
        write(Severity::Info, "third");
        assert!(read(1).contains("second"));
        while read(0).lines().count() < 3 {
            write(Severity::Info, "more");
        }
        let together = read(0).len();
        assert!(
            (AT_ONCE / 2..=2 * AT_ONCE).contains(&together),
            "{together}"
        );
        sink.flush().unwrap();
        assert!(read(0).len() > together && read(0).ends_with('\n'));
    }

    #[test]
    fn of_lines_that_a_full_disk_took_only_the_others_are_lost() {
        struct Full(usize);
        impl std::io::Write for Full {
            fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
                let length = self.0.min(text.len());
                self.0 -= length;
                match length {
                    0 => Err(std::io::ErrorKind::StorageFull.into()),
                    _ => Ok(length),
                }
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let lost = |room| write_all(Full(room), b"one\ntwo\nthree\n").map_err(|lost| lost.lines);
        assert_eq!(
            [0, 4, 6, 13, 14].map(lost),
            [Err(3), Err(2), Err(2), Err(1), Ok(())]
        );
    }
}
