//! One `[[vrouter]]`: its keys, and the rules between its own keys.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use super::address;
use super::diagnostic::{Findings, quoted};
use super::model::{
    Auth, ChecksumPolicy, FilterType, InterfaceType, NetworkDriver, Protocol, Vip, VirtualRouter,
};
use super::reader::{Field, Reader};
use super::route;
use super::router_advertisement;
use super::schema;
use super::secret;
use super::tree::{Entry, Value};
use super::unicast;
use crate::wire::auth::TRAILER_LEN;
use crate::wire::{Family, Vrid};

/// Most addresses of a virtual router: the count has 8 bits (TX-10).
const MOST_VIPS: usize = 255;
/// MTU of Ethernet in bytes; an advertisement is one packet (TX-10).
const MTU: usize = 1500;
/// IPv6 header and fixed part of the message in bytes, RFC 8200 §3 and RFC 9568 §5.2.
const V6_OVERHEAD: usize = 40 + 8;
/// Most IPv6 addresses where a trailer follows them (TX-10).
const MOST_VIPS_V6_WITH_TRAILER: usize = (MTU - V6_OVERHEAD - TRAILER_LEN) / 16;
/// Longest `preempt_delay` and `startup_delay` in seconds.
const LONGEST_DELAY: u32 = 3600;
/// Longest name of a virtual router.
const LONGEST_NAME: usize = 31;
/// Most routes of a list.
pub(super) const MOST_ROUTES: usize = 65_536;

/// A virtual router whose name and `vifname` have not been compared with those of others.
#[derive(Debug)]
pub(super) struct Draft {
    /// The router; `vifname` is empty when the file gives none.
    pub(super) router: VirtualRouter,
    /// Where its keys stand.
    pub(super) lines: Lines,
}

/// Lines of the keys that other virtual routers are compared with.
#[derive(Debug)]
pub(super) struct Lines {
    /// The table.
    pub(super) table: u32,
    /// `group`.
    pub(super) group: u32,
    /// `iftype`, or `interface` when it is absent.
    pub(super) iftype: u32,
    /// `name`, or the table when it is absent.
    pub(super) name: u32,
    /// `vifname`, or the table when it is absent.
    pub(super) vifname: u32,
    /// `version`, or the table when it is absent.
    pub(super) version: u32,
    /// Each element of `vip`.
    pub(super) vips: Vec<u32>,
}

/// Reads one `[[vrouter]]`; none when it lacks what identifies a virtual router. Everything that
/// is wrong is in `findings`.
pub(super) fn draft(line: u32, entries: &[Entry<'_>], findings: &mut Findings) -> Option<Draft> {
    let mut reader = Reader::new(&schema::VROUTER, "", line, entries, findings);
    let reader = &mut reader;
    let group = group(reader);
    let interface = interface(reader);
    let netns = netns(reader);
    let (family, vips) = vips(reader);
    let protocol = protocol(reader, family);
    let name = name(reader);
    let vifname = vifname(reader);
    let primary = primary(reader, family);
    let addresses: Vec<Vip> = vips.iter().flatten().map(|(vip, _)| *vip).collect();
    let unicast = unicast::unicast(reader, family, &addresses, primary);
    let router_advertisement = router_advertisement::router_advertisement(reader, family);
    let priority = priority(reader);
    let interval = interval(reader, protocol);
    let auth = secret::auth(reader, protocol);
    if let (Some(Family::V6), Auth::HmacSha256(_), Some(vips)) = (family, &auth, &vips)
        && vips.len() > MOST_VIPS_V6_WITH_TRAILER
    {
        let most = MOST_VIPS_V6_WITH_TRAILER;
        let message = format!(
            "{} addresses, allowed: at most {most} with hmac-sha256",
            vips.len()
        );
        reader.error(vips.first().map_or(line, |(_, line)| *line), "vip", message);
    }
    let rfc3768 = rfc3768(reader, &auth);
    let (netdrv, iftype, virtual_mac, iftype_line) = carrier(reader, family, vifname.line());
    if let (Some(line), InterfaceType::Ether, true) =
        (reader.line_of("unicast_peers"), iftype, virtual_mac)
    {
        reader.warn(
            line,
            "unicast_peers",
            "two routers that are Master at once have the same Ethernet address on their interfaces \
             then, and do not reach each other any more; take virtual_mac = false, or \
             iftype = \"macvlan\" or \"ebpf\"",
        );
    }
    let tables = reader.tables("routes", MOST_ROUTES);
    let routes = route::routes(&schema::ROUTES, "routes.", tables, reader.findings());

    let preemption = reader.boolean("preemption").or(false);
    let preempt_delay = reader.seconds("preempt_delay", LONGEST_DELAY);
    let startup_delay = reader.seconds("startup_delay", LONGEST_DELAY);
    let accept_mode = reader.boolean("accept_mode").or(true);
    let enabled = reader.boolean("enabled").or(true);
    let v3_checksum = v3_checksum(reader);
    let address_list_check = address_list_check(reader);
    let (socket_filter, socket_filter_type, socket_filter_absorb) = socket_filter(reader);
    let nonlocal_bind = reader.boolean("nonlocal_bind").or(false);
    if let (Some(line), true, false) = (reader.line_of("nonlocal_bind"), nonlocal_bind, accept_mode)
    {
        reader.warn(
            line,
            "nonlocal_bind",
            "applications bind to the virtual addresses and receive nothing: with accept_mode = \
             false a Master drops what comes for them, unless it owns them",
        );
    }

    let (vrid, group_line) = group?;
    let (interface, interface_line) = interface?;
    let netns = netns?;
    let (vips, vip_lines): (Vec<Vip>, Vec<u32>) = vips?.into_iter().unzip();
    let family = family?;
    if netdrv == NetworkDriver::Ioctl {
        alias_fits(reader, (&interface, interface_line), vrid, vips.len());
    }
    let lines = Lines {
        table: line,
        group: group_line,
        iftype: iftype_line.unwrap_or(interface_line),
        name: name.line().unwrap_or(line),
        vifname: vifname.line().unwrap_or(line),
        version: reader.line_of("version").unwrap_or(line),
        vips: vip_lines,
    };
    let name = name
        .given()
        .unwrap_or_else(|| default_name(netns.as_deref(), &interface, vrid, family));
    Some(Draft {
        router: VirtualRouter {
            name,
            vrid,
            netns,
            interface,
            family,
            protocol: protocol.unwrap_or(Protocol::V2),
            vips,
            primary,
            unicast,
            priority,
            preemption,
            preempt_delay: preempt_delay.or(Duration::ZERO),
            startup_delay: startup_delay.or(Duration::ZERO),
            accept_mode,
            auth,
            interval,
            rfc3768,
            v3_checksum,
            address_list_check,
            netdrv,
            iftype,
            virtual_mac,
            vifname: vifname.or(String::new()),
            socket_filter,
            socket_filter_type,
            socket_filter_absorb,
            nonlocal_bind,
            enabled,
            routes,
            router_advertisement: router_advertisement.map(Box::new),
        },
        lines,
    })
}

fn group(reader: &mut Reader<'_, '_>) -> Option<(Vrid, u32)> {
    match reader.integer("group", 1..=u8::MAX) {
        Field::Given { value, line } => Vrid::new(value).map(|vrid| (vrid, line)),
        Field::Wrong => None,
        Field::Absent => {
            reader.missing("group");
            None
        }
    }
}

fn interface(reader: &mut Reader<'_, '_>) -> Option<(String, u32)> {
    match reader.string("interface") {
        Field::Given { value, line } => match address::interface(value) {
            Ok(interface) => Some((interface, line)),
            Err(message) => {
                reader.error(line, "interface", message);
                None
            }
        },
        Field::Wrong => None,
        Field::Absent => {
            reader.missing("interface");
            None
        }
    }
}

/// None when it is wrong.
#[allow(clippy::option_option, reason = "absent is right, too")]
fn netns(reader: &mut Reader<'_, '_>) -> Option<Option<String>> {
    match reader.string("netns") {
        Field::Given { value, line } => match address::netns(value) {
            Ok(netns) => Some(Some(netns)),
            Err(message) => {
                reader.error(line, "netns", message);
                None
            }
        },
        Field::Wrong => None,
        Field::Absent => Some(None),
    }
}

/// The family of the first virtual address that is one, which other keys are judged by, and all
/// virtual addresses, each with its line, if all are right.
fn vips(reader: &mut Reader<'_, '_>) -> (Option<Family>, Option<Vec<(Vip, u32)>>) {
    let (texts, line) = match reader.strings("vip") {
        Field::Given { value, line } => (value, line),
        Field::Wrong => return (None, None),
        Field::Absent => {
            reader.missing("vip");
            return (None, None);
        }
    };
    if texts.is_empty() {
        reader.error(line, "vip", "is empty, allowed: 1 address or more");
    }
    let mut vips: Vec<(Vip, u32)> = Vec::with_capacity(texts.len());
    let mut seen = HashSet::new();
    let mut right = true;
    for (line, text) in texts {
        let vip = address::vip(text).and_then(|vip| {
            if !seen.insert(vip.address) {
                return Err(format!("{} stands twice, allowed: once", vip.address));
            }
            match family_of(&vips) {
                Some(family) if family != address::family_of(vip.address) => Err(format!(
                    "{} is of another family than the first address, allowed: {}",
                    vip.address,
                    address::family_name(family)
                )),
                _ => Ok(vip),
            }
        });
        match vip {
            Ok(vip) => vips.push((vip, line)),
            Err(message) => {
                reader.error(line, "vip", message);
                right = false;
            }
        }
    }
    let Some(family) = family_of(&vips) else {
        return (None, None);
    };
    let most = most_vips(family);
    if vips.len() > most {
        reader.error(
            line,
            "vip",
            format!("{} addresses, allowed: at most {most}", vips.len()),
        );
        right = false;
    } else if family == Family::V6
        && !vips
            .first()
            .is_some_and(|(vip, _)| is_link_local(vip.address))
    {
        reader.error(
            line,
            "vip",
            "the first one is not link-local, allowed: an IPv6 list that begins with an address \
             of fe80::/10 (RFC 9568 section 5.2.9)",
        );
        right = false;
    }
    (Some(family), right.then_some(vips))
}

/// V3-TX-1, ND-9: hosts know an IPv6 router by its link-local address.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}

fn family_of(vips: &[(Vip, u32)]) -> Option<Family> {
    vips.first().map(|(vip, _)| address::family_of(vip.address))
}

/// How many addresses an advertisement holds (TX-10).
fn most_vips(family: Family) -> usize {
    match family {
        Family::V4 => MOST_VIPS,
        Family::V6 => ((MTU - V6_OVERHEAD) / family.address_len()).min(MOST_VIPS),
    }
}

/// `version` of who speaks 2 and 3 at once (MIX-1).
const BOTH: &str = "2+3";

/// None when it is wrong, or when it hangs on a `vip` that is wrong.
fn protocol(reader: &mut Reader<'_, '_>, family: Option<Family>) -> Option<Protocol> {
    let Some(entry) = reader.entry("version") else {
        return family.map(|family| match family {
            Family::V4 => Protocol::V2,
            Family::V6 => Protocol::V3,
        });
    };
    let line = entry.line;
    match &entry.node.value {
        value if is_two(value) && family == Some(Family::V6) => {
            reader.error(line, "version", "2 is for IPv4 alone, allowed: 3");
            None
        }
        value if is_two(value) => Some(Protocol::V2),
        Value::Integer(Some(3)) => Some(Protocol::V3),
        Value::String(text) if text == "3" => Some(Protocol::V3),
        Value::String(text) if text == BOTH && family == Some(Family::V6) => {
            let message = "\"2+3\" is for IPv4 alone, as version 2 is, allowed: 3";
            reader.error(line, "version", message);
            None
        }
        Value::String(text) if text == BOTH => Some(Protocol::Both),
        other => {
            let what = match other {
                Value::Integer(Some(number)) => format!("unknown version {number}"),
                Value::String(text) => format!("unknown version {}", quoted(text)),
                other => format!("is {}", other.kind()),
            };
            let allowed = match family {
                Some(Family::V6) => "3",
                _ => "2, 3, \"2+3\"",
            };
            reader.error(line, "version", format!("{what}, allowed: {allowed}"));
            None
        }
    }
}

/// Numbers may be strings, as "2+3" is one.
fn is_two(value: &Value<'_>) -> bool {
    match value {
        Value::Integer(number) => *number == Some(2),
        Value::String(text) => text == "2",
        _ => false,
    }
}

fn name(reader: &mut Reader<'_, '_>) -> Field<String> {
    match reader.string("name") {
        Field::Given { value, line } => {
            let right =
                (1..=LONGEST_NAME).contains(&value.len()) && value.chars().all(is_name_character);
            if right {
                return Field::Given {
                    value: value.to_owned(),
                    line,
                };
            }
            let allowed = reader.allowed("name");
            let message = format!("{} is no name, allowed: {allowed}", quoted(value));
            reader.error(line, "name", message);
            Field::Wrong
        }
        Field::Wrong => Field::Wrong,
        Field::Absent => Field::Absent,
    }
}

const fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// `<interface>-<group>`, `-v6` behind it for IPv6, `<netns>-` before it where there is one;
/// characters that names do not have become `_`.
fn default_name(netns: Option<&str>, interface: &str, vrid: Vrid, family: Family) -> String {
    let namespace = netns.map(|netns| format!("{netns}-"));
    let place = namespace.unwrap_or_default() + interface;
    let place: String = place
        .chars()
        .map(|c| if is_name_character(c) { c } else { '_' })
        .collect();
    match family {
        Family::V4 => format!("{place}-{vrid}"),
        Family::V6 => format!("{place}-{vrid}-v6"),
    }
}

fn vifname(reader: &mut Reader<'_, '_>) -> Field<String> {
    match reader.string("vifname") {
        Field::Given { value, line } => match address::interface(value) {
            Ok(value) => Field::Given { value, line },
            Err(message) => {
                reader.error(line, "vifname", message);
                Field::Wrong
            }
        },
        Field::Wrong => Field::Wrong,
        Field::Absent => Field::Absent,
    }
}

fn primary(reader: &mut Reader<'_, '_>, family: Option<Family>) -> Option<IpAddr> {
    let Field::Given { value, line } = reader.string("primary") else {
        return None;
    };
    let to_group = reader.entry("unicast_peers").is_none();
    let primary = address::unicast(value).and_then(|primary| match family {
        Some(family) if family != address::family_of(primary) => Err(format!(
            "{primary} is of another family than vip, allowed: {}",
            address::family_name(family)
        )),
        // V3-TX-2: what is sent to the group comes from a link-local address.
        _ if to_group && primary.is_ipv6() && !is_link_local(primary) => Err(format!(
            "{primary} is not link-local, allowed: a link-local address of the interface, unless \
             there are unicast_peers"
        )),
        _ => Ok(primary),
    });
    primary
        .map_err(|message| reader.error(line, "primary", message))
        .ok()
}

fn priority(reader: &mut Reader<'_, '_>) -> u8 {
    const DEFAULT: u8 = 100;
    if let Some(entry) = reader.entry("priority") {
        let special = match entry.node.value {
            Value::Integer(Some(0)) => "0 is sent by itself when a Master stops",
            Value::Integer(Some(255)) => {
                "255 comes by itself when a vip is an address of the interface"
            }
            _ => return reader.integer("priority", 1..=254).or(DEFAULT),
        };
        reader.error(
            entry.line,
            "priority",
            format!("{special}, allowed: 1..254"),
        );
    }
    DEFAULT
}

/// `timers.advert`. Nothing is rounded: what a version cannot send is refused (V3-TX-6).
fn interval(reader: &mut Reader<'_, '_>, protocol: Option<Protocol>) -> Duration {
    const DEFAULT: Duration = Duration::from_secs(1);
    let Field::Given { value, line } = reader.table("timers") else {
        return DEFAULT;
    };
    let timers = &mut Reader::new(&schema::TIMERS, "timers.", line, value, reader.findings());
    let Some(entry) = timers.entry("advert") else {
        return DEFAULT;
    };
    let seconds = match entry.node.value {
        // Anything that an f64 does not hold exactly is out of range anyway.
        Value::Integer(number) => number
            .and_then(|number| u32::try_from(number).ok())
            .map_or(f64::INFINITY, f64::from),
        Value::Float(number) => number,
        _ => {
            timers.wrong_type(entry.line, "advert", &entry.node);
            return DEFAULT;
        }
    };
    let (step, most, allowed) = match protocol {
        Some(Protocol::V2) => (1.0, 255.0, "whole seconds, 1..255, in version 2"),
        Some(Protocol::V3 | Protocol::Both) => {
            (100.0, 4095.0, "0.01..40.95 in steps of 0.01 in version 3")
        }
        None => return DEFAULT,
    };
    let steps = (seconds * step).round();
    // The division is rounded to the nearest number like the text was, so this is exact.
    let fits = (1.0..=most).contains(&steps) && steps / step == seconds;
    let interval = fits
        .then(|| Duration::try_from_secs_f64(steps / step).ok())
        .flatten();
    if protocol == Some(Protocol::Both)
        && let Some(interval) = interval
        && interval.subsec_nanos() > 0
    {
        // MIX-2.
        let message = format!(
            "{seconds} is no whole number of seconds: version 2, which has no fractions, \
             announces {}; routers of version 2 need that as their interval",
            interval.as_secs() + 1
        );
        timers.warn(entry.line, "advert", message);
    }
    interval.unwrap_or_else(|| {
        let message = format!("{seconds} is out of range, allowed: {allowed}");
        timers.error(entry.line, "advert", message);
        DEFAULT
    })
}

/// The proprietary authentication types cover the address list without a length, so that only an
/// exact list is safe with them.
fn rfc3768(reader: &mut Reader<'_, '_>, auth: &Auth) -> bool {
    let field = reader.boolean("rfc3768");
    match (&field, auth) {
        (Field::Given { value: false, line }, Auth::P0Sha256(_) | Auth::P1Shake256(_)) => {
            reader.warn(
                *line,
                "rfc3768",
                "the proprietary authentication types need true, which is used instead of false",
            );
            true
        }
        _ => field.or(true),
    }
}

/// With `ioctl` the addresses get labels, `eth0:v7` and `eth0:v7.2`, which are as long as names of
/// interfaces at most.
fn alias_fits(
    reader: &mut Reader<'_, '_>,
    (interface, line): (&str, u32),
    vrid: Vrid,
    vips: usize,
) {
    let place = if vips > 1 {
        format!(".{vips}")
    } else {
        String::new()
    };
    let suffix = format!(":v{vrid}{place}");
    if interface.len() + suffix.len() > address::LONGEST_INTERFACE {
        let most = address::LONGEST_INTERFACE.saturating_sub(suffix.len());
        reader.error(
            line,
            "interface",
            format!(
                "{interface} is too long for the alias {interface}{suffix} of netdrv = \"ioctl\", \
                 allowed: at most {most} bytes, or netdrv = \"libnl\""
            ),
        );
    }
}

/// `netdrv`, `iftype`, `virtual_mac`, and the line of `iftype`. `vifname` is the line of that key.
fn carrier(
    reader: &mut Reader<'_, '_>,
    family: Option<Family>,
    vifname: Option<u32>,
) -> (NetworkDriver, InterfaceType, bool, Option<u32>) {
    let netdrv = reader.choice(
        "netdrv",
        &[
            ("libnl", NetworkDriver::Netlink),
            ("netlink", NetworkDriver::Netlink),
            ("ioctl", NetworkDriver::Ioctl),
        ],
    );
    let iftype = reader.choice(
        "iftype",
        &[
            ("ether", InterfaceType::Ether),
            ("macvlan", InterfaceType::Macvlan),
            ("ebpf", InterfaceType::Ebpf),
            ("auto", InterfaceType::Auto),
        ],
    );
    let virtual_mac = reader.boolean("virtual_mac");
    let line = iftype.line();
    // Of a wrong one nobody knows what it would do on the interface: no other rule is said to be broken.
    let known = !matches!(iftype, Field::Wrong);
    let iftype = iftype.or(InterfaceType::Ether);
    if let Field::Given {
        value: NetworkDriver::Ioctl,
        line,
    } = netdrv
    {
        let message = match iftype {
            InterfaceType::Macvlan => "a macvlan cannot be made with ioctl, allowed: libnl",
            InterfaceType::Ebpf => {
                "ioctl is for iftype = \"ether\" alone, allowed with iftype = \"ebpf\": libnl"
            }
            InterfaceType::Auto => {
                "ioctl is for iftype = \"ether\" alone, allowed with iftype = \"auto\": libnl"
            }
            InterfaceType::Ether if family == Some(Family::V6) => {
                "ioctl is for IPv4 alone, allowed: libnl"
            }
            InterfaceType::Ether => "",
        };
        if !message.is_empty() {
            reader.error(line, "netdrv", message);
        }
    }
    if let Field::Given { value: false, line } = virtual_mac {
        let message = match iftype {
            InterfaceType::Ether => "",
            InterfaceType::Macvlan => {
                "a macvlan carries the virtual MAC, allowed: false only with iftype = \"ether\""
            }
            InterfaceType::Ebpf | InterfaceType::Auto => {
                "the virtual MAC is what iftype = \"ebpf\" and \"auto\" are for, allowed: false only \
                 with iftype = \"ether\""
            }
        };
        if !message.is_empty() {
            reader.error(line, "virtual_mac", message);
        }
    }
    if let (InterfaceType::Ebpf, Some(line)) = (iftype, vifname) {
        reader.error(
            line,
            "vifname",
            "iftype = \"ebpf\" makes no interface that could have a name, allowed: with \
             iftype = \"macvlan\" or \"auto\"",
        );
    }
    (
        netdrv.or(NetworkDriver::Netlink),
        iftype,
        virtual_mac.or(true) && known,
        line,
    )
}

fn v3_checksum(reader: &mut Reader<'_, '_>) -> ChecksumPolicy {
    reader
        .choice(
            "v3_checksum",
            &[
                ("auto", ChecksumPolicy::Auto),
                ("rfc9568", ChecksumPolicy::Rfc9568),
                ("pseudo-header", ChecksumPolicy::PseudoHeader),
            ],
        )
        .or(ChecksumPolicy::Auto)
}

fn address_list_check(reader: &mut Reader<'_, '_>) -> bool {
    reader
        .choice("address_list_check", &[("rfc", true), ("off", false)])
        .or(true)
}

/// `socket_filter`, `socket_filter_type` and `socket_filter_absorb`.
fn socket_filter(reader: &mut Reader<'_, '_>) -> (bool, FilterType, bool) {
    let filter_type = reader.choice(
        "socket_filter_type",
        &[
            ("auto", FilterType::Auto),
            ("ebpf", FilterType::Ebpf),
            ("classic", FilterType::Classic),
        ],
    );
    (
        reader.boolean("socket_filter").or(true),
        filter_type.or(FilterType::Auto),
        reader.boolean("socket_filter_absorb").or(true),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// TX-10.
    #[test]
    fn an_advertisement_fits_the_mtu() {
        assert_eq!(most_vips(Family::V4), 255);
        assert_eq!(most_vips(Family::V6), 90);
        const { assert!(V6_OVERHEAD + 90 * 16 <= MTU && V6_OVERHEAD + 91 * 16 > MTU) };
        const { assert!(20 + 8 + 255 * 4 + 8 <= MTU) };
    }

    #[test]
    fn default_names_are_names() {
        let vrid = Vrid::new(7).unwrap();
        assert_eq!(default_name(None, "ens1.9", vrid, Family::V4), "ens1.9-7");
        assert_eq!(
            default_name(None, "ens1.9", vrid, Family::V6),
            "ens1.9-7-v6"
        );
        assert_eq!(default_name(None, "a@ü", vrid, Family::V4), "a__-7");
        let name = default_name(Some("blue+1"), "eth0", vrid, Family::V6);
        assert_eq!(name, "blue_1-eth0-7-v6");
    }
}
