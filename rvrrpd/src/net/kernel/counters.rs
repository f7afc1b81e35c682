//! Counters that the programs keep for each processor.

use std::fmt;
use std::sync::Arc;

use aya::maps::{Map, MapData, MapError, PerCpuArray};
use rvrrpd_ebpf::Stopped;

/// Sums over all processors. Where the kernel does not tell their number (/sys is not mounted) the
/// counters cannot be read, and are none.
pub(super) struct Counters(PerCpuArray<MapData, u64>);

impl Counters {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        PerCpuArray::try_from(map).map(Self)
    }

    pub(super) fn count(&self, place: u32) -> Option<u64> {
        let counts = self.0.get(&place, 0).ok()?;
        Some(counts.iter().sum())
    }
}

/// Frames that the gate has dropped, answered and noted, for any thread.
#[derive(Clone, Debug)]
pub struct StoppedFrames(pub(super) Arc<Counters>);

/// What operators are told of, by name.
const TOLD: [(&str, Stopped); 5] = [
    ("closed-frames", Stopped::Closed),
    ("refused-packets", Stopped::Refused),
    ("closed-neighbours", Stopped::ClosedNeighbour),
    ("answered-arp", Stopped::AnsweredArp),
    ("answered-nd", Stopped::AnsweredNd),
];

impl StoppedFrames {
    /// What several gates have done together, by name: frames that were dropped because the virtual
    /// router is not Master, packets to a virtual address that accepts none, ARP requests and
    /// neighbour solicitations that were dropped as the first, and those that were answered. What
    /// cannot be read is left out.
    pub fn told<'a>(
        gates: impl Iterator<Item = &'a Self> + Clone,
    ) -> impl Iterator<Item = (&'static str, u64)> {
        TOLD.into_iter().filter_map(move |(name, reason)| {
            let counts = gates.clone().filter_map(|gate| gate.count(reason));
            let sum = counts.reduce(u64::saturating_add);
            Some((name, sum?))
        })
    }

    /// How many for a reason; none where the kernel does not tell the number of its processors.
    #[must_use]
    pub fn count(&self, reason: Stopped) -> Option<u64> {
        self.0.count(reason as u32)
    }
}

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (0..self.0.len()).map(|place| self.count(place));
        f.debug_list().entries(counts).finish()
    }
}
