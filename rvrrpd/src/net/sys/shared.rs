//! Memory that the kernel's programs and this process both write: an array map of eBPF, mapped
//! (`BPF_F_MMAPABLE`, Documentation/bpf/map_array.rst).

use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The words of a mapped array.
#[derive(Debug)]
pub struct Words {
    start: NonNull<AtomicU64>,
    count: usize,
}

// SAFETY: the memory is not bound to a thread, and all access to it is atomic.
unsafe impl Send for Words {}
// SAFETY: likewise.
unsafe impl Sync for Words {}

impl Words {
    /// Maps `count` words of a map, from the word `first` on, which has to begin a page. All of
    /// them are in memory from then on.
    ///
    /// # Errors
    /// That of mmap(2): `EPERM` where the map was not made for it, `EINVAL` beyond its end and
    /// where `first` does not begin a page.
    pub fn map(map: BorrowedFd<'_>, first: usize, count: usize) -> io::Result<Self> {
        let length = count * size_of::<AtomicU64>();
        let offset = first * size_of::<AtomicU64>();
        let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
        // SAFETY: a new mapping anywhere; the kernel checks descriptor, offset and length.
        let start = unsafe {
            libc::mmap(
                core::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                offset,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, count })
    }

    /// All words.
    #[must_use]
    pub const fn all(&self) -> &[AtomicU64] {
        // SAFETY: the mapping has this many words, is aligned to a page, lives until drop, and is
        // changed by atomic operations only, here and in the kernel.
        unsafe { core::slice::from_raw_parts(self.start.as_ptr(), self.count) }
    }
}

/// Size of a page in bytes.
#[must_use]
pub fn page_size() -> usize {
    // SAFETY: takes no pointer.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(size).unwrap_or(4096)
}

impl Drop for Words {
    fn drop(&mut self) {
        let length = self.count * size_of::<AtomicU64>();
        // SAFETY: the mapping is ours, of this length, and nobody can borrow from it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), length) };
    }
}
