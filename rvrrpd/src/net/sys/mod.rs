//! The system calls that no safe crate offers: the only unsafe code of the crate.
#![allow(unsafe_code, reason = "system calls; each block says why it is sound")]

pub mod buffer;
pub mod clock;
pub mod ioctl;
pub mod mmsg;
pub mod socket;
