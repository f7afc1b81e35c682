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
/// Bytes of the trailer that a message may have behind what its address count asks for
/// (`auth = { type = "hmac-sha256" }`).
pub const TRAILER: u32 = 28;

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
    pub dropped: [u64; 7],
    /// When one of these was let through, so that the log can name its sender: at most one in
    /// [`TELL_EVERY`].
    pub told: u64,
}

/// Slots are on cache lines of their own.
const _: () = assert!(size_of::<Slot>().is_multiple_of(64));

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
    /// No address.
    CountZero = 3,
    /// Length.
    Length = 4,
    /// Checksum, of messages of up to [`MESSAGE_WORDS`] without a trailer.
    Checksum = 5,
    /// Shorter than the header that all messages have.
    Truncated = 6,
}

impl Dropped {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 7] = [
        Self::Ttl,
        Self::Version,
        Self::Type,
        Self::CountZero,
        Self::Length,
        Self::Checksum,
        Self::Truncated,
    ];
}

/// What the gate does with frames to a virtual MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u64)]
pub enum GateState {
    /// Not one of our virtual MACs: the frame goes on.
    Foreign = 0,
    /// The virtual router is not Master: the frame is dropped.
    Closed = 1,
    /// The virtual router is Master, and an interface has its virtual MAC: the frame goes on.
    Open = 2,
    /// The virtual router is Master, and the gate itself carries its virtual MAC: the frame goes on
    /// as one to this host.
    Carried = 3,
}

/// Interfaces that can have a gate.
pub const GATED_INTERFACES: u32 = 64;
/// States of the gate for one interface: 256 of IPv4, then 256 of IPv6, by VRID. The first of each,
/// as no virtual router has VRID 0, are numbers of addresses: [`REFUSED_COUNT`] and
/// [`ANSWERED_COUNT`].
pub const GATE_STATES: u32 = 512;
/// Place among the states of an interface where the number of its addresses with [`REFUSED`]
/// stands: while there is none, no packet is looked into.
pub const REFUSED_COUNT: u32 = 0;
/// The same of its addresses with [`ANSWERED`]: while there is none, ARP and ND are not looked into.
pub const ANSWERED_COUNT: u32 = 256;
/// Places of the map `NUMBERS`, a power of two.
pub const NUMBERS: u32 = 256;
/// Entries of the map `ADDRESSES`.
pub const GATED_ADDRESSES: u32 = 16384;

/// Key of a virtual address. The value is its [`Address`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct AddressKey {
    /// In network byte order; an IPv4 address behind [`MAPPED`].
    pub address: [u32; 4],
    /// Interface index of the parent: link-local addresses mean another host on each.
    pub ifindex: u32,
}

/// The words before an IPv4 address in [`AddressKey::address`]: `::ffff:0:0/96` (RFC 4291
/// §2.5.5.2), which no packet has as destination.
pub const MAPPED: [u32; 3] = [0, 0, 0xffff_u32.to_be()];

/// What the gate knows of a virtual address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Address {
    /// Place of its virtual router in the map `STATES`.
    pub place: u32,
    /// [`REFUSED`] and [`ANSWERED`].
    pub flags: u32,
}

/// Packets to the address are not accepted (`accept_mode = false`), ND excepted.
pub const REFUSED: u32 = 1;
/// The gate answers ARP requests and neighbour solicitations for the address.
pub const ANSWERED: u32 = 2;

/// Somebody else who says that he has one of our virtual addresses: a place in the map `CONFLICTS`,
/// which is mapped into the daemon.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub struct Conflict {
    /// Odd while the rest is being written; each time it was it is another one. Of the place behind
    /// all others, [`CONFLICTS`], how often any was written.
    pub sequence: u64,
    /// As in [`AddressKey`].
    pub address: [u32; 4],
    /// Interface index of the parent.
    pub ifindex: u64,
    /// His MAC address in the first six bytes.
    pub mac: u64,
    /// Packets in which he said it, since he was the first here.
    pub count: u64,
    /// When it was written, in nanoseconds of CLOCK_MONOTONIC: at most once in [`WRITE_EVERY`].
    pub time: u64,
    /// Keeps places on cache lines of their own.
    pub reserved: u64,
}

/// Places for conflicts; addresses share them by a hash.
pub const CONFLICTS: u32 = 64;
/// Nanoseconds between two times that a [`Conflict`] is written.
pub const WRITE_EVERY: u64 = 1_000_000_000;

/// What the gate does not leave to others, and why. The values are places in the map `STOPPED`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u32)]
pub enum Stopped {
    /// Dropped: to a virtual MAC whose virtual router is not Master.
    Closed = 0,
    /// Dropped: to a virtual address whose virtual router does not accept.
    Refused = 1,
    /// Dropped: an ARP request or neighbour solicitation for a virtual address whose virtual router
    /// is not Master.
    ClosedNeighbour = 2,
    /// Answered: an ARP request.
    AnsweredArp = 3,
    /// Answered: a neighbour solicitation.
    AnsweredNd = 4,
    /// Not answered, and left to the kernel: an ARP request or neighbour solicitation that is wrong
    /// in itself, or comes from where no answer can go.
    NotAnswerable = 5,
    /// Left to the kernel: ARP and neighbour advertisements of a [`Conflict`].
    Conflict = 6,
}

impl Stopped {
    /// All of them, in the order of their places.
    pub const ALL: [Self; 7] = [
        Self::Closed,
        Self::Refused,
        Self::ClosedNeighbour,
        Self::AnsweredArp,
        Self::AnsweredNd,
        Self::NotAnswerable,
        Self::Conflict,
    ];
}
