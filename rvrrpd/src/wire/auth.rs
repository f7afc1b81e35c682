//! Authentication: what proves that a message comes from a router of the group.
//!
//! `hmac-sha256` ([`trailer`]) and `rfc2338-ah` ([`ah`]) number the messages ([`sequence`]), so
//! that a repeated one is refused. Those that follow do not, and are of version 2 alone: the 8
//! bytes at the end of a message.
//!
//! Type 1 is RFC 2338 §5.3.6. Types 250 and 251 are rVRRPd's own; with `M` = the 8 bytes of the
//! VRRP header, checksum zero, and the address list, the authentication data are
//!
//! | type | name | data |
//! |---|---|---|
//! | 0 | none | zeros, ignored on receipt (RFC 3768 §5.3.10) |
//! | 1 | `rfc2338-simple` | the password, padded with zeros |
//! | 250 | `p0-t8-sha256` | first 8 bytes of HMAC-SHA256(secret, M) |
//! | 251 | `p1-t8-shake256` | first 8 bytes of SHAKE256(secret ‖ M) |

mod ah;
mod sequence;
mod trailer;

#[cfg(test)]
mod sealed;

use core::fmt;
use core::time::Duration;
use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::{Digest, Sha256};
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update, XofReader as _};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

pub use ah::{AH_LEN, Ah};
pub use sequence::{Sequence, Stamp, clock_sequence, is_after};
pub use trailer::{HmacKey, HmacKeys, TRAILER_LEN, Trailer};

use super::advert::Datagram;
use super::checksum::Sum;
use super::message::Message;
use super::verdict::Reject;
use super::{IP_PROTOCOL, ipv4, ipv6};

/// Length of the authentication data, in bytes.
pub const DATA_LEN: usize = 8;
/// Block of SHA-256 (FIPS 180-4) and of MD5 (RFC 1321), in bytes.
const HMAC_BLOCK_LEN: usize = 64;

/// Authentication type and its secret. The secret is wiped when dropped and never printed.
#[derive(Clone)]
pub enum Key {
    /// No authentication.
    None,
    /// Password in the clear, padded with zeros; see [`Key::simple`].
    Simple([u8; DATA_LEN]),
    /// Secret of HMAC-SHA256.
    P0Sha256(Zeroizing<Vec<u8>>),
    /// Secret of SHAKE256.
    P1Shake256(Zeroizing<Vec<u8>>),
    /// Keys of the HMAC-SHA256 trailer, the only type that is also of version 3.
    HmacSha256(HmacKeys),
    /// Password of the IP Authentication Header; see [`Key::ah`].
    Ah([u8; DATA_LEN]),
}

impl Key {
    /// Simple password: the first 8 bytes of `password`, padded with zeros.
    #[must_use]
    pub fn simple(password: &[u8]) -> Self {
        Self::Simple(cut(password))
    }

    /// Authentication Header: the first 8 bytes of `password`, as keepalived has it.
    #[must_use]
    pub fn ah(password: &[u8]) -> Self {
        Self::Ah(cut(password))
    }

    /// Number of the authentication type on the wire.
    #[must_use]
    pub const fn wire_type(&self) -> u8 {
        match self {
            Self::None | Self::HmacSha256(_) => 0,
            Self::Simple(_) => 1,
            Self::Ah(_) => 2,
            Self::P0Sha256(_) => 250,
            Self::P1Shake256(_) => 251,
        }
    }

    /// Authentication data of `message`: header with checksum zero and address list, without the
    /// authentication data themselves.
    #[must_use]
    pub fn tag(&self, message: &[u8]) -> [u8; DATA_LEN] {
        self.tag_of([message, &[]])
    }

    /// Whether every message has to be sealed when it is sent, because it is numbered.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        matches!(self, Self::HmacSha256(_) | Self::Ah(_))
    }

    /// Checks what this type demands of a message; where messages are numbered, its number.
    ///
    /// # Errors
    /// In this order: [`Reject::AuthType`], another type; [`Reject::AuthMissing`], no trailer;
    /// [`Reject::Length`], a trailer where none is wanted; [`Reject::AuthHeader`] or
    /// [`Reject::AuthTrailer`], malformed; [`Reject::AuthKeyUnknown`]; [`Reject::AuthData`].
    pub(super) fn check(
        &self,
        datagram: &Datagram<'_>,
        message: &Message<'_>,
    ) -> Result<Option<Stamp>, Reject> {
        if message.auth_type() != self.wire_type() {
            return Err(Reject::AuthType);
        }
        match (self, message.trailer(), datagram.ah) {
            (Self::HmacSha256(_), None, None) => Err(Reject::AuthMissing),
            (Self::HmacSha256(keys), Some(trailer), None) => {
                let sequence = keys.verify(datagram.source, message.message(), trailer)?;
                Ok(Some(Stamp::Clock {
                    sequence,
                    clock_skew: keys.clock_skew,
                }))
            }
            (Self::Ah(password), None, Some(ah)) => {
                let sequence = ah.verify(password, message.message())?;
                Ok(Some(Stamp::Counter(sequence)))
            }
            (Self::Ah(_), _, None) | (_, None, Some(_)) => Err(Reject::AuthType),
            (_, Some(_), _) => Err(Reject::Length),
            (_, None, None) => {
                let (header, list) = message.authenticated();
                let is_right = message
                    .auth_data()
                    .is_none_or(|data| self.verify([&header, list], &data));
                is_right.then_some(None).ok_or(Reject::AuthData)
            }
        }
    }

    /// Room for what stands between the IPv4 header and the message, in bytes.
    pub(super) const fn header_len(&self) -> usize {
        match self {
            Self::Ah(_) => AH_LEN,
            _ => 0,
        }
    }

    /// Room for what follows the message, in bytes.
    pub(super) const fn trailer_len(&self) -> usize {
        match self {
            Self::HmacSha256(_) => TRAILER_LEN,
            _ => 0,
        }
    }

    /// Makes room behind the IPv4 header at the end of `datagram`.
    pub(super) fn open(&self, datagram: &mut Vec<u8>) {
        if matches!(self, Self::Ah(_)) {
            ah::open(datagram);
        }
    }

    /// Gives a datagram that was made with this key, from its IP header on, the next number and
    /// the code over it, in place. `now` is the wall clock, since 1970. Those that are not numbered
    /// stay as they are.
    pub fn seal(&self, datagram: &mut [u8], sequence: &mut Sequence, now: Duration) {
        match self {
            Self::HmacSha256(keys) => {
                let number = sequence.next_clock(now, keys.clock_skew);
                seal_trailer(keys, datagram, number);
            }
            Self::Ah(password) => ah::seal(password, datagram, sequence.next_counter(now)),
            _ => {}
        }
    }

    /// Whether `data` are the authentication data of the message made of `parts`, in a time that
    /// does not depend on where they differ. Without authentication any data will do.
    fn verify(&self, parts: [&[u8]; 2], data: &[u8; DATA_LEN]) -> bool {
        match self {
            Self::None | Self::HmacSha256(_) | Self::Ah(_) => true,
            Self::Simple(_) | Self::P0Sha256(_) | Self::P1Shake256(_) => {
                self.tag_of(parts).ct_eq(data).into()
            }
        }
    }

    /// [`Self::tag`] of a message that lies in two pieces.
    fn tag_of(&self, parts: [&[u8]; 2]) -> [u8; DATA_LEN] {
        let mut tag = [0; DATA_LEN];
        match self {
            Self::None | Self::HmacSha256(_) | Self::Ah(_) => {}
            Self::Simple(password) => tag = *password,
            Self::P0Sha256(secret) => {
                let mut mac = Hmac::<Sha256>::new((&*hmac_block::<Sha256>(secret)).into());
                for part in parts {
                    Mac::update(&mut mac, part);
                }
                let code = mac.finalize().into_bytes();
                for (to, from) in tag.iter_mut().zip(code) {
                    *to = from;
                }
            }
            Self::P1Shake256(secret) => {
                let mut shake = Shake256::default();
                Update::update(&mut shake, secret);
                for part in parts {
                    Update::update(&mut shake, part);
                }
                shake.finalize_xof().read(&mut tag);
            }
        }
        tag
    }
}

/// The first 8 bytes, padded with zeros.
fn cut(password: &[u8]) -> [u8; DATA_LEN] {
    let mut data = [0; DATA_LEN];
    for (to, from) in data.iter_mut().zip(password) {
        *to = *from;
    }
    data
}

/// Fills in the trailer at the end of a datagram that begins with an IP header without options;
/// over IPv6 the checksum covers it and is made anew.
fn seal_trailer(keys: &HmacKeys, datagram: &mut [u8], sequence: u64) {
    let header_len = match datagram.first() {
        Some(0x45) => ipv4::HEADER_LEN,
        _ => ipv6::HEADER_LEN,
    };
    let Some((header, payload)) = datagram.split_at_mut_checked(header_len) else {
        return;
    };
    let Some((message, trailer)) = payload.split_last_chunk_mut() else {
        return;
    };
    match *header {
        [.., a, b, c, d, _, _, _, _] if header_len == ipv4::HEADER_LEN => {
            keys.seal(IpAddr::from([a, b, c, d]), message, trailer, sequence);
        }
        _ => {
            let Some((_, addresses)) = header.split_first_chunk::<8>() else {
                return;
            };
            let Some((source, destination)) = addresses.split_first_chunk::<16>() else {
                return;
            };
            keys.seal(IpAddr::from(*source), message, trailer, sequence);
            if let Some(checksum) = message.get_mut(6..8) {
                checksum.fill(0);
            }
            let len = payload.len();
            let sum = Sum::default()
                .bytes(payload)
                .bytes(source)
                .bytes(destination)
                .word(u16::from(IP_PROTOCOL))
                .word(u16::try_from(len).unwrap_or(u16::MAX));
            if let Some(checksum) = payload.get_mut(6..8) {
                checksum.copy_from_slice(&sum.checksum().to_be_bytes());
            }
        }
    }
}

/// An HMAC key brought to the length of a block (RFC 2104 §2): a longer one is hashed, a shorter
/// one padded with zeros. With a whole block the constructor cannot fail.
fn hmac_block<D: Digest>(secret: &[u8]) -> Zeroizing<[u8; HMAC_BLOCK_LEN]> {
    let mut block = Zeroizing::new([0; HMAC_BLOCK_LEN]);
    if secret.len() > block.len() {
        for (to, from) in block.iter_mut().zip(D::digest(secret)) {
            *to = from;
        }
    } else {
        for (to, from) in block.iter_mut().zip(secret) {
            *to = *from;
        }
    }
    block
}

impl Drop for Key {
    fn drop(&mut self) {
        // The vectors of the other variants wipe themselves.
        if let Self::Simple(password) | Self::Ah(password) = self {
            password.zeroize();
        }
    }
}

/// Same type and same secret; secrets of one length are compared in constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Simple(a), Self::Simple(b)) | (Self::Ah(a), Self::Ah(b)) => a.ct_eq(b).into(),
            (Self::HmacSha256(a), Self::HmacSha256(b)) => a == b,
            (Self::P0Sha256(a), Self::P0Sha256(b)) | (Self::P1Shake256(a), Self::P1Shake256(b)) => {
                a.as_slice().ct_eq(b.as_slice()).into()
            }
            _ => false,
        }
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::HmacSha256(_) => "HmacSha256(***)",
            Self::Ah(_) => "Ah(***)",
            Self::Simple(_) => "Simple(***)",
            Self::P0Sha256(_) => "P0Sha256(***)",
            Self::P1Shake256(_) => "P1Shake256(***)",
        })
    }
}

#[cfg(test)]
mod tests {
    use sha2::Sha256;
    use zeroize::Zeroizing;

    use super::{Key, hmac_block};

    fn p0(secret: &[u8]) -> Key {
        Key::P0Sha256(Zeroizing::new(secret.to_vec()))
    }

    fn p1(secret: &[u8]) -> Key {
        Key::P1Shake256(Zeroizing::new(secret.to_vec()))
    }

    #[test]
    fn numbers_on_the_wire() {
        assert_eq!(Key::None.wire_type(), 0);
        assert_eq!(Key::simple(b"x").wire_type(), 1);
        assert_eq!(p0(b"x").wire_type(), 250);
        assert_eq!(p1(b"x").wire_type(), 251);
    }

    /// V2-TX-1: filled with zeros; a longer one is cut, as rVRRPd does.
    #[test]
    fn v2_tx_1_password_is_exactly_eight_bytes() {
        assert_eq!(Key::simple(b"abc").tag(b"any"), *b"abc\0\0\0\0\0");
        assert_eq!(Key::simple(b"s3cr3t12").tag(b"any"), *b"s3cr3t12");
        assert_eq!(Key::simple(b"interop-secret").tag(b"any"), *b"interop-");
        assert_eq!(Key::None.tag(b"any"), [0; 8]);
    }

    /// RFC 4231, test cases 1, 2, 6 (key longer than a block), cut to 8 bytes.
    #[test]
    fn hmac_sha256_of_rfc_4231() {
        assert_eq!(
            p0(&[0x0b; 20]).tag(b"Hi There"),
            [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]
        );
        assert_eq!(
            p0(b"Jefe").tag(b"what do ya want for nothing?"),
            [0x5b, 0xdc, 0xc1, 0x46, 0xbf, 0x60, 0x75, 0x4e]
        );
        assert_eq!(
            p0(&[0xaa; 131]).tag(b"Test Using Larger Than Block-Size Key - Hash Key First"),
            [0x60, 0xe4, 0x31, 0x59, 0x1e, 0xe0, 0xb6, 0x7f]
        );
        assert_eq!(*hmac_block::<Sha256>(&[7; 64]), [7; 64]);
    }

    /// SHAKE256 of the empty message (FIPS 202), and that key and message are simply joined.
    #[test]
    fn shake256_of_fips_202() {
        assert_eq!(
            p1(b"").tag(b""),
            [0x46, 0xb9, 0xdd, 0x2b, 0x0b, 0xa8, 0x8d, 0x13]
        );
        assert_eq!(p1(b"ab").tag(b"cd"), p1(b"").tag(b"abcd"));
    }

    #[test]
    fn message_in_two_pieces_has_the_same_tag() {
        for key in [p0(b"secret"), p1(b"secret"), Key::simple(b"secret")] {
            let tag = key.tag(b"header and list");
            assert!(key.verify([b"header ", b"and list"], &tag), "{key:?}");
            for bit in 0..64 {
                let mut wrong = tag;
                wrong[bit / 8] ^= 1 << (bit % 8);
                assert!(!key.verify([b"header ", b"and list"], &wrong), "{key:?}");
            }
        }
    }

    /// V2-RX-8: without authentication the data are ignored.
    #[test]
    fn v2_rx_8_no_authentication_accepts_any_data() {
        assert!(Key::None.verify([b"any", b""], b"whatever"));
    }

    #[test]
    fn secrets_are_not_printed() {
        for key in [Key::simple(b"hunter22"), p0(b"hunter22"), p1(b"hunter22")] {
            let text = format!("{key:?} {key:#?}");
            assert!(!text.contains("hunter") && !text.contains("104"), "{text}");
            assert!(text.contains("***"), "{text}");
        }
    }

    #[test]
    fn equality() {
        assert_eq!(p0(b"a"), p0(b"a"));
        assert_ne!(p0(b"a"), p0(b"b"));
        assert_ne!(p0(b"a"), p0(b"ab"));
        assert_ne!(p0(b"a"), p1(b"a"));
        assert_ne!(Key::None, Key::simple(b""));
    }
}
