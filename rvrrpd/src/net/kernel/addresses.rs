//! The virtual addresses of which the gate knows something.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use aya::maps::{HashMap, Map, MapData, MapError};
use rvrrpd_ebpf::{ANSWERED, Address, AddressKey, MAPPED, REFUSED};

use super::io_error;

/// Words of an [`AddressKey`] and of an [`Address`].
type Key = [u32; 5];
type Value = [u32; 2];

/// The map `ADDRESSES`, for all interfaces.
#[derive(Debug)]
pub(super) struct Addresses(HashMap<MapData, Key, Value>);

/// What the map has of one interface.
#[derive(Debug, Default)]
pub(super) struct Known {
    addresses: BTreeMap<IpAddr, Address>,
    /// Numbers of those with each flag.
    pub(super) refused: u64,
    pub(super) answered: u64,
}

impl Known {
    /// What is known of an address.
    pub(super) fn of(&self, address: IpAddr) -> Option<Address> {
        self.addresses.get(&address).copied()
    }

    fn count(&mut self, flags: u32, change: fn(u64, u64) -> u64) {
        self.refused = change(self.refused, u64::from(flags & REFUSED != 0));
        self.answered = change(self.answered, u64::from(flags & ANSWERED != 0));
    }
}

impl Addresses {
    pub(super) fn new(map: Map) -> Result<Self, MapError> {
        HashMap::try_from(map).map(Self)
    }

    /// Puts an address in, in place of what was known of it.
    pub(super) fn put(
        &mut self,
        ifindex: u32,
        known: &mut Known,
        address: IpAddr,
        what: Address,
    ) -> io::Result<()> {
        let before = known.of(address);
        if before == Some(what) {
            return Ok(());
        }
        self.0
            .insert(key(ifindex, address), [what.place, what.flags], 0)
            .map_err(|error| io_error(&error))?;
        known.addresses.insert(address, what);
        known.count(before.map_or(0, |before| before.flags), u64::wrapping_sub);
        known.count(what.flags, u64::wrapping_add);
        Ok(())
    }

    /// Takes an address out.
    pub(super) fn remove(&mut self, ifindex: u32, known: &mut Known, address: IpAddr) {
        if let Some(before) = known.addresses.remove(&address) {
            known.count(before.flags, u64::wrapping_sub);
            let _gone = self.0.remove(&key(ifindex, address));
        }
    }

    /// Takes all addresses of an interface out.
    pub(super) fn clear(&mut self, ifindex: u32, known: &Known) {
        for address in known.addresses.keys() {
            let _gone = self.0.remove(&key(ifindex, *address));
        }
    }
}

/// An [`AddressKey`] as words.
fn key(ifindex: u32, address: IpAddr) -> Key {
    let address = match address {
        IpAddr::V4(address) => {
            let [a, b, c] = MAPPED;
            [a, b, c, u32::from_ne_bytes(address.octets())]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            core::array::from_fn(|word| {
                u32::from_ne_bytes(core::array::from_fn(|byte| octets[word * 4 + byte]))
            })
        }
    };
    let AddressKey {
        address: [a, b, c, d],
        ifindex,
    } = AddressKey { address, ifindex };
    [a, b, c, d, ifindex]
}
