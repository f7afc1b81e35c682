//! Fields of version 2 that version 3 does not have (RFC 3768 §5.1, RFC 2338 §5.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//! +-------+-------+---------------+---------------+---------------+
//! |   Auth Type   |   Adver Int   |          Checksum             |
//! +---------------+---------------+-------------------------------+
//! |                    IPv4 addresses, 4 bytes each               |
//! +---------------------------------------------------------------+
//! |                  Authentication Data, 8 bytes                 |
//! +---------------------------------------------------------------+
//! ```
//!
//! The authentication data are there for every authentication type, also for none.

use std::time::Duration;

/// The interval field: seconds, brought into 1..=255. A configuration outside of that is refused
/// long before (V3-TX-6). Only a router that speaks version 3, too, has fractions, and there is no
/// honest value for them (MIX-2): they are rounded up, so that nobody takes over too early.
pub(super) fn interval_field(interval: Duration) -> u8 {
    let fraction = u64::from(interval.subsec_nanos() > 0);
    let seconds = interval.as_secs().saturating_add(fraction);
    u8::try_from(seconds).unwrap_or(u8::MAX).max(1)
}

/// What an interval field stands for.
pub(super) const fn interval(field: u8) -> Duration {
    Duration::from_secs(field as u64)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{interval, interval_field};

    #[test]
    fn v2_tx_1_seconds() {
        for field in 1..=255 {
            assert_eq!(interval_field(interval(field)), field);
        }
        assert_eq!(interval(3), Duration::from_secs(3));
    }

    /// MIX-2.
    #[test]
    fn mix_2_fractions_are_rounded_up() {
        for (centiseconds, field) in [
            (1, 1),
            (50, 1),
            (99, 1),
            (100, 1),
            (101, 2),
            (150, 2),
            (200, 2),
            (4000, 40),
            (4095, 41),
        ] {
            let interval = Duration::from_millis(centiseconds * 10);
            assert_eq!(interval_field(interval), field, "{interval:?}");
        }
    }

    #[test]
    fn never_wraps() {
        assert_eq!(interval_field(Duration::ZERO), 1);
        assert_eq!(interval_field(Duration::from_secs(256)), 255);
        assert_eq!(interval_field(Duration::MAX), 255);
    }
}
