//! Who is at the other end of a Unix socket (unix(7)).

use core::mem::{MaybeUninit, size_of};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// Supplementary groups of a process at the most (`NGROUPS_MAX`, limits.h).
const MOST_GROUPS: usize = 65_536;
/// Room that is tried first.
const USUAL_GROUPS: usize = 64;

/// A user, as the kernel knew it when it connected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Credentials {
    /// Effective user id.
    pub(crate) user: u32,
    /// Effective group id and supplementary ones.
    pub(crate) groups: Vec<u32>,
}

/// The user at the other end (`SO_PEERCRED`, `SO_PEERGROUPS`).
///
/// # Errors
/// That of getsockopt(2): the socket is not connected.
pub(crate) fn of_peer(socket: BorrowedFd<'_>) -> io::Result<Credentials> {
    let mut ucred = MaybeUninit::<libc::ucred>::uninit();
    let mut length = length(size_of::<libc::ucred>());
    // SAFETY: the pointers are to room for one ucred and to its length.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            ucred.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    check(result)?;
    // SAFETY: the call succeeded, so it has filled the structure.
    let ucred = unsafe { ucred.assume_init() };
    let mut groups = groups_of_peer(socket)?;
    groups.push(ucred.gid);
    Ok(Credentials {
        user: ucred.uid,
        groups,
    })
}

fn groups_of_peer(socket: BorrowedFd<'_>) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; USUAL_GROUPS];
    loop {
        let mut bytes = length(groups.len() * size_of::<u32>());
        // SAFETY: the pointers are to `groups` and to its length in bytes.
        let result = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut bytes,
            )
        };
        // With too little room the kernel says how much it needs.
        let count = usize::try_from(bytes).unwrap_or(0) / size_of::<u32>();
        match check(result) {
            Ok(()) => {
                groups.truncate(count);
                return Ok(groups);
            }
            Err(error)
                if error.raw_os_error() == Some(libc::ERANGE)
                    && (groups.len()..=MOST_GROUPS).contains(&count) =>
            {
                groups.resize(count, 0);
            }
            Err(error) => return Err(error),
        }
    }
}

fn length(bytes: usize) -> libc::socklen_t {
    libc::socklen_t::try_from(bytes).unwrap_or(libc::socklen_t::MAX)
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::of_peer;

    #[test]
    fn the_peer_is_this_process() {
        let (one, _other) = UnixStream::pair().unwrap();
        let credentials = of_peer(one.as_fd()).unwrap();
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let numbers = |name: &str| -> Vec<u32> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let words = line.unwrap().split_whitespace();
            words.map(|word| word.parse().unwrap()).collect()
        };
        assert_eq!(credentials.user, numbers("Uid:")[1]);
        let mut expected = numbers("Groups:");
        expected.push(numbers("Gid:")[1]);
        assert_eq!(credentials.groups, expected);
    }
}
