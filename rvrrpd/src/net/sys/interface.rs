//! Names of interfaces.

use std::ffi::CStr;
use std::io;

/// Name of the interface with this index in the network namespace of the process.
///
/// # Errors
/// `ENXIO` where there is none.
pub fn name(index: u32) -> io::Result<String> {
    let mut name: [libc::c_char; libc::IF_NAMESIZE] = [0; libc::IF_NAMESIZE];
    // SAFETY: the pointer is to IF_NAMESIZE bytes of our own, which is what the function fills.
    let result = unsafe { libc::if_indextoname(index, name.as_mut_ptr()) };
    if result.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the function succeeded, so a name that ends with a NUL is in the buffer.
    let name = unsafe { CStr::from_ptr(name.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}
