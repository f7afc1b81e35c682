//! What user space and the eBPF programs share: the keys and values of the maps.
//!
//! Everything here is `#[repr(C)]` without padding that is not named, so that both sides read the
//! same bytes, and `no_std`, so that the programs can be built from it.
#![no_std]

/// Key of a virtual router in the kernel: the socket that hears it, which is one of an interface
/// and a family, and its VRID. An interface index would not do: another network namespace has the
/// same.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[repr(C)]
pub struct RouterKey {
    /// Cookie of the socket (`SO_COOKIE`), which no other socket of this boot has.
    pub socket: u64,
    /// VRID, 1..=255. The rest of the word is zero.
    pub vrid: u64,
}

/// What the filter demands of a packet for a virtual router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Demand {
    /// Its [`Slot`].
    pub slot: u32,
    /// Least TTL or hop limit; 255 but for unicast peers behind routers.
    pub least_ttl: u8,
    /// Bit `1 << version` for each version that is accepted.
    pub versions: u8,
    /// Always zero.
    pub reserved: u16,
}

/// Virtual routers that there can be: 4096 on 64 interfaces would be 16384.
pub const ROUTERS: u32 = 16384;
/// Eight-byte words of a message that is compared.
pub const MESSAGE_WORDS: usize = 32;

/// What the filter knows of a virtual router: the advertisement of its Master, whose repetitions it
/// keeps to itself, and what it dropped. The map of these is mapped into the daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Slot {
    /// When the last repetition came, in nanoseconds of CLOCK_MONOTONIC; 0: nothing is kept.
    /// Whoever changes the other fields takes it away first and puts another one in after, and the
    /// filter exchanges it only if it is the one that it saw before it compared.
    pub stamp: u64,
    /// How many were kept since the slot was made.
    pub absorbed: u64,
    /// Length of the message in bytes.
    pub length: u64,
    /// Source and destination address: 8 bytes for IPv4, 32 for IPv6, the rest zero.
    pub addresses: [u64; 4],
    /// The VRRP message, the rest zero.
    pub message: [u64; MESSAGE_WORDS],
    /// The last stamp that was taken away; user space alone.
    pub last: u64,
    /// Packets that were dropped, by [`Dropped`].
    pub dropped: [u64; 3],
    /// When one of these was let through, so that the log can name its sender: at most one in
    /// [`TELL_EVERY`].
    pub told: u64,
    /// Keeps slots on cache lines of their own.
    pub reserved: [u64; 4],
}

/// Nanoseconds between two packets that would be dropped and are not.
pub const TELL_EVERY: u64 = 1_000_000_000;

/// Why the filter drops a packet that no virtual router of the interface and family may want. The
/// values are places in the map `FOREIGN`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Foreign {
    /// None of them has this VRID.
    Vrid = 0,
    /// Another protocol than VRRP, or one that an Authentication Header protects.
    Protocol = 1,
}

impl Foreign {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 2] = [Self::Vrid, Self::Protocol];
}

/// Why the filter drops a packet of a virtual router. The values are places in
/// [`Slot::dropped`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Dropped {
    /// TTL or hop limit.
    Ttl = 0,
    /// Version.
    Version = 1,
    /// Type.
    Type = 2,
}

impl Dropped {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 3] = [Self::Ttl, Self::Version, Self::Type];
}

/// What the gate does with frames to a virtual MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum GateState {
    /// Not one of our virtual MACs: the frame goes on.
    Foreign = 0,
    /// The virtual router is not Master: the frame is dropped.
    Closed = 1,
    /// The virtual router is Master: the frame goes on.
    Open = 2,
}

/// Interfaces that can have a gate.
pub const GATED_INTERFACES: u32 = 64;
/// States of the gate for one interface: 256 of IPv4, then 256 of IPv6, by VRID.
pub const GATE_STATES: u32 = 512;
/// Place in the map `STATES`, behind the states of all interfaces, where the number of entries of
/// the map `REFUSED` stands: while there is none, no address is looked up.
pub const REFUSED_COUNT: u32 = GATED_INTERFACES * GATE_STATES;
/// Entries of the map `REFUSED`.
pub const REFUSED_ADDRESSES: u32 = 16384;

/// Key of a virtual address whose packets are not accepted (`accept_mode = false`). The value is
/// the place of its virtual router in the map `STATES`: a `u32`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct RefusedKey {
    /// In network byte order; an IPv4 address behind [`MAPPED`].
    pub address: [u32; 4],
    /// Interface index of the parent: link-local addresses mean another host on each.
    pub ifindex: u32,
}

/// The words before an IPv4 address in [`RefusedKey::address`]: `::ffff:0:0/96` (RFC 4291
/// §2.5.5.2), which no packet has as destination.
pub const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

/// Why the gate drops a frame. The values are places in the map `STOPPED`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Stopped {
    /// To a virtual MAC whose virtual router is not Master.
    Closed = 0,
    /// To a virtual address whose virtual router does not accept.
    Refused = 1,
}

impl Stopped {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 2] = [Self::Closed, Self::Refused];
}
