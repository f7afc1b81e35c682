//! The Unix socket of `rvrrpadm`.
//!
//! It gets its name only when it is complete: made under another one, given its mode, then renamed,
//! so that nobody ever meets it half made and a socket that a predecessor left is replaced.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

/// Everyone may connect; who may do what is asked then.
const MODE: u32 = 0o666;

/// A listening socket with a name in the file system, which goes with it.
#[derive(Debug)]
pub(super) struct Named {
    path: PathBuf,
    identity: (u64, u64),
}

/// Listens at `path`.
///
/// # Errors
/// What is there is no socket or is in use, or the directory cannot be written.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, Named)> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            let reason = "is there and no socket";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
        }
        Ok(_) if is_served(path) => {
            let reason = "another process listens there";
            return Err(io::Error::new(io::ErrorKind::AddrInUse, reason));
        }
        _ => {}
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let made = path.with_file_name(name);
    // Left by a process with our number that did not get further.
    match fs::symlink_metadata(&made) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(&made)?,
        _ => {}
    }
    let listener = UnixListener::bind(&made)?;
    let named = finish(&listener, &made, path);
    if named.is_err() {
        // What remains is replaced by the next who has our number.
        let _left = fs::remove_file(&made);
    }
    Ok((listener, named?))
}

/// Whether somebody listens there, also where nobody is accepted just now: this does not wait.
fn is_served(path: &Path) -> bool {
    let connected = SockAddr::unix(path).and_then(|address| {
        let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        socket.connect(&address)
    });
    connected.map_or_else(|error| error.kind() == io::ErrorKind::WouldBlock, |()| true)
}

fn finish(listener: &UnixListener, made: &Path, path: &Path) -> io::Result<Named> {
    fs::set_permissions(made, fs::Permissions::from_mode(MODE))?;
    listener.set_nonblocking(true)?;
    let metadata = fs::symlink_metadata(made)?;
    fs::rename(made, path)?;
    Ok(Named {
        path: path.to_owned(),
        identity: (metadata.dev(), metadata.ino()),
    })
}

impl Named {
    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        let there = fs::symlink_metadata(&self.path);
        if there.is_ok_and(|there| (there.dev(), there.ino()) == self.identity) {
            // What remains is replaced at the next start.
            let _left = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_socket_is_open_to_all_and_goes_with_its_owner() {
        let scratch = Scratch::new();
        let path = scratch.path("socket");
        let (listener, named) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert!(UnixStream::connect(&path).is_ok());
        assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);

        // As after SIGKILL: the name stays, nobody listens, also not what another test starts just now.
        socket2::SockRef::from(&listener)
            .shutdown(std::net::Shutdown::Both)
            .unwrap();
        drop(listener);
        let (_listener, second) = bind(&path).unwrap();
        drop(named);
        assert!(path.exists());
        drop(second);
        assert!(!path.exists());
        assert_eq!(fs::read_dir(scratch.root()).unwrap().count(), 0);
    }

    #[test]
    fn who_accepts_nobody_is_not_waited_for() {
        let scratch = Scratch::new();
        let path = scratch.path("socket");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        // One has room there, the next ones have none.
        for _ in 0..3 {
            assert_eq!(bind(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let scratch = Scratch::new();
        let path = scratch.path("file");
        fs::write(&path, "precious").unwrap();
        let error = bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
