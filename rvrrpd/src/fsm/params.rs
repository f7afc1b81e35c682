//! What the state machine knows of the configuration, and the times that follow from it.

use core::time::Duration;
use std::net::IpAddr;

use super::Beat;
use crate::wire::{PRIORITY_OWNER, Version};

/// Parameters of one virtual router (RFC 9568 §6.1). What a Master's timer takes comes first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Params {
    /// Own advertisement interval.
    pub interval: Duration,
    /// When it advertises as Master, among those with the same interval.
    pub beat: Beat,
    /// Version spoken: it decides whether the Master's interval is learned and how skew scales.
    /// Who speaks both goes by version 3, also after a Master of version 2 (MIX-1).
    pub version: Version,
    /// Effective priority, 1..=255; 255 owns the addresses.
    pub priority: u8,
    /// Preempt_Mode.
    pub preempt: bool,
    /// How long a lower-priority Master is tolerated before it is preempted (RFC 8347
    /// `hold-time`).
    pub preempt_delay: Duration,
    /// How long the router waits in Init after it became ready for the first time.
    pub startup_delay: Duration,
    /// Source of our advertisements, which breaks ties (RFC 9568 §6.4.3).
    pub source: IpAddr,
}

impl Params {
    /// Whether this router owns the virtual addresses.
    #[must_use]
    pub const fn is_owner(&self) -> bool {
        self.priority == PRIORITY_OWNER
    }

    /// Skew_Time: (256 − priority)/256 of a second in version 2 (RFC 3768 §6.1), of the Master's
    /// interval in version 3 (RFC 9568 §6.1). Kept in microseconds: in whole centiseconds all
    /// priorities would tie at short intervals.
    #[must_use]
    pub fn skew(&self, master_interval: Duration) -> Duration {
        let base = match self.version {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => master_interval,
        };
        base * (256 - u32::from(self.priority)) / 256
    }

    /// Active_Down_Interval (Master_Down_Interval): three intervals of the Master and the skew.
    #[must_use]
    pub fn down_interval(&self, master_interval: Duration) -> Duration {
        3 * master_interval + self.skew(master_interval)
    }
}
