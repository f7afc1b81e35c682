//! bpf(2) from the outside: which programs are at the ingress of an interface, a program of
//! somebody else, and kernels that do not have all of it.
#![allow(
    unsafe_code,
    reason = "bpf(2) and seccomp filters have no safe form in std"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::host::Host;
use crate::sys::interface_index;

/// `BPF_*` commands of linux/bpf.h.
const PROG_LOAD: u32 = 5;
const PROG_TEST_RUN: u32 = 10;
const PROG_QUERY: u32 = 16;
const LINK_CREATE: u32 = 28;
/// `BPF_TCX_INGRESS`.
const TCX_INGRESS: u32 = 46;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const CLASSIFIER: u32 = 3;
/// `BPF_PROG_TYPE_XDP`.
const XDP: u32 = 6;
/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 2;
/// `r0 = 2`, `exit`: for tcx that is TCX_DROP, for XDP it is XDP_PASS.
const TWO: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
/// Programs that a query tells at the most.
const MOST: usize = 16;

/// `BPF_F_BEFORE`.
const BEFORE: u32 = 1 << 3;
/// `BPF_LINK_GET_FD_BY_ID`, `BPF_LINK_DETACH`.
const LINK_BY_ID: u32 = 30;
const LINK_DETACH: u32 = 34;

/// Words of `union bpf_attr`; the kernel takes zeros behind what a command needs.
type Attributes = [u64; 16];

fn bpf(command: u32, attributes: &mut Attributes) -> io::Result<i32> {
    // SAFETY: the pointer and the length describe `attributes`; pointers in it are to values that
    // the callers keep until this returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            size_of::<Attributes>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(result).map_err(io::Error::other)
}

/// Two 32-bit fields of `union bpf_attr`.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn index(interface: &str) -> u32 {
    u32::try_from(interface_index(interface).expect("index of an interface")).expect("an index")
}

/// Numbers of the tcx programs at the ingress of an interface, in the order in which they run.
#[must_use]
pub fn programs(host: &Host, interface: &str) -> Vec<u32> {
    host.inside(|| {
        let mut numbers = [0_u32; MOST];
        let mut query = Attributes::default();
        query[0] = pair(index(interface), TCX_INGRESS);
        query[2] = numbers.as_mut_ptr() as u64;
        query[3] = pair(MOST as u32, 0);
        bpf(PROG_QUERY, &mut query).expect("BPF_PROG_QUERY");
        let count = query[3].to_ne_bytes();
        let count = u32::from_ne_bytes([count[0], count[1], count[2], count[3]]);
        numbers[..count as usize].to_vec()
    })
}

/// Detaches all tcx programs from the ingress of an interface, whoever attached them.
pub fn detach(host: &Host, interface: &str) {
    host.inside(|| {
        let mut programs = [0_u32; MOST];
        let mut links = [0_u32; MOST];
        let mut query = Attributes::default();
        query[0] = pair(index(interface), TCX_INGRESS);
        query[2] = programs.as_mut_ptr() as u64;
        query[3] = pair(MOST as u32, 0);
        query[5] = links.as_mut_ptr() as u64;
        bpf(PROG_QUERY, &mut query).expect("BPF_PROG_QUERY");
        for link in links.into_iter().filter(|link| *link != 0) {
            let mut by_id = Attributes::default();
            by_id[0] = pair(link, 0);
            let link = bpf(LINK_BY_ID, &mut by_id).expect("BPF_LINK_GET_FD_BY_ID");
            // SAFETY: as above.
            let link = unsafe { OwnedFd::from_raw_fd(link) };
            let mut detach = Attributes::default();
            let number = u32::try_from(link.as_raw_fd()).expect("a descriptor");
            detach[0] = pair(number, 0);
            bpf(LINK_DETACH, &mut detach).expect("BPF_LINK_DETACH");
        }
    });
}

/// A tcx program of somebody else, which drops every frame. It goes when this is dropped.
#[derive(Debug)]
pub struct Dropper(#[expect(dead_code, reason = "the link lives as long as it")] OwnedFd);

impl Dropper {
    /// Attaches it behind the programs that are at the ingress of an interface.
    #[must_use]
    pub fn attach(host: &Host, interface: &str) -> Self {
        Self::attach_with(host, interface, 0)
    }

    /// Attaches it before them.
    #[must_use]
    pub fn attach_before(host: &Host, interface: &str) -> Self {
        Self::attach_with(host, interface, BEFORE)
    }

    fn attach_with(host: &Host, interface: &str, flags: u32) -> Self {
        host.inside(|| {
            let program = load(CLASSIFIER).expect("BPF_PROG_LOAD");
            let mut create = Attributes::default();
            let number = u32::try_from(program.as_raw_fd()).expect("a descriptor");
            create[0] = pair(number, index(interface));
            create[1] = pair(TCX_INGRESS, flags);
            let link = bpf(LINK_CREATE, &mut create).expect("BPF_LINK_CREATE");
            // SAFETY: as above.
            Self(unsafe { OwnedFd::from_raw_fd(link) })
        })
    }
}

/// Loads the program that returns 2.
fn load(kind: u32) -> io::Result<OwnedFd> {
    let license = c"GPL";
    let mut load = Attributes::default();
    load[0] = pair(kind, TWO.len() as u32);
    load[1] = TWO.as_ptr() as u64;
    load[2] = license.as_ptr() as u64;
    let program = bpf(PROG_LOAD, &mut load)?;
    // SAFETY: the descriptor is new and owned by nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}

/// What lets frames arrive at an interface as if its driver had received them
/// (Documentation/bpf/bpf_prog_run.rst, "Running XDP programs in live frame mode"), many times as
/// fast as a packet socket.
#[derive(Debug)]
pub(crate) struct Arrivals {
    program: OwnedFd,
    interface: u32,
}

impl Arrivals {
    /// At an interface of the network namespace of the calling thread, which has to be the one that
    /// calls [`Self::repeat`].
    pub(crate) fn at(interface: &str) -> io::Result<Self> {
        Ok(Self {
            program: load(XDP)?,
            interface: index(interface),
        })
    }

    /// Lets `frame` arrive `count` times.
    pub(crate) fn repeat(&self, frame: &[u8], count: u32) -> io::Result<()> {
        let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
        // struct xdp_md: data, data_end, data_meta, ingress_ifindex, rx_queue_index,
        // egress_ifindex.
        let context = [0, length, 0, self.interface, 0, 0];
        let number = u32::try_from(self.program.as_raw_fd()).map_err(io::Error::other)?;
        let mut run = Attributes::default();
        run[0] = pair(number, 0);
        run[1] = pair(length, 0);
        run[2] = frame.as_ptr() as u64;
        run[4] = pair(count, 0);
        run[5] = pair(size_of_val(&context) as u32, 0);
        run[6] = context.as_ptr() as u64;
        run[8] = pair(LIVE_FRAMES, 0);
        bpf(PROG_TEST_RUN, &mut run).map(drop)
    }
}

/// `struct sock_filter` of linux/filter.h: code, jt, jf, k.
const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Makes `command` run as on a kernel before Linux 6.6, which has no tcx: BPF_LINK_CREATE fails
/// with EINVAL.
pub fn without_tcx(command: &mut Command) {
    // The system call is the first word of `struct seccomp_data`, the low half of its first argument
    // is at 16.
    let argument = if cfg!(target_endian = "big") { 20 } else { 16 };
    confine(
        command,
        [
            instruction(LOAD, 0, 0, 0),
            instruction(EQUAL, 0, 3, libc::SYS_bpf as u32),
            instruction(LOAD, 0, 0, argument),
            instruction(EQUAL, 0, 1, LINK_CREATE),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ],
    );
}

/// Refuses bpf(2) to `command`, as to a process without CAP_BPF.
pub(crate) fn refused(command: &mut Command) {
    confine(
        command,
        [
            instruction(LOAD, 0, 0, 0),
            instruction(EQUAL, 0, 1, libc::SYS_bpf as u32),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
            instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
        ],
    );
}

/// Makes `command` run under a filter of its system calls.
fn confine<const LENGTH: usize>(command: &mut Command, program: [libc::sock_filter; LENGTH]) {
    let install = move || {
        let mut program = program;
        let filter = libc::sock_fprog {
            len: LENGTH as u16,
            filter: program.as_mut_ptr(),
        };
        // SAFETY: the filter and what it points to outlive the call, which copies them.
        let result = unsafe {
            libc::prctl(
                libc::PR_SET_SECCOMP,
                libc::SECCOMP_MODE_FILTER,
                &raw const filter,
            )
        };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe.
    unsafe { command.pre_exec(install) };
}
