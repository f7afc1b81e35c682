//! The only unsafe code of the tests: namespaces, packet sockets with time stamps, signals.
#![allow(
    unsafe_code,
    reason = "setns, packet sockets and control messages have no safe form in std"
)]

pub mod bulk;
pub mod interrupt;

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Time of a frame or an event: CLOCK_REALTIME since 1970, as the kernel stamps frames.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Stamp(pub Duration);

impl Stamp {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default(),
        )
    }

    /// Time from `earlier` to `self`, zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Result of a system call that returns -1 on failure.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// Whether the process has effective user id 0.
#[must_use]
pub fn is_root() -> bool {
    // SAFETY: geteuid has no arguments and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Moves the calling thread into the network namespace that `namespace` is an open file of.
pub fn enter_netns(namespace: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as the reference lives.
    check(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) }).map(drop)
}

/// Sends `signal` to the process `pid`.
pub fn kill(pid: u32, signal: libc::c_int) -> io::Result<()> {
    let pid = libc::pid_t::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: kill reads only its two integers.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Makes the kernel kill the child of `command` when the thread that starts it ends, so that no
/// daemon survives a test that was killed.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL)).map(drop));
    }
}

/// Binds the calling thread to `processor`, where it runs before everything else.
pub fn run_first_on(processor: usize) -> io::Result<()> {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `processor` is looked at by CPU_SET, which leaves out what the set has no room for.
    unsafe { libc::CPU_SET(processor, &mut set) };
    // SAFETY: the set and its size are passed, and it outlives the call.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    let first = libc::sched_param { sched_priority: 99 };
    // SAFETY: the parameters outlive the call.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) }).map(drop)
}

/// Index of the interface `name` in the namespace of the calling thread.
pub fn interface_index(name: &str) -> io::Result<libc::c_int> {
    let text = CString::new(name).map_err(io::Error::other)?;
    // SAFETY: `text` is a NUL-terminated string that outlives the call.
    let index = unsafe { libc::if_nametoindex(text.as_ptr()) };
    if index == 0 {
        return Err(io::Error::last_os_error());
    }
    libc::c_int::try_from(index).map_err(io::Error::other)
}

/// Sets one integer socket option.
fn set_option(
    socket: &OwnedFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `value`, which outlives the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// An AF_PACKET socket of the calling thread's namespace.
///
/// `interface` 0 means all interfaces. With `receive` it takes all frames, with time stamps and a
/// large buffer, without those that the host itself sends if `incoming_only`.
pub fn packet_socket(
    interface: libc::c_int,
    receive: bool,
    incoming_only: bool,
) -> io::Result<OwnedFd> {
    let protocol = if receive {
        (libc::ETH_P_ALL as u16).to_be()
    } else {
        0
    };
    // SAFETY: socket takes integers; the descriptor is new and owned by nobody else.
    let socket = unsafe {
        let fd = check(libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            0,
        ))?;
        OwnedFd::from_raw_fd(fd)
    };
    if receive {
        set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, 64 << 20)
            .or_else(|_| set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUF, 64 << 20))?;
        set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        if incoming_only {
            set_option(&socket, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        }
    }
    // SAFETY: all-zero is a valid sockaddr_ll.
    let mut address: libc::sockaddr_ll = unsafe { zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = protocol;
    address.sll_ifindex = interface;
    // SAFETY: the pointer and the length describe `address`, which outlives the call.
    check(unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    })?;
    Ok(socket)
}

/// A raw ICMP socket of the calling thread's namespace.
pub fn icmp_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket takes integers; the descriptor is new and owned by nobody else.
    let socket = unsafe {
        let fd = check(libc::socket(
            libc::AF_INET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            libc::IPPROTO_ICMP,
        ))?;
        OwnedFd::from_raw_fd(fd)
    };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    Ok(socket)
}

/// Sends `message` to `address` on a raw IPv4 socket.
pub fn send_to(socket: &OwnedFd, message: &[u8], address: std::net::Ipv4Addr) -> io::Result<()> {
    // SAFETY: all-zero is a valid sockaddr_in.
    let mut target: libc::sockaddr_in = unsafe { zeroed() };
    target.sin_family = libc::AF_INET as u16;
    target.sin_addr.s_addr = u32::from(address).to_be();
    // SAFETY: both pointers are described by their lengths and outlive the call.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            message.as_ptr().cast(),
            message.len(),
            0,
            (&raw const target).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    };
    if sent == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Sends one whole frame on a bound packet socket.
pub fn send(socket: &OwnedFd, frame: &[u8]) -> io::Result<()> {
    // SAFETY: the pointer and the length describe `frame`.
    let sent = unsafe { libc::send(socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
    if sent == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets frames of a packet socket leave past the queueing discipline (`PACKET_QDISC_BYPASS`), which
/// is faster and drops where the driver is busy.
pub fn bypass_queue(socket: &OwnedFd) -> io::Result<()> {
    set_option(socket, libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, 1)
}

/// Sends whole frames on a bound packet socket in one system call: how many left.
pub fn send_many(socket: &OwnedFd, frames: &[Vec<u8>]) -> io::Result<usize> {
    let mut vectors: Vec<libc::iovec> = frames
        .iter()
        .map(|frame| libc::iovec {
            iov_base: frame.as_ptr().cast_mut().cast(),
            iov_len: frame.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = vectors
        .iter_mut()
        .map(|vector| {
            // SAFETY: all-zero is a valid mmsghdr.
            let mut header: libc::mmsghdr = unsafe { zeroed() };
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    let count = u32::try_from(headers.len()).map_err(io::Error::other)?;
    // SAFETY: `count` headers point through `vectors` to frames with their true lengths, which the
    // kernel only reads; all of them outlive the call.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Keeps frames with this Ethernet source out of a packet socket (classic BPF, socket(7)).
pub fn ignore_source(socket: &OwnedFd, mac: [u8; 6]) -> io::Result<()> {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let [a, b, c, d, e, f] = mac.map(u32::from);
    let program = [
        (LOAD_WORD, 0, 0, 6),
        (IF_EQUAL, 0, 3, a << 24 | b << 16 | c << 8 | d),
        (LOAD_HALF, 0, 0, 10),
        (IF_EQUAL, 0, 1, e << 8 | f),
        (RETURN, 0, 0, 0),
        (RETURN, 0, 0, u32::MAX),
    ];
    let mut program = program.map(|(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k });
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the pointers and lengths describe `filter` and through it `program`, which both
    // outlive the call.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// A datagram that [`receive`] took.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// Bytes in the buffer.
    pub length: usize,
    /// Interface index, 0 where the socket is not a packet socket.
    pub interface: i32,
    /// PACKET_OUTGOING: sent by the host itself.
    pub outgoing: bool,
    /// When the kernel took it.
    pub stamp: Stamp,
}

/// Takes one datagram into `buffer`; none if nothing comes within `timeout` (in milliseconds).
pub fn receive(socket: &OwnedFd, buffer: &mut [u8], timeout: i32) -> io::Result<Option<Received>> {
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd is passed and outlives the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, timeout) };
    if ready == 0 {
        return Ok(None);
    }
    check(ready)?;
    // SAFETY: all-zero is a valid value of these plain structures.
    let (mut source, mut header): (libc::sockaddr_ll, libc::msghdr) =
        unsafe { (zeroed(), zeroed()) };
    let mut control = [0_u64; 16];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    header.msg_name = (&raw mut source).cast();
    header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of::<[u64; 16]>() as _;
    // SAFETY: every pointer in `header` is described by its length and outlives the call.
    let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, libc::MSG_DONTWAIT) };
    let Ok(length) = usize::try_from(length) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN) => Ok(None),
            // There may be datagrams behind that.
            Some(libc::EINTR | libc::ENETDOWN) => receive(socket, buffer, timeout),
            _ => Err(error),
        };
    };
    let mut stamp = None;
    // SAFETY: the kernel filled the control buffer; the CMSG macros stay inside it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET
                && (*message).cmsg_type == libc::SCM_TIMESTAMPNS
            {
                let time = libc::CMSG_DATA(message)
                    .cast::<libc::timespec>()
                    .read_unaligned();
                stamp = Some(Stamp(Duration::new(
                    time.tv_sec as u64,
                    time.tv_nsec as u32,
                )));
            }
            message = libc::CMSG_NXTHDR(&raw const header, message);
        }
    }
    let packet = i32::from(source.sll_family) == libc::AF_PACKET;
    Ok(Some(Received {
        length,
        interface: if packet { source.sll_ifindex } else { 0 },
        outgoing: packet && source.sll_pkttype == libc::PACKET_OUTGOING,
        stamp: stamp.unwrap_or_else(Stamp::now),
    }))
}

/// Frames that the kernel dropped on this packet socket since the last call.
pub fn dropped(socket: &OwnedFd) -> io::Result<u32> {
    // SAFETY: all-zero is a valid tpacket_stats.
    let mut statistics: libc::tpacket_stats = unsafe { zeroed() };
    let mut length = size_of::<libc::tpacket_stats>() as libc::socklen_t;
    // SAFETY: the pointers are to a structure and its length, both outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    })?;
    Ok(statistics.tp_drops)
}
