//! The send socket of an interface: whole Ethernet frames, many in one system call.

use std::io;
use std::os::fd::AsFd;

use socket2::{Domain, Socket, Type};

use super::sys;

/// Room for the frames of a thousand takeovers.
const SEND_BUFFER: i32 = 4 << 20;
/// TC_PRIO_CONTROL of linux/pkt_sched.h.
const CONTROL_PRIORITY: i32 = 7;

/// Packet socket of one interface that sends and receives nothing.
#[derive(Debug)]
pub struct Sender {
    socket: Socket,
}

impl Sender {
    /// Opens the send socket of the interface with this index.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW, `ENODEV` where the interface is gone.
    pub fn open(index: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
        sys::socket::bind_packet_sender(&socket, index)?;
        sys::socket::force_send_buffer(&socket, SEND_BUFFER)?;
        sys::socket::set_priority(&socket, CONTROL_PRIORITY)?;
        Ok(Self { socket })
    }

    /// Sends all frames in order, in as few system calls as possible and without waiting.
    /// `refused` is told the place of each frame that the kernel refused (`ENETDOWN`, `EMSGSIZE`,
    /// …); the others left.
    pub fn send<'a>(
        &self,
        frames: impl IntoIterator<Item = &'a [u8]>,
        refused: impl FnMut(usize, io::Error),
    ) {
        sys::mmsg::send_all(self.socket.as_fd(), frames, refused);
    }
}
