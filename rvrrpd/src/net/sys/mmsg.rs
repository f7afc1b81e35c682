//! Many packets in one system call: recvmmsg(2) and sendmmsg(2).

use core::mem::{self, MaybeUninit};
use core::time::Duration;
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::clock;

/// Packets taken from a socket at once.
const RECEIVE_BATCH: usize = 64;
#[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
const RECEIVE_BATCH_COUNT: u32 = RECEIVE_BATCH as u32;
#[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
const NAME_SIZE: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
/// Longest packet: an IPv4 header with options and a version 2 message with 255 addresses are
/// 1096 bytes, an IPv6 message with 255 addresses 4088. What is longer is cut and then refused.
const PACKET_SIZE: usize = 4096;
/// Room for the control messages of one packet: time stamp, hop limit, packet information.
const CONTROL_SIZE: usize = 128;
/// Frames sent at once.
const SEND_BATCH: usize = 256;

/// One received packet.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What the socket delivers: from the IPv4 header on, or what follows the IPv6 header.
    pub bytes: &'a [u8],
    /// Kernel receive time, CLOCK_REALTIME since 1970.
    pub stamp: Option<Duration>,
    /// IPv6: source address.
    pub source: Option<Ipv6Addr>,
    /// IPv6: destination address.
    pub destination: Option<Ipv6Addr>,
    /// IPv6: hop limit.
    pub hop_limit: Option<u8>,
}

/// Buffers for one batch of packets, made once.
pub struct Batch {
    /// PACKET_SIZE bytes for each packet, which take no memory before something is received there.
    packets: Box<[u8]>,
    names: Box<[libc::sockaddr_in6]>,
    controls: Box<[Control]>,
    lengths: [Lengths; RECEIVE_BATCH],
    filled: usize,
}

/// Control messages must be aligned as `cmsghdr` is.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_SIZE]);

#[derive(Clone, Copy, Default)]
struct Lengths {
    packet: usize,
    control: usize,
    name: u32,
}

impl Default for Batch {
    fn default() -> Self {
        // SAFETY: sockaddr_in6 consists of integers, for which zero is a valid value.
        let name: libc::sockaddr_in6 = unsafe { mem::zeroed() };
        Self {
            packets: vec![0; PACKET_SIZE * RECEIVE_BATCH].into_boxed_slice(),
            names: vec![name; RECEIVE_BATCH].into_boxed_slice(),
            controls: vec![Control([0; CONTROL_SIZE]); RECEIVE_BATCH].into_boxed_slice(),
            lengths: [Lengths::default(); RECEIVE_BATCH],
            filled: 0,
        }
    }
}

impl Batch {
    /// Takes what is waiting in `socket`, without waiting, and says whether the batch is full, so
    /// that more may be waiting.
    ///
    /// # Errors
    /// That of recvmmsg(2); nothing to read is none.
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        self.filled = 0;
        let mut vectors: [MaybeUninit<libc::iovec>; RECEIVE_BATCH] =
            [const { MaybeUninit::uninit() }; RECEIVE_BATCH];
        let mut headers: [MaybeUninit<libc::mmsghdr>; RECEIVE_BATCH] =
            [const { MaybeUninit::uninit() }; RECEIVE_BATCH];
        for (index, packet) in self.packets.chunks_exact_mut(PACKET_SIZE).enumerate() {
            let vector = vectors[index].write(libc::iovec {
                iov_base: packet.as_mut_ptr().cast(),
                iov_len: packet.len(),
            });
            // SAFETY: msghdr consists of integers and pointers, for which zero is a valid value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = (&raw mut self.names[index]).cast();
            header.msg_hdr.msg_namelen = NAME_SIZE;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = self.controls[index].0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_SIZE;
            headers[index].write(header);
        }
        // SAFETY: all RECEIVE_BATCH headers are initialised and point to buffers of `self` and to
        // `vectors`, with their true lengths; all of them outlive the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr().cast(),
                RECEIVE_BATCH_COUNT,
                libc::MSG_DONTWAIT,
                core::ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error),
            };
        };
        for (lengths, header) in self.lengths.iter_mut().zip(&headers).take(count) {
            // SAFETY: every header was written above.
            let header = unsafe { header.assume_init_ref() };
            *lengths = Lengths {
                packet: (header.msg_len as usize).min(PACKET_SIZE),
                control: header.msg_hdr.msg_controllen.min(CONTROL_SIZE),
                name: header.msg_hdr.msg_namelen,
            };
        }
        self.filled = count;
        Ok(count == RECEIVE_BATCH)
    }

    /// The packets of the last [`Self::receive`].
    pub fn packets(&self) -> impl Iterator<Item = Received<'_>> {
        (0..self.filled).map(|index| self.packet(index))
    }

    fn packet(&self, index: usize) -> Received<'_> {
        let lengths = self.lengths[index];
        let name = &self.names[index];
        let is_ipv6 = lengths.name as usize >= size_of::<libc::sockaddr_in6>()
            && i32::from(name.sin6_family) == libc::AF_INET6;
        let mut received = Received {
            bytes: &self.packets[index * PACKET_SIZE..][..lengths.packet],
            stamp: None,
            source: is_ipv6.then(|| Ipv6Addr::from(name.sin6_addr.s6_addr)),
            destination: None,
            hop_limit: None,
        };
        read_controls(&self.controls[index].0[..lengths.control], &mut received);
        received
    }
}

/// Walks the control messages of one packet (cmsg(3)).
fn read_controls(mut bytes: &[u8], received: &mut Received<'_>) {
    const HEADER: usize = size_of::<libc::cmsghdr>();
    while bytes.len() >= HEADER {
        // SAFETY: at least one cmsghdr of bytes is there; cmsghdr consists of integers and the
        // read does not need alignment.
        let header: libc::cmsghdr =
            unsafe { bytes.as_ptr().cast::<libc::cmsghdr>().read_unaligned() };
        let length = header.cmsg_len.min(bytes.len());
        if length < HEADER {
            return;
        }
        let data = &bytes[HEADER..length];
        match (header.cmsg_level, header.cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => {
                received.stamp = read::<libc::timespec>(data).map(|time| clock::duration(&time));
            }
            (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                received.hop_limit = read::<i32>(data).and_then(|limit| u8::try_from(limit).ok());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                received.destination = read::<libc::in6_pktinfo>(data)
                    .map(|info| Ipv6Addr::from(info.ipi6_addr.s6_addr));
            }
            _ => {}
        }
        bytes = bytes
            .get(length.next_multiple_of(size_of::<usize>())..)
            .unwrap_or_default();
    }
}

/// Types of the kernel that any bytes are a valid value of.
trait Plain: Copy {}
impl Plain for libc::timespec {}
impl Plain for i32 {}
impl Plain for libc::in6_pktinfo {}

fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: enough bytes are there, T is valid for any of them and the read does not need
    // alignment.
    (bytes.len() >= size_of::<T>()).then(|| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Sends all frames, many in one system call, without waiting for room in the send buffer.
///
/// A frame that is refused, as one that is too long, does not hold back those behind it; `refused`
/// is told its place and why.
pub fn send_all<'a>(
    socket: BorrowedFd<'_>,
    frames: impl IntoIterator<Item = &'a [u8]>,
    mut refused: impl FnMut(usize, io::Error),
) {
    let mut frames = frames.into_iter();
    let mut place = 0;
    loop {
        let mut vectors: [MaybeUninit<libc::iovec>; SEND_BATCH] =
            [const { MaybeUninit::uninit() }; SEND_BATCH];
        let mut headers: [MaybeUninit<libc::mmsghdr>; SEND_BATCH] =
            [const { MaybeUninit::uninit() }; SEND_BATCH];
        let mut count = 0;
        let mut left: u32 = 0;
        for frame in frames.by_ref().take(SEND_BATCH) {
            let vector = vectors[count].write(libc::iovec {
                iov_base: frame.as_ptr().cast_mut().cast(),
                iov_len: frame.len(),
            });
            // SAFETY: msghdr consists of integers and pointers, for which zero is a valid value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            headers[count].write(header);
            count += 1;
            left += 1;
        }
        let mut first = 0;
        while first < count {
            // SAFETY: headers first..count are initialised and point to `vectors` and through
            // them to frames that are borrowed for longer than the call; the kernel only reads
            // the frames.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[first..].as_mut_ptr().cast(),
                    left,
                    libc::MSG_DONTWAIT,
                )
            };
            match usize::try_from(result) {
                Ok(done) => {
                    first += done;
                    left = left.saturating_sub(result.unsigned_abs());
                    place += done;
                }
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if error.kind() != io::ErrorKind::Interrupted {
                        refused(place, error);
                        first += 1;
                        left = left.saturating_sub(1);
                        place += 1;
                    }
                }
            }
        }
        if count < SEND_BATCH {
            return;
        }
    }
}
