//! An address that one thread writes and any thread reads, without a lock and without memory of its
//! own: a sequence lock.

use core::sync::atomic::{AtomicU8, AtomicU64, Ordering, fence};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address, or none yet.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// Odd while the others are written.
    version: AtomicU64,
    kind: AtomicU8,
    high: AtomicU64,
    low: AtomicU64,
}

const NONE: u8 = 0;
const IPV4: u8 = 4;
const IPV6: u8 = 6;

impl Source {
    /// Writes an address. Of all threads one alone may do so.
    pub(super) fn set(&self, address: IpAddr) {
        let (kind, bits) = match address {
            IpAddr::V4(address) => (IPV4, u128::from(address.to_bits())),
            IpAddr::V6(address) => (IPV6, address.to_bits()),
        };
        let (high, low) = halves(bits);
        let is_known = self.kind.load(Ordering::Relaxed) == kind
            && self.high.load(Ordering::Relaxed) == high
            && self.low.load(Ordering::Relaxed) == low;
        if is_known {
            return;
        }
        let version = self.version.load(Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.kind.store(kind, Ordering::Relaxed);
        self.high.store(high, Ordering::Relaxed);
        self.low.store(low, Ordering::Relaxed);
        self.version
            .store(version.wrapping_add(2), Ordering::Release);
    }

    /// The address that was written last.
    pub(super) fn address(&self) -> Option<IpAddr> {
        loop {
            let version = self.version.load(Ordering::Acquire);
            let kind = self.kind.load(Ordering::Relaxed);
            let high = self.high.load(Ordering::Relaxed);
            let low = self.low.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                return address(kind, high, low);
            }
            core::hint::spin_loop();
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each is one half")]
const fn halves(bits: u128) -> (u64, u64) {
    ((bits >> 64) as u64, bits as u64)
}

fn address(kind: u8, high: u64, low: u64) -> Option<IpAddr> {
    let bits = u128::from(high) << 64 | u128::from(low);
    match kind {
        NONE => None,
        IPV4 => u32::try_from(bits)
            .ok()
            .map(|bits| Ipv4Addr::from_bits(bits).into()),
        _ => Some(Ipv6Addr::from_bits(bits).into()),
    }
}

#[cfg(test)]
mod tests {
    use core::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn reads_as_written() {
        let source = Source::default();
        assert_eq!(source.address(), None);
        for address in [
            "192.0.2.1",
            "fe80::1",
            "ff02::12",
            "0.0.0.0",
            "::",
            "::c000:201",
        ] {
            let address: IpAddr = address.parse().unwrap();
            source.set(address);
            assert_eq!(source.address(), Some(address));
        }
    }

    /// Whatever a reader sees was written as a whole.
    #[test]
    fn nobody_reads_halves() {
        let source = Source::default();
        let both: [IpAddr; 2] = [
            Ipv6Addr::from_bits(u128::MAX).into(),
            Ipv4Addr::from_bits(0).into(),
        ];
        source.set(both[0]);
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..200_000 {
                    source.set(both[turn % 2]);
                }
                done.store(true, Ordering::Relaxed);
            });
            while !done.load(Ordering::Relaxed) {
                let seen = source.address().unwrap();
                assert!(both.contains(&seen), "{seen}");
            }
        });
    }
}
