//! What can be changed about the gate.

use std::net::{IpAddr, Ipv6Addr};

use crate::wire::Mac;

/// One change of the gate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Frames to this virtual MAC that arrive untagged at the parent (interface index) are dropped.
    Close(u32, Mac),
    /// They are let through.
    Open(u32, Mac),
    /// The eBPF gate itself carries this virtual MAC at the parent (interface index): frames to it
    /// are taken as frames to this host, and its addresses are answered for.
    Carry(u32, Mac),
    /// It carries it, too, but its virtual router is not Master: nothing is answered, and frames to
    /// it are dropped.
    Shut(u32, Mac),
    /// It has nothing to do with it.
    Release(u32, Mac),
    /// The eBPF gate answers for this address of the virtual router with this virtual MAC while it
    /// carries that; whether packets to it are accepted.
    Answer(u32, Mac, IpAddr, bool),
    /// It does not.
    Forget(u32, Mac, IpAddr),
    /// Packets that arrive at the parent (interface index) for this address of the virtual router
    /// with this virtual MAC are not accepted while that is open (`accept_mode = false`), except
    /// for ND. Of parents with an eBPF gate.
    RefuseAt(u32, Mac, IpAddr),
    /// They are accepted.
    AcceptAt(u32, Mac, IpAddr),
    /// Packets to this virtual address are not accepted (`accept_mode = false`), wherever they
    /// arrive, except for ND and what this host sends itself.
    Refuse(IpAddr),
    /// They are.
    Accept(IpAddr),
    /// The same of a link-local address, where it comes in by the interface with this index.
    RefuseLinkLocal(u32, Ipv6Addr),
    /// They are accepted.
    AcceptLinkLocal(u32, Ipv6Addr),
    /// The interface with this index neither answers for this address nor asks in its name.
    Own(u32, IpAddr),
    /// It does both.
    Disown(u32, IpAddr),
    /// Link-local address that the interface with this index asks from instead of its owned ones.
    /// An interface has one, the last.
    AskFrom(u32, Ipv6Addr),
    /// It has none.
    AskAsBefore(u32, Ipv6Addr),
    /// Nothing that this host makes leaves by the interface with this index, but what is permitted
    /// there.
    Silence(u32),
    /// Everything may.
    Unsilence(u32),
    /// What comes from this address may leave by the interface with this index, and so may an MLDv1
    /// report of it where it is a group.
    Permit(u32, Ipv6Addr),
    /// It may not.
    Forbid(u32, Ipv6Addr),
}

impl Change {
    /// Whether both are about the same thing, so that the later one replaces the earlier.
    pub(in crate::driver) fn replaces(self, other: Self) -> bool {
        match (self, other) {
            // An address has one virtual router.
            (Self::Answer(at, _, address, _), Self::Answer(there, _, same, _)) => {
                (at, address) == (there, same)
            }
            _ => self == other,
        }
    }

    /// What takes this change back.
    pub(in crate::driver) const fn opposite(self) -> Self {
        match self {
            Self::Close(parent, mac) => Self::Open(parent, mac),
            Self::Open(parent, mac) => Self::Close(parent, mac),
            Self::Carry(parent, mac) | Self::Shut(parent, mac) => Self::Release(parent, mac),
            Self::Release(parent, mac) => Self::Shut(parent, mac),
            Self::Answer(parent, mac, address, _) => Self::Forget(parent, mac, address),
            Self::Forget(parent, mac, address) => Self::Answer(parent, mac, address, false),
            Self::RefuseAt(parent, mac, address) => Self::AcceptAt(parent, mac, address),
            Self::AcceptAt(parent, mac, address) => Self::RefuseAt(parent, mac, address),
            Self::Refuse(address) => Self::Accept(address),
            Self::Accept(address) => Self::Refuse(address),
            Self::RefuseLinkLocal(index, address) => Self::AcceptLinkLocal(index, address),
            Self::AcceptLinkLocal(index, address) => Self::RefuseLinkLocal(index, address),
            Self::Own(index, address) => Self::Disown(index, address),
            Self::Disown(index, address) => Self::Own(index, address),
            Self::AskFrom(index, address) => Self::AskAsBefore(index, address),
            Self::AskAsBefore(index, address) => Self::AskFrom(index, address),
            Self::Silence(index) => Self::Unsilence(index),
            Self::Unsilence(index) => Self::Silence(index),
            Self::Permit(index, address) => Self::Forbid(index, address),
            Self::Forbid(index, address) => Self::Permit(index, address),
        }
    }
}

/// What an IPv6 macvlan may say because of a virtual address: all that comes from it, and that it
/// listens to the solicited-node group of it (RFC 4291 §2.7.1), which it says before it has an
/// address to say it from.
pub(in crate::driver) fn voices(macvlan: u32, address: Ipv6Addr) -> impl Iterator<Item = Change> {
    let [.., a, b, c] = address.octets();
    let group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c];
    [address, Ipv6Addr::from(group)]
        .into_iter()
        .map(move |voice| Change::Permit(macvlan, voice))
}
