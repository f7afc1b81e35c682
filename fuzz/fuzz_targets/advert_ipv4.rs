//! Bytes that begin with an IPv4 header.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rvrrpd::wire::advert::Datagram;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(datagram) = Datagram::from_ipv4(bytes) {
        assert!(datagram.payload.len() + 20 <= bytes.len());
        rvrrpd_fuzz::judge(&datagram);
    }
});
