//! Many datagrams to many addresses in one system call: sendmmsg(2).

use core::mem::{self, MaybeUninit};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::SockAddr;

/// Datagrams sent at once; a virtual router has at most as many peers.
const BATCH: usize = 64;

/// Datagrams that were not sent.
#[derive(Debug)]
pub struct Failure {
    /// How many.
    pub count: usize,
    /// To whom the first of them was not.
    pub peer: IpAddr,
    /// Why.
    pub error: io::Error,
}

/// Sends each datagram to its address without waiting. `scope` is the interface index that
/// link-local addresses are valid on. After a failure the next one is tried, unless there is no
/// room in the send buffer.
///
/// # Errors
/// What was not sent.
pub(crate) fn send_each<'a>(
    socket: BorrowedFd<'_>,
    scope: u32,
    datagrams: impl IntoIterator<Item = (IpAddr, &'a [u8])>,
) -> Result<(), Failure> {
    let mut datagrams = datagrams.into_iter();
    let mut failure: Option<Failure> = None;
    loop {
        let mut names: [MaybeUninit<SockAddr>; BATCH] = [const { MaybeUninit::uninit() }; BATCH];
        let mut vectors: [MaybeUninit<libc::iovec>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut headers: [MaybeUninit<libc::mmsghdr>; BATCH] =
            [const { MaybeUninit::uninit() }; BATCH];
        let mut addresses = [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); BATCH];
        let mut count = 0;
        for (address, datagram) in datagrams.by_ref().take(BATCH) {
            addresses[count] = address;
            // SockAddr has nothing to drop: it is a sockaddr_storage and its length.
            let name = names[count].write(name(address, scope));
            let vector = vectors[count].write(libc::iovec {
                iov_base: datagram.as_ptr().cast_mut().cast(),
                iov_len: datagram.len(),
            });
            // SAFETY: msghdr consists of integers and pointers, for which zero is a valid value.
            let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
            header.msg_hdr.msg_name = name.as_ptr().cast_mut().cast();
            header.msg_hdr.msg_namelen = name.len();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            headers[count].write(header);
            count += 1;
        }
        let mut first = 0;
        while first < count {
            let left = u32::try_from(count - first).unwrap_or(u32::MAX);
            // SAFETY: headers first..count are initialised and point to `names`, to `vectors` and
            // through them to datagrams that are borrowed for longer than the call, all with
            // their true lengths; the kernel only reads names and datagrams.
            let result = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    headers[first..].as_mut_ptr().cast(),
                    left,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(sent) = usize::try_from(result) {
                first += sent;
                continue;
            }
            let error = io::Error::last_os_error();
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    let unsent = count - first + datagrams.count();
                    return Err(Failure::add(failure, unsent, addresses[first], error));
                }
                _ => {
                    failure = Some(Failure::add(failure, 1, addresses[first], error));
                    first += 1;
                }
            }
        }
        if count < BATCH {
            return failure.map_or(Ok(()), Err);
        }
    }
}

impl Failure {
    /// `before` and `count` more.
    fn add(before: Option<Self>, count: usize, peer: IpAddr, error: io::Error) -> Self {
        match before {
            Some(before) => Self {
                count: before.count + count,
                ..before
            },
            None => Self { count, peer, error },
        }
    }
}

fn name(address: IpAddr, scope: u32) -> SockAddr {
    // Port 0: the protocol is that of the header in the datagram (raw(7)).
    SockAddr::from(match address {
        IpAddr::V4(address) => SocketAddr::from(SocketAddrV4::new(address, 0)),
        IpAddr::V6(address) => SocketAddr::from(SocketAddrV6::new(address, 0, 0, scope)),
    })
}
