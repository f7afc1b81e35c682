//! The numbers that the gate has for interfaces.

use std::fmt;
use std::io;

use aya::maps::{Array, HashMap, Map, MapData, MapError};
use rvrrpd_ebpf::NUMBERS;

use super::io_error;
use super::states::Place;

/// Numbers of the interfaces for the program, which looks into a table first, where the rest of the
/// index by its size is the place, and asks a hash only if another interface has the place.
pub(super) struct Interfaces {
    numbers: HashMap<MapData, u32, u32>,
    /// The index in the high half, the number in the low one; 0 for nobody.
    direct: Array<MapData, u64>,
}

impl Interfaces {
    pub(super) fn new(numbers: Map, direct: Map) -> Result<Self, MapError> {
        Ok(Self {
            numbers: HashMap::try_from(numbers)?,
            direct: Array::try_from(direct)?,
        })
    }

    pub(super) fn insert(&mut self, ifindex: u32, place: Place) -> io::Result<()> {
        self.numbers
            .insert(ifindex, place.0, 0)
            .map_err(|error| io_error(&error))?;
        if self.at(ifindex)? == 0 {
            let word = u64::from(ifindex) << 32 | u64::from(place.0);
            self.set(ifindex, word)?;
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, ifindex: u32) {
        let _never_there = self.numbers.remove(&ifindex);
        if self
            .at(ifindex)
            .is_ok_and(|word| word >> 32 == u64::from(ifindex))
        {
            // The place is in the table.
            let _infallible = self.set(ifindex, 0);
        }
    }

    fn at(&self, ifindex: u32) -> io::Result<u64> {
        let word = self.direct.get(&(ifindex % NUMBERS), 0);
        word.map_err(|error| io_error(&error))
    }

    fn set(&mut self, ifindex: u32, word: u64) -> io::Result<()> {
        self.direct
            .set(ifindex % NUMBERS, word, 0)
            .map_err(|error| io_error(&error))
    }
}

impl fmt::Debug for Interfaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers.iter().filter_map(Result::ok);
        f.debug_map().entries(numbers).finish()
    }
}
