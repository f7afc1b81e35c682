//! Many frames in one system call, for measurements that must cost less than what they measure.

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use super::{Stamp, check};

/// Frames taken by one system call.
const BATCH: usize = 64;
/// Bytes of a frame that are kept: enough for an advertisement and for ARP.
const KEPT: usize = 96;
/// Words of a control buffer, enough for one time stamp.
const CONTROL: usize = 8;

/// Instructions of the classic filter (linux/filter.h, linux/bpf_common.h).
const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
/// SKF_AD_OFF + SKF_AD_IFINDEX: index of the interface of the frame.
const INTERFACE: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_IFINDEX) as u32;
/// SKF_AD_OFF + SKF_AD_PKTTYPE: which way the frame goes.
const DIRECTION: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;

/// Which frames of an interface are taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Way {
    /// Those that the host sends.
    Sent,
    /// Those to groups that come in.
    Heard,
}

impl Way {
    /// Its number in linux/if_packet.h.
    const fn number(self) -> u32 {
        match self {
            Self::Sent => libc::PACKET_OUTGOING as u32,
            Self::Heard => libc::PACKET_MULTICAST as u32,
        }
    }
}

/// Bytes that frames may take while nobody fetches them; the kernel doubles it. Some 500 000 frames.
const BUFFER: libc::c_int = 256 << 20;

/// Makes the calling thread more important than ordinary ones and less so than real-time ones.
pub fn hurry() -> io::Result<()> {
    // SAFETY: setpriority takes integers; process 0 is the calling thread (setpriority(2)).
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -19) }).map(drop)
}

/// Makes `socket` keep many frames for a reader that gets little time: their time stamps are right
/// however late it looks at them.
pub fn keep_many(socket: &OwnedFd) -> io::Result<()> {
    super::set_option(socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, BUFFER)
}

/// Makes `socket` take only frames that go this way by `interfaces`, so that others cost little and
/// cannot fill it.
pub fn take_only(socket: &OwnedFd, interfaces: &[i32], way: Way) -> io::Result<()> {
    let step = |code, jt, k| libc::sock_filter { code, jt, jf: 0, k };
    let mut program = vec![
        step(LOAD, 0, DIRECTION),
        step(EQUAL, 1, way.number()),
        step(RETURN, 0, 0),
        step(LOAD, 0, INTERFACE),
    ];
    for (number, interface) in interfaces.iter().enumerate() {
        let to_end = u8::try_from(interfaces.len() - number).map_err(io::Error::other)?;
        let index = u32::try_from(*interface).map_err(io::Error::other)?;
        program.push(step(EQUAL, to_end, index));
    }
    program.push(step(RETURN, 0, 0));
    program.push(step(RETURN, 0, u32::MAX));
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(io::Error::other)?,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: `filter` describes `program`; the kernel copies both before the call returns.
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

/// Passes up to 64 frames to `each`: interface index, time stamp, first bytes. Waits for the first
/// one, `timeout` milliseconds at most. Returns how many there were.
pub fn receive(
    socket: &OwnedFd,
    timeout: i32,
    mut each: impl FnMut(i32, Stamp, &[u8]),
) -> io::Result<usize> {
    let mut poll = libc::pollfd {
        fd: socket.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one pollfd is passed and outlives the call.
    match check(unsafe { libc::poll(&raw mut poll, 1, timeout) }) {
        Ok(0) => return Ok(0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(0),
        ready => ready.map(drop)?,
    }
    let mut bytes = [[0_u8; KEPT]; BATCH];
    let mut controls = [[0_u64; CONTROL]; BATCH];
    // SAFETY: all-zero is a valid value of these plain structures.
    let (mut sources, mut vectors, mut headers): (
        [libc::sockaddr_ll; BATCH],
        [libc::iovec; BATCH],
        [libc::mmsghdr; BATCH],
    ) = unsafe { (zeroed(), zeroed(), zeroed()) };
    for at in 0..BATCH {
        vectors[at].iov_base = bytes[at].as_mut_ptr().cast();
        vectors[at].iov_len = KEPT;
        let header = &mut headers[at].msg_hdr;
        header.msg_name = (&raw mut sources[at]).cast();
        header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        header.msg_iov = &raw mut vectors[at];
        header.msg_iovlen = 1;
        header.msg_control = controls[at].as_mut_ptr().cast();
        header.msg_controllen = size_of::<[u64; CONTROL]>() as _;
    }
    // SAFETY: every pointer in `headers` is described by its length and outlives the call.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            BATCH as libc::c_uint,
            libc::MSG_DONTWAIT,
            std::ptr::null_mut(),
        )
    };
    let Ok(count) = usize::try_from(count) else {
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR | libc::ENETDOWN) => Ok(0),
            _ => Err(error),
        };
    };
    for at in 0..count {
        let length = KEPT.min(headers[at].msg_len as usize);
        let stamp = stamp_of(&headers[at].msg_hdr).unwrap_or_else(Stamp::now);
        each(sources[at].sll_ifindex, stamp, &bytes[at][..length]);
    }
    Ok(count)
}

/// The time stamp that the kernel put beside a frame.
fn stamp_of(header: &libc::msghdr) -> Option<Stamp> {
    // SAFETY: the kernel filled the control buffer; the CMSG macros stay inside it.
    unsafe {
        let mut message = libc::CMSG_FIRSTHDR(&raw const *header);
        while !message.is_null() {
            if (*message).cmsg_level == libc::SOL_SOCKET
                && (*message).cmsg_type == libc::SCM_TIMESTAMPNS
            {
                let time = libc::CMSG_DATA(message)
                    .cast::<libc::timespec>()
                    .read_unaligned();
                let span = Duration::new(time.tv_sec as u64, time.tv_nsec as u32);
                return Some(Stamp(span));
            }
            message = libc::CMSG_NXTHDR(&raw const *header, message);
        }
    }
    None
}
