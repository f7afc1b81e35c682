//! A veth pair inside the router's namespace: what is sent at one end is what the raw sockets of
//! the other end receive.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use rvrrpd::net::filter::Channel;
use rvrrpd::net::kernel::{Demands, Filter, Slot};
use rvrrpd::net::sender::Sender;
use rvrrpd::net::socket::Receiver;
use rvrrpd::net::sys::mmsg::Batch;
use rvrrpd::wire::advert::{AdvertRepr, ChecksumForm};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, Version, Versions, Vrid};

use crate::lab::{Lab, eventually};

/// Length of the Ethernet header, which is where the IP header begins.
pub(crate) const IP: usize = 14;

pub(crate) struct Wire {
    pub(crate) sender: Sender,
    /// Interface index of the end that receives.
    pub(crate) index: u32,
    /// What the filter knows the socket by.
    pub(crate) socket: u64,
    pub(crate) receiver: Receiver,
    batch: Batch,
}

impl Wire {
    /// The end `NAMEb` receives by this filter.
    pub(crate) fn new(lab: &Lab, name: &str, channel: Channel, filter: &Filter) -> Self {
        let (a, b) = (format!("{name}a"), format!("{name}b"));
        let known = std::path::Path::new("/sys/class/net").join(&b).exists();
        if !known {
            lab.router(&format!(
                "ip link add {a} type veth peer name {b}
                 echo 0 > /proc/sys/net/ipv4/conf/{b}/rp_filter
                 echo 0 > /proc/sys/net/ipv4/conf/all/rp_filter
                 echo 0 > /proc/sys/net/ipv6/conf/{b}/accept_dad
                 echo 1 > /proc/sys/net/ipv6/conf/{a}/disable_ipv6
                 ip addr add {OWN_V4}/24 dev {b}
                 ip addr add {OWN_V6}/64 dev {b} nodad
                 ip link set {b} up; ip link set {a} up"
            ));
        }
        let index = lab.index(&b);
        let receiver = Receiver::open(index, channel).unwrap();
        filter.attach(&receiver.as_fd()).unwrap();
        Self {
            sender: Sender::open(lab.index(&a)).unwrap(),
            index,
            socket: receiver.cookie(),
            receiver,
            batch: Batch::default(),
        }
    }

    pub(crate) fn send<F: AsRef<[u8]>>(&self, frames: &[F]) {
        let frames = frames.iter().map(AsRef::as_ref);
        self.sender
            .send(frames, |_, error| panic!("not sent: {error}"));
    }

    /// What the socket has received since the last call.
    pub(crate) fn delivered(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let more = self
                .batch
                .receive(self.receiver.as_fd(), self.receiver.family())
                .unwrap();
            all.extend(self.batch.packets().map(|packet| packet.bytes.to_vec()));
            if !more {
                return all;
            }
        }
    }

    /// Sends the frames and waits until each was delivered or counted by `counted`. How many were
    /// delivered, and how many counted.
    pub(crate) fn outcome<F: AsRef<[u8]>>(
        &mut self,
        frames: &[F],
        counted: impl Fn() -> u64,
    ) -> (usize, usize) {
        let before = counted();
        self.send(frames);
        let mut delivered = 0;
        let mut kept = 0;
        eventually("every packet is accounted for", || {
            delivered += self.delivered().len();
            kept = usize::try_from(counted() - before).unwrap();
            delivered + kept == frames.len()
        });
        (delivered, kept)
    }
}

pub(crate) const OWN_V4: &str = "203.0.113.2";
pub(crate) const OWN_V6: &str = "2001:db8:9::2";

pub(crate) fn vrid(number: u8) -> Vrid {
    Vrid::new(number).unwrap()
}

/// Version 2 over IPv4, version 3 over IPv6.
pub(crate) fn version(family: Family) -> Versions {
    match family {
        Family::V4 => Versions::V2,
        Family::V6 => Versions::V3,
    }
}

pub(crate) fn demands(family: Family) -> Demands {
    Demands {
        least_ttl: 255,
        versions: version(family),
    }
}

/// A virtual router that the filter knows.
pub(crate) fn admit(filter: &Filter, socket: u64, family: Family, number: u8) -> Slot<'_> {
    let slot = filter.slots().take().unwrap();
    let key = (socket, vrid(number));
    filter.admit(key, demands(family), slot).unwrap();
    filter.slots().slot(slot).unwrap()
}

/// An advertisement, as a frame.
pub(crate) struct Advert {
    pub(crate) family: Family,
    pub(crate) version: Version,
    pub(crate) checksum_form: ChecksumForm,
    pub(crate) vrid: u8,
    pub(crate) priority: u8,
    pub(crate) source: IpAddr,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) interval: u64,
}

impl Advert {
    pub(crate) fn new(family: Family, vrid: u8) -> Self {
        let (source, addresses) = match family {
            Family::V4 => ("203.0.113.1", ["203.0.113.100", "203.0.113.101"]),
            Family::V6 => ("fe80::1", ["fe80::100", "2001:db8:9::100"]),
        };
        Self {
            family,
            version: match family {
                Family::V4 => Version::V2,
                Family::V6 => Version::V3,
            },
            checksum_form: ChecksumForm::Message,
            vrid,
            priority: 100,
            source: source.parse().unwrap(),
            addresses: addresses.map(|one| one.parse().unwrap()).to_vec(),
            interval: 1,
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let vrid = vrid(self.vrid);
        let repr = AdvertRepr {
            version: self.version,
            vrid,
            priority: self.priority,
            interval: Duration::from_secs(self.interval),
            addresses: &self.addresses,
            auth: &Key::None,
            checksum_form: self.checksum_form,
        };
        repr.frame(Mac::of_virtual_router(self.family, vrid), self.source)
    }
}

/// Where the VRRP message begins in a frame without options.
pub(crate) const fn message_at(family: Family) -> usize {
    IP + match family {
        Family::V4 => 20,
        Family::V6 => 40,
    }
}

/// Lets `slot` keep repetitions of what this frame carries.
pub(crate) fn keep(slot: Slot<'_>, family: Family, frame: &[u8]) {
    let addresses = match family {
        Family::V4 => [12, 16].map(|at| {
            let octets: [u8; 4] = frame[IP + at..IP + at + 4].try_into().unwrap();
            IpAddr::from(octets)
        }),
        Family::V6 => [8, 24].map(|at| {
            let octets: [u8; 16] = frame[IP + at..IP + at + 16].try_into().unwrap();
            IpAddr::from(octets)
        }),
    };
    let end = match family {
        Family::V4 => IP + usize::from(u16::from_be_bytes([frame[IP + 2], frame[IP + 3]])),
        Family::V6 => frame.len(),
    };
    let message = &frame[message_at(family)..end];
    assert!(slot.begin(addresses, message, rvrrpd::net::sys::clock::monotonic()));
}

pub(crate) fn with_ttl(family: Family, mut frame: Vec<u8>, ttl: u8) -> Vec<u8> {
    match family {
        Family::V4 => {
            frame[IP + 8] = ttl;
            sum_header(&mut frame);
        }
        Family::V6 => frame[IP + 7] = ttl,
    }
    frame
}

/// Writes the checksum of the IPv4 header, which the kernel checks.
pub(crate) fn sum_header(frame: &mut [u8]) {
    frame[IP + 10..IP + 12].fill(0);
    let length = usize::from(frame[IP] & 0x0f) * 4;
    let sum = checksum(&frame[IP..IP + length]);
    frame[IP + 10..IP + 12].copy_from_slice(&sum);
}

/// Writes the checksum of the message: the rest of a frame without padding.
pub(crate) fn sum_message(family: Family, frame: &mut [u8]) {
    let at = message_at(family);
    frame[at + 6..at + 8].fill(0);
    let mut covered = frame[at..].to_vec();
    if family == Family::V6 {
        let length = u16::try_from(covered.len()).unwrap();
        covered.extend(&frame[IP + 8..IP + 40]);
        covered.extend(length.to_be_bytes());
        covered.extend([0, 112]);
    }
    let sum = checksum(&covered);
    frame[at + 6..at + 8].copy_from_slice(&sum);
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let halves = bytes.chunks(2);
    let halves = halves.map(|half| u32::from(u16::from_be_bytes([half[0], half[1]])));
    let mut sum: u32 = halves.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

/// A message of another length: zeros behind it, or its end cut off.
pub(crate) fn with_length(family: Family, mut frame: Vec<u8>, more: i16) -> Vec<u8> {
    let length = frame.len().checked_add_signed(more.into()).unwrap();
    frame.resize(length, 0);
    let at = match family {
        Family::V4 => IP + 2,
        Family::V6 => IP + 4,
    };
    let length = u16::from_be_bytes([frame[at], frame[at + 1]]);
    let length = length.checked_add_signed(more).unwrap();
    frame[at..at + 2].copy_from_slice(&length.to_be_bytes());
    if family == Family::V4 {
        sum_header(&mut frame);
    }
    frame
}
