//! What user space and the eBPF program share: the keys and values of the maps.
//!
//! Everything here is `#[repr(C)]` without padding that is not named, so that both sides read the
//! same bytes, and `no_std`, so that the program can be built from it.
#![no_std]

/// Key of a virtual router in the kernel: the interface that hears it, its VRID and its family.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct RouterKey {
    /// Interface index of the parent.
    pub ifindex: u32,
    /// VRID, 1..=255.
    pub vrid: u8,
    /// [`FAMILY_V4`] or [`FAMILY_V6`].
    pub family: u8,
    /// Always zero.
    pub reserved: u16,
}

/// `family` of a virtual router with IPv4 addresses.
pub const FAMILY_V4: u8 = 4;
/// `family` of a virtual router with IPv6 addresses.
pub const FAMILY_V6: u8 = 6;

/// What the gate does with frames to a virtual MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum Gate {
    /// Not one of our virtual MACs: the frame goes on.
    Foreign = 0,
    /// The virtual router is not Master: the frame is dropped.
    Closed = 1,
    /// The virtual router is Master: the frame goes on.
    Open = 2,
}
