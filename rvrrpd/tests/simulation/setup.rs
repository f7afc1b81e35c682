//! What the supervisor makes of a configuration.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rvrrpd::driver::RouterId;
use rvrrpd::fsm::{Beat, Params};
use rvrrpd::pool::Message;
use rvrrpd::wire::advert::{Expect, Peers};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, PRIORITY_OWNER};

use super::scenario::{Group, Settings};

pub(crate) fn id(group: usize) -> RouterId {
    RouterId(u32::try_from(group).unwrap())
}

pub(crate) fn key(group: &Group) -> Key {
    if group.password {
        Key::simple(b"secret")
    } else {
        Key::None
    }
}

pub(crate) fn addresses(family: Family, count: u8) -> Vec<IpAddr> {
    (0..count)
        .map(|number| match family {
            Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100 + number)),
            Family::V6 if number == 0 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100)),
            Family::V6 => IpAddr::V6(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0,
                0,
                0,
                0,
                0,
                u16::from(number),
            )),
        })
        .collect()
}

pub(crate) fn params(group: &Group, settings: &Settings) -> Params {
    Params {
        version: settings.versions.timers(),
        priority: settings.priority,
        interval: settings.interval,
        preempt: settings.preempt,
        preempt_delay: settings.preempt_delay,
        startup_delay: settings.startup_delay,
        source: settings.source,
        beat: Beat::of(settings.source, group.vrid),
    }
}

pub(crate) fn message(group: &Group, settings: &Settings) -> Message {
    Message {
        vrid: group.vrid,
        family: group.family,
        versions: settings.versions,
        addresses: addresses(group.family, settings.addresses),
        auth: key(group),
        peers: Peers::Group,
        source_mac: Mac::of_virtual_router(group.family, group.vrid),
        checksum_form: settings.checksum_form,
    }
}

pub(crate) fn expect(group: &Group, settings: &Settings) -> Expect {
    Expect {
        versions: settings.versions,
        vrid: group.vrid,
        source: settings.source,
        peers: Peers::Group,
        interval: settings.interval,
        addresses: addresses(group.family, settings.addresses),
        address_list_check: true,
        owner: settings.priority == PRIORITY_OWNER,
        auth: key(group),
    }
}
