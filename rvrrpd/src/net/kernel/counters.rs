//! Counters that the programs keep for each processor.

use std::fmt;

use aya::maps::{Map, MapData, MapError, PerCpuArray};

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

impl fmt::Debug for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = (0..self.0.len()).map(|place| self.count(place));
        f.debug_list().entries(counts).finish()
    }
}
