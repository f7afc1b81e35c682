//! Which eBPF programs are at an interface: `BPF_PROG_QUERY` of bpf(2).

use std::io;

/// `BPF_PROG_QUERY` and `BPF_TCX_INGRESS` of linux/bpf.h.
const QUERY: libc::c_int = 16;
const TCX_INGRESS: u32 = 46;
/// The kernel takes 64 at a hook (`BPF_MPROG_MAX`).
const MOST: u32 = 64;

/// The part of `union bpf_attr` for the query, as far as it is used.
#[repr(C)]
struct Query {
    interface: u32,
    hook: u32,
    query_flags: u32,
    attach_flags: u32,
    numbers: u64,
    count: u32,
    padding: u32,
}

/// Numbers of the tcx programs at the ingress of an interface of the network namespace of the
/// calling thread, in the order in which they run. It takes CAP_NET_ADMIN.
///
/// # Errors
/// `EINVAL` where the kernel has no tcx, `ENODEV` where there is no such interface.
pub(crate) fn at_ingress(ifindex: u32) -> io::Result<Vec<u32>> {
    let mut numbers = [0_u32; MOST as usize];
    let mut query = Query {
        interface: ifindex,
        hook: TCX_INGRESS,
        query_flags: 0,
        attach_flags: 0,
        numbers: numbers.as_mut_ptr() as u64,
        count: MOST,
        padding: 0,
    };
    // SAFETY: the pointer and the length are those of `query`, which lives until the call returns,
    // as does `numbers`, which has room for `count` numbers.
    let result = unsafe { libc::syscall(libc::SYS_bpf, QUERY, &raw mut query, size_of::<Query>()) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let count = query.count.min(MOST) as usize;
    Ok(numbers.into_iter().take(count).collect())
}
