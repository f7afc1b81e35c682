//! `router_advertisement` of a virtual router in `/config/vrouter`, as it may be sent back.

use core::time::Duration;
use std::net::Ipv6Addr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::config::model::RouterAdvertisement;
use crate::wire::ra::{Preference, PrefixInformation};

/// `router_advertisement`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConfigRouterAdvertisement {
    prefixes: Vec<ConfigPrefix>,
    /// Seconds.
    lifetime: u16,
    /// Seconds.
    max_interval: u64,
    /// Seconds; null for the default where that is no whole number.
    min_interval: Option<u64>,
    managed: bool,
    other: bool,
    preference: &'static str,
    hop_limit: u8,
    /// Milliseconds.
    reachable_time: u32,
    /// Milliseconds.
    retrans_timer: u32,
    mtu: Option<u32>,
    /// Null for none.
    #[schema(value_type = Option<Vec<String>>)]
    rdnss: Option<Vec<Ipv6Addr>>,
    /// Null for none.
    dnssl: Option<Vec<String>>,
    /// Seconds; null without `rdnss` and `dnssl`.
    dns_lifetime: Option<u32>,
}

/// A prefix of `router_advertisement`
#[derive(Debug, Serialize, ToSchema)]
struct ConfigPrefix {
    /// `ADDR/PREFIX`
    prefix: String,
    on_link: bool,
    autonomous: bool,
    /// Seconds.
    valid_lifetime: u32,
    /// Seconds.
    preferred_lifetime: u32,
}

impl ConfigRouterAdvertisement {
    pub(super) fn of(configured: &RouterAdvertisement) -> Self {
        let said = &configured.content;
        let names = said.dnssl.iter().map(ToString::to_string);
        let has_dns = !said.rdnss.is_empty() || !said.dnssl.is_empty();
        Self {
            prefixes: said.prefixes.iter().map(ConfigPrefix::of).collect(),
            lifetime: said.lifetime,
            max_interval: configured.max_interval.as_secs(),
            min_interval: whole_seconds(configured.min_interval),
            managed: said.managed,
            other: said.other,
            preference: match said.preference {
                Preference::Low => "low",
                Preference::Medium => "medium",
                Preference::High => "high",
            },
            hop_limit: said.hop_limit,
            reachable_time: said.reachable_time,
            retrans_timer: said.retrans_timer,
            mtu: said.mtu,
            rdnss: (!said.rdnss.is_empty()).then(|| said.rdnss.clone()),
            dnssl: (!said.dnssl.is_empty()).then(|| names.collect()),
            dns_lifetime: has_dns.then_some(said.dns_lifetime),
        }
    }
}

impl ConfigPrefix {
    fn of(prefix: &PrefixInformation) -> Self {
        Self {
            prefix: format!("{}/{}", prefix.prefix, prefix.length),
            on_link: prefix.on_link,
            autonomous: prefix.autonomous,
            valid_lifetime: prefix.valid_lifetime,
            preferred_lifetime: prefix.preferred_lifetime,
        }
    }
}

fn whole_seconds(duration: Duration) -> Option<u64> {
    (duration.subsec_nanos() == 0).then_some(duration.as_secs())
}
