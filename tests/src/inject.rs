//! Whole frames from a host's interface.

use std::os::fd::OwnedFd;

use crate::sys;

/// A packet socket that sends whole frames.
#[derive(Debug)]
pub struct Injector(OwnedFd);

impl Injector {
    pub(crate) fn new(socket: OwnedFd) -> Self {
        Self(socket)
    }

    /// Sends `frame`, from the Ethernet destination on. Shorter ones than an Ethernet header are
    /// filled up with zeros, since the kernel refuses them.
    ///
    /// # Panics
    /// Where the kernel does not take it.
    #[track_caller]
    pub fn send(&self, frame: &[u8]) {
        let mut bytes = frame.to_vec();
        bytes.resize(bytes.len().max(14), 0);
        for _ in 0..1000 {
            match sys::send(&self.0, &bytes) {
                Ok(()) => return,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                Err(error) => panic!("frame of {} bytes not sent: {error}", bytes.len()),
            }
        }
        panic!("frame of {} bytes not sent: no buffers", bytes.len());
    }
}
