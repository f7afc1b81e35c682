//! Which daemon is asked.

use core::ffi::{CStr, c_char};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use rvrrpadm::Client;

use crate::failure::{invalid, told};
use crate::types::vrrp_ret_t;

static SOCKET: RwLock<Option<PathBuf>> = RwLock::new(None);

/// A connection to the daemon of this process.
pub(crate) fn client() -> Client {
    let socket = SOCKET.read().unwrap_or_else(PoisonError::into_inner);
    match &*socket {
        Some(path) => Client::unix(path),
        None => Client::local(),
    }
}

/// Names the Unix socket of the daemon, for all threads; NULL: that of the daemon of this
/// network namespace, `/run/rvrrpd/rvrrpd.sock` in the first one and
/// `/run/rvrrpd/net-INODE/rvrrpd.sock` in others. Sun had none.
///
/// # Safety
/// `path` is NULL or a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_set_socket(path: *const c_char) -> vrrp_ret_t {
    let path = if path.is_null() {
        None
    } else {
        // SAFETY: the caller says so.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        if path.is_empty() {
            return told(Err(invalid("an empty path, allowed: that of a socket")));
        }
        Some(PathBuf::from(OsStr::from_bytes(path)))
    };
    *SOCKET.write().unwrap_or_else(PoisonError::into_inner) = path;
    vrrp_ret_t::VRRP_SUCCESS
}
