//! Bytes that begin with an IPv6 header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvrrpd::wire::advert::Datagram;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(datagram) = Datagram::from_ipv6(bytes) {
        assert!(datagram.payload.len() + 40 <= bytes.len());
        rvrrpd_fuzz::judge(&datagram);
    }
});
