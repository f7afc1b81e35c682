//! `hmac-sha256`: 28 bytes behind a message of either version and family, as keepalived 2.4 sends
//! them (`auth_hmac`, draft-cassen-vrrp-auth-hmac).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |  Scheme = 1   |    Key ID     |           Reserved            |
//! +---------------+---------------+-------------------------------+
//! |               Seconds since 1970, UTC, modulo 2^32            |
//! +-------------------------------+-------------------------------+
//! |     1/65536 of a second       |           Counter             |
//! +-------------------------------+-------------------------------+
//! |      MAC: the first 16 bytes of HMAC-SHA256, key of the ID    |
//! +---------------------------------------------------------------+
//! ```
//!
//! The MAC covers, in this order: a pseudo-header of 20 bytes (IP version, VRRP version, VRID, 0,
//! source address padded with zeros to 16 bytes); the message with checksum 0; the first 12 bytes
//! of the trailer; 16 zeros. Nothing of the IP header but the source address.
//!
//! No field tells that the trailer is there, only the length does. The VRRP checksum covers the
//! trailer over IPv6, where the kernel of keepalived makes it, but not over IPv4; the length in an
//! IPv4 pseudo-header is that of the message alone.

use core::fmt;
use core::num::NonZeroU8;
use core::time::Duration;
use std::net::IpAddr;

use hmac::{Hmac, KeyInit as _, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::hmac_block;
use crate::wire::verdict::Reject;

/// Length of the trailer in bytes.
pub const TRAILER_LEN: usize = 28;
/// What stands before the MAC, in bytes.
const HEAD_LEN: usize = 12;
/// Length of the MAC in bytes.
const MAC_LEN: usize = TRAILER_LEN - HEAD_LEN;
/// HMAC-SHA256 cut to 128 bits, the only scheme there is.
const SCHEME: u8 = 1;
/// Place of the checksum in a message.
const CHECKSUM: core::ops::Range<usize> = 6..8;

/// View of the trailer of a received message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Trailer<'a>(pub(in crate::wire) &'a [u8; TRAILER_LEN]);

impl Trailer<'_> {
    /// Number of the key that it was made with.
    #[must_use]
    pub const fn key_id(&self) -> u8 {
        self.0[1]
    }

    /// Time and counter as one number: seconds in the upper half, then 1/65536 of a second, then
    /// the counter. That of a sender grows with each message.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        let [_, _, _, _, a, b, c, d, e, f, g, h, ..] = *self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    const fn is_well_formed(&self) -> bool {
        let [scheme, _, reserved, also_reserved, ..] = *self.0;
        scheme == SCHEME && reserved == 0 && also_reserved == 0
    }
}

/// A secret and the number that it is known by on the wire.
#[derive(Clone)]
pub struct HmacKey {
    /// Its number.
    pub id: NonZeroU8,
    /// The secret.
    pub secret: Zeroizing<Vec<u8>>,
}

/// The secrets are compared in constant time.
impl PartialEq for HmacKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.secret.as_slice().ct_eq(other.secret.as_slice()).into()
    }
}

impl Eq for HmacKey {}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ***", self.id)
    }
}

/// The keys of a virtual router.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HmacKeys {
    /// The one that messages are sent with.
    pub active: HmacKey,
    /// More that are accepted.
    pub others: Vec<HmacKey>,
    /// How far the clocks of two routers may be apart. A message that is older, or that far from
    /// the future, is refused.
    pub clock_skew: Duration,
}

impl HmacKeys {
    /// Checks the MAC and returns the sequence number, which may be believed then.
    ///
    /// # Errors
    /// In this order: [`Reject::AuthTrailer`], [`Reject::AuthKeyUnknown`], [`Reject::AuthData`].
    pub(super) fn verify(
        &self,
        source: IpAddr,
        message: &[u8],
        trailer: Trailer<'_>,
    ) -> Result<u64, Reject> {
        if !trailer.is_well_formed() {
            return Err(Reject::AuthTrailer);
        }
        let key = core::iter::once(&self.active)
            .chain(&self.others)
            .find(|key| key.id.get() == trailer.key_id())
            .ok_or(Reject::AuthKeyUnknown)?;
        let (head, code) = trailer.0.split_at(HEAD_LEN);
        if mac(key, source, message, head).ct_eq(code).into() {
            Ok(trailer.sequence())
        } else {
            Err(Reject::AuthData)
        }
    }

    /// Fills in the trailer of a message that is sent from `source`.
    pub(super) fn seal(
        &self,
        source: IpAddr,
        message: &[u8],
        trailer: &mut [u8; TRAILER_LEN],
        sequence: u64,
    ) {
        let (head, code) = trailer.split_at_mut(HEAD_LEN);
        head[0] = SCHEME;
        head[1] = self.active.id.get();
        head[2..4].fill(0);
        head[4..].copy_from_slice(&sequence.to_be_bytes());
        code.copy_from_slice(&mac(&self.active, source, message, head));
    }
}

fn mac(key: &HmacKey, source: IpAddr, message: &[u8], head: &[u8]) -> [u8; MAC_LEN] {
    let mut pseudo_header = [0; 20];
    let [version_type, vrid, ..] = *message else {
        return [0; MAC_LEN];
    };
    pseudo_header[1] = version_type >> 4;
    pseudo_header[2] = vrid;
    match source {
        IpAddr::V4(source) => {
            pseudo_header[0] = 4;
            pseudo_header[4..8].copy_from_slice(&source.octets());
        }
        IpAddr::V6(source) => {
            pseudo_header[0] = 6;
            pseudo_header[4..20].copy_from_slice(&source.octets());
        }
    }
    let mut mac = Hmac::<Sha256>::new((&*hmac_block::<Sha256>(&key.secret)).into());
    mac.update(&pseudo_header);
    mac.update(message.get(..CHECKSUM.start).unwrap_or_default());
    mac.update(&[0; CHECKSUM.end - CHECKSUM.start]);
    mac.update(message.get(CHECKSUM.end..).unwrap_or_default());
    mac.update(head);
    mac.update(&[0; MAC_LEN]);
    let mut code = [0; MAC_LEN];
    for (to, from) in code.iter_mut().zip(mac.finalize().into_bytes()) {
        *to = from;
    }
    code
}
