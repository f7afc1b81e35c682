//! Mode 2: the Unix daemon and its PID file.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use daemonize::{Daemonize, Outcome};

use super::run_dir::pid_in;
use crate::config::model::Global;

/// umask of the daemon.
const UMASK: u32 = 0o027;
const PID_FILE_MODE: u32 = 0o644;
/// Exit code of a runtime failure.
const EXIT_FAILURE: u8 = 2;
/// What the daemon tells its parent: it is up. Anything else is the exit code of a failure.
const UP: u8 = 0;

/// What a Unix daemon is made from. Paths are absolute.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// The PID file.
    pub pid: PathBuf,
    /// Working directory of the daemon.
    pub working_dir: PathBuf,
}

impl Settings {
    /// The settings of a configuration; relative paths start at `base`, the directory that the
    /// process was started in.
    #[must_use]
    pub fn new(global: &Global, base: &Path) -> Self {
        Self {
            pid: base.join(&global.pid),
            working_dir: base.join(&global.working_dir),
        }
    }
}

/// Why the process did not become a daemon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A live process holds the PID file.
    #[error("{path}: rvrrpd is running already{}", pid.map_or_else(String::new, |pid| format!(", process {pid}")))]
    Running {
        /// The PID file.
        path: PathBuf,
        /// Its process id, where the file says so.
        pid: Option<u32>,
    },
    /// The PID file or the working directory cannot be used.
    #[error("{path}: {source}")]
    Path {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a fork or a pipe.
    #[error("cannot become a daemon: {0}")]
    Fork(String),
}

/// Goes on as a daemon: in a child of a child, without a terminal, in `working_dir`, with umask
/// 027, stdin, stdout and stderr at /dev/null, and with its PID file.
///
/// Only the daemon returns. The calling process waits until [`Child::ready`] or [`Child::failed`]
/// and ends, with exit code 0 or with the message on stderr and the code of the failure, so that
/// `rvrrpd -m2 && echo up` is true. It has to be called before any thread is started.
///
/// # Errors
/// In the calling process, before the fork: another daemon runs, the PID file cannot be written,
/// the working directory is none.
pub fn daemonize(settings: &Settings) -> Result<Child, Error> {
    let of_path = |path: &Path, source| Error::Path {
        path: path.to_owned(),
        source,
    };
    let directory = fs::metadata(&settings.working_dir)
        .map_err(|source| of_path(&settings.working_dir, source))?;
    if !directory.is_dir() {
        let source = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(of_path(&settings.working_dir, source));
    }
    let mut pid_file = PidFile::claim(&settings.pid)?;
    let (reader, writer) = io::pipe().map_err(|error| Error::Fork(error.to_string()))?;

    let fork = Daemonize::new()
        .working_directory(&settings.working_dir)
        .umask(UMASK);
    match fork.execute() {
        Outcome::Parent(Err(error)) => Err(Error::Fork(error.to_string())),
        Outcome::Parent(Ok(_)) => {
            drop(writer);
            let code = wait_for_daemon(reader);
            // No destructor runs: the PID file belongs to the daemon.
            std::process::exit(code.into())
        }
        Outcome::Child(result) => {
            drop(reader);
            let problem = match result {
                Ok(_) => pid_file.write().err().map(|error| {
                    let path = settings.pid.display();
                    format!("{path}: {error}")
                }),
                Err(error) => Some(format!("cannot become a daemon: {error}")),
            };
            let child = Child {
                parent: Some(writer),
                pid_file,
            };
            if let Some(problem) = problem {
                child.failed(EXIT_FAILURE, &problem);
                std::process::exit(EXIT_FAILURE.into());
            }
            Ok(child)
        }
    }
}

/// Waits for the word of the daemon and passes a failure on to stderr. Returns the exit code.
fn wait_for_daemon(mut reader: PipeReader) -> u8 {
    let mut answer = Vec::new();
    let read = reader.read_to_end(&mut answer);
    let (code, message) = match (read, answer.split_first()) {
        (Err(error), _) => (EXIT_FAILURE, format!("cannot hear the daemon: {error}")),
        (Ok(_), None) => (
            EXIT_FAILURE,
            "the daemon ended before it was up; its log may say why".to_owned(),
        ),
        (Ok(_), Some((&UP, _))) => return UP,
        (Ok(_), Some((&code, message))) => (code, String::from_utf8_lossy(message).into_owned()),
    };
    // Without a stderr nobody is there to be told.
    let _nobody = writeln!(io::stderr(), "{message}");
    code
}

/// The daemon's side: its PID file, and the parent that waits. The PID file is removed when this
/// is dropped.
#[derive(Debug)]
pub struct Child {
    parent: Option<PipeWriter>,
    pid_file: PidFile,
}

impl Child {
    /// The daemon is up: the parent ends with exit code 0. Further calls do nothing.
    pub fn ready(&mut self) {
        tell(self.parent.take(), &[UP]);
    }

    /// The daemon failed before it was up: the parent shows the message and ends with `code`,
    /// which is not 0. The PID file is gone by then, and the caller has to end.
    pub fn failed(self, code: u8, message: &str) {
        let code = if code == UP { EXIT_FAILURE } else { code };
        drop(self.pid_file);
        tell(self.parent, &[&[code], message.as_bytes()].concat());
    }
}

fn tell(parent: Option<PipeWriter>, word: &[u8]) {
    if let Some(mut parent) = parent {
        // A parent that was killed does not wait for the word.
        let _gone = parent.write_all(word);
    }
}

/// A PID file, locked for as long as its process lives.
#[derive(Debug)]
struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Locks the file at `path`. A file that no live process has locked is stale and taken over.
    fn claim(path: &Path) -> Result<Self, Error> {
        let of_path = |source| Error::Path {
            path: path.to_owned(),
            source,
        };
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(PID_FILE_MODE)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)
                .map_err(of_path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Running {
                        path: path.to_owned(),
                        pid: pid_in(&mut file),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(of_path(source)),
            }
            let claimed = Self {
                path: path.to_owned(),
                file,
            };
            // The holder before us may have removed the file between our opening and locking it.
            if claimed.is_in_place() {
                claimed.file.set_len(0).map_err(of_path)?;
                return Ok(claimed);
            }
        }
    }

    /// Writes the id of this process.
    fn write(&mut self) -> io::Result<()> {
        writeln!(self.file, "{}", std::process::id())
    }

    /// Whether the file at the path is still the locked one.
    fn is_in_place(&self) -> bool {
        let identity = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
        let there = fs::symlink_metadata(&self.path).map(identity);
        let ours = self.file.metadata().map(identity);
        matches!((there, ours), (Ok(there), Ok(ours)) if there == ours)
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if self.is_in_place() {
            // A stale file is taken over at the next start, so a failure does no harm.
            let _stale = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{self, Read as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::{Path, PathBuf};
    use std::process::Output;
    use std::time::Duration;

    use super::{PidFile, Settings, daemonize};
    use crate::reexec::{is_process_of, process};
    use crate::scratch::Scratch;

    const DAEMON: &str = "daemon::unix::tests::process_that_becomes_a_daemon";
    /// Generous: a daemon that has not connected by then never will.
    const PATIENCE: Duration = Duration::from_secs(20);

    fn started(scratch: &Scratch, role: &str) -> Output {
        process(DAEMON)
            .env("RVRRPD_TEST_DIR", scratch.root())
            .env("RVRRPD_TEST_ROLE", role)
            .output()
            .unwrap()
    }

    /// The daemon of `started`, which lives until this is dropped.
    fn connected(listener: &UnixListener) -> UnixStream {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn ended(mut daemon: UnixStream) {
        daemon.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(daemon.read_to_end(&mut Vec::new()).unwrap(), 0);
    }

    #[test]
    #[ignore = "run in a process of its own by the tests below"]
    fn process_that_becomes_a_daemon() {
        if !is_process_of(DAEMON) {
            return;
        }
        let directory = PathBuf::from(std::env::var_os("RVRRPD_TEST_DIR").unwrap());
        let settings = Settings {
            pid: directory.join("pid"),
            working_dir: directory.clone(),
        };
        let mut child = match daemonize(&settings) {
            Ok(child) => child,
            Err(error) => {
                eprintln!("{error}");
                std::process::exit(2);
            }
        };
        match std::env::var("RVRRPD_TEST_ROLE").unwrap().as_str() {
            "fails" => child.failed(1, "no such interface"),
            "dies" => std::process::abort(),
            _ => {
                // Lives until the test closes its end of the connection.
                let mut test = UnixStream::connect(directory.join("socket")).unwrap();
                child.ready();
                io::copy(&mut test, &mut io::sink()).unwrap();
                drop(child);
                drop(test);
            }
        }
        std::process::exit(0);
    }

    #[test]
    fn the_parent_ends_when_the_daemon_is_up() {
        let scratch = Scratch::new();
        let listener = UnixListener::bind(scratch.path("socket")).unwrap();
        fs::write(scratch.path("pid"), "4194304999\n").unwrap();

        let parent = started(&scratch, "lives");
        assert_eq!(parent.status.code(), Some(0), "{parent:?}");
        assert_eq!(parent.stderr, b"");
        let daemon = connected(&listener);

        let text = fs::read_to_string(scratch.path("pid")).unwrap();
        let pid = text.strip_suffix('\n').unwrap();
        let of_daemon = |name: &str| PathBuf::from(format!("/proc/{pid}/{name}"));
        assert_eq!(fs::read_link(of_daemon("cwd")).unwrap(), scratch.root());
        for stream in ["fd/0", "fd/1", "fd/2"] {
            assert_eq!(
                fs::read_link(of_daemon(stream)).unwrap(),
                Path::new("/dev/null")
            );
        }
        let status = fs::read_to_string(of_daemon("status")).unwrap();
        assert!(status.contains("\nUmask:\t0027\n"));
        let stat = fs::read_to_string(of_daemon("stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split(' ').collect();
        // Session (field 6) of another process, no terminal (field 7), proc_pid_stat(5).
        assert_ne!(fields[6 - 2], pid);
        assert_eq!(fields[7 - 2], "0");

        let second = started(&scratch, "lives");
        assert_eq!(second.status.code(), Some(2));
        let message = String::from_utf8(second.stderr).unwrap();
        assert!(
            message.contains("running already") && message.contains(pid),
            "{message}"
        );
        assert_eq!(fs::read_to_string(scratch.path("pid")).unwrap(), text);

        ended(daemon);
        assert!(!scratch.path("pid").exists());
    }

    #[test]
    fn a_failure_is_told_by_the_parent() {
        let scratch = Scratch::new();
        let parent = started(&scratch, "fails");
        assert_eq!(parent.status.code(), Some(1));
        assert_eq!(parent.stderr, b"no such interface\n");
        assert!(!scratch.path("pid").exists());
    }

    #[test]
    fn a_sudden_end_is_told_by_the_parent() {
        let scratch = Scratch::new();
        let parent = started(&scratch, "dies");
        assert_eq!(parent.status.code(), Some(2));
        let message = String::from_utf8(parent.stderr).unwrap();
        assert!(message.contains("ended before it was up"), "{message}");
    }

    #[test]
    fn paths_that_cannot_be_used_are_named() {
        let scratch = Scratch::new();
        fs::write(scratch.path("file"), "").unwrap();
        let refused = |pid: &str, working_dir: &str| {
            let settings = Settings {
                pid: scratch.path(pid),
                working_dir: scratch.path(working_dir),
            };
            daemonize(&settings).unwrap_err().to_string()
        };
        assert!(refused("pid", "absent").contains("/absent: "));
        assert!(refused("pid", "file").contains("/file: "));
        assert!(refused("absent/pid", "").contains("/absent/pid: "));
        std::os::unix::fs::symlink(scratch.path("file"), scratch.path("link")).unwrap();
        assert!(refused("link", "").contains("/link: "));
    }

    #[test]
    fn a_pid_file_of_another_daemon_is_never_removed() {
        let scratch = Scratch::new();
        let path = scratch.path("pid");
        let old = PidFile::claim(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let mut new = PidFile::claim(&path).unwrap();
        new.write().unwrap();
        drop(old);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
        drop(new);
        assert!(!path.exists());
    }
}
