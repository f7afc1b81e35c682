//! The eBPF socket filter: loaded once, shared by the raw sockets of all interfaces.
//!
//! It passes what a virtual router may want, counts the rest by reason, and keeps repetitions of a
//! Master's advertisement to itself ([`slots`]). See rvrrpd-ebpf/program for the kernel's side.

mod slots;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use aya::programs::SocketFilter;
use aya::{Ebpf, EbpfLoader};
use parking_lot::Mutex;
use rvrrpd_ebpf::{Demand, FAMILY_V4, FAMILY_V6, RouterKey};

pub use slots::{Slot, Slots};

use super::sys;
use crate::wire::{Family, Version, Vrid};

/// The object that `make ebpf` builds; `make test` compares where the tools for that are.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../rvrrpd-ebpf/rvrrpd.bpf.o"
));

/// The loaded filter. It needs no capability any more.
pub struct Filter {
    program: OwnedFd,
    demands: Mutex<HashMap<MapData, [u8; 8], [u8; 8]>>,
    /// None where the kernel does not tell the number of its processors (/sys is not mounted).
    foreign: Option<PerCpuArray<MapData, u64>>,
    slots: Slots,
    /// Whether time stamps of the kernel are those of this process.
    can_absorb: bool,
}

/// What a virtual router demands of a packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Demands {
    /// Least TTL or hop limit.
    pub least_ttl: u8,
    /// Version.
    pub version: Version,
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}

impl Filter {
    /// Loads the programs.
    ///
    /// # Errors
    /// What the kernel lacks or does not permit (CAP_BPF), as text for the log.
    pub fn load() -> Result<Self, String> {
        let mut ebpf = EbpfLoader::new().load(OBJECT).map_err(reason)?;
        let program = program(&mut ebpf)?;
        let demands = HashMap::try_from(take(&mut ebpf, "DEMANDS")?).map_err(reason)?;
        let foreign = PerCpuArray::try_from(take(&mut ebpf, "FOREIGN")?).ok();
        let Map::Array(slots) = take(&mut ebpf, "SLOTS")? else {
            return Err("the map SLOTS is no array".into());
        };
        Ok(Self {
            program,
            demands: Mutex::new(demands),
            foreign,
            slots: Slots::map(slots).map_err(reason)?,
            can_absorb: in_the_kernels_time(),
        })
    }

    /// Attaches the filter to a raw socket of protocol 112.
    ///
    /// # Errors
    /// That of setsockopt(2).
    pub fn attach(&self, socket: &impl std::os::fd::AsRawFd) -> io::Result<()> {
        sys::socket::attach_program(socket, self.program.as_fd())
    }

    /// Lets packets of a virtual router pass, which has this slot.
    ///
    /// # Errors
    /// The map is full, which is 16384 routers.
    pub fn admit(
        &self,
        (ifindex, family, vrid): (u32, Family, Vrid),
        demands: Demands,
        slot: u32,
    ) -> io::Result<()> {
        let demand = Demand {
            slot,
            least_ttl: demands.least_ttl,
            versions: match demands.version {
                Version::V2 => 1 << 2,
                Version::V3 => 1 << 3,
            },
            reserved: 0,
        };
        let mut map = self.demands.lock();
        map.insert(key(ifindex, family, vrid), value(demand), 0)
            .map_err(io::Error::other)
    }

    /// Lets nothing of a virtual router pass.
    pub fn refuse(&self, (ifindex, family, vrid): (u32, Family, Vrid)) {
        // Gone already is what was wanted.
        let _gone = self.demands.lock().remove(&key(ifindex, family, vrid));
    }

    /// Packets that were dropped because no virtual router of their interface has their VRID.
    #[must_use]
    pub fn foreign(&self) -> u64 {
        let counts = self.foreign.as_ref().and_then(|map| map.get(&0, 0).ok());
        counts.map_or(0, |counts| counts.iter().sum())
    }

    /// What the filter shares with this process, router by router.
    #[must_use]
    pub const fn slots(&self) -> &Slots {
        &self.slots
    }

    /// Whether repetitions can be kept at all.
    #[must_use]
    pub const fn can_absorb(&self) -> bool {
        self.can_absorb
    }
}

fn program(ebpf: &mut Ebpf) -> Result<OwnedFd, String> {
    let program: &mut SocketFilter = ebpf
        .program_mut("vrrp_filter")
        .ok_or("the object has no filter")?
        .try_into()
        .map_err(reason)?;
    program.load().map_err(reason)?;
    let descriptor = program.fd().map_err(reason)?;
    descriptor.as_fd().try_clone_to_owned().map_err(reason)
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<Map, String> {
    ebpf.take_map(name)
        .ok_or_else(|| format!("the object has no map {name}"))
}

/// An error with its causes, for one line of the log.
fn reason(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    if std::env::var("DBG").is_ok() { eprintln!("{text}"); }
    text.lines().next().unwrap_or_default().to_owned()
}

/// Whether CLOCK_MONOTONIC here is that of the initial time namespace, which is the one that
/// programs see (time_namespaces(7)).
fn in_the_kernels_time() -> bool {
    let Ok(offsets) = std::fs::read_to_string("/proc/self/timens_offsets") else {
        return true;
    };
    let monotonic = offsets.lines().find(|line| line.starts_with("monotonic"));
    monotonic.is_none_or(|line| line.split_whitespace().skip(1).all(|part| part == "0"))
}

fn key(ifindex: u32, family: Family, vrid: Vrid) -> [u8; 8] {
    let key = RouterKey {
        ifindex,
        vrid: vrid.number(),
        family: match family {
            Family::V4 => FAMILY_V4,
            Family::V6 => FAMILY_V6,
        },
        reserved: 0,
    };
    let [a, b, c, d] = key.ifindex.to_ne_bytes();
    let [e, f] = key.reserved.to_ne_bytes();
    [a, b, c, d, key.vrid, key.family, e, f]
}

const fn value(demand: Demand) -> [u8; 8] {
    let [a, b, c, d] = demand.slot.to_ne_bytes();
    let [e, f] = demand.reserved.to_ne_bytes();
    [a, b, c, d, demand.least_ttl, demand.versions, e, f]
}
