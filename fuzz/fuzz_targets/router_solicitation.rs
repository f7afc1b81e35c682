//! A hop limit, whether the source is unspecified, and an ICMPv6 message.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (hop_limit, unspecified, message) = input;
    rvrrpd_fuzz::judge_solicitation(hop_limit, unspecified, message);
});
