//! Others who say that they have an address of a virtual router that is Master here.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd, atomic_xchg};
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::generated::bpf_ktime_get_ns;
use aya_ebpf::macros::map;
use aya_ebpf::maps::Array;
use rvrrpd_ebpf::{CONFLICTS as PLACES, Conflict, Stopped, WRITE_EVERY};

use crate::gate;

/// Behind the places one whose sequence counts how often any was written.
#[map]
static CONFLICTS: Array<Conflict> = Array::with_max_entries(PLACES + 1, BPF_F_MMAPABLE);

/// Golden ratio of 2^32, which spreads neighbouring addresses over all places.
const SPREAD: u32 = 0x9e37_79b9;

/// Notes that `mac` says to have the address of the virtual router whose state is at `place`, unless
/// that is its virtual MAC: then it is another Master.
#[inline(always)]
pub fn note(ifindex: u32, address: [u32; 4], place: u32, mac: [u8; 6]) {
    if mac == gate::virtual_mac(place) {
        return;
    }
    gate::count(Stopped::Conflict);
    let [a, b, c, d] = address;
    let hash = (a ^ b ^ c ^ d ^ ifindex).wrapping_mul(SPREAD);
    let Some(conflict) = CONFLICTS.get_ptr_mut(hash >> (32 - PLACES.ilog2())) else {
        return;
    };
    let Some(all) = CONFLICTS.get_ptr_mut(PLACES) else {
        return;
    };
    // SAFETY: the pointers are into an array map, which lives as long as the program; other CPUs and
    // user space see it meanwhile. Who made the sequence odd writes alone.
    unsafe {
        let now = bpf_ktime_get_ns();
        let time = read_volatile(&raw const (*conflict).time);
        let is_known = read_volatile(&raw const (*conflict).address[0]) == a
            && read_volatile(&raw const (*conflict).address[1]) == b
            && read_volatile(&raw const (*conflict).address[2]) == c
            && read_volatile(&raw const (*conflict).address[3]) == d
            && read_volatile(&raw const (*conflict).ifindex) == u64::from(ifindex);
        if is_known {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*conflict).count, 1);
        }
        if time != 0 && now.wrapping_sub(time) < WRITE_EVERY {
            return;
        }
        let sequence = read_volatile(&raw const (*conflict).sequence);
        if sequence & 1 != 0 {
            return;
        }
        let (_, is_ours) = atomic_cxchg::<
            u64,
            { AtomicOrdering::SeqCst },
            { AtomicOrdering::SeqCst },
        >(&raw mut (*conflict).sequence, sequence, sequence + 1);
        if !is_ours {
            return;
        }
        if !is_known {
            write_volatile(&raw mut (*conflict).address[0], a);
            write_volatile(&raw mut (*conflict).address[1], b);
            write_volatile(&raw mut (*conflict).address[2], c);
            write_volatile(&raw mut (*conflict).address[3], d);
            write_volatile(&raw mut (*conflict).ifindex, u64::from(ifindex));
            write_volatile(&raw mut (*conflict).count, 1);
        }
        let [m0, m1, m2, m3, m4, m5] = mac;
        let mac = u64::from_ne_bytes([m0, m1, m2, m3, m4, m5, 0, 0]);
        write_volatile(&raw mut (*conflict).mac, mac);
        write_volatile(&raw mut (*conflict).time, now);
        // Exchanges, as these are barriers, which plain stores are not.
        atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(&raw mut (*conflict).sequence, sequence + 2);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*all).sequence, 1);
    }
}
