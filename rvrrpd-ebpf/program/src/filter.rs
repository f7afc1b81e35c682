//! Socket filter of the raw sockets of protocols 112 and 51: passes what a virtual router of the
//! interface may want, counts the rest by reason, and keeps repetitions of a Master's
//! advertisement. What is too short to be judged passes, so that user space says why it is refused.
//!
//! Without CAP_PERFMON the verifier takes neither loops over a buffer nor arrays filled at run
//! time: hence the macros.

use core::intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd};
use core::mem::MaybeUninit;
use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::bindings::bpf_hdr_start_off::BPF_HDR_START_NET;
use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::{
    bpf_get_socket_cookie, bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_skb_load_bytes_relative,
};
use aya_ebpf::macros::{map, socket_filter};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::programs::SkBuffContext;
use rvrrpd_ebpf::{Demand, Dropped, Foreign, MESSAGE_WORDS, ROUTERS, RouterKey, Slot, TELL_EVERY};

#[map]
static DEMANDS: HashMap<RouterKey, Demand> = HashMap::with_max_entries(ROUTERS, BPF_F_NO_PREALLOC);
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(ROUTERS, BPF_F_MMAPABLE);
/// Packets that no virtual router of the interface and family may want, by [`Foreign`].
#[map]
static FOREIGN: PerCpuArray<u64> = PerCpuArray::with_max_entries(Foreign::ALL.len() as u32, 0);

const DROP: i64 = 0;
const PASS: i64 = u32::MAX as i64;

/// `ETH_P_IP` as `__sk_buff.protocol` has it.
const ETHERTYPE_IPV4: u32 = 0x0800_u16.to_be() as u32;
const IPV4_HEADER: u32 = 20;
const IPV4_TTL: u32 = 8;
const IPV4_PROTOCOL: u32 = 9;
const IPV4_ADDRESSES: u32 = 12;
const IPV6_HOP_LIMIT: u32 = 7;
const IPV6_ADDRESSES: u32 = 8;
const PROTOCOL_VRRP: u8 = 112;
const PROTOCOL_AH: u8 = 51;
/// Authentication Header with an authenticator of 96 bits (RFC 2402 §2, RFC 2338 §5.3.6.3).
const AH_HEADER: u32 = 24;
/// Longest message that is compared, in bytes.
const LONGEST: u32 = MESSAGE_WORDS as u32 * 8;

#[socket_filter]
pub fn rvrrpd_filter(ctx: SkBuffContext) -> i64 {
    filter(ctx.skb.skb)
}

#[inline(always)]
fn filter(skb: *mut __sk_buff) -> i64 {
    // SAFETY: the context is valid while the program runs.
    let (protocol, length) = unsafe { ((*skb).protocol, (*skb).len) };
    let is_v4 = protocol == ETHERTYPE_IPV4;
    // A raw IPv4 socket begins at the IP header, a raw IPv6 socket at the message.
    let mut start = 0;
    let mut is_plain = true;
    if is_v4 {
        let (Some(first), Some(inner)) = (byte(skb, 0), byte(skb, IPV4_PROTOCOL)) else {
            return PASS;
        };
        start = (u32::from(first) & 0x0f) * 4;
        is_plain = start == IPV4_HEADER && inner == PROTOCOL_VRRP;
        if inner == PROTOCOL_AH {
            if byte(skb, start) != Some(PROTOCOL_VRRP) {
                return drop_foreign(Foreign::Protocol);
            }
            start += AH_HEADER;
        } else if inner != PROTOCOL_VRRP {
            return drop_foreign(Foreign::Protocol);
        }
    }
    let (Some(first), Some(vrid)) = (byte(skb, start), byte(skb, start + 1)) else {
        return PASS;
    };
    let key = RouterKey {
        // SAFETY: the context is valid while the program runs; its socket is the one that the
        // program is attached to, not the sender's.
        socket: unsafe { bpf_get_socket_cookie(skb.cast()) },
        vrid: u64::from(vrid),
    };
    // SAFETY: the entry is copied at once. One that is removed and used again at this moment could
    // be that of another router, whose demands a single packet would meet then; what is kept is
    // compared, VRID and addresses included.
    let Some(demand) = (unsafe { DEMANDS.get(key) }).copied() else {
        return drop_foreign(Foreign::Vrid);
    };
    let Some(slot) = SLOTS.get_ptr_mut(demand.slot) else {
        return PASS;
    };
    let ttl_at = if is_v4 { IPV4_TTL } else { IPV6_HOP_LIMIT };
    match network_byte(skb, ttl_at) {
        Some(ttl) if ttl >= demand.least_ttl => {}
        _ => return drop_for(slot, Dropped::Ttl),
    }
    let version = u32::from(first >> 4);
    if version > 7 || (u32::from(demand.versions) >> version) & 1 == 0 {
        return drop_for(slot, Dropped::Version);
    }
    if first & 0x0f != 1 {
        return drop_for(slot, Dropped::Type);
    }
    if !is_plain {
        return PASS;
    }
    absorb(skb, slot, is_v4, start, length.wrapping_sub(start))
}

/// Keeps the packet if it is the one in the slot. The stamp that was there before the comparison is
/// exchanged after it: had anybody changed the slot meanwhile, it would be another one.
#[inline(always)]
fn absorb(skb: *mut __sk_buff, slot: *mut Slot, is_v4: bool, start: u32, length: u32) -> i64 {
    // SAFETY: the pointer is into an array map, which lives as long as the program; other CPUs and
    // user space change it meanwhile, hence volatile reads and the exchange at the end.
    unsafe {
        if read_volatile(&raw const (*slot).stamp) == 0 {
            return PASS;
        }
        // Changes nothing, but no later read comes before it on any processor, as a plain read
        // would allow.
        let seen = atomic_or::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*slot).stamp, 0);
        if seen == 0 || read_volatile(&raw const (*slot).length) != u64::from(length) {
            return PASS;
        }
        let mut addresses = MaybeUninit::<[u64; 4]>::uninit();
        let words = addresses.as_mut_ptr().cast::<u64>();
        // One by one, and not to be joined: without CAP_PERFMON the verifier takes no loop over the
        // stack, which a call of memset would be.
        write_volatile(words, 0);
        write_volatile(words.add(1), 0);
        write_volatile(words.add(2), 0);
        write_volatile(words.add(3), 0);
        let to = words.cast();
        let loaded = if is_v4 {
            bpf_skb_load_bytes(skb.cast(), IPV4_ADDRESSES, to, 8)
        } else {
            bpf_skb_load_bytes_relative(
                skb.cast(),
                IPV6_ADDRESSES,
                to,
                32,
                BPF_HDR_START_NET as u32,
            )
        };
        if loaded != 0 {
            return PASS;
        }
        let known = (&raw const (*slot).addresses).cast::<u64>();
        macro_rules! each_address_word {
            ($($word:literal)*) => {
                $(if read_volatile(words.add($word)) != read_volatile(known.add($word)) {
                    return PASS;
                })*
            };
        }
        each_address_word!(0 1 2 3);
        // The helper wants a length that it can see the bounds of, whatever the optimiser knows.
        let bounded = (read_volatile(&length).wrapping_sub(4) & (LONGEST - 4)) + 4;
        let mut message = MaybeUninit::<[u64; MESSAGE_WORDS]>::uninit();
        let words = message.as_mut_ptr().cast::<u64>();
        let known = (&raw const (*slot).message).cast::<u64>();
        macro_rules! each_word {
            ($($word:literal)*) => {
                $(write_volatile(words.add($word), 0);)*
                if bpf_skb_load_bytes(skb.cast(), start, words.cast(), bounded) != 0
                    || bounded != length
                {
                    return PASS;
                }
                // One by one: a sum of differences would be kept in pieces, which the stack has
                // no room for.
                $(if read_volatile(words.add($word)) != read_volatile(known.add($word)) {
                    return PASS;
                })*
            };
        }
        each_word!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
            30 31);
        let now = bpf_ktime_get_ns();
        let (_, exchanged) = atomic_cxchg::<
            u64,
            { AtomicOrdering::SeqCst },
            { AtomicOrdering::SeqCst },
        >(&raw mut (*slot).stamp, seen, now);
        if !exchanged {
            return PASS;
        }
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*slot).absorbed, 1);
    }
    DROP
}

/// Drops and counts a packet of a virtual router; now and then one passes, which user space then
/// counts and tells of.
#[inline(always)]
fn drop_for(slot: *mut Slot, reason: Dropped) -> i64 {
    // SAFETY: the pointer is into an array map, which lives as long as the program.
    unsafe {
        let now = bpf_ktime_get_ns();
        let told = read_volatile(&raw const (*slot).told);
        if now.wrapping_sub(told) > TELL_EVERY {
            write_volatile(&raw mut (*slot).told, now);
            return PASS;
        }
        let counter = (&raw mut (*slot).dropped)
            .cast::<u64>()
            .add(reason as usize);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, 1);
    }
    DROP
}

#[inline(always)]
fn drop_foreign(reason: Foreign) -> i64 {
    if let Some(counter) = FOREIGN.get_ptr_mut(reason as u32) {
        // SAFETY: the counter is this CPU's own, and socket filters do not interrupt each other.
        unsafe { *counter += 1 };
    }
    DROP
}

/// A byte of what the socket sees.
#[inline(always)]
fn byte(skb: *mut __sk_buff, at: u32) -> Option<u8> {
    let mut value = MaybeUninit::<u8>::uninit();
    // SAFETY: one byte goes into room for one; it is read only if it was written.
    unsafe {
        (bpf_skb_load_bytes(skb.cast(), at, value.as_mut_ptr().cast(), 1) == 0)
            .then(|| value.assume_init())
    }
}

/// A byte from the network header on.
#[inline(always)]
fn network_byte(skb: *mut __sk_buff, at: u32) -> Option<u8> {
    let mut value = MaybeUninit::<u8>::uninit();
    let start = BPF_HDR_START_NET as u32;
    // SAFETY: as above.
    unsafe {
        (bpf_skb_load_bytes_relative(skb.cast(), at, value.as_mut_ptr().cast(), 1, start) == 0)
            .then(|| value.assume_init())
    }
}
