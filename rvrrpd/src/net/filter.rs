//! Classic BPF filter that passes only the VRIDs of a set.
//!
//! The same number of instructions for any set: the VRID selects one of eight words by binary
//! search, the word is shifted by the VRID modulo 32 and its lowest bit decides
//! (Documentation/networking/filter.rst of the kernel).

use socket2::SockFilter;

use crate::wire::auth::AH_LEN;
use crate::wire::{Family, IP_PROTOCOL, Vrid};

// Instruction classes, sizes, modes and operations of linux/bpf_common.h.
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const STORE: u16 = 0x02;
const ALU: u16 = 0x04;
const JUMP: u16 = 0x05;
const RETURN: u16 = 0x06;
const TAX: u16 = 0x07;
const BYTE: u16 = 0x10;
const ABSOLUTE: u16 = 0x20;
const INDEXED: u16 = 0x40;
const HEADER_LENGTH: u16 = 0xa0;
const AND: u16 = 0x50;
const SHIFT_RIGHT: u16 = 0x70;
const BY_X: u16 = 0x08;
const MEMORY: u16 = 0x60;
const IF_EQUAL: u16 = 0x10;
const IF_GREATER_OR_EQUAL: u16 = 0x30;

/// Offset of the VRID in a VRRP message.
const VRID_OFFSET: u32 = 1;
/// Offset of the VRID behind an Authentication Header.
#[allow(clippy::cast_possible_truncation, reason = "a constant that fits")]
const VRID_OFFSET_AH: u32 = AH_LEN as u32 + VRID_OFFSET;
/// The whole packet passes.
const PASS: u32 = u32::MAX;

/// What a raw socket receives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// Protocol 112 of a family.
    Vrrp(Family),
    /// IPv4 protocol 51, with 112 inside.
    Ah,
}

impl Channel {
    /// Address family.
    #[must_use]
    pub const fn family(self) -> Family {
        match self {
            Self::Vrrp(family) => family,
            Self::Ah => Family::V4,
        }
    }
}

/// A set of VRIDs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct VridSet([u32; 8]);

impl VridSet {
    /// All of them.
    pub const ALL: Self = Self([u32::MAX; 8]);

    /// Whether no VRID is in the set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 8]
    }
}

impl FromIterator<Vrid> for VridSet {
    fn from_iter<T: IntoIterator<Item = Vrid>>(vrids: T) -> Self {
        let mut words = [0; 8];
        for vrid in vrids {
            let number = vrid.number();
            words[usize::from(number >> 5)] |= 1 << (number & 31);
        }
        Self(words)
    }
}

/// The program for a raw socket, which passes only messages of these VRIDs.
#[must_use]
pub fn program(channel: Channel, vrids: &VridSet) -> Vec<SockFilter> {
    let mut code = Vec::with_capacity(48);
    match channel {
        // Data start at the IPv4 header: X = its length.
        Channel::Vrrp(Family::V4) => {
            code.push(SockFilter::new(LDX | BYTE | HEADER_LENGTH, 0, 0, 0));
            code.push(SockFilter::new(LD | BYTE | INDEXED, 0, 0, VRID_OFFSET));
        }
        // The same; what the header protects must be a message at all.
        Channel::Ah => {
            code.push(SockFilter::new(LDX | BYTE | HEADER_LENGTH, 0, 0, 0));
            code.push(SockFilter::new(LD | BYTE | INDEXED, 0, 0, 0));
            code.push(SockFilter::new(JUMP | IF_EQUAL, 1, 0, IP_PROTOCOL.into()));
            code.push(SockFilter::new(RETURN, 0, 0, 0));
            code.push(SockFilter::new(LD | BYTE | INDEXED, 0, 0, VRID_OFFSET_AH));
        }
        // Data start at the VRRP message.
        Channel::Vrrp(Family::V6) => {
            code.push(SockFilter::new(LD | BYTE | ABSOLUTE, 0, 0, VRID_OFFSET));
        }
    }
    code.push(SockFilter::new(STORE, 0, 0, 0));
    code.push(SockFilter::new(ALU | AND, 0, 0, 31));
    code.push(SockFilter::new(TAX, 0, 0, 0));
    code.push(SockFilter::new(LD | MEMORY, 0, 0, 0));
    select_word(&mut code, &vrids.0, 0);
    code.push(SockFilter::new(ALU | SHIFT_RIGHT | BY_X, 0, 0, 0));
    code.push(SockFilter::new(ALU | AND, 0, 0, 1));
    // The bit is 0: to the drop, else to the pass.
    code.push(SockFilter::new(JUMP | IF_EQUAL, 0, 1, 0));
    code.push(SockFilter::new(RETURN, 0, 0, 0));
    code.push(SockFilter::new(RETURN, 0, 0, PASS));
    code
}

/// Appends a binary search that loads the word of the VRID in A; all paths leave at the end.
/// `first` is the lowest VRID of the first of `words`.
fn select_word(code: &mut Vec<SockFilter>, words: &[u32], first: u32) {
    if let [word] = words {
        code.push(SockFilter::new(LD, 0, 0, *word));
        return;
    }
    let (low, high) = words.split_at(words.len() / 2);
    let middle = low.iter().fold(first, |vrid, _| vrid + u32::BITS);
    let mut below = Vec::new();
    select_word(&mut below, low, first);
    let mut above = Vec::new();
    select_word(&mut above, high, middle);
    // The lower half ends with a jump over the upper one. At most sixteen instructions are
    // skipped: no jump is too far.
    let skip = below.iter().fold(1, |skip: u8, _| skip + 1);
    code.push(SockFilter::new(JUMP | IF_GREATER_OR_EQUAL, skip, 0, middle));
    code.append(&mut below);
    let skip = above.iter().fold(0, |skip: u32, _| skip + 1);
    code.push(SockFilter::new(JUMP, 0, 0, skip));
    code.append(&mut above);
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use proptest::prelude::*;
    use socket2::Socket;

    use super::*;

    /// A message of this VRID as a raw socket delivers it.
    fn packet(channel: Channel, options: u8, vrid: u8) -> Vec<u8> {
        let mut packet = match channel.family() {
            Family::V4 => vec![0; 20 + 4 * usize::from(options)],
            Family::V6 => Vec::new(),
        };
        if let Some(first) = packet.first_mut() {
            *first = 0x45 + options;
        }
        if channel == Channel::Ah {
            packet.push(112);
            packet.resize(packet.len() + AH_LEN - 1, 0);
        }
        packet.extend([0x21, vrid, 100, 1, 0, 1, 0, 0]);
        packet
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20))]

        /// The kernel passes exactly the VRIDs of the set (V2-RX-6, V3-RX-7), also behind IPv4
        /// options, with a program of the same length for any set.
        #[test]
        fn the_kernel_passes_the_set_and_nothing_else(
            chosen in prop::collection::btree_set(1_u8..=255, 0..256),
            options in 0_u8..=10,
        ) {
            for channel in [Channel::Vrrp(Family::V4), Channel::Vrrp(Family::V6), Channel::Ah] {
                let vrids = chosen.iter().filter_map(|number| Vrid::new(*number)).collect();
                let code = program(channel, &vrids);
                prop_assert_eq!(code.len(), program(channel, &VridSet::default()).len());
                let (sender, receiver) = UnixDatagram::pair().unwrap();
                let receiver = Socket::from(OwnedFd::from(receiver));
                receiver.attach_filter(&code).unwrap();
                let receiver = UnixDatagram::from(OwnedFd::from(receiver));
                receiver.set_nonblocking(true).unwrap();
                for vrid in 0..=255 {
                    sender.send(&packet(channel, options, vrid)).unwrap();
                    let passed = receiver.recv(&mut [0; 128]).is_ok();
                    prop_assert_eq!(passed, chosen.contains(&vrid), "VRID {}", vrid);
                }
            }
        }
    }

    /// What the header protects is another protocol: nothing passes, whatever the set.
    #[test]
    fn other_protocols_behind_ah_do_not_pass() {
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        let receiver = Socket::from(OwnedFd::from(receiver));
        receiver
            .attach_filter(&program(Channel::Ah, &VridSet::ALL))
            .unwrap();
        let receiver = UnixDatagram::from(OwnedFd::from(receiver));
        receiver.set_nonblocking(true).unwrap();
        for protocol in 0..=255 {
            let mut packet = packet(Channel::Ah, 0, 10);
            packet[20] = protocol;
            sender.send(&packet).unwrap();
            let passed = receiver.recv(&mut [0; 128]).is_ok();
            assert_eq!(passed, protocol == 112, "protocol {protocol}");
        }
    }
}
