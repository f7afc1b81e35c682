//! The kernel side of rVRRPd: the socket filter, with absorption of the steady state, and
//! the gate.
#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![allow(
    internal_features,
    reason = "compare-and-exchange, which core has not for this target"
)]

mod arp;
mod conflict;
mod filter;
mod frame;
mod gate;
mod ndp;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";
