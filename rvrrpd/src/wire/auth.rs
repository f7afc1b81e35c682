//! Authentication of version 2: the 8 bytes at the end of a message.
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

use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::{Digest as _, Sha256};
use shake::Shake256;
use shake::digest::{ExtendableOutput as _, Update, XofReader as _};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Length of the authentication data, in bytes.
pub const DATA_LEN: usize = 8;
/// Block of SHA-256, in bytes (FIPS 180-4).
const SHA256_BLOCK_LEN: usize = 64;

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
}

impl Key {
    /// Simple password: the first 8 bytes of `password`, padded with zeros.
    #[must_use]
    pub fn simple(password: &[u8]) -> Self {
        let mut data = [0; DATA_LEN];
        for (to, from) in data.iter_mut().zip(password) {
            *to = *from;
        }
        Self::Simple(data)
    }

    /// Number of the authentication type on the wire.
    #[must_use]
    pub const fn wire_type(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Simple(_) => 1,
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

    /// Whether `data` are the authentication data of the message made of `parts`, in a time that
    /// does not depend on where they differ. Without authentication any data will do.
    pub(super) fn verify(&self, parts: [&[u8]; 2], data: &[u8; DATA_LEN]) -> bool {
        match self {
            Self::None => true,
            Self::Simple(_) | Self::P0Sha256(_) | Self::P1Shake256(_) => {
                self.tag_of(parts).ct_eq(data).into()
            }
        }
    }

    /// [`Self::tag`] of a message that lies in two pieces.
    fn tag_of(&self, parts: [&[u8]; 2]) -> [u8; DATA_LEN] {
        let mut tag = [0; DATA_LEN];
        match self {
            Self::None => {}
            Self::Simple(password) => tag = *password,
            Self::P0Sha256(secret) => {
                let mut mac = Hmac::<Sha256>::new((&*hmac_block(secret)).into());
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

/// An HMAC key brought to the length of a block (RFC 2104 §2): a longer one is hashed, a shorter
/// one padded with zeros. With a whole block the constructor cannot fail.
fn hmac_block(secret: &[u8]) -> Zeroizing<[u8; SHA256_BLOCK_LEN]> {
    let mut block = Zeroizing::new([0; SHA256_BLOCK_LEN]);
    if secret.len() > block.len() {
        for (to, from) in block.iter_mut().zip(Sha256::digest(secret)) {
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
        if let Self::Simple(password) = self {
            password.zeroize();
        }
    }
}

/// Same type and same secret; secrets of one length are compared in constant time.
impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Simple(a), Self::Simple(b)) => a.ct_eq(b).into(),
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
            Self::Simple(_) => "Simple(***)",
            Self::P0Sha256(_) => "P0Sha256(***)",
            Self::P1Shake256(_) => "P1Shake256(***)",
        })
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(*hmac_block(&[7; 64]), [7; 64]);
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
