//! `router_advertisement` of an IPv6 virtual router, with the ranges and defaults of RFC 4861
//! §6.2.1.

use core::time::Duration;
use std::net::{IpAddr, Ipv6Addr};

use super::address;
use super::diagnostic::quoted;
use super::model::RouterAdvertisement;
use super::reader::{Field, Reader};
use super::schema;
use super::tree::{Entry, Value};
use crate::wire::Family;
use crate::wire::ra::{self, DomainName, MOST_PACKET_LEN, Preference, PrefixInformation};

/// MaxRtrAdvInterval in seconds.
const MAX_INTERVAL: core::ops::RangeInclusive<u16> = 4..=1800;
const DEFAULT_MAX_INTERVAL: u16 = 600;
/// MinRtrAdvInterval in seconds: at most three quarters of the former.
const MIN_INTERVAL: core::ops::RangeInclusive<u16> = 3..=1350;
/// Greatest AdvDefaultLifetime in seconds.
const LONGEST_LIFETIME: u16 = 9000;
const DEFAULT_HOP_LIMIT: u8 = 64;
/// Greatest AdvReachableTime in milliseconds.
const LONGEST_REACHABLE_TIME: u32 = 3_600_000;
/// Least MTU of IPv6 (RFC 8200 §5).
const LEAST_MTU: u32 = 1280;
/// Greatest MTU that Linux gives an Ethernet interface.
const GREATEST_MTU: u32 = 65_535;
const DEFAULT_VALID_LIFETIME: u32 = 2_592_000;
const DEFAULT_PREFERRED_LIFETIME: u32 = 604_800;
/// Hosts make addresses of prefixes of this length alone (RFC 4862 §5.5.3, RFC 2464 §4).
const AUTONOMOUS_LENGTH: u8 = 64;

/// Most elements of a list; fewer fit into one packet.
const MOST_ELEMENTS: usize = 64;

/// Reads the table; `family` is none when `vip` is wrong.
pub(super) fn router_advertisement(
    reader: &mut Reader<'_, '_>,
    family: Option<Family>,
) -> Option<RouterAdvertisement> {
    const KEY: &str = "router_advertisement";
    let Field::Given { value, line } = reader.table(KEY) else {
        return None;
    };
    if family == Some(Family::V4) {
        let message = "is for IPv6, allowed: only with IPv6 addresses in vip";
        reader.error(line, KEY, message);
        return None;
    }
    let findings = reader.findings();
    let schema = &schema::ROUTER_ADVERTISEMENT;
    let table = &mut Reader::new(schema, "router_advertisement.", line, value, findings);
    let (min_interval, max_interval) = intervals(table);
    let thrice = u32::from(max_interval) * 3;
    let lifetime = lifetime(table, max_interval);
    let rdnss = rdnss(table);
    let dnssl = dnssl(table);
    let dns_lifetime = table.integer("dns_lifetime", 0..=u32::MAX);
    if let Field::Given { value, line } = dns_lifetime {
        if rdnss.is_empty() && dnssl.is_empty() {
            let message = "has no meaning here, allowed: only together with rdnss or dnssl";
            table.error(line, "dns_lifetime", message);
        } else if (1..u32::from(max_interval)).contains(&value) {
            let message = format!(
                "ends before the next router advertisement must come, {max_interval} s later"
            );
            table.warn(line, "dns_lifetime", message);
        }
    }
    let content = ra::RouterAdvertisement {
        hop_limit: table
            .integer("hop_limit", 0..=u8::MAX)
            .or(DEFAULT_HOP_LIMIT),
        managed: table.boolean("managed").or(false),
        other: table.boolean("other").or(false),
        preference: preference(table, lifetime),
        lifetime,
        reachable_time: table
            .integer("reachable_time", 0..=LONGEST_REACHABLE_TIME)
            .or(0),
        retrans_timer: table.integer("retrans_timer", 0..=u32::MAX).or(0),
        mtu: table.integer("mtu", LEAST_MTU..=GREATEST_MTU).given(),
        prefixes: prefixes(table),
        rdnss,
        dnssl,
        dns_lifetime: dns_lifetime.or(thrice),
    };
    let len = content.packet_len();
    if len > MOST_PACKET_LEN {
        let message = format!(
            "has {len} bytes with all its prefixes, servers and domains, allowed: at most \
             {MOST_PACKET_LEN}"
        );
        reader.error(line, KEY, message);
    }
    Some(RouterAdvertisement {
        content,
        min_interval,
        max_interval: Duration::from_secs(max_interval.into()),
    })
}

/// MinRtrAdvInterval and MaxRtrAdvInterval, the latter in seconds.
fn intervals(table: &mut Reader<'_, '_>) -> (Duration, u16) {
    let max = table
        .integer("max_interval", MAX_INTERVAL)
        .or(DEFAULT_MAX_INTERVAL);
    let seconds = |seconds: u16| Duration::from_secs(seconds.into());
    let min = match table.integer("min_interval", MIN_INTERVAL) {
        Field::Given { value, line } => {
            if u32::from(value) * 4 > u32::from(max) * 3 {
                let message = format!(
                    "{value} is more than three quarters of max_interval ({max}), allowed: 3..{}",
                    u32::from(max) * 3 / 4
                );
                table.error(line, "min_interval", message);
            }
            seconds(value)
        }
        // RFC 4861 §6.2.1 with its erratum 3154: with a short interval a third is too little.
        Field::Absent | Field::Wrong if max < 9 => seconds(max) * 3 / 4,
        Field::Absent | Field::Wrong => {
            (seconds(max) * 33 / 100).max(seconds(*MIN_INTERVAL.start()))
        }
    };
    (min, max)
}

/// AdvDefaultLifetime.
fn lifetime(table: &mut Reader<'_, '_>, max_interval: u16) -> u16 {
    let default = max_interval * 3;
    let Field::Given { value, line } = table.integer("lifetime", 0..=LONGEST_LIFETIME) else {
        return default;
    };
    if value > 0 && value < max_interval {
        let message = format!(
            "{value} is less than max_interval, allowed: 0, or {max_interval}..{LONGEST_LIFETIME}"
        );
        table.error(line, "lifetime", message);
    }
    value
}

/// RFC 4191 §2.2: who is no default router has no preference.
fn preference(table: &mut Reader<'_, '_>, lifetime: u16) -> Preference {
    let choices = [
        ("low", Preference::Low),
        ("medium", Preference::Medium),
        ("high", Preference::High),
    ];
    let Field::Given { value, line } = table.choice("preference", &choices) else {
        return Preference::Medium;
    };
    if lifetime == 0 && value != Preference::Medium {
        let message = "has no meaning with lifetime = 0, allowed: medium";
        table.error(line, "preference", message);
    }
    value
}

fn rdnss(table: &mut Reader<'_, '_>) -> Vec<Ipv6Addr> {
    let Field::Given { value, .. } = table.strings("rdnss") else {
        return Vec::new();
    };
    let mut servers = Vec::with_capacity(value.len());
    for (line, text) in few(table, "rdnss", value) {
        let server = address::unicast(text).and_then(|address| match address {
            IpAddr::V6(address) if servers.contains(&address) => {
                Err(format!("{address} stands twice, allowed: once"))
            }
            IpAddr::V6(address) => Ok(address),
            IpAddr::V4(_) => Err(format!("{address} is IPv4, allowed: IPv6 addresses")),
        });
        match server {
            Ok(server) => servers.push(server),
            Err(message) => table.error(line, "rdnss", message),
        }
    }
    servers
}

/// The list, if it is not far longer than what fits.
fn few<'t>(
    table: &mut Reader<'_, '_>,
    key: &str,
    list: Vec<(u32, &'t str)>,
) -> Vec<(u32, &'t str)> {
    if list.len() > MOST_ELEMENTS {
        let message = format!(
            "has {} elements, allowed: at most {MOST_ELEMENTS}",
            list.len()
        );
        table.error(table.line_of(key).unwrap_or(0), key, message);
        return Vec::new();
    }
    list
}

fn dnssl(table: &mut Reader<'_, '_>) -> Vec<DomainName> {
    let Field::Given { value, .. } = table.strings("dnssl") else {
        return Vec::new();
    };
    let mut domains = Vec::with_capacity(value.len());
    for (line, text) in few(table, "dnssl", value) {
        match DomainName::new(text) {
            Some(domain) => domains.push(domain),
            None => {
                let message = format!(
                    "{} is no domain name, allowed: labels of 1 to 63 letters, digits, - and _ \
                     with dots between them, at most 253 bytes",
                    quoted(text)
                );
                table.error(line, "dnssl", message);
            }
        }
    }
    domains
}

/// Each prefix is a string, or a table with more to say.
fn prefixes(table: &mut Reader<'_, '_>) -> Vec<PrefixInformation> {
    let Some(entry) = table.entry("prefixes") else {
        return Vec::new();
    };
    let nodes = match &entry.node.value {
        Value::String(_) => std::slice::from_ref(&entry.node),
        Value::Array(nodes) => nodes.as_slice(),
        _ => {
            table.wrong_type(entry.line, "prefixes", &entry.node);
            return Vec::new();
        }
    };
    if nodes.len() > MOST_ELEMENTS {
        let message = format!(
            "has {} elements, allowed: at most {MOST_ELEMENTS}",
            nodes.len()
        );
        table.error(entry.line, "prefixes", message);
        return Vec::new();
    }
    let mut prefixes: Vec<PrefixInformation> = Vec::new();
    for node in nodes {
        let read = match &node.value {
            Value::String(text) => {
                let read = prefix(table, "prefixes", text, node.line);
                if let Some(read) = &read {
                    warn_of_length(table, "prefixes", node.line, read.length);
                }
                read
            }
            Value::Table(entries) => prefix_table(table, node.line, entries),
            _ => {
                table.wrong_type(node.line, "prefixes", node);
                None
            }
        };
        let Some(read) = read else {
            continue;
        };
        let is_known =
            |known: &PrefixInformation| (known.prefix, known.length) == (read.prefix, read.length);
        if prefixes.iter().any(is_known) {
            let PrefixInformation { prefix, length, .. } = read;
            let message = format!("{prefix}/{length} stands twice, allowed: once");
            table.error(node.line, "prefixes", message);
        }
        prefixes.push(read);
    }
    prefixes
}

/// `ADDR/PREFIX` with the defaults of RFC 4861 §6.2.1.
fn prefix(
    reader: &mut Reader<'_, '_>,
    key: &str,
    text: &str,
    line: u32,
) -> Option<PrefixInformation> {
    let read = address::split(text).and_then(|(prefix, length)| {
        let prefix = match address::unicast(prefix)? {
            IpAddr::V6(prefix) => prefix,
            IpAddr::V4(_) => return Err(format!("{} is IPv4, allowed: IPv6", quoted(text))),
        };
        let length = length.ok_or_else(|| {
            let allowed = "allowed: ADDR/PREFIX such as 2001:db8:1::/64";
            format!("{} has no prefix length, {allowed}", quoted(text))
        })?;
        let length = address::prefix_length(length, 1, address::bits(Family::V6))?;
        if prefix.is_unicast_link_local() {
            return Err(format!("{prefix} is link-local, allowed: another prefix"));
        }
        let host_bits = u128::MAX.checked_shr(length.into()).unwrap_or(0);
        if prefix.to_bits() & host_bits != 0 {
            let network = Ipv6Addr::from_bits(prefix.to_bits() & !host_bits);
            return Err(format!(
                "{} has bits behind its length, allowed: {network}/{length}",
                quoted(text)
            ));
        }
        Ok((prefix, length))
    });
    match read {
        Ok((prefix, length)) => Some(PrefixInformation {
            prefix,
            length,
            on_link: true,
            autonomous: true,
            valid_lifetime: DEFAULT_VALID_LIFETIME,
            preferred_lifetime: DEFAULT_PREFERRED_LIFETIME,
        }),
        Err(message) => {
            reader.error(line, key, message);
            None
        }
    }
}

fn warn_of_length(reader: &mut Reader<'_, '_>, key: &str, line: u32, length: u8) {
    if length != AUTONOMOUS_LENGTH {
        let message = format!(
            "hosts make no addresses of a /{length}, only of a /{AUTONOMOUS_LENGTH}; \
             autonomous = false says so"
        );
        reader.warn(line, key, message);
    }
}

fn prefix_table(
    table: &mut Reader<'_, '_>,
    line: u32,
    entries: &[Entry<'_>],
) -> Option<PrefixInformation> {
    let schema = &schema::PREFIXES;
    let name = "router_advertisement.prefixes.";
    let one = &mut Reader::new(schema, name, line, entries, table.findings());
    let on_link = one.boolean("on_link").or(true);
    let autonomous = one.boolean("autonomous").or(true);
    let valid_lifetime = one
        .integer("valid_lifetime", 0..=u32::MAX)
        .or(DEFAULT_VALID_LIFETIME);
    let preferred_lifetime = match one.integer("preferred_lifetime", 0..=u32::MAX) {
        Field::Given { value, line } => {
            if value > valid_lifetime {
                let message =
                    format!("{value} is more than valid_lifetime, allowed: 0..{valid_lifetime}");
                one.error(line, "preferred_lifetime", message);
            }
            value
        }
        Field::Absent | Field::Wrong => DEFAULT_PREFERRED_LIFETIME.min(valid_lifetime),
    };
    let (text, line) = match one.string("prefix") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return None,
        Field::Absent => {
            one.missing("prefix");
            return None;
        }
    };
    let read = prefix(one, "prefix", text, line)?;
    if autonomous {
        warn_of_length(one, "prefix", line, read.length);
    }
    Some(PrefixInformation {
        on_link,
        autonomous,
        valid_lifetime,
        preferred_lifetime,
        ..read
    })
}
