//! Neighbour discovery (RFC 4861) for addresses of virtual routers whose virtual MAC the gate
//! carries (RFC 9568 §8.2).

use core::mem::MaybeUninit;
use core::ptr::write_volatile;

use aya_ebpf::helpers::generated::{bpf_csum_diff, bpf_skb_load_bytes};
use rvrrpd_ebpf::{GateState, Stopped};

use crate::conflict;
use crate::frame::{Frame, ICMPV6, is_station};
use crate::gate;

const HEADER: u32 = 40;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const HOP_LIMIT: u8 = 255;
/// Bytes of either message without options.
const MESSAGE: u32 = 24;
/// Bytes of a frame with an advertisement and one option.
const REPLY: u32 = 86;
const SOURCE_MAC: u8 = 1;
const TARGET_MAC: u8 = 2;
/// Options that are looked at.
const OPTIONS: u32 = 8;
/// Bytes whose checksum is taken at a time, and how often: 1280 bytes, as neighbour discovery is
/// not fragmented (RFC 6980) and has no reason to be longer.
const CHUNK: u32 = 128;
const CHUNKS: u32 = 10;
/// Router, solicited, override.
const FLAGS: u8 = 0xe0;
const FLAGS_TO_ALL: u8 = 0xa0;

/// What is common to all messages.
pub struct Packet {
    source: [u32; 4],
    pub destination: [u32; 4],
    /// Bytes behind the header.
    length: u32,
    is_icmp: bool,
    hop_limit: u8,
}

impl Packet {
    #[inline(always)]
    pub fn read(frame: &Frame) -> Option<Self> {
        let words: [u32; HEADER as usize / 4] = frame.load(frame.network)?;
        let [_, second, a, b, c, d, e, f, g, h] = words;
        let [l0, l1, next, hop_limit] = second.to_ne_bytes();
        Some(Self {
            source: [a, b, c, d],
            destination: [e, f, g, h],
            length: u32::from(u16::from_be_bytes([l0, l1])),
            is_icmp: next == ICMPV6,
            hop_limit,
        })
    }

    /// Whether it is a neighbour solicitation or advertisement, by its type alone.
    #[inline(always)]
    pub fn is_neighbour_discovery(&self, frame: &Frame) -> bool {
        self.is_icmp
            && matches!(
                frame.load::<u8>(frame.network + HEADER),
                Some(SOLICITATION | ADVERTISEMENT)
            )
    }
}

/// In place of a MAC address in the low six bytes of what [`options`] says: there is none. An
/// `Option` of one would have bytes that nothing is written to, which the verifier does not take.
const NONE: u64 = 1 << 48;
/// Likewise: the message is wrong.
const WRONG: u64 = 1 << 49;

/// What becomes of a neighbour solicitation or advertisement; none is that it goes on.
#[inline(always)]
pub fn judge(frame: &Frame, packet: &Packet, is_carried: bool) -> Option<i32> {
    let at = frame.network + HEADER;
    let words: [u32; MESSAGE as usize / 4] = frame.load(at)?;
    let [first, _, a, b, c, d] = words;
    let target = [a, b, c, d];
    let [kind, code, ..] = first.to_ne_bytes();
    if !frame.is_heard(is_carried) {
        return None;
    }
    let known = gate::known(frame.ifindex, target)?;
    let state = gate::state(known.place)?;
    let is_question = kind == SOLICITATION;
    if is_question {
        gate::answering(known)?;
        if state == GateState::Closed as u64 {
            return Some(gate::drop_for(Stopped::ClosedNeighbour));
        }
        if state != GateState::Carried as u64 {
            return None;
        }
    } else if !gate::is_master(state) {
        return None;
    }
    // Once for both, as the verifier walks through all of it each time.
    let wanted = if is_question { SOURCE_MAC } else { TARGET_MAC };
    let said = if is_valid(frame, packet, code) {
        options(frame, packet, wanted)
    } else {
        WRONG
    };
    if said == WRONG {
        return if is_question {
            gate::not_answerable()
        } else {
            None
        };
    }
    let [m0, m1, m2, m3, m4, m5, ..] = said.to_le_bytes();
    let mac = if said == NONE {
        frame.source()
    } else {
        [m0, m1, m2, m3, m4, m5]
    };
    if !is_question {
        conflict::note(frame.ifindex, target, known.place, mac);
        return None;
    }
    let is_probe = packet.source == [0; 4];
    if packet.source[0].to_ne_bytes()[0] == 0xff || !frame.is_answerable() {
        return gate::not_answerable();
    }
    if is_probe {
        // ff02::1:ff00:0/104, and nobody says where he is (RFC 4861 §7.1.1).
        let [g, h, i, j] = packet.destination;
        let is_group = g == 0xff02_0000_u32.to_be()
            && h == 0
            && i == 1_u32.to_be()
            && j.to_ne_bytes()[0] == 0xff;
        if !is_group || said != NONE {
            return gate::not_answerable();
        }
    } else if let Some(source) = gate::known(frame.ifindex, packet.source)
        && gate::is_master(gate::state(source.place)?)
    {
        // Who has the address does not ask in its name.
        return gate::not_answerable();
    }
    if !is_station(mac) {
        return gate::not_answerable();
    }
    answer(frame, packet, known.place, target, mac, is_probe)
}

#[inline(always)]
fn answer(
    frame: &Frame,
    packet: &Packet,
    place: u32,
    target: [u32; 4],
    mac: [u8; 6],
    is_probe: bool,
) -> Option<i32> {
    // ff02::1 and its MAC address.
    let all = [0xff02_0000_u32.to_be(), 0, 0, 1_u32.to_be()];
    let (to, to_mac, flags) = if is_probe {
        (all, [0x33, 0x33, 0, 0, 0, 1], FLAGS_TO_ALL)
    } else {
        (packet.source, mac, FLAGS)
    };
    let [m0, m1, m2, m3, m4, m5] = gate::virtual_mac(place);
    let [v0, v1, v2, v3] = target;
    let [d0, d1, d2, d3] = to;
    let option = [
        u32::from_ne_bytes([TARGET_MAC, 1, m0, m1]),
        u32::from_ne_bytes([m2, m3, m4, m5]),
    ];
    let start = u32::from_ne_bytes([ADVERTISEMENT, 0, 0, 0]);
    let flags = u32::from_ne_bytes([flags, 0, 0, 0]);
    let length = MESSAGE + 8;
    let next = u32::from_be_bytes([0, 0, 0, ICMPV6]).to_be();
    // The pseudo-header of RFC 8200 §8.1, then the message.
    let mut summed: [u32; 18] = [
        v0,
        v1,
        v2,
        v3,
        d0,
        d1,
        d2,
        d3,
        length.to_be(),
        next, //
        start,
        flags,
        v0,
        v1,
        v2,
        v3,
        option[0],
        option[1],
    ];
    // SAFETY: the length is that of the array.
    let sum = unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, summed.as_mut_ptr(), 72, 0) };
    let [c0, c1] = (!fold(sum as u32)).to_ne_bytes();
    let start = u32::from_ne_bytes([ADVERTISEMENT, 0, c0, c1]);
    let [e0, e1, e2, e3, e4, e5] = to_mac;
    let second = u32::from_ne_bytes([0, length as u8, ICMPV6, HOP_LIMIT]);
    // Two bytes at a time, because the Ethernet header is no whole number of words.
    let halves: [[u16; 2]; 18] = [
        halves(u32::from_be_bytes([0x60, 0, 0, 0]).to_be()),
        halves(second),
        halves(v0),
        halves(v1),
        halves(v2),
        halves(v3),
        halves(d0),
        halves(d1),
        halves(d2),
        halves(d3),
        halves(start),
        halves(flags),
        halves(v0),
        halves(v1),
        halves(v2),
        halves(v3),
        halves(option[0]),
        halves(option[1]),
    ];
    let reply = Reply {
        ethernet: [
            u16::from_ne_bytes([e0, e1]),
            u16::from_ne_bytes([e2, e3]),
            u16::from_ne_bytes([e4, e5]),
            u16::from_ne_bytes([m0, m1]),
            u16::from_ne_bytes([m2, m3]),
            u16::from_ne_bytes([m4, m5]),
            0x86dd_u16.to_be(),
        ],
        packet: halves,
    };
    match frame.answer(&reply, REPLY) {
        None => gate::not_answerable(),
        sent => {
            gate::count(Stopped::AnsweredNd);
            sent
        }
    }
}

/// A frame with a neighbour advertisement.
#[repr(C)]
struct Reply {
    ethernet: [u16; 7],
    packet: [[u16; 2]; 18],
}

const _: () = assert!(size_of::<Reply>() == REPLY as usize);

#[inline(always)]
fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_ne_bytes();
    [u16::from_ne_bytes([a, b]), u16::from_ne_bytes([c, d])]
}

/// Whether hop limit, code, length and checksum are those of a valid message (RFC 4861 §7.1).
#[inline(always)]
fn is_valid(frame: &Frame, packet: &Packet, code: u8) -> bool {
    let whole = frame.network + HEADER + packet.length <= frame.length();
    packet.hop_limit == HOP_LIMIT
        && code == 0
        && whole
        && packet.length >= MESSAGE
        && packet.length & 7 == 0
        && packet.length <= CHUNK * CHUNKS
        && is_summed(frame, packet)
}

/// Whether the checksum is right: the sum of everything is all ones then.
#[inline(always)]
fn is_summed(frame: &Frame, packet: &Packet) -> bool {
    let [a, b, c, d] = packet.source;
    let [e, f, g, h] = packet.destination;
    let next = u32::from(ICMPV6).to_be();
    let mut pseudo: [u32; 10] = [a, b, c, d, e, f, g, h, packet.length.to_be(), next];
    // SAFETY: the length is that of the array.
    let mut sum =
        unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, pseudo.as_mut_ptr(), 40, 0) } as u32;
    let mut chunk = MaybeUninit::<[u64; CHUNK as usize / 8]>::uninit();
    let words = chunk.as_mut_ptr().cast::<u64>();
    let mut left = packet.length;
    let mut at = frame.network + HEADER;
    for _ in 0..CHUNKS {
        // SAFETY: all words of the array are written, so are the bytes of the frame, which are no
        // more; then the array is read.
        unsafe {
            macro_rules! each_word {
                ($($word:literal)*) => {
                    $(write_volatile(words.add($word), 0);)*
                };
            }
            each_word!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
            let wanted = if left > CHUNK { CHUNK } else { left };
            // The helper wants a length that it can see the bounds of, whatever the optimiser knows.
            let bounded = (core::ptr::read_volatile(&wanted).wrapping_sub(8) & (CHUNK - 8)) + 8;
            if bpf_skb_load_bytes(frame.skb.cast(), at, words.cast(), bounded) != 0 {
                return false;
            }
            sum = bpf_csum_diff(core::ptr::null_mut(), 0, words.cast(), CHUNK, sum) as u32;
        }
        if left <= CHUNK {
            return fold(sum) == 0xffff;
        }
        left -= CHUNK;
        at += CHUNK;
    }
    false
}

/// The MAC address that an option behind a message names; [`WRONG`] if one of them has no length,
/// which no message may have.
#[inline(always)]
fn options(frame: &Frame, packet: &Packet, wanted: u8) -> u64 {
    let mut mac = NONE;
    let mut at = frame.network + HEADER + MESSAGE;
    let end = frame.network + HEADER + packet.length;
    for _ in 0..OPTIONS {
        if at + 8 > end {
            break;
        }
        let Some(option) = frame.load::<[u8; 8]>(at) else {
            return WRONG;
        };
        let [kind, length, a, b, c, d, e, f] = option;
        if length == 0 {
            return WRONG;
        }
        if kind == wanted && length == 1 && mac == NONE {
            mac = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        }
        at += u32::from(length) * 8;
    }
    mac
}

#[inline(always)]
fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
