//! What makes an interface deliver frames to virtual MACs that no interface has: memberships, which
//! end with the process, however that ends.
//!
//! A virtual MAC is an entry in the unicast filter of the network card, as that of a macvlan is
//! (`PACKET_MR_UNICAST`, packet(7)). Neighbour solicitations for an address that this host does not
//! have come in for who joined the solicited-node group of the address (RFC 4291 §2.7.1), also
//! through switches that look into MLD.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv6Addr;
use std::os::fd::AsFd as _;

use socket2::{Domain, Socket, Type};

use super::membership::GroupsIpv6;
use super::sys::packet;
use crate::wire::Mac;

/// The memberships of one interface.
#[derive(Debug)]
pub struct Station {
    ifindex: u32,
    /// Its memberships are the unicast ones.
    packets: Socket,
    macs: BTreeSet<Mac>,
    /// Sockets with groups: one, and further ones where the kernel allows one no more of them
    /// (`net.core.optmem_max`). A group is on the one whose place it has.
    sockets: Vec<Socket>,
    groups: BTreeMap<Ipv6Addr, Group>,
}

#[derive(Debug)]
struct Group {
    socket: usize,
    /// Addresses whose group it is.
    addresses: BTreeSet<Ipv6Addr>,
}

impl Station {
    /// No membership yet, on the interface with this index in the network namespace of the calling
    /// thread. An interface that is made anew needs a new one, also with the same index.
    ///
    /// # Errors
    /// `EPERM` without CAP_NET_RAW; those of socket(2).
    pub fn open(ifindex: u32) -> io::Result<Self> {
        // Protocol 0: nothing is received by it.
        let packets = Socket::new(Domain::PACKET, Type::RAW, None)?;
        Ok(Self {
            ifindex,
            packets,
            macs: BTreeSet::new(),
            sockets: Vec::new(),
            groups: BTreeMap::new(),
        })
    }

    /// Frames to this MAC address are delivered. Adding it again changes nothing.
    ///
    /// # Errors
    /// That of setsockopt(2): `ENODEV` where the interface is gone, and what its driver says.
    pub fn add(&mut self, mac: Mac) -> io::Result<()> {
        if !self.macs.contains(&mac) {
            packet::add_unicast(self.packets.as_fd(), self.index()?, mac.0)?;
            self.macs.insert(mac);
        }
        Ok(())
    }

    /// Frames to this MAC address are not asked for any more.
    ///
    /// # Errors
    /// That of setsockopt(2). The interface may be gone.
    pub fn remove(&mut self, mac: Mac) -> io::Result<()> {
        if !self.macs.remove(&mac) {
            return Ok(());
        }
        unless_gone(packet::drop_unicast(
            self.packets.as_fd(),
            self.index()?,
            mac.0,
        ))
    }

    /// Joins the solicited-node group of an address. Joining it again changes nothing.
    ///
    /// # Errors
    /// That of setsockopt(2): `ENODEV` where the interface is gone, `EINVAL` where it has no IPv6.
    pub fn join(&mut self, address: Ipv6Addr) -> io::Result<()> {
        let group = solicited_node(address);
        if let Some(known) = self.groups.get_mut(&group) {
            known.addresses.insert(address);
            return Ok(());
        }
        let socket = self.join_somewhere(group)?;
        let addresses = BTreeSet::from([address]);
        self.groups.insert(group, Group { socket, addresses });
        Ok(())
    }

    /// Whether it has joined any group.
    #[must_use]
    pub fn has_groups(&self) -> bool {
        !self.groups.is_empty()
    }

    /// Leaves the group of an address, unless it is that of another one as well.
    ///
    /// # Errors
    /// That of setsockopt(2). The interface may be gone.
    pub fn leave(&mut self, address: Ipv6Addr) -> io::Result<()> {
        let group = solicited_node(address);
        let Some(known) = self.groups.get_mut(&group) else {
            return Ok(());
        };
        if !known.addresses.remove(&address) || !known.addresses.is_empty() {
            return Ok(());
        }
        let socket = known.socket;
        self.groups.remove(&group);
        match self.sockets.get(socket) {
            Some(socket) => unless_gone(socket.leave_multicast_v6(&group, self.ifindex)),
            None => Ok(()),
        }
    }

    /// Joins the groups again that the kernel has forgotten, as it does when it makes the IPv6 half
    /// of an interface anew, and says whether there were any. `there` is what the interfaces of
    /// its network namespace have joined.
    ///
    /// # Errors
    /// As [`Self::join`].
    pub fn join_again(&mut self, there: &GroupsIpv6) -> io::Result<bool> {
        let groups = self.groups.iter();
        let lost = groups.filter(|(group, _)| !there.has(self.ifindex, **group));
        let lost: Vec<(Ipv6Addr, usize)> = lost.map(|(group, of)| (*group, of.socket)).collect();
        for (group, socket) in &lost {
            if let Some(socket) = self.sockets.get(*socket) {
                // It believes that it is a member.
                unless_gone(socket.leave_multicast_v6(group, self.ifindex))?;
                socket.join_multicast_v6(group, self.ifindex)?;
            }
        }
        Ok(!lost.is_empty())
    }

    /// The socket that is a member now, by its place.
    fn join_somewhere(&mut self, group: Ipv6Addr) -> io::Result<usize> {
        // The last one has most room, the others what was left since.
        for (place, socket) in self.sockets.iter().enumerate().rev() {
            match socket.join_multicast_v6(&group, self.ifindex) {
                Err(error) if is_full(&error) => {}
                result => return result.map(|()| place),
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&group, self.ifindex)?;
        self.sockets.push(socket);
        Ok(self.sockets.len() - 1)
    }

    fn index(&self) -> io::Result<i32> {
        i32::try_from(self.ifindex).map_err(io::Error::other)
    }
}

/// ff02::1:ffXX:XXXX with the last three bytes of the address (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Whether the socket has no room for another group.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOBUFS | libc::ENOMEM))
}

/// With the interface its memberships are gone, which is what is wanted.
fn unless_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::EADDRNOTAVAIL | libc::ENODEV)
            ) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_the_same_end_share_a_group() {
        let group = "ff02::1:ff28:9c5a".parse::<Ipv6Addr>().unwrap();
        for address in ["fe80::2aa:ff:fe28:9c5a", "2001:db8::28:9c5a"] {
            assert_eq!(solicited_node(address.parse().unwrap()), group);
        }
    }
}
