//! The system calls that no safe crate offers: the only unsafe code of the crate.
#![allow(unsafe_code, reason = "system calls; each block says why it is sound")]

pub mod clock;
pub(crate) mod credentials;
pub(crate) mod directory;
pub(crate) mod epoll;
pub mod interface;
pub mod ioctl;
pub mod mmsg;
pub(crate) mod namespace;
pub(crate) mod packet;
pub(crate) mod peers;
pub(crate) mod process;
pub(crate) mod programs;
pub mod shared;
pub mod socket;
