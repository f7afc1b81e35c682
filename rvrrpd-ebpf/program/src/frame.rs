//! A frame at the ingress of an interface.

use core::mem::MaybeUninit;

use aya_ebpf::bindings::{__sk_buff, BPF_F_RECOMPUTE_CSUM};
use aya_ebpf::helpers::generated::{
    bpf_redirect, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_store_bytes,
};

pub const ETHERNET_HEADER: u32 = 14;
pub const TYPE_IPV4: u16 = 0x0800;
pub const TYPE_ARP: u16 = 0x0806;
pub const TYPE_IPV6: u16 = 0x86dd;
pub const ICMPV6: u8 = 58;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_PROVIDER_VLAN: u16 = 0x88a8;
const TAG: u32 = 4;
const VID: u32 = 0x0fff;
/// `PACKET_HOST` of linux/if_packet.h.
const TO_THIS_HOST: u32 = 0;

pub struct Frame {
    pub skb: *mut __sk_buff,
    data: usize,
    end: usize,
    pub ifindex: u32,
    /// Ethernet header.
    pub header: [u8; 14],
    /// Ethernet type behind the tags.
    pub kind: u16,
    /// Where what the type means begins.
    pub network: u32,
}

impl Frame {
    /// None for what has no Ethernet header, and for frames of a VLAN: these belong to the device
    /// of that VLAN, which has its own gate. VLAN 0 is a priority on an untagged frame.
    #[inline(always)]
    pub fn read(skb: *mut __sk_buff, data: usize, end: usize) -> Option<Self> {
        // SAFETY: the context is valid while the program runs.
        let (ifindex, vlan_present, vlan_tci) =
            unsafe { ((*skb).ifindex, (*skb).vlan_present, (*skb).vlan_tci) };
        // The outer tag is out of the data by now.
        if vlan_present != 0 && vlan_tci & VID != 0 {
            return None;
        }
        if data + ETHERNET_HEADER as usize > end {
            return None;
        }
        // SAFETY: that the header is in the data was just checked; any bytes are a valid array.
        let header = unsafe { (data as *const [u8; 14]).read_unaligned() };
        let mut frame = Self {
            skb,
            data,
            end,
            ifindex,
            header,
            kind: u16::from_be_bytes([header[12], header[13]]),
            network: ETHERNET_HEADER,
        };
        if frame.kind == TYPE_VLAN || frame.kind == TYPE_PROVIDER_VLAN {
            if u32::from(frame.half(frame.network)?) & VID != 0 {
                return None;
            }
            frame.kind = frame.half(frame.network + 2)?;
            frame.network += TAG;
        }
        Some(frame)
    }

    /// Whether an IPv6 packet is ICMPv6, as far as that can be seen without a helper, which costs
    /// more than all the rest; else it may be.
    #[inline(always)]
    pub fn may_be_icmpv6(&self) -> bool {
        const NEXT_HEADER: usize = ETHERNET_HEADER as usize + 6;
        if self.network != ETHERNET_HEADER || self.data + NEXT_HEADER + 1 > self.end {
            return true;
        }
        // SAFETY: that the byte is in the data was just checked.
        unsafe { ((self.data + NEXT_HEADER) as *const u8).read() == ICMPV6 }
    }

    /// Whether it can be made an answer: a second tag would be in the way.
    #[inline(always)]
    pub fn is_answerable(&self) -> bool {
        self.network == ETHERNET_HEADER && is_station(self.source())
    }

    /// Whether it is for this host, or for all: not what somebody else's frame shows to a
    /// promiscuous interface.
    #[inline(always)]
    pub fn is_heard(&self, is_carried: bool) -> bool {
        // SAFETY: the context is valid while the program runs.
        is_carried || self.header[0] & 1 != 0 || unsafe { (*self.skb).pkt_type } == TO_THIS_HOST
    }

    #[inline(always)]
    pub fn source(&self) -> [u8; 6] {
        let [_, _, _, _, _, _, a, b, c, d, e, f, ..] = self.header;
        [a, b, c, d, e, f]
    }

    /// Length in bytes, tags that are not in the data excepted.
    #[inline(always)]
    pub fn length(&self) -> u32 {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.skb).len }
    }

    #[inline(always)]
    pub fn half(&self, at: u32) -> Option<u16> {
        self.load::<[u8; 2]>(at).map(u16::from_be_bytes)
    }

    /// Bytes of the frame, which need not be in its linear part. `T` is an integer or an array of
    /// them.
    #[inline(always)]
    pub fn load<T: Copy>(&self, at: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: as many bytes go into room for as many; it is read only if it was written.
        unsafe {
            (bpf_skb_load_bytes(
                self.skb.cast(),
                at,
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            ) == 0)
                .then(|| value.assume_init())
        }
    }

    /// Makes the frame another one, `length` bytes long, that begins with `answer`, and sends it
    /// back where it came from. None where that fails; then the frame is not to be looked at again.
    /// `T` is an array of bytes.
    #[inline(always)]
    pub fn answer<T>(&self, answer: &T, length: u32) -> Option<i32> {
        // SAFETY: the context is valid while the program runs; as many bytes are read as there are.
        unsafe {
            if self.length() != length && bpf_skb_change_tail(self.skb, length, 0) != 0 {
                return None;
            }
            let stored = bpf_skb_store_bytes(
                self.skb,
                0,
                (&raw const *answer).cast(),
                size_of::<T>() as u32,
                u64::from(BPF_F_RECOMPUTE_CSUM),
            );
            (stored == 0).then(|| bpf_redirect(self.ifindex, 0) as i32)
        }
    }
}

/// Whether a MAC address is that of one station: neither a group's nor none.
#[inline(always)]
pub fn is_station(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}
