//! Texts, addresses and times between C and Rust.

use core::ffi::{CStr, c_char, c_int};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::DateTime;
use libc::{in_addr, in6_addr, timeval};

use crate::failure::{Failure, invalid};
use crate::types::{vrrp_addr_t, vrrp_in_addr_t};

/// No time.
pub(crate) const NEVER: timeval = timeval {
    tv_sec: 0,
    tv_usec: 0,
};

/// No address.
pub(crate) const NO_ADDRESS: vrrp_addr_t = vrrp_addr_t {
    af: 0,
    r#in: vrrp_in_addr_t {
        in6: in6_addr { s6_addr: [0; 16] },
    },
};

/// The text of an array; an error when it has no end or is not UTF-8.
pub(crate) fn of_array<const N: usize>(array: &[c_char; N], what: &str) -> Result<String, Failure> {
    let bytes = array.map(c_char::cast_unsigned);
    let text = CStr::from_bytes_until_nul(&bytes)
        .map_err(|_| invalid(format!("{what} has no end, allowed: {} bytes", N - 1)))?;
    let text = text.to_str();
    Ok(text
        .map_err(|_| invalid(format!("{what} is not UTF-8")))?
        .to_owned())
}

/// The text as an array, cut at the end of a character where it is too long.
pub(crate) fn array<const N: usize>(text: &str) -> [c_char; N] {
    let mut array = [0; N];
    let end = text.floor_char_boundary(N - 1);
    for (place, byte) in array.iter_mut().zip(text.as_bytes().iter().take(end)) {
        *place = byte.cast_signed();
    }
    array
}

/// The address, none where all bytes are zero.
pub(crate) fn of_address(address: &vrrp_addr_t) -> Result<Option<IpAddr>, Failure> {
    // SAFETY: all bit patterns of both members are addresses, and the caller has filled the whole
    // structure.
    let in4 = unsafe { address.r#in.in4 };
    // SAFETY: as above.
    let in6 = unsafe { address.r#in.in6 };
    match address.af {
        0 => Ok(None),
        libc::AF_INET => Ok(Some(ipv4(in4).into()).filter(|it: &IpAddr| !it.is_unspecified())),
        libc::AF_INET6 => Ok(Some(ipv6(in6).into()).filter(|it: &IpAddr| !it.is_unspecified())),
        other => Err(invalid(format!(
            "family {other} of an address, allowed: AF_INET, AF_INET6"
        ))),
    }
}

/// The address; none where it is not one.
pub(crate) fn address(text: &str) -> vrrp_addr_t {
    match bare(text) {
        Some(IpAddr::V4(it)) => {
            let mut address = NO_ADDRESS;
            address.af = libc::AF_INET;
            address.r#in.in4 = in4(it);
            address
        }
        Some(IpAddr::V6(it)) => vrrp_addr_t {
            af: libc::AF_INET6,
            r#in: vrrp_in_addr_t { in6: in6(it) },
        },
        None => NO_ADDRESS,
    }
}

/// The address of `ADDR` or `ADDR/PREFIX`.
pub(crate) fn bare(text: &str) -> Option<IpAddr> {
    text.split('/').next().and_then(|it| it.parse().ok())
}

pub(crate) const fn ipv4(address: in_addr) -> Ipv4Addr {
    // In network byte order.
    let [a, b, c, d] = address.s_addr.to_ne_bytes();
    Ipv4Addr::new(a, b, c, d)
}

pub(crate) const fn ipv6(address: in6_addr) -> Ipv6Addr {
    Ipv6Addr::from_octets(address.s6_addr)
}

pub(crate) const fn in4(address: Ipv4Addr) -> in_addr {
    in_addr {
        s_addr: u32::from_ne_bytes(address.octets()),
    }
}

pub(crate) const fn in6(address: Ipv6Addr) -> in6_addr {
    in6_addr {
        s6_addr: address.octets(),
    }
}

/// Whole seconds and microseconds of a number of seconds; nothing below zero.
#[allow(
    clippy::cast_possible_truncation,
    reason = "what is too large becomes the largest value, which no daemon means"
)]
pub(crate) fn seconds(seconds: Option<f64>) -> timeval {
    let micros = (seconds.unwrap_or_default().max(0.0) * 1e6).round() as i64;
    timeval {
        tv_sec: micros / 1_000_000,
        tv_usec: micros % 1_000_000,
    }
}

/// Seconds since 1970 of an RFC 3339 time.
pub(crate) fn time(text: Option<&str>) -> timeval {
    let parsed = text.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    parsed.map_or(NEVER, |at| timeval {
        tv_sec: at.timestamp(),
        tv_usec: i64::from(at.timestamp_subsec_micros()),
    })
}

/// Whether a flag of C is set.
pub(crate) const fn is_set(flag: c_int) -> bool {
    flag != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_arrays() {
        let there: [c_char; 8] = array("vrrp1");
        assert_eq!(of_array(&there, "x").unwrap(), "vrrp1");
        assert_eq!(of_array(&array::<5>("vräp"), "x").unwrap(), "vrä");
        assert_eq!(of_array(&array::<4>("vrä"), "x").unwrap(), "vr");
        assert!(of_array(&[1 as c_char; 4], "x").is_err());
        assert!(of_array(&[-1 as c_char, 0], "x").is_err());
    }

    #[test]
    fn addresses() {
        for text in ["192.0.2.1", "2001:db8::1"] {
            assert_eq!(
                of_address(&address(text)).unwrap(),
                Some(text.parse().unwrap())
            );
        }
        assert_eq!(of_address(&NO_ADDRESS).unwrap(), None);
        assert_eq!(of_address(&address("0.0.0.0")).unwrap(), None);
        assert_eq!(address("192.0.2.1/24").af, libc::AF_INET);
        assert_eq!(address("nothing").af, 0);
        let mut other = NO_ADDRESS;
        other.af = 77;
        assert!(of_address(&other).is_err());
    }

    #[test]
    fn times() {
        let parts = |it: timeval| (it.tv_sec, it.tv_usec);
        assert_eq!(parts(seconds(Some(3.609_375))), (3, 609_375));
        assert_eq!(parts(seconds(Some(-1.0))), (0, 0));
        assert_eq!(parts(seconds(None)), (0, 0));
        assert_eq!(parts(time(Some("1970-01-01T00:00:01.25Z"))), (1, 250_000));
        assert_eq!(parts(time(Some("yesterday"))), (0, 0));
    }
}
