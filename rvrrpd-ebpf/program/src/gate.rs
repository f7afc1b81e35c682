//! Gate on the ingress of a parent: drops frames to a virtual MAC whose virtual router is not
//! Master, and packets to virtual addresses of `accept_mode = false`, ND excepted.
//!
//! It runs before the macvlans get the frame. Everything else goes on to whatever other programs
//! and filters there are: `TCX_NEXT`, which classic tc calls `TC_ACT_UNSPEC`.

use core::mem::MaybeUninit;
use core::ptr::read_volatile;

use aya_ebpf::bindings::{__sk_buff, BPF_F_MMAPABLE, BPF_F_NO_PREALLOC};
use aya_ebpf::helpers::generated::bpf_skb_load_bytes;
use aya_ebpf::macros::{classifier, map};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray};
use aya_ebpf::programs::TcContext;
use rvrrpd_ebpf::{
    GATE_STATES, GATED_INTERFACES, GateState, MAPPED, REFUSED_ADDRESSES, REFUSED_COUNT, RefusedKey,
    Stopped,
};

/// Number of an interface, by its index: 0..[`GATED_INTERFACES`].
#[map]
static INTERFACES: HashMap<u32, u32> = HashMap::with_max_entries(GATED_INTERFACES, 0);
/// [`GateState`] of each interface, family and VRID, and [`REFUSED_COUNT`].
#[map]
static STATES: Array<u64> = Array::with_max_entries(REFUSED_COUNT + 1, BPF_F_MMAPABLE);
#[map]
static REFUSED: HashMap<RefusedKey, u32> =
    HashMap::with_max_entries(REFUSED_ADDRESSES, BPF_F_NO_PREALLOC);
/// Dropped frames by [`Stopped`].
#[map]
static STOPPED: PerCpuArray<u64> = PerCpuArray::with_max_entries(Stopped::ALL.len() as u32, 0);

const NEXT: i32 = -1;
/// `TC_ACT_SHOT` of linux/pkt_cls.h.
const DROP: i32 = 2;

const ETHERNET_HEADER: usize = 14;
const TAG: u32 = 4;
const VID: u32 = 0x0fff;
const TYPE_IPV4: u16 = 0x0800;
const TYPE_IPV6: u16 = 0x86dd;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_PROVIDER_VLAN: u16 = 0x88a8;
const IPV4_DESTINATION: u32 = 16;
const IPV6_NEXT_HEADER: u32 = 6;
const IPV6_DESTINATION: u32 = 24;
const IPV6_HEADER: u32 = 40;
const ICMPV6: u8 = 58;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

#[classifier]
pub fn rvrrpd_gate(ctx: TcContext) -> i32 {
    match judge(ctx.skb.skb, ctx.data(), ctx.data_end()) {
        None => NEXT,
        Some(reason) => {
            if let Some(counter) = STOPPED.get_ptr_mut(reason as u32) {
                // SAFETY: the counter is this CPU's own, and ingress programs do not interrupt
                // each other.
                unsafe { *counter += 1 };
            }
            DROP
        }
    }
}

#[inline(always)]
fn judge(skb: *mut __sk_buff, data: usize, end: usize) -> Option<Stopped> {
    // SAFETY: the context is valid while the program runs.
    let (ifindex, vlan_present, vlan_tci) =
        unsafe { ((*skb).ifindex, (*skb).vlan_present, (*skb).vlan_tci) };
    // The outer tag is out of the data by now. A frame of a VLAN belongs to the device of that
    // VLAN, which has its own gate; VLAN 0 is a priority on an untagged frame.
    if vlan_present != 0 && vlan_tci & VID != 0 {
        return None;
    }
    if data + ETHERNET_HEADER > end {
        return None;
    }
    // SAFETY: that the header is in the data was just checked; any bytes are a valid array.
    let header = unsafe { (data as *const [u8; ETHERNET_HEADER]).read_unaligned() };
    let mut kind = u16::from_be_bytes([header[12], header[13]]);
    let mut network = ETHERNET_HEADER as u32;
    if kind == TYPE_VLAN || kind == TYPE_PROVIDER_VLAN {
        if u32::from(half(skb, network)?) & VID != 0 {
            return None;
        }
        kind = half(skb, network + 2)?;
        network += TAG;
    }
    if header[0] == 0
        && header[1] == 0
        && header[2] == 0x5e
        && header[3] == 0
        && (header[4] == 1 || header[4] == 2)
        && state_of_mac(ifindex, header[4], header[5]) == Some(GateState::Closed as u64)
    {
        return Some(Stopped::Closed);
    }
    if state(REFUSED_COUNT)? == 0 {
        return None;
    }
    let is_refused = match kind {
        TYPE_IPV4 => {
            let address = load::<u32>(skb, network + IPV4_DESTINATION)?;
            is_refused(ifindex, [MAPPED[0], MAPPED[1], MAPPED[2], address])
        }
        TYPE_IPV6 => {
            let address = load::<[u32; 4]>(skb, network + IPV6_DESTINATION)?;
            is_refused(ifindex, address) && !is_neighbour_discovery(skb, network)
        }
        _ => false,
    };
    is_refused.then_some(Stopped::Refused)
}

/// Gate of a virtual MAC: fifth byte 1 for IPv4 and 2 for IPv6, sixth byte the VRID (RFC 9568
/// §7.3).
#[inline(always)]
fn state_of_mac(ifindex: u32, family: u8, vrid: u8) -> Option<u64> {
    // SAFETY: copied at once.
    let number = unsafe { INTERFACES.get(ifindex) }.copied()?;
    state(number * GATE_STATES + (u32::from(family) - 1) * 256 + u32::from(vrid))
}

#[inline(always)]
fn is_refused(ifindex: u32, address: [u32; 4]) -> bool {
    let key = RefusedKey { address, ifindex };
    // SAFETY: copied at once.
    let Some(place) = (unsafe { REFUSED.get(key) }).copied() else {
        return false;
    };
    // Closed: the packet is for the Master, by way of this router.
    state(place) == Some(GateState::Open as u64)
}

/// Neighbour solicitations and advertisements are accepted in any case (RFC 9568 §6.4.3, 650 and
/// 655).
#[inline(always)]
fn is_neighbour_discovery(skb: *mut __sk_buff, network: u32) -> bool {
    load::<u8>(skb, network + IPV6_NEXT_HEADER) == Some(ICMPV6)
        && matches!(
            load::<u8>(skb, network + IPV6_HEADER),
            Some(NEIGHBOUR_SOLICITATION | NEIGHBOUR_ADVERTISEMENT)
        )
}

#[inline(always)]
fn state(place: u32) -> Option<u64> {
    let state = STATES.get_ptr(place)?;
    // SAFETY: the pointer is into an array map, which lives as long as the program; user space
    // changes it meanwhile, hence the volatile read.
    Some(unsafe { read_volatile(state) })
}

#[inline(always)]
fn half(skb: *mut __sk_buff, at: u32) -> Option<u16> {
    load::<[u8; 2]>(skb, at).map(u16::from_be_bytes)
}

/// Bytes of the frame, which need not be in its linear part. `T` is an integer or an array of them.
#[inline(always)]
fn load<T: Copy>(skb: *mut __sk_buff, at: u32) -> Option<T> {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: as many bytes go into room for as many; it is read only if it was written.
    unsafe {
        (bpf_skb_load_bytes(
            skb.cast(),
            at,
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
        ) == 0)
            .then(|| value.assume_init())
    }
}
