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
use rvrrpd_ebpf::{
    Demand, Dropped, Foreign, MESSAGE_WORDS, ROUTERS, RouterKey, Slot, TELL_EVERY, TRAILER,
};

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
const IPV4_TTL: usize = 8;
const IPV4_PROTOCOL: usize = 9;
const IPV4_ADDRESSES: u32 = 12;
const IPV6_HOP_LIMIT: u32 = 7;
const IPV6_ADDRESSES: u32 = 8;
const PROTOCOL_VRRP: u8 = 112;
const PROTOCOL_AH: u8 = 51;
/// Authentication Header with an authenticator of 96 bits (RFC 2402 §2, RFC 2338 §5.3.6.3).
const AH_HEADER: u32 = 24;
/// What all messages begin with.
const HEADER: u32 = 8;
/// What version 2 has behind the addresses (RFC 3768 Appendix; RFC 2338 §5.3.10).
const AUTHENTICATION_DATA: u32 = 8;
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
    let ttl;
    let message: [u8; 4];
    if is_v4 {
        let Some(head) = load::<[u8; IPV4_HEADER as usize + 4]>(skb, 0) else {
            return PASS;
        };
        start = (u32::from(head[0]) & 0x0f) * 4;
        ttl = head[IPV4_TTL];
        let inner = head[IPV4_PROTOCOL];
        is_plain = start == IPV4_HEADER && inner == PROTOCOL_VRRP;
        if is_plain {
            message = [head[20], head[21], head[22], head[23]];
        } else {
            if inner == PROTOCOL_AH {
                if load(skb, start) != Some([PROTOCOL_VRRP]) {
                    return drop_foreign(Foreign::Protocol);
                }
                start += AH_HEADER;
            } else if inner != PROTOCOL_VRRP {
                return drop_foreign(Foreign::Protocol);
            }
            let Some(loaded) = load(skb, start) else {
                return PASS;
            };
            message = loaded;
        }
    } else {
        let (Some(loaded), Some(hop_limit)) = (load(skb, 0), hop_limit(skb)) else {
            return PASS;
        };
        message = loaded;
        ttl = hop_limit;
    }
    let [first, vrid, _, count] = message;
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
    let length = length.wrapping_sub(start);
    if length < HEADER {
        return drop_for(slot, Dropped::Truncated);
    }
    if ttl < demand.least_ttl {
        return drop_for(slot, Dropped::Ttl);
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
    if count == 0 {
        return drop_for(slot, Dropped::CountZero);
    }
    let address = if is_v4 { 4 } else { 16 };
    let data = if version == 2 { AUTHENTICATION_DATA } else { 0 };
    let plain_length = HEADER + u32::from(count) * address + data;
    if length != plain_length && length != plain_length + TRAILER {
        return drop_for(slot, Dropped::Length);
    }
    let packet = Packet {
        skb,
        is_v4,
        start,
        length,
        covered_without: version == 2 || is_v4,
        covered_with: version == 3,
        has_trailer: length != plain_length,
    };
    packet.judge(slot)
}

/// A packet whose length is right.
struct Packet {
    skb: *mut __sk_buff,
    is_v4: bool,
    /// Where the message begins, and how long it is.
    start: u32,
    length: u32,
    /// Whether a checksum is right that covers the message alone.
    covered_without: bool,
    /// Whether one is that covers a pseudo-header as well.
    covered_with: bool,
    has_trailer: bool,
}

impl Packet {
    /// Keeps the packet if it is the one in the slot, and drops it if its checksum is wrong. The stamp
    /// that was there before the comparison is exchanged after it: had anybody changed the slot
    /// meanwhile, it would be another one.
    #[inline(always)]
    fn judge(&self, slot: *mut Slot) -> i64 {
        // The helper wants a length that it can see the bounds of, whatever the optimiser knows.
        // SAFETY: a read of a value that is there.
        let bounded = (unsafe { read_volatile(&self.length) }.wrapping_sub(4) & (LONGEST - 4)) + 4;
        if bounded != self.length {
            return PASS;
        }
        let mut addresses = MaybeUninit::<[u64; 4]>::uninit();
        let mut message = MaybeUninit::<[u64; MESSAGE_WORDS]>::uninit();
        let addresses = addresses.as_mut_ptr().cast::<u64>();
        let words = message.as_mut_ptr().cast::<u64>();
        // One by one, and not to be joined: without CAP_PERFMON the verifier takes no loop over the
        // stack, which a call of memset would be.
        macro_rules! each {
            ($do:ident) => {
                $do!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29
                    30 31)
            };
        }
        macro_rules! clear {
            ($($word:literal)*) => { $(write_volatile(words.add($word), 0);)* };
        }
        // SAFETY: all of both is written before it is read, and the helpers write what they are
        // given the length of. The slot is in an array map, which lives as long as the program; other
        // CPUs and user space change it meanwhile, hence volatile reads and the exchange at the end.
        unsafe {
            write_volatile(addresses, 0);
            write_volatile(addresses.add(1), 0);
            write_volatile(addresses.add(2), 0);
            write_volatile(addresses.add(3), 0);
            each!(clear);
            if !self.load_addresses(addresses)
                || bpf_skb_load_bytes(self.skb.cast(), self.start, words.cast(), bounded) != 0
            {
                return PASS;
            }
            let known = (&raw const (*slot).addresses).cast::<u64>();
            let message = (&raw const (*slot).message).cast::<u64>();
            macro_rules! is_same {
                ($($word:literal)*) => {
                    // One by one: a sum of differences would be kept in pieces, which the stack has
                    // no room for.
                    true $(&& read_volatile(words.add($word)) == read_volatile(message.add($word)))*
                };
            }
            if read_volatile(&raw const (*slot).stamp) != 0 {
                // Changes nothing, but no later read comes before it on any processor, as a plain
                // read would allow.
                let seen =
                    atomic_or::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*slot).stamp, 0);
                let is_from_there = read_volatile(addresses) == read_volatile(known)
                    && read_volatile(addresses.add(1)) == read_volatile(known.add(1))
                    && read_volatile(addresses.add(2)) == read_volatile(known.add(2))
                    && read_volatile(addresses.add(3)) == read_volatile(known.add(3));
                if seen != 0
                    && read_volatile(&raw const (*slot).length) == u64::from(bounded)
                    && is_from_there
                    && each!(is_same)
                {
                    let now = bpf_ktime_get_ns();
                    let (_, exchanged) = atomic_cxchg::<
                        u64,
                        { AtomicOrdering::SeqCst },
                        { AtomicOrdering::SeqCst },
                    >(&raw mut (*slot).stamp, seen, now);
                    if exchanged {
                        let absorbed = &raw mut (*slot).absorbed;
                        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(absorbed, 1);
                        return DROP;
                    }
                    return PASS;
                }
            }
            if self.has_trailer {
                return PASS;
            }
            let mut sum = 0;
            macro_rules! add {
                ($($word:literal)*) => { $(sum += halves(read_volatile(words.add($word)));)* };
            }
            each!(add);
            if self.covered_without && holds(sum) {
                return PASS;
            }
            sum += halves(read_volatile(addresses))
                + halves(read_volatile(addresses.add(1)))
                + halves(read_volatile(addresses.add(2)))
                + halves(read_volatile(addresses.add(3)))
                + u64::from(u16::from(PROTOCOL_VRRP).to_be())
                + u64::from((bounded as u16).to_be());
            if self.covered_with && holds(sum) {
                return PASS;
            }
        }
        drop_for(slot, Dropped::Checksum)
    }

    /// Source and destination, into room for four words.
    #[inline(always)]
    unsafe fn load_addresses(&self, to: *mut u64) -> bool {
        let skb = self.skb.cast();
        // SAFETY: the caller has room for what is loaded.
        0 == unsafe {
            if self.is_v4 {
                bpf_skb_load_bytes(skb, IPV4_ADDRESSES, to.cast(), 8)
            } else {
                let start = BPF_HDR_START_NET as u32;
                bpf_skb_load_bytes_relative(skb, IPV6_ADDRESSES, to.cast(), 32, start)
            }
        }
    }
}

/// Part of a checksum (RFC 1071): the order of bytes does not matter, nor does what is added up in
/// pieces of 32 bits.
#[inline(always)]
fn halves(word: u64) -> u64 {
    (word >> 32) + (word & 0xffff_ffff)
}

/// Whether a checksum is right, from the sum of all that it covers and itself.
#[inline(always)]
fn holds(sum: u64) -> bool {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    (sum >> 16) + (sum & 0xffff) == 0xffff
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
/// Bytes of the packet. `T` is an array of them.
#[inline(always)]
fn load<T>(skb: *mut __sk_buff, at: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    let length = size_of::<T>() as u32;
    // SAFETY: as many bytes go into room for as many; it is read only if it was written.
    unsafe {
        (bpf_skb_load_bytes(skb.cast(), at, value.as_mut_ptr().cast(), length) == 0)
            .then(|| value.assume_init())
    }
}

#[inline(always)]
fn hop_limit(skb: *mut __sk_buff) -> Option<u8> {
    let mut value = MaybeUninit::<u8>::uninit();
    let to = value.as_mut_ptr().cast();
    let start = BPF_HDR_START_NET as u32;
    // SAFETY: as above.
    unsafe {
        (bpf_skb_load_bytes_relative(skb.cast(), IPV6_HOP_LIMIT, to, 1, start) == 0)
            .then(|| value.assume_init())
    }
}
