//! What IP delivers: the payload and the fields of the header that VRRP looks at.

use std::net::IpAddr;

use crate::wire::auth::Ah;
use crate::wire::ethernet::{Frame, TYPE_IPV4, TYPE_IPV6};
use crate::wire::verdict::Reject;
use crate::wire::{Family, Vrid, ipv4, ipv6};

/// One received IP datagram of protocol 112, or of protocol 51 with 112 inside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Datagram<'a> {
    /// Family of both addresses.
    pub family: Family,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What follows the IP header and the Authentication Header, without Ethernet padding.
    pub payload: &'a [u8],
    /// The Authentication Header; none where the IP protocol is 112.
    pub ah: Option<Ah<'a>>,
}

impl<'a> Datagram<'a> {
    /// The datagram in `bytes`, which begin with the IPv4 header, as a raw socket of AF_INET
    /// delivers them; cut at the total length, so that padding does no harm (V3-RX-13). Options
    /// are skipped. The header checksum is not looked at: the kernel has done so.
    ///
    /// # Errors
    /// [`Reject::IpHeader`] for a wrong version or length or a fragment, [`Reject::NotVrrp`] for
    /// another protocol (V3-RX-14), [`Reject::AuthHeader`] for a malformed Authentication Header
    /// (AUTH-RX-6).
    pub fn from_ipv4(bytes: &'a [u8]) -> Result<Self, Reject> {
        ipv4::parse(bytes)
    }

    /// The datagram in `bytes`, which begin with the IPv6 header; cut at the payload length. (A
    /// raw socket of AF_INET6 delivers no header: its reader fills in the fields.)
    ///
    /// # Errors
    /// [`Reject::IpHeader`] for a wrong version or length, [`Reject::NotVrrp`] for another next
    /// header, which includes extension headers (V3-RX-14).
    pub fn from_ipv6(bytes: &'a [u8]) -> Result<Self, Reject> {
        ipv6::parse(bytes)
    }

    /// The datagram in a whole Ethernet frame.
    ///
    /// # Errors
    /// Those of [`Self::from_ipv4`] and [`Self::from_ipv6`]; [`Reject::NotVrrp`] for every other
    /// frame.
    pub fn from_ethernet(bytes: &'a [u8]) -> Result<Self, Reject> {
        let frame = Frame::parse(bytes).ok_or(Reject::NotVrrp)?;
        match frame.ethertype {
            TYPE_IPV4 => Self::from_ipv4(frame.payload),
            TYPE_IPV6 => Self::from_ipv6(frame.payload),
            _ => Err(Reject::NotVrrp),
        }
    }
}

/// VRID of a message of which nothing else is known to be right, so that what is wrong with it
/// can be counted where it belongs. None if there is no second byte, or it is 0.
#[must_use]
pub fn peek_vrid(datagram: &Datagram<'_>) -> Option<Vrid> {
    match datagram.payload {
        [_, number, ..] => Vrid::new(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Datagram, peek_vrid};
    use crate::wire::verdict::Reject;
    use crate::wire::{Family, GROUP_V4, Vrid};

    #[test]
    fn vrid_of_whatever_comes() {
        for (payload, vrid) in [
            (&[][..], None),
            (&[0xff], None),
            (&[0xff, 0], None),
            (&[0xff, 1], Vrid::new(1)),
            (&[0, 255, 7], Vrid::new(255)),
        ] {
            let datagram = Datagram {
                family: Family::V4,
                source: GROUP_V4.into(),
                destination: GROUP_V4.into(),
                ttl: 1,
                payload,
                ah: None,
            };
            assert_eq!(peek_vrid(&datagram), vrid, "{payload:?}");
        }
    }

    #[test]
    fn frames_of_other_types_are_not_vrrp() {
        let mut frame = [0; 60];
        for ethertype in [0x0806u16, 0x8100, 0x88cc, 0x0000] {
            frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
            assert_eq!(Datagram::from_ethernet(&frame), Err(Reject::NotVrrp));
        }
        assert_eq!(Datagram::from_ethernet(&frame[..13]), Err(Reject::NotVrrp));
    }
}
