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
const PROG_QUERY: u32 = 16;
const LINK_CREATE: u32 = 28;
/// `BPF_TCX_INGRESS`.
const TCX_INGRESS: u32 = 46;
/// `BPF_PROG_TYPE_SCHED_CLS`.
const CLASSIFIER: u32 = 3;
/// Programs that a query tells at the most.
const MOST: usize = 16;

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

/// A tcx program of somebody else, which drops every frame. It goes when this is dropped.
#[derive(Debug)]
pub struct Dropper(#[expect(dead_code, reason = "the link lives as long as it")] OwnedFd);

impl Dropper {
    /// Attaches it behind the programs that are at the ingress of an interface.
    #[must_use]
    pub fn attach(host: &Host, interface: &str) -> Self {
        /// `r0 = 2` (TCX_DROP), `exit`.
        const PROGRAM: [u64; 2] = [0x0000_0002_0000_00b7, 0x0000_0000_0000_0095];
        host.inside(|| {
            let license = c"GPL";
            let mut load = Attributes::default();
            load[0] = pair(CLASSIFIER, PROGRAM.len() as u32);
            load[1] = PROGRAM.as_ptr() as u64;
            load[2] = license.as_ptr() as u64;
            let program = bpf(PROG_LOAD, &mut load).expect("BPF_PROG_LOAD");
            // SAFETY: the descriptor is new and owned by nobody else.
            let program = unsafe { OwnedFd::from_raw_fd(program) };
            let mut create = Attributes::default();
            let number = u32::try_from(program.as_raw_fd()).expect("a descriptor");
            create[0] = pair(number, index(interface));
            create[1] = pair(TCX_INGRESS, 0);
            let link = bpf(LINK_CREATE, &mut create).expect("BPF_LINK_CREATE");
            // SAFETY: as above.
            Self(unsafe { OwnedFd::from_raw_fd(link) })
        })
    }
}

/// Makes `command` run as on a kernel before Linux 6.6, which has no tcx: BPF_LINK_CREATE fails
/// with EINVAL.
pub fn without_tcx(command: &mut Command) {
    /// `struct sock_filter` of linux/filter.h: code, jt, jf, k. The system call is the first word
    /// of `struct seccomp_data`, the low half of its first argument is at 16.
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    let instruction = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let program = [
        instruction(LOAD, 0, 0, 0),
        instruction(EQUAL, 0, 3, libc::SYS_bpf as u32),
        instruction(
            LOAD,
            0,
            0,
            if cfg!(target_endian = "big") { 20 } else { 16 },
        ),
        instruction(EQUAL, 0, 1, LINK_CREATE),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EINVAL as u32),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut program = program;
        let filter = libc::sock_fprog {
            len: program.len() as u16,
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
