//! The Internet checksum (RFC 1071): ones-complement sum of 16-bit words.

use std::net::IpAddr;

/// A running ones-complement sum.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum(u16);

impl Sum {
    /// Adds one 16-bit word, with the carry brought round.
    pub(super) const fn word(self, word: u16) -> Self {
        let (sum, carry) = self.0.overflowing_add(word);
        Self(sum.wrapping_add(carry as u16))
    }

    /// Adds bytes as big-endian words; an odd last byte is the high half of a word. Every slice
    /// but the last one of a sum must therefore have an even length.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        let sum = words
            .iter()
            .fold(self, |sum, word| sum.word(u16::from_be_bytes(*word)));
        match rest {
            [last] => sum.word(u16::from_be_bytes([*last, 0])),
            _ => sum,
        }
    }

    /// Adds the octets of an address.
    pub(super) fn address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.bytes(&address.octets()),
            IpAddr::V6(address) => self.bytes(&address.octets()),
        }
    }

    /// Adds a pseudo-header: RFC 8200 §8.1 for IPv6, RFC 793 §3.1 for IPv4. Both come to the same
    /// sum of addresses, protocol and length; `len` is that of the message in bytes, at most
    /// 65535 (no message of this module is longer).
    pub(super) fn pseudo_header(
        self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        len: usize,
    ) -> Self {
        self.address(source)
            .address(destination)
            .word(u16::from(protocol))
            .word(u16::try_from(len).unwrap_or(u16::MAX))
    }

    /// Whether the checksum among the bytes that were added is right.
    ///
    /// A checksum of 0x0000 is a checksum like any other, never "absent" as in UDP.
    pub(super) const fn holds(self) -> bool {
        self.0 == 0xffff
    }

    /// The checksum to write where zero was added.
    pub(super) const fn checksum(self) -> u16 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Sum;

    /// The worked example of RFC 1071 §3.
    #[test]
    fn worked_example_of_rfc_1071() {
        let sum = Sum::default().bytes(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
        assert_eq!(sum.checksum(), !0xddf2);
        assert!(sum.word(sum.checksum()).holds());
    }

    #[test]
    fn odd_byte_is_the_high_half_of_a_word() {
        assert_eq!(Sum::default().bytes(&[0x12, 0x34, 0x56]).0, 0x1234 + 0x5600);
    }

    #[test]
    fn carry_comes_round() {
        assert_eq!(Sum::default().word(0xffff).word(0xffff).0, 0xffff);
        assert_eq!(Sum::default().word(0x8000).word(0x8001).0, 0x0002);
    }

    /// Words that already sum to 0xffff get the checksum 0x0000, and it is verified like any
    /// other.
    #[test]
    fn zero_is_a_checksum() {
        let sum = Sum::default().bytes(&[0x21, 0x0a, 0xde, 0xf5]);
        assert_eq!(sum.checksum(), 0);
        assert!(sum.word(0).holds());
        assert!(!sum.word(1).holds());
        assert!(!Sum::default().holds());
    }
}
