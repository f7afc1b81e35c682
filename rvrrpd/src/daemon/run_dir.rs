//! The runtime directory: the journal of what is ours in the kernel and the socket of `rvrrpadm`
//! live there. One daemon holds it at a time.

use std::ffi::CString;
use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use crate::net::sys::directory::{make_directory_at, open_at};

/// Runtime directory in the network namespace of PID 1.
const DEFAULT: &str = "/run/rvrrpd";
/// What the name of one of another network namespace begins with; its inode follows.
const OF_NAMESPACE: &str = "net-";
const ROOT: u32 = 0;
/// How often a directory is tried that its holder removes just then.
const TRIES: usize = 100;
/// Mode of a directory that is made here: everyone may go through it to the socket of `rvrrpadm`,
/// nobody else may see what is in it.
const DIRECTORY_MODE: libc::mode_t = 0o711;
/// File whose lock is the hold; it names the holder.
const LOCK: &str = "lock";
const LOCK_MODE: libc::mode_t = 0o640;

/// The default of `run_dir`: /run/rvrrpd, or a directory of its own below it for a network
/// namespace that is not that of PID 1. Where the namespace of PID 1 is not ours to see, ours is
/// taken for another one by root, and for that one by others, who are told of what is missing then.
#[must_use]
pub fn default_path() -> PathBuf {
    let inode = |path: &str| fs::metadata(path).ok().map(|metadata| metadata.ino());
    let own = inode("/proc/self/ns/net");
    let first = inode("/proc/1/ns/net");
    let is_root = effective_user().is_ok_and(|user| user == ROOT);
    default_for(own, if is_root { first } else { first.or(own) })
}

/// The effective user of this process, who is the owner of /proc/self.
fn effective_user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|metadata| metadata.uid())
}

fn default_for(own: Option<u64>, first: Option<u64>) -> PathBuf {
    match own {
        Some(own) if first != Some(own) => Path::new(DEFAULT).join(format!("{OF_NAMESPACE}{own}")),
        _ => PathBuf::from(DEFAULT),
    }
}

/// Why a runtime directory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another daemon holds it.
    #[error("{path} is held by another rvrrpd, {}", holder(*.pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// Process id of the holder; none while it is just starting.
        pid: Option<u32>,
    },
    /// It cannot be made or used.
    #[error("{path}: {source}{}", what_is_needed(source))]
    Unusable {
        /// The directory, or the part of its path that is the reason.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

fn what_is_needed(error: &io::Error) -> &'static str {
    let is_root = effective_user().is_ok_and(|user| user == ROOT);
    if error.kind() == io::ErrorKind::PermissionDenied && !is_root {
        "; rvrrpd needs root, or CAP_NET_ADMIN, CAP_NET_RAW and a `run_dir` of its own user"
    } else {
        ""
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "which is just starting".to_owned(),
        |pid| format!("process {pid}"),
    )
}

/// A runtime directory, held until this is dropped or the process ends, however it ends. Programs
/// that the process starts do not hold it.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    _lock: File,
}

impl RunDir {
    /// Makes the directory where it is missing, with its parents, and holds it. Call it after the
    /// last fork. No symbolic link is followed, except that /var/run is /run (FHS 3.0, 5.13).
    ///
    /// # Errors
    /// [`Error::Held`] by another daemon. Otherwise [`Error::Unusable`]: the path is not absolute,
    /// a part of it is a symbolic link or no directory, or the directory belongs to another user
    /// or can be written by others.
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let path = match path.strip_prefix("/var/run") {
            Ok(rest) => Path::new("/run").join(rest),
            Err(_) => path.to_owned(),
        };
        let mut refusal = Error::Held {
            path: path.clone(),
            pid: None,
        };
        for _ in 0..TRIES {
            match Self::acquire_now(&path) {
                Ok(Some(held)) => return Ok(held),
                // Its holder removes it just now.
                Ok(None) => {}
                Err(error) => match &error {
                    Error::Unusable { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                        refusal = error;
                    }
                    _ => return Err(error),
                },
            }
        }
        Err(refusal)
    }

    /// None: what was locked is not what others find there.
    fn acquire_now(path: &Path) -> Result<Option<Self>, Error> {
        let path = path.to_owned();
        let directory = open(&path)?;
        let unusable = |source| Error::Unusable {
            path: path.join(LOCK),
            source,
        };
        let mut lock = open_at(
            directory.as_fd(),
            &name_of(LOCK.as_bytes()).map_err(unusable)?,
            libc::O_RDWR | libc::O_CREAT,
            LOCK_MODE,
        )
        .map(File::from)
        .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Held {
                    pid: pid_in(&mut lock),
                    path,
                });
            }
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        let locked = lock.metadata().map_err(unusable)?;
        let there = fs::symlink_metadata(path.join(LOCK)).ok();
        if there.map(|there| (there.dev(), there.ino())) != Some((locked.dev(), locked.ino())) {
            return Ok(None);
        }
        lock.set_len(0).map_err(unusable)?;
        writeln!(lock, "{}", std::process::id()).map_err(unusable)?;
        Ok(Some(Self { path, _lock: lock }))
    }

    /// Ends the hold after an orderly stop. A default directory of a network namespace goes with it,
    /// unless there is something left in it: as many as there were namespaces would pile up.
    pub fn leave(self) {
        let is_of_namespace = self.path.parent() == Some(Path::new(DEFAULT))
            && self
                .path
                .file_name()
                .is_some_and(|name| name.as_bytes().starts_with(OF_NAMESPACE.as_bytes()));
        if is_of_namespace {
            self.remove();
        }
    }

    /// Removes the directory if there is nothing but the lock in it.
    fn remove(self) {
        let others = fs::read_dir(&self.path).map(|entries| {
            let mut names = entries.flatten().map(|entry| entry.file_name());
            names.any(|name| name != LOCK)
        });
        if others.is_ok_and(|others| !others) {
            // Whoever waits for the lock finds out that it is not there any more.
            let removed = fs::remove_file(self.path.join(LOCK));
            let removed = removed.and_then(|()| fs::remove_dir(&self.path));
            if let Err(error) = removed {
                tracing::debug!("{} stays: {error}", self.path.display());
            }
        }
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The process id that a file holds, none where it holds none.
pub(super) fn pid_in(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

/// Opens a directory of ours step by step, and makes each step that is missing.
fn open(path: &Path) -> Result<OwnedFd, Error> {
    let unusable = |path: &Path, source| Error::Unusable {
        path: path.to_owned(),
        source,
    };
    let mut walked = PathBuf::from("/");
    let mut directory =
        OwnedFd::from(File::open(&walked).map_err(|source| unusable(&walked, source))?);
    let mut components = path.components();
    if components.next() != Some(Component::RootDir) {
        return Err(unusable(path, refusal("not an absolute path")));
    }
    for component in components {
        let Component::Normal(name) = component else {
            return Err(unusable(path, refusal("`..` is not allowed")));
        };
        walked.push(name);
        directory = name_of(name.as_bytes())
            .and_then(|name| step(&directory, &name))
            .map_err(|source| unusable(&walked, explained(&walked, source)))?;
    }
    let directory = File::from(directory);
    let metadata = directory
        .metadata()
        .map_err(|source| unusable(path, source))?;
    let user = effective_user().map_err(|source| unusable(path, source))?;
    if metadata.uid() != user {
        let text = format!("belongs to user {}, not to user {user}", metadata.uid());
        return Err(unusable(path, refusal(&text)));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(unusable(path, refusal("can be written by other users")));
    }
    // One with a name of its own may be closed to others on purpose.
    if path.starts_with(DEFAULT) {
        open_to_all(&directory, metadata.mode()).map_err(|source| unusable(path, source))?;
    }
    Ok(directory.into())
}

/// Gives a directory the mode of one that is made here, where it has another one.
fn open_to_all(directory: &File, mode: u32) -> io::Result<()> {
    if mode & 0o7777 == DIRECTORY_MODE {
        return Ok(());
    }
    directory.set_permissions(Permissions::from_mode(DIRECTORY_MODE))
}

fn step(directory: &OwnedFd, name: &CString) -> io::Result<OwnedFd> {
    let enter = || open_at(directory.as_fd(), name, libc::O_DIRECTORY, 0);
    match enter() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match make_directory_at(directory.as_fd(), name, DIRECTORY_MODE) {
                // Another daemon may make the same parents at the same time.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
                Err(_) => enter(),
                Ok(()) => {
                    let made = File::from(enter()?);
                    // The umask may have taken something of it.
                    made.set_permissions(Permissions::from_mode(DIRECTORY_MODE))?;
                    Ok(made.into())
                }
            }
        }
        result => result,
    }
}

/// Says so where the reason is a symbolic link, which the kernel calls "not a directory".
fn explained(path: &Path, error: io::Error) -> io::Error {
    if path.is_symlink() {
        refusal("is a symbolic link; name the directory that it leads to")
    } else {
        error
    }
}

fn name_of(bytes: &[u8]) -> io::Result<CString> {
    CString::new(bytes).map_err(|_| refusal("a path cannot hold a NUL byte"))
}

fn refusal(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{BufRead as _, BufReader};
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::atomic::Ordering;
    use std::time::{Duration, Instant};

    use super::{Error, RunDir, default_for, default_path, open_to_all};
    use crate::reexec::{is_process_of, process};
    use crate::scratch::Scratch;

    #[test]
    fn every_network_namespace_has_a_directory_of_its_own() {
        assert_eq!(default_for(Some(7), Some(7)), Path::new("/run/rvrrpd"));
        assert_eq!(
            default_for(Some(8), Some(7)),
            Path::new("/run/rvrrpd/net-8")
        );
        assert_eq!(default_for(Some(8), None), Path::new("/run/rvrrpd/net-8"));
        assert_eq!(default_for(None, Some(7)), Path::new("/run/rvrrpd"));
        assert!(default_path().starts_with("/run/rvrrpd"));
    }

    #[test]
    fn missing_parents_are_made_and_show_others_nothing() {
        let scratch = Scratch::new();
        let path = scratch.path("a/b");
        let held = RunDir::acquire(&path).unwrap();
        assert_eq!(held.path(), path);
        for made in [scratch.path("a"), path.clone()] {
            let mode = fs::metadata(made).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o711);
        }
        let lock = fs::read_to_string(path.join("lock")).unwrap();
        assert_eq!(lock, format!("{}\n", std::process::id()));
    }

    /// Acquires what nobody holds any more. Other tests start programs, and between fork and exec
    /// those share our lock.
    fn acquired(path: &Path) -> RunDir {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match RunDir::acquire(path) {
                Err(Error::Held { .. }) if Instant::now() < deadline => std::thread::yield_now(),
                result => return result.unwrap(),
            }
        }
    }

    #[test]
    fn the_second_is_told_who_holds_it() {
        let scratch = Scratch::new();
        let path = scratch.path("run");
        let held = RunDir::acquire(&path).unwrap();
        let error = RunDir::acquire(&path).unwrap_err();
        assert!(matches!(error, Error::Held { pid, .. } if pid == Some(std::process::id())));
        let text = format!("held by another rvrrpd, process {}", std::process::id());
        assert!(error.to_string().contains(&text), "{error}");
        drop(held);
        acquired(&path);
    }

    #[test]
    fn a_program_that_was_started_does_not_hold_it() {
        let scratch = Scratch::new();
        let path = scratch.path("run");
        let held = RunDir::acquire(&path).unwrap();
        let mut program = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        drop(held);
        acquired(&path);
        drop(program.stdin.take());
        program.wait().unwrap();
    }

    fn reason(path: &Path) -> String {
        match RunDir::acquire(path).unwrap_err() {
            Error::Unusable { source, .. } => source.to_string(),
            held @ Error::Held { .. } => panic!("{held}"),
        }
    }

    #[test]
    fn symbolic_links_are_not_followed() {
        let scratch = Scratch::new();
        fs::create_dir(scratch.path("real")).unwrap();
        symlink(scratch.path("real"), scratch.path("link")).unwrap();
        symlink(scratch.path("nowhere"), scratch.path("dangling")).unwrap();
        for path in ["link", "link/run", "dangling", "dangling/run"] {
            let reason = reason(&scratch.path(path));
            assert!(reason.contains("symbolic link"), "{path}: {reason}");
        }
        assert_eq!(fs::read_dir(scratch.path("real")).unwrap().count(), 0);
        let run = scratch.path("real");
        symlink("/etc/hostname", run.join("lock")).unwrap();
        RunDir::acquire(&run).unwrap_err();
    }

    #[test]
    fn what_is_not_ours_alone_is_refused() {
        let scratch = Scratch::new();
        let open = scratch.path("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(reason(&open).contains("written by other users"));
        let foreign = scratch.path("foreign");
        fs::create_dir(&foreign).unwrap();
        std::os::unix::fs::chown(&foreign, Some(65534), None).unwrap();
        assert!(reason(&foreign).contains("belongs to user 65534"));
        fs::write(scratch.path("file"), "").unwrap();
        RunDir::acquire(&scratch.path("file/run")).unwrap_err();
        assert!(reason(Path::new("run")).contains("absolute"));
        assert!(reason(&scratch.root().join("../run")).contains(".."));
    }

    #[test]
    fn an_empty_one_goes_and_whoever_waits_for_it_makes_it_anew() {
        let scratch = Scratch::new();
        let path = scratch.path("net-7");
        let held = RunDir::acquire(&path).unwrap();
        fs::write(path.join("journal.json"), "").unwrap();
        held.remove();
        assert!(path.join("journal.json").exists() && path.join("lock").exists());
        fs::remove_file(path.join("journal.json")).unwrap();
        acquired(&path).remove();
        assert!(!path.exists());
        // Whoever has locked what is gone does not hold it.
        let all_at_once = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        let Ok(held) = RunDir::acquire(&path) else {
                            continue;
                        };
                        let before = all_at_once.fetch_add(1, Ordering::SeqCst);
                        assert_eq!(before, 0);
                        all_at_once.fetch_sub(1, Ordering::SeqCst);
                        held.remove();
                    }
                });
            }
        });
        // Only the default ones of namespaces are removed at a stop.
        acquired(&path).leave();
        assert!(path.exists());
    }

    #[test]
    fn another_mode_is_mended() {
        let scratch = Scratch::new();
        let path = scratch.path("run");
        for mode in [0o700, 0o755, 0o711] {
            fs::create_dir(&path).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let directory = fs::File::open(&path).unwrap();
            open_to_all(
                &directory,
                fs::metadata(&path).unwrap().permissions().mode(),
            )
            .unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o711);
            fs::remove_dir(&path).unwrap();
        }
    }

    const KILLED: &str = "daemon::run_dir::tests::process_that_is_killed";

    #[test]
    fn the_hold_dies_with_the_process() {
        let scratch = Scratch::new();
        let path = scratch.path("run");
        let mut child = process(KILLED)
            .env("RVRRPD_TEST_DIR", &path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        // The harness may have begun the line.
        assert!(stdout.lines().any(|line| line.unwrap().ends_with("held")));
        let error = RunDir::acquire(&path).unwrap_err();
        assert!(matches!(error, Error::Held { pid, .. } if pid == Some(child.id())));
        child.kill().unwrap();
        child.wait().unwrap();
        acquired(&path);
    }

    #[test]
    #[ignore = "run in a process of its own by the_hold_dies_with_the_process"]
    fn process_that_is_killed() {
        if !is_process_of(KILLED) {
            return;
        }
        let path = PathBuf::from(std::env::var_os("RVRRPD_TEST_DIR").unwrap());
        let _held = RunDir::acquire(&path).unwrap();
        println!("held");
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
    }
}
