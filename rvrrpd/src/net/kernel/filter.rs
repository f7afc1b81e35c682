//! The socket filter: loaded once, shared by the raw sockets of all interfaces and both families.

use std::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::SocketFilter;
use parking_lot::Mutex;
use rvrrpd_ebpf::{Demand, Foreign, RouterKey, TRAILER};

use super::counters::Counters;
use super::slots::Slots;
use super::{io_error, take};
use crate::net::sys;
use crate::wire::auth::TRAILER_LEN;
use crate::wire::{Versions, Vrid};

pub(super) const PROGRAM: &str = "rvrrpd_filter";

const _: () = assert!(TRAILER as usize == TRAILER_LEN);

/// The loaded filter. Nothing of it needs a capability any more.
#[derive(Debug)]
pub struct Filter {
    program: OwnedFd,
    demands: Mutex<HashMap<MapData, [u8; 16], [u8; 8]>>,
    foreign: Counters,
    slots: Slots,
    /// Whether time stamps of the kernel are those of this process.
    can_absorb: bool,
}

/// What a virtual router demands of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demands {
    /// Least TTL or hop limit.
    pub least_ttl: u8,
    /// Versions that it speaks.
    pub versions: Versions,
}

impl Filter {
    /// The filter of an object whose programs are loaded.
    pub(super) fn new(ebpf: &mut Ebpf) -> Result<Self, Box<dyn Error>> {
        let program: &mut SocketFilter = ebpf
            .program_mut(PROGRAM)
            .ok_or("the object has no filter")?
            .try_into()?;
        let program = program.fd()?.as_fd().try_clone_to_owned()?;
        let Map::Array(slots) = take(ebpf, "SLOTS")? else {
            return Err("the map SLOTS is no array".into());
        };
        Ok(Self {
            program,
            demands: Mutex::new(HashMap::try_from(take(ebpf, "DEMANDS")?)?),
            foreign: Counters::new(take(ebpf, "FOREIGN")?)?,
            slots: Slots::map(slots)?,
            can_absorb: in_the_kernels_time(),
        })
    }

    /// Attaches the filter to a raw socket of protocol 112 or 51, in the place of whatever filter
    /// it has.
    ///
    /// # Errors
    /// That of setsockopt(2).
    pub fn attach(&self, socket: &impl AsRawFd) -> io::Result<()> {
        sys::socket::attach_program(socket, self.program.as_fd())
    }

    /// Lets packets of a virtual router pass the socket with this cookie
    /// ([`cookie`](sys::socket::cookie)) that meet its demands, which may be other ones than
    /// before. The slot is one that [`Slots::take`] gave.
    ///
    /// # Errors
    /// The map is full, which is 16384 routers.
    pub fn admit(
        &self,
        (socket, vrid): (u64, Vrid),
        demands: Demands,
        slot: u32,
    ) -> io::Result<()> {
        let demand = Demand {
            slot,
            least_ttl: demands.least_ttl,
            versions: match demands.versions {
                Versions::V2 => 1 << 2,
                Versions::V3 => 1 << 3,
                Versions::Both => 1 << 2 | 1 << 3,
            },
            reserved: 0,
        };
        let mut map = self.demands.lock();
        map.insert(key(socket, vrid), value(demand), 0)
            .map_err(|error| io_error(&error))
    }

    /// Lets nothing of a virtual router pass.
    pub fn refuse(&self, (socket, vrid): (u64, Vrid)) {
        // Gone already is what was wanted.
        let _gone = self.demands.lock().remove(&key(socket, vrid));
    }

    /// Packets that were dropped because no virtual router of their interface and family has their
    /// VRID; 0 where the kernel does not tell the number of its processors.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        self.count(Foreign::Vrid)
    }

    /// Packets of another protocol that were dropped: what an Authentication Header protects for
    /// others.
    #[must_use]
    pub fn other_protocol(&self) -> u64 {
        self.count(Foreign::Protocol)
    }

    /// What the filter shares with this process, router by router.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether repetitions can be kept at all: not in a time namespace of its own, where the
    /// kernel's time stamps are not those of this process.
    #[must_use]
    pub const fn can_absorb(&self) -> bool {
        self.can_absorb
    }

    fn count(&self, reason: Foreign) -> u64 {
        self.foreign.count(reason as u32).unwrap_or(0)
    }
}

/// Whether CLOCK_MONOTONIC here is that of the initial time namespace, which is the one that
/// programs see (time_namespaces(7)).
fn in_the_kernels_time() -> bool {
    std::fs::read_to_string("/proc/self/timens_offsets")
        .map_or(true, |offsets| is_without_offset(&offsets))
}

fn is_without_offset(offsets: &str) -> bool {
    let monotonic = offsets.lines().find(|line| line.starts_with("monotonic"));
    monotonic.is_none_or(|line| line.split_whitespace().skip(1).all(|part| part == "0"))
}

fn key(socket: u64, vrid: Vrid) -> [u8; 16] {
    let key = RouterKey {
        socket,
        vrid: u64::from(vrid.number()),
    };
    let mut bytes = [0; 16];
    let (first, second) = bytes.split_at_mut(8);
    first.copy_from_slice(&key.socket.to_ne_bytes());
    second.copy_from_slice(&key.vrid.to_ne_bytes());
    bytes
}

const fn value(demand: Demand) -> [u8; 8] {
    let [a, b, c, d] = demand.slot.to_ne_bytes();
    let [e, f] = demand.reserved.to_ne_bytes();
    [a, b, c, d, demand.least_ttl, demand.versions, e, f]
}

#[cfg(test)]
mod tests {
    use super::is_without_offset;

    #[test]
    fn an_offset_of_the_monotonic_clock_forbids_absorption() {
        let offsets = |seconds, nanos| {
            format!("monotonic  {seconds:>10} {nanos:>9}\nboottime           7         0\n")
        };
        assert!(is_without_offset(&offsets(0, 0)));
        assert!(!is_without_offset(&offsets(100_000, 0)));
        assert!(!is_without_offset(&offsets(0, 1)));
        assert!(!is_without_offset(&offsets(-5, 0)));
        assert!(is_without_offset(""));
    }
}
