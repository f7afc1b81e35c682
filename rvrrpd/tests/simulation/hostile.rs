//! Frames of somebody who is no router of ours.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rvrrpd::wire::advert::{AdvertRepr, ChecksumForm};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, Version, Vrid};

use super::random::Random;
use super::scenario::Group;
use super::setup;

#[derive(Clone, Debug)]
pub(crate) enum Hostile {
    /// Random bytes behind a header that the socket lets through.
    Garbage(u64),
    /// Right but for one thing.
    Spoof(usize, Flaw, u8),
    /// Right in everything: what anybody on the LAN can send where nothing is authenticated.
    Forged(usize, u8, Duration),
}

/// The receive rule that a frame breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flaw {
    Ttl,
    Checksum,
    Vrid,
    Version,
    Interval,
    Auth,
    CountZero,
    Truncated,
    Source,
}

impl Flaw {
    pub(crate) const ALL: [Self; 9] = [
        Self::Ttl,
        Self::Checksum,
        Self::Vrid,
        Self::Version,
        Self::Interval,
        Self::Auth,
        Self::CountZero,
        Self::Truncated,
        Self::Source,
    ];
}

impl Hostile {
    pub(crate) fn is_valid(&self) -> bool {
        matches!(self, Self::Forged(..))
    }

    /// The Ethernet frame.
    pub(crate) fn frame(&self, groups: &[Group]) -> Vec<u8> {
        match *self {
            Self::Garbage(seed) => garbage(seed, &groups[0]),
            Self::Spoof(group, flaw, priority) => spoof(&groups[group], flaw, priority),
            Self::Forged(group, priority, interval) => {
                let group = &groups[group];
                let auth = setup::key(group);
                advert(
                    group,
                    priority,
                    interval,
                    group.version,
                    group.vrid,
                    &auth,
                    7,
                )
            }
        }
    }
}

fn stranger(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(192, 0, 2, 77).into(),
        Family::V6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77).into(),
    }
}

fn advert(
    group: &Group,
    priority: u8,
    interval: Duration,
    version: Version,
    vrid: Vrid,
    auth: &Key,
    mac: u8,
) -> Vec<u8> {
    AdvertRepr {
        version,
        vrid,
        priority,
        interval,
        addresses: &setup::addresses(group.family, group.settings[0].addresses),
        auth,
        checksum_form: ChecksumForm::Message,
    }
    .frame(Mac([2, 0, 0, 0, 0, mac]), stranger(group.family))
}

fn spoof(group: &Group, flaw: Flaw, priority: u8) -> Vec<u8> {
    let own = group.settings[0].interval;
    let auth = match flaw {
        Flaw::Auth if group.password => Key::simple(b"wrong"),
        Flaw::Auth => Key::simple(b"any"),
        _ => setup::key(group),
    };
    let version = match (flaw, group.version, group.family) {
        _ if group.mixed => group.version,
        (Flaw::Version, Version::V3, Family::V4) => Version::V2,
        (Flaw::Version, Version::V2, _) => Version::V3,
        (_, version, _) => version,
    };
    let vrid = match flaw {
        Flaw::Vrid => Vrid::new(99).unwrap(),
        _ => group.vrid,
    };
    let interval = match (flaw, group.version) {
        // The intervals of version 3 differ from node to node.
        (Flaw::Interval, Version::V2) if group.mixed => Duration::from_secs(200),
        (Flaw::Interval, Version::V2) => own + Duration::from_secs(1),
        (Flaw::Interval, Version::V3) => Duration::ZERO,
        _ => own,
    };
    let mut frame = advert(group, priority, interval, version, vrid, &auth, 8);
    let (ttl, source, message) = match group.family {
        Family::V4 => (14 + 8, 14 + 12, 14 + 20),
        Family::V6 => (14 + 7, 14 + 8, 14 + 40),
    };
    match flaw {
        Flaw::Ttl => frame[ttl] = 254,
        Flaw::Checksum => frame[message + 6] ^= 1,
        Flaw::CountZero => frame[message + 3] = 0,
        // A multicast group.
        Flaw::Source if group.family == Family::V4 => frame[source] = 0xe1,
        Flaw::Source => frame[source] = 0xff,
        Flaw::Truncated => frame.truncate(message + 6),
        // Version 3 knows no authentication, and version 2 no IPv6: the frame would be right.
        Flaw::Auth if group.version == Version::V3 => frame[message + 7] ^= 1,
        // Somebody may speak the other version.
        Flaw::Version if group.mixed => frame[message] = 0x41,
        Flaw::Version if group.family == Family::V6 => frame[message] = 0x21,
        Flaw::Interval if group.version == Version::V3 => no_interval(&mut frame[message..]),
        Flaw::Auth | Flaw::Version | Flaw::Vrid | Flaw::Interval => {}
    }
    set_length(&mut frame, group.family);
    frame
}

/// V3-RX-12: the shortest interval, which was written for none, becomes none. The checksum holds.
fn no_interval(message: &mut [u8]) {
    message[5] = 0;
    let checksum = u16::from_be_bytes([message[6], message[7]]);
    let (sum, carry) = checksum.overflowing_add(1);
    let checksum = sum + u16::from(carry);
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
}

/// The length in the IP header, so that it is not this that is refused.
fn set_length(frame: &mut [u8], family: Family) {
    let (field, header) = match family {
        Family::V4 => (14 + 2, 14),
        Family::V6 => (14 + 4, 14 + 40),
    };
    let len = u16::try_from(frame.len() - header).unwrap();
    frame[field..field + 2].copy_from_slice(&len.to_be_bytes());
}

fn garbage(seed: u64, group: &Group) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut frame = advert(
        group,
        100,
        group.settings[0].interval,
        group.version,
        group.vrid,
        &Key::None,
        9,
    );
    let header = match group.family {
        Family::V4 => 14 + 20,
        Family::V6 => 14 + 40,
    };
    frame.truncate(header);
    let len = random.within(0..60);
    frame.extend((0..len).map(|_| random.number().to_le_bytes()[0]));
    set_length(&mut frame, group.family);
    frame
}
