//! Routes: `routes` of a virtual router and `[[protocols.static]]`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address;
use super::diagnostic::{Findings, quoted};
use super::model::Route;
use super::reader::{Field, Reader};
use super::schema::Table;
use super::tree::Entry;
use crate::wire::Family;

/// Routing table of a route that names none (`main`).
const MAIN_TABLE: u32 = 254;
/// Smallest MTU of a route, RFC 791 §3.2.
const SMALLEST_MTU: u32 = 68;
/// Least MTU of IPv6 (RFC 8200 §5).
const LEAST_IPV6_MTU: u32 = 1280;
/// Largest MTU of a route in bytes.
const LARGEST_MTU: u32 = 65_535;

/// The routes of a list of tables; those that are wrong are reported and left out.
pub(super) fn routes(
    schema: &'static Table,
    prefix: &'static str,
    tables: Vec<(u32, &[Entry<'_>])>,
    findings: &mut Findings,
) -> Vec<Route> {
    let mut first_lines = HashMap::new();
    let mut routes = Vec::with_capacity(tables.len());
    for (line, entries) in tables {
        let mut reader = Reader::new(schema, prefix, line, entries, findings);
        let Some(route) = route(&mut reader) else {
            continue;
        };
        let identity = (route.destination, route.prefix, route.metric, route.table);
        if let Some(first) = first_lines.get(&identity) {
            let place = reader.place(*first);
            reader.error(
                line,
                "route",
                format!(
                    "the route to {}/{} stands in {place} already, allowed: once for each \
                     metric and table",
                    route.destination, route.prefix
                ),
            );
        } else {
            first_lines.insert(identity, line);
            routes.push(route);
        }
    }
    routes
}

fn route(reader: &mut Reader<'_, '_>) -> Option<Route> {
    let destination = destination(reader);
    let next_hop = next_hop(reader, destination.map(|(destination, _)| destination));
    let metric = reader.integer("metric", 0..=u32::MAX).or(0);
    let mtu = mtu(reader, matches!(destination, Some((IpAddr::V6(_), _))));
    let table = if reader.is_known("table") {
        reader.integer("table", 1..=u32::MAX).or(MAIN_TABLE)
    } else {
        MAIN_TABLE
    };
    let (destination, prefix) = destination?;
    Some(Route {
        destination,
        prefix,
        next_hop: next_hop?,
        metric,
        mtu: mtu?,
        table,
    })
}

/// Network and prefix length, from `route` with one of `/PREFIX`, `prefix` and `mask`.
fn destination(reader: &mut Reader<'_, '_>) -> Option<(IpAddr, u8)> {
    let mask = reader.string("mask");
    let length = reader.integer("prefix", 0..=128_u8);
    let (text, line) = match reader.string("route") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return None,
        Field::Absent => {
            reader.missing("route");
            return None;
        }
    };
    let network =
        address::split(text).and_then(|(network, suffix)| Ok((address::address(network)?, suffix)));
    let (network, suffix) = match network {
        Ok(parts) => parts,
        Err(message) => {
            reader.error(line, "route", message);
            return None;
        }
    };
    let family = address::family_of(network);
    let most = address::bits(family);
    let found = match (suffix, &mask, &length) {
        (_, Field::Wrong, _) | (_, _, Field::Wrong) => return None,
        (Some(suffix), Field::Absent, Field::Absent) => {
            address::prefix_length(suffix, 0, most).map_err(|message| (line, "route", message))
        }
        (None, Field::Given { value, line }, Field::Absent) => {
            mask_length(value, family).map_err(|message| (*line, "mask", message))
        }
        (None, Field::Absent, Field::Given { value, line }) if *value > most => Err((
            *line,
            "prefix",
            format!("{value} is out of range, allowed: 0..{most}"),
        )),
        (None, Field::Absent, Field::Given { value, .. }) => Ok(*value),
        // What the API shows has both.
        (None, Field::Given { value: mask, .. }, Field::Given { value: length, .. })
            if mask_length(mask, family) == Ok(*length) =>
        {
            Ok(*length)
        }
        (None, Field::Absent, Field::Absent) => Err((
            line,
            "route",
            "has no prefix length, allowed: ADDR/PREFIX, or mask or prefix beside it".to_owned(),
        )),
        _ => Err((
            line,
            "route",
            "has more than one prefix length, allowed: one of /PREFIX, mask and prefix, or a \
             mask and a prefix of the same length"
                .to_owned(),
        )),
    };
    let length = match found {
        Ok(length) => length,
        Err((line, key, message)) => {
            reader.error(line, key, message);
            return None;
        }
    };
    let base = masked(network, length);
    if base != network {
        reader.error(
            line,
            "route",
            format!("{network}/{length} has host bits set, allowed: the network {base}/{length}"),
        );
        return None;
    }
    Some((network, length))
}

/// Number of leading ones of a dotted quad that has no others.
fn mask_length(text: &str, family: Family) -> Result<u8, String> {
    if family == Family::V6 {
        return Err("is for IPv4 alone, allowed: prefix".to_owned());
    }
    let mask: u32 = text
        .parse::<Ipv4Addr>()
        .map_err(|_| {
            format!(
                "{} is no mask, allowed: a dotted quad such as 255.255.255.0",
                quoted(text)
            )
        })?
        .to_bits();
    let length = mask.leading_ones();
    if mask.count_ones() == length {
        Ok(u8::try_from(length).unwrap_or(32))
    } else {
        Err(format!(
            "{} has gaps, allowed: ones followed by zeros, such as 255.255.255.0",
            quoted(text)
        ))
    }
}

/// The network of an address.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

fn next_hop(reader: &mut Reader<'_, '_>, destination: Option<IpAddr>) -> Option<IpAddr> {
    let (text, line) = match reader.string("nh") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return None,
        Field::Absent => {
            reader.missing("nh");
            return None;
        }
    };
    let next_hop = match address::unicast(text) {
        Ok(next_hop) => next_hop,
        Err(message) => {
            reader.error(line, "nh", message);
            return None;
        }
    };
    let family = address::family_of(destination?);
    if address::family_of(next_hop) != family {
        reader.error(
            line,
            "nh",
            format!(
                "{next_hop} is of another family than the route, allowed: {}",
                address::family_name(family)
            ),
        );
        return None;
    }
    if matches!(next_hop, IpAddr::V6(address) if address.is_unicast_link_local()) {
        reader.error(
            line,
            "nh",
            format!("{next_hop} does not tell the interface, allowed: no link-local address"),
        );
        return None;
    }
    Some(next_hop)
}

fn mtu(reader: &mut Reader<'_, '_>, ipv6: bool) -> Option<u32> {
    match reader.integer("mtu", 0..=LARGEST_MTU) {
        Field::Absent => Some(0),
        Field::Wrong => None,
        Field::Given { value, line } if (1..SMALLEST_MTU).contains(&value) => {
            let allowed = reader.allowed("mtu");
            reader.error(
                line,
                "mtu",
                format!("{value} is out of range, allowed: {allowed}"),
            );
            None
        }
        Field::Given { value, line } if ipv6 && (1..LEAST_IPV6_MTU).contains(&value) => {
            let message = format!(
                "{value} is too small for IPv6, allowed: 0 or {LEAST_IPV6_MTU}..{LARGEST_MTU}"
            );
            reader.error(line, "mtu", message);
            None
        }
        Field::Given { value, .. } => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_contiguous() {
        assert_eq!(mask_length("0.0.0.0", Family::V4), Ok(0));
        assert_eq!(mask_length("255.255.255.255", Family::V4), Ok(32));
        assert_eq!(mask_length("255.255.254.0", Family::V4), Ok(23));
        assert!(
            mask_length("255.0.255.0", Family::V4)
                .unwrap_err()
                .contains("gaps")
        );
        assert!(
            mask_length("0.0.0.255", Family::V4)
                .unwrap_err()
                .contains("gaps")
        );
        assert!(
            mask_length("24", Family::V4)
                .unwrap_err()
                .contains("no mask")
        );
    }

    #[test]
    fn networks_of_all_lengths() {
        let address = "203.0.113.255".parse().unwrap();
        assert_eq!(masked(address, 0), "0.0.0.0".parse::<IpAddr>().unwrap());
        assert_eq!(
            masked(address, 25),
            "203.0.113.128".parse::<IpAddr>().unwrap()
        );
        assert_eq!(masked(address, 32), address);
        let address = "2001:db8::ffff".parse().unwrap();
        assert_eq!(masked(address, 0), "::".parse::<IpAddr>().unwrap());
        assert_eq!(masked(address, 64), "2001:db8::".parse::<IpAddr>().unwrap());
        assert_eq!(masked(address, 128), address);
    }
}
