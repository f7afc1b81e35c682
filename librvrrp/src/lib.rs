//! C library of rVRRPd: the functions and error codes of Sun's libvrrp (design document 0.9.4,
//! appendix A), and what rVRRPd has beyond them.
//!
//! ```text
//!  C program ─▶ functions ─▶ rvrrpadm::Client ─▶ Unix socket of the daemon
//!                  │  ▲
//!       properties │  │ report        vrrp_inst_t, vrrp_status_t, vrrp_adv_info_t
//!                  ▼  │
//!               subscription: a thread that reads events for vrrp_next_event()
//! ```
//!
//! `include/rvrrp.h` is made of the items here by cbindgen and committed; a test compares both.
#![allow(
    unsafe_code,
    reason = "pointers from C programs; each block says why it is sound"
)]
#![allow(non_camel_case_types, reason = "the names are those of libvrrp")]

pub mod daemon;
pub mod failure;
pub mod functions;
mod interfaces;
mod properties;
mod report;
pub mod subscription;
mod text;
pub mod types;
