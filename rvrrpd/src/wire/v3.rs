//! Fields of version 3 that version 2 does not have (RFC 9568 §5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |Version| Type  | Virtual Rtr ID|   Priority    |IPvX Addr Count|
//! +-------+-------+---------------+---------------+---------------+
//! |Reserve| Max Advertise Interval|          Checksum             |
//! +-------+-----------------------+-------------------------------+
//! |            IPv4 or IPv6 addresses, 4 or 16 bytes each         |
//! +---------------------------------------------------------------+
//! ```

use std::time::Duration;

/// Largest Max Advertise Interval, in centiseconds.
const INTERVAL_MAX: u16 = 0x0fff;

/// The interval field: centiseconds, brought into 1..=4095, with the Reserve bits zero. A
/// configuration outside of that is refused long before (V3-TX-6), so nothing is ever changed
/// here.
pub(super) fn interval_field(interval: Duration) -> u16 {
    u16::try_from(interval.as_millis() / 10)
        .unwrap_or(INTERVAL_MAX)
        .clamp(1, INTERVAL_MAX)
}

/// Centiseconds of an interval field; the Reserve bits are ignored (V3-RX-10).
pub(super) const fn centiseconds(field: [u8; 2]) -> u16 {
    u16::from_be_bytes(field) & INTERVAL_MAX
}

/// What that many centiseconds stand for.
pub(super) const fn interval(centiseconds: u16) -> Duration {
    Duration::from_millis(centiseconds as u64 * 10)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{centiseconds, interval, interval_field};

    #[test]
    fn v3_tx_6_centiseconds() {
        for field in 1..=4095 {
            assert_eq!(interval_field(interval(field)), field);
        }
        assert_eq!(interval(100), Duration::from_secs(1));
        assert_eq!(interval(4095), Duration::from_millis(40_950));
    }

    #[test]
    fn v3_tx_6_never_wraps_into_the_reserve_bits() {
        assert_eq!(interval_field(Duration::ZERO), 1);
        assert_eq!(interval_field(Duration::from_millis(40_960)), 4095);
        assert_eq!(interval_field(Duration::MAX), 4095);
    }

    #[test]
    fn v3_rx_10_reserve_bits_are_ignored() {
        assert_eq!(centiseconds([0xf0, 0x64]), 100);
        assert_eq!(centiseconds([0xff, 0xff]), 4095);
    }
}
