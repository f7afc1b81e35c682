//! `rfc2338-ah`: authentication type 2 of RFC 2338 §5.3.6, an IP Authentication Header (RFC 2402)
//! with HMAC-MD5-96 (RFC 2403) between the IPv4 header and the message, as keepalived sends it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |   Next = 112  |  Length = 4   |           Reserved            |
//! +---------------+---------------+-------------------------------+
//! |           SPI: the IPv4 source address of the sender          |
//! +---------------------------------------------------------------+
//! |                        Sequence number                        |
//! +---------------------------------------------------------------+
//! |      ICV: the first 12 bytes of HMAC-MD5, key of the group    |
//! +---------------------------------------------------------------+
//! ```
//!
//! The ICV covers the IPv4 header, this one with an ICV of zeros, and the message. Of the IPv4
//! header the fields that a network may change count as zero: type of service, flags and fragment
//! offset, header checksum. The TTL, which RFC 2402 has among them, counts as it is in what goes
//! to a group, and as zero in what goes to one host.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit as _, Mac};
use md5::Md5;
use subtle::ConstantTimeEq as _;

use super::hmac_block;
use crate::wire::checksum::Sum;
use crate::wire::ipv4;
use crate::wire::verdict::Reject;
use crate::wire::{IP_PROTOCOL, IP_PROTOCOL_AH};

/// Length of the header in bytes.
pub const AH_LEN: usize = 24;
/// What stands before the ICV, in bytes.
const HEAD_LEN: usize = 12;
/// Length of the ICV in bytes.
const ICV_LEN: usize = AH_LEN - HEAD_LEN;
/// Length of the header in 32-bit words, less 2 (RFC 2402 §2.2).
const LENGTH: u8 = 4;

/// View of the Authentication Header in front of a received message, and of the IPv4 header in
/// front of that.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ah<'a> {
    ip: &'a [u8],
    header: &'a [u8; AH_LEN],
}

impl<'a> Ah<'a> {
    /// The header at the start of `payload`, which follows the IPv4 header `ip`; and what follows
    /// it.
    ///
    /// # Errors
    /// [`Reject::NotVrrp`] for what protects something else, [`Reject::AuthHeader`] for another
    /// length or a reserved field that is not zero.
    pub(in crate::wire) fn parse(
        ip: &'a [u8],
        payload: &'a [u8],
    ) -> Result<(Self, &'a [u8]), Reject> {
        if payload.first() != Some(&IP_PROTOCOL) {
            return Err(Reject::NotVrrp);
        }
        let (header, message) = payload
            .split_first_chunk::<AH_LEN>()
            .ok_or(Reject::AuthHeader)?;
        let [_, LENGTH, 0, 0, ..] = *header else {
            return Err(Reject::AuthHeader);
        };
        Ok((Self { ip, header }, message))
    }

    /// The sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u32 {
        let [_, _, _, _, _, _, _, _, a, b, c, d, ..] = *self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Checks SPI and ICV, and returns the sequence number, which may be believed then.
    ///
    /// # Errors
    /// [`Reject::AuthHeader`] where the SPI is not the source address, [`Reject::AuthData`].
    pub(super) fn verify(&self, password: &[u8], message: &[u8]) -> Result<u32, Reject> {
        let (head, icv) = self.header.split_at(HEAD_LEN);
        if self.ip.get(12..16) != head.get(4..8) {
            return Err(Reject::AuthHeader);
        }
        if integrity(password, self.ip, head, message)
            .ct_eq(icv)
            .into()
        {
            Ok(self.sequence())
        } else {
            Err(Reject::AuthData)
        }
    }
}

/// Makes room for the header behind the IPv4 header at the end of `datagram`, which then says
/// protocol 51. Its length must have been that of the message and this header.
pub(super) fn open(datagram: &mut Vec<u8>) {
    if let Some(ip) = datagram.last_chunk_mut::<{ ipv4::HEADER_LEN }>() {
        ip[9] = IP_PROTOCOL_AH;
        if !is_to_group(ip) {
            // The kernel, which sends these, would replace an identification of 0, and the ICV
            // covers it (raw(7)).
            ip[4..6].copy_from_slice(&1_u16.to_be_bytes());
        }
        ip[10..12].fill(0);
        let checksum = Sum::default().bytes(ip).checksum();
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
    datagram.resize(datagram.len() + AH_LEN, 0);
}

/// Fills in the header of a datagram that [`open`] made room in.
pub(super) fn seal(password: &[u8], datagram: &mut [u8], sequence: u32) {
    let Some((ip, rest)) = datagram.split_first_chunk_mut::<{ ipv4::HEADER_LEN }>() else {
        return;
    };
    let Some((header, message)) = rest.split_first_chunk_mut::<AH_LEN>() else {
        return;
    };
    let (head, icv) = header.split_at_mut(HEAD_LEN);
    head[..4].copy_from_slice(&[IP_PROTOCOL, LENGTH, 0, 0]);
    head[4..8].copy_from_slice(&ip[12..16]);
    head[8..].copy_from_slice(&sequence.to_be_bytes());
    icv.copy_from_slice(&integrity(password, ip, head, message));
}

fn integrity(password: &[u8], ip: &[u8], head: &[u8], message: &[u8]) -> [u8; ICV_LEN] {
    let mut icv = [0; ICV_LEN];
    let Some((ip, options)) = ip.split_first_chunk::<{ ipv4::HEADER_LEN }>() else {
        return icv;
    };
    let mut ip = *ip;
    ip[1] = 0;
    ip[6..8].fill(0);
    if !is_to_group(&ip) {
        ip[8] = 0;
    }
    ip[10..12].fill(0);
    let mut mac = Hmac::<Md5>::new((&*hmac_block::<Md5>(password)).into());
    for part in [&ip[..], options, head, &[0; ICV_LEN], message] {
        mac.update(part);
    }
    for (to, from) in icv.iter_mut().zip(mac.finalize().into_bytes()) {
        *to = from;
    }
    icv
}

fn is_to_group(ip: &[u8; ipv4::HEADER_LEN]) -> bool {
    let [.., d0, d1, d2, d3] = *ip;
    Ipv4Addr::from([d0, d1, d2, d3]).is_multicast()
}
