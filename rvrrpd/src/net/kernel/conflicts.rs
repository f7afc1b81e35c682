//! Others who say that they have one of our virtual addresses.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU64, Ordering, fence};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;

use aya::maps::MapData;
use rvrrpd_ebpf::CONFLICTS;

use crate::net::sys::shared::Words;
use crate::wire::Mac;

/// Words of a place, and where its fields are among them.
const WORDS: usize = size_of::<rvrrpd_ebpf::Conflict>() / 8;
const SEQUENCE: usize = offset_of!(rvrrpd_ebpf::Conflict, sequence) / 8;
const ADDRESS: usize = offset_of!(rvrrpd_ebpf::Conflict, address) / 8;
const IFINDEX: usize = offset_of!(rvrrpd_ebpf::Conflict, ifindex) / 8;
const MAC: usize = offset_of!(rvrrpd_ebpf::Conflict, mac) / 8;
const COUNT: usize = offset_of!(rvrrpd_ebpf::Conflict, count) / 8;
const PLACES: usize = CONFLICTS as usize;
/// Where the number of all times that a place was written stands.
const WRITTEN: usize = PLACES * WORDS + SEQUENCE;

/// Somebody else on the LAN who says, by ARP or neighbour advertisement, that he has a virtual
/// address of which this host is Master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Conflict {
    /// Interface index of the parent.
    pub ifindex: u32,
    /// The virtual address.
    pub address: IpAddr,
    /// The MAC address that he names.
    pub mac: Mac,
    /// Packets of this kind since the last report about this address and interface.
    pub count: u64,
}

/// The map `CONFLICTS`, and what was told of it.
#[derive(Debug)]
pub(super) struct Conflicts {
    words: Words,
    told: [Told; PLACES],
}

/// What was read last at a place.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    sequence: u64,
    address: [u64; 3],
    count: u64,
}

impl Conflicts {
    pub(super) fn map(map: &MapData) -> io::Result<Self> {
        Ok(Self {
            words: Words::map(map.fd().as_fd(), 0, (PLACES + 1) * WORDS)?,
            told: [Told::default(); PLACES],
        })
    }

    /// What was written and counted since the last call; one read of memory where there never was
    /// any.
    pub(super) fn take(&mut self) -> Vec<Conflict> {
        let all = self.words.all();
        let written = all
            .get(WRITTEN)
            .map_or(0, |word| word.load(Ordering::Acquire));
        if written == 0 {
            return Vec::new();
        }
        let mut conflicts = Vec::new();
        for (place, told) in all.chunks_exact(WORDS).zip(&mut self.told) {
            let sequence = place[SEQUENCE].load(Ordering::Acquire);
            // More of the same is counted, and written once a second at most.
            if sequence == told.sequence && place[COUNT].load(Ordering::Relaxed) == told.count {
                continue;
            }
            let (now, mac) = read(place, sequence);
            fence(Ordering::Acquire);
            if sequence & 1 != 0 || place[SEQUENCE].load(Ordering::Relaxed) != sequence {
                // Somebody writes. The next call looks again.
                continue;
            }
            // What was counted before it is written may have been told of already.
            let is_known = now.count == told.count && sequence == told.sequence + 2;
            let is_same = now.address == told.address && (now.count > told.count || is_known);
            let before = if is_same { told.count } else { 0 };
            *told = now;
            if now.count == before {
                continue;
            }
            conflicts.push(Conflict {
                ifindex: u32::try_from(now.address[2]).unwrap_or_default(),
                address: address([now.address[0], now.address[1]]),
                mac,
                count: now.count - before,
            });
        }
        conflicts
    }
}

fn read(place: &[AtomicU64], sequence: u64) -> (Told, Mac) {
    let word = |at: usize| place[at].load(Ordering::Relaxed);
    let [a, b, c, d, e, f, ..] = word(MAC).to_ne_bytes();
    let told = Told {
        sequence,
        address: [word(ADDRESS), word(ADDRESS + 1), word(IFINDEX)],
        count: word(COUNT),
    };
    (told, Mac([a, b, c, d, e, f]))
}

fn address(words: [u64; 2]) -> IpAddr {
    let [high, low] = words.map(u64::to_ne_bytes);
    let octets: [u8; 16] = core::array::from_fn(|at| if at < 8 { high[at] } else { low[at - 8] });
    match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
        octets => octets.into(),
    }
}
