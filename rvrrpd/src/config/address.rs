//! Addresses, prefixes and names of interfaces, as text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::diagnostic::quoted;
use super::model::Vip;
use crate::wire::Family;

/// Longest interface name in bytes (IFNAMSIZ without the final NUL).
pub(super) const LONGEST_INTERFACE: usize = 15;
/// Longest name of a network namespace: `NAME_MAX` of linux/limits.h.
const LONGEST_NETNS: usize = 255;

/// Family of an address.
pub(super) const fn family_of(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    }
}

/// Name of a family in messages.
pub(super) const fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}

/// Bits of an address.
pub(super) const fn bits(family: Family) -> u8 {
    match family {
        Family::V4 => 32,
        Family::V6 => 128,
    }
}

/// A virtual address, `ADDR[/PREFIX]`.
///
/// # Errors
/// A message that tells what is wrong and what is allowed.
pub(super) fn vip(text: &str) -> Result<Vip, String> {
    let (address, prefix) = split(text)?;
    let address = unicast(address)?;
    let most = bits(family_of(address));
    let prefix = prefix
        .map(|prefix| prefix_length(prefix, 1, most))
        .transpose()?;
    Ok(Vip { address, prefix })
}

/// `ADDR` or `ADDR/PREFIX`, taken apart.
pub(super) fn split(text: &str) -> Result<(&str, Option<&str>), String> {
    match text.split_once('/') {
        Some((_, "")) => Err(format!(
            "{} has no prefix length after the /, allowed: ADDR or ADDR/PREFIX",
            quoted(text)
        )),
        Some((address, prefix)) => Ok((address, Some(prefix))),
        None => Ok((text, None)),
    }
}

/// A prefix length in decimal digits.
pub(super) fn prefix_length(text: &str, least: u8, most: u8) -> Result<u8, String> {
    text.parse()
        .ok()
        .filter(|length| (least..=most).contains(length) && !text.starts_with('+'))
        .ok_or_else(|| {
            format!(
                "{} is no prefix length of this family, allowed: {least}..{most}",
                quoted(text)
            )
        })
}

/// An address of one family or the other.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "{} is no IP address, allowed: an address such as 192.0.2.1",
            quoted(text)
        )
    })
}

/// An address that one host of a link can have.
pub(super) fn unicast(text: &str) -> Result<IpAddr, String> {
    let address = address(text)?;
    let what = match address {
        IpAddr::V4(v4) => not_unicast_v4(v4),
        IpAddr::V6(v6) => not_unicast_v6(v6),
    };
    match what {
        Some(what) => Err(format!("{address} is {what}, allowed: a unicast address")),
        None => Ok(address),
    }
}

/// Interface name as Linux takes it (`dev_valid_name` of the kernel).
pub(super) fn interface(text: &str) -> Result<String, String> {
    let wrong = text.is_empty()
        || text.len() > LONGEST_INTERFACE
        || text == "."
        || text == ".."
        || text
            .chars()
            .any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
    if wrong {
        Err(format!(
            "{} is no interface name, allowed: 1 to {LONGEST_INTERFACE} bytes \
             without /, : and white space, and neither . nor ..",
            quoted(text)
        ))
    } else {
        Ok(text.to_owned())
    }
}

/// The name of a network namespace: that of a file below /run/netns.
pub(super) fn netns(text: &str) -> Result<String, String> {
    let wrong = text.is_empty()
        || text.len() > LONGEST_NETNS
        || text == "."
        || text == ".."
        || text
            .chars()
            .any(|c| c == '/' || c.is_whitespace() || c.is_control());
    if wrong {
        Err(format!(
            "{} is no name of a network namespace, allowed: 1 to {LONGEST_NETNS} bytes without / \
             and white space, and neither . nor ..",
            quoted(text)
        ))
    } else {
        Ok(text.to_owned())
    }
}

fn not_unicast_v4(address: Ipv4Addr) -> Option<&'static str> {
    if address.octets()[0] == 0 {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_broadcast() {
        Some("the broadcast address")
    } else {
        None
    }
}

fn not_unicast_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_unspecified() {
        Some("unspecified")
    } else if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4 address in IPv6 form")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn virtual_addresses_may_have_a_prefix() {
        assert_eq!(
            vip("192.0.2.1/24").unwrap(),
            Vip {
                address: "192.0.2.1".parse().unwrap(),
                prefix: Some(24)
            }
        );
        assert_eq!(vip("fe80::1").unwrap().prefix, None);
        assert_eq!(vip("2001:db8::1/128").unwrap().prefix, Some(128));
    }

    #[test]
    fn what_no_host_can_have_is_refused() {
        for text in [
            "",
            "x",
            "10.0.0",
            "10.0.0.256",
            "10.0.0.1/",
            "10.0.0.1/0",
            "10.0.0.1/33",
            "10.0.0.1/+8",
            "10.0.0.1/8/8",
            "0.0.0.0",
            "0.1.2.3",
            "127.0.0.1",
            "224.0.0.18",
            "255.255.255.255",
            "::",
            "::1",
            "ff02::12",
            "::ffff:10.0.0.1",
            "fe80::1/129",
            "fe80::1%eth0",
            " 10.0.0.1",
        ] {
            let message = vip(text).unwrap_err();
            assert!(message.contains("allowed: "), "{text}: {message}");
        }
    }

    #[test]
    fn interface_names_are_those_of_linux() {
        for name in [
            "e",
            "eth0",
            "ens192.900",
            "br-lan",
            "Eth0",
            "a234567890bcdef",
            "a@b",
        ] {
            assert_eq!(interface(name).unwrap(), name);
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a:b",
            "a\tb",
            "a234567890bcdefg",
            "a\0b",
        ] {
            assert!(interface(name).unwrap_err().contains("allowed: "), "{name}");
        }
    }
}
