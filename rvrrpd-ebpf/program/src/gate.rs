//! Gate on the ingress of a parent: drops frames to a virtual MAC whose virtual router is not
//! Master, and packets to virtual addresses of `accept_mode = false`, ND excepted; and is itself the
//! virtual MAC of virtual routers that no interface has it for, with ARP and ND of their addresses.
//!
//! It runs before the macvlans get the frame. Everything else goes on to whatever other programs
//! and filters there are: `TCX_NEXT`, which classic tc calls `TC_ACT_UNSPEC`.

use core::ptr::read_volatile;

use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::bpf_skb_change_type;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::programs::TcContext;
use rvrrpd_ebpf::{
    ANSWERED, ANSWERED_COUNT, Address, AddressKey, GATE_STATES, GATED_ADDRESSES, GATED_INTERFACES,
    GateState, MAPPED, NUMBERS as NUMBERED, REFUSED, REFUSED_COUNT, Stopped,
};

use crate::frame::{Frame, TYPE_ARP, TYPE_IPV4, TYPE_IPV6};
use crate::{arp, ndp};

/// Number of an interface, by its index: 0..[`GATED_INTERFACES`].
#[map]
static INTERFACES: HashMap<u32, u32> = HashMap::with_max_entries(GATED_INTERFACES, 0);
/// The same for one interface of each rest of the index by the size of this: the index in the high
/// half, the number in the low one.
#[map]
static NUMBERS: Array<u64> = Array::with_max_entries(NUMBERED, 0);
/// [`GateState`] of each interface, family and VRID, and the numbers of its addresses.
#[map]
static STATES: Array<u64> = Array::with_max_entries(GATED_INTERFACES * GATE_STATES, BPF_F_MMAPABLE);
#[map]
static ADDRESSES: HashMap<AddressKey, Address> =
    HashMap::with_max_entries(GATED_ADDRESSES, BPF_F_NO_PREALLOC);
/// Frames by [`Stopped`].
#[map]
static STOPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(Stopped::ALL.len() as u32, 0);

const NEXT: i32 = -1;
/// `TC_ACT_SHOT` of linux/pkt_cls.h.
const DROP: i32 = 2;
/// `PACKET_HOST` of linux/if_packet.h.
const TO_THIS_HOST: u32 = 0;
const IPV4_DESTINATION: u32 = 16;

#[classifier]
pub fn rvrrpd_gate(ctx: TcContext) -> i32 {
    judge(ctx.skb.skb, ctx.data(), ctx.data_end()).unwrap_or(NEXT)
}

/// What becomes of the frame; none is [`NEXT`].
#[inline(always)]
fn judge(skb: *mut __sk_buff, data: usize, end: usize) -> Option<i32> {
    let frame = Frame::read(skb, data, end)?;
    let to = &frame.header;
    let is_virtual =
        to[0] == 0 && to[1] == 0 && to[2] == 0x5e && to[3] == 0 && (to[4] == 1 || to[4] == 2);
    let first = number(frame.ifindex)? * GATE_STATES;
    let mut is_carried = false;
    if is_virtual {
        // Fifth byte 1 for IPv4 and 2 for IPv6, sixth byte the VRID (RFC 9568 §7.3). VRID 0 is
        // none, and in its place is a number.
        let place = first + (u32::from(to[4]) - 1) * 256 + u32::from(to[5]);
        if to[5] != 0 {
            let state = state(place)?;
            if state == GateState::Closed as u64 {
                return Some(drop_for(Stopped::Closed));
            }
            if state == GateState::Carried as u64 {
                is_carried = true;
                // SAFETY: the context is valid while the program runs. What fails here leaves the
                // frame to whom it was for.
                unsafe { bpf_skb_change_type(skb, TO_THIS_HOST) };
            }
        }
    }
    match frame.kind {
        TYPE_ARP if state(first + ANSWERED_COUNT)? != 0 => arp::judge(&frame, is_carried),
        TYPE_IPV4 if state(first + REFUSED_COUNT)? != 0 => {
            let address: [u8; 4] = frame.load(frame.network + IPV4_DESTINATION)?;
            // No group is a virtual address.
            if address[0] & 0xf0 == 0xe0 {
                return None;
            }
            refuse(frame.ifindex, ipv4(u32::from_ne_bytes(address)))
        }
        TYPE_IPV6 => {
            let is_refusing = state(first + REFUSED_COUNT)? != 0;
            let is_answering = state(first + ANSWERED_COUNT)? != 0;
            if !is_refusing && !(is_answering && frame.may_be_icmpv6()) {
                return None;
            }
            let packet = ndp::Packet::read(&frame)?;
            if packet.is_neighbour_discovery(&frame) {
                // Accepted in any case (RFC 9568 §6.4.3, 650 and 655).
                return if is_answering {
                    ndp::judge(&frame, &packet, is_carried)
                } else {
                    None
                };
            }
            if is_refusing {
                refuse(frame.ifindex, packet.destination)
            } else {
                None
            }
        }
        _ => None,
    }
}

/// Drops a packet to an address that is refused.
#[inline(always)]
fn refuse(ifindex: u32, address: [u32; 4]) -> Option<i32> {
    let known = known(ifindex, address)?;
    // Closed: the packet is for the Master, by way of this router.
    (known.flags & REFUSED != 0 && is_master(state(known.place)?))
        .then(|| drop_for(Stopped::Refused))
}

/// An IPv4 address as the map has it.
#[inline(always)]
pub fn ipv4(address: u32) -> [u32; 4] {
    [MAPPED[0], MAPPED[1], MAPPED[2], address]
}

/// What is known of an address.
#[inline(always)]
pub fn known(ifindex: u32, address: [u32; 4]) -> Option<Address> {
    // SAFETY: copied at once.
    unsafe { ADDRESSES.get(AddressKey { address, ifindex }) }.copied()
}

/// The state of the virtual router of an address that is answered.
#[inline(always)]
pub fn answering(known: Address) -> Option<u64> {
    if known.flags & ANSWERED == 0 {
        return None;
    }
    state(known.place)
}

/// Whether a virtual router with this state is Master.
#[inline(always)]
pub fn is_master(state: u64) -> bool {
    state == GateState::Open as u64 || state == GateState::Carried as u64
}

#[inline(always)]
pub fn state(place: u32) -> Option<u64> {
    let state = STATES.get_ptr(place)?;
    // SAFETY: the pointer is into an array map, which lives as long as the program; user space
    // changes it meanwhile, hence the volatile read.
    Some(unsafe { read_volatile(state) })
}

#[inline(always)]
fn number(ifindex: u32) -> Option<u32> {
    let direct = *NUMBERS.get(ifindex & (NUMBERED - 1))?;
    if (direct >> 32) as u32 == ifindex {
        return Some(direct as u32);
    }
    // SAFETY: copied at once.
    unsafe { INTERFACES.get(ifindex) }.copied()
}

/// The virtual MAC of the virtual router whose state is at `place`.
#[inline(always)]
pub fn virtual_mac(place: u32) -> [u8; 6] {
    [0, 0, 0x5e, 0, 1 + (place >> 8 & 1) as u8, place as u8]
}

#[inline(always)]
pub fn count(reason: Stopped) {
    if let Some(counter) = STOPPED.get_ptr_mut(reason as u32) {
        // SAFETY: the counter is this CPU's own, and ingress programs do not interrupt each other.
        unsafe { *counter += 1 };
    }
}

#[inline(always)]
pub fn drop_for(reason: Stopped) -> i32 {
    count(reason);
    DROP
}

/// Leaves a question to the kernel that nobody could be answered.
#[inline(always)]
pub fn not_answerable() -> Option<i32> {
    count(Stopped::NotAnswerable);
    None
}

const _: () = assert!(NUMBERED.is_power_of_two());
