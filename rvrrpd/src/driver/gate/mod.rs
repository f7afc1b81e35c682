//! The gate: what of the traffic to a virtual router reaches this host.

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use crate::wire::Mac;

/// One change of the gate.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Frames to this virtual MAC that arrive at the parent (interface index) are dropped.
    Close(u32, Mac),
    /// They are let through.
    Open(u32, Mac),
    /// Packets to this virtual address are not accepted (`accept_mode = false`), ND excepted.
    Refuse(IpAddr),
    /// They are.
    Accept(IpAddr),
    /// The parent (interface index) does not answer ARP requests for this address.
    Own(u32, Ipv4Addr),
    /// It does.
    Disown(u32, Ipv4Addr),
}

/// The gate of this process.
#[derive(Debug)]
pub struct Gate {}

impl Gate {
    /// Makes the tables.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(name: &str) -> io::Result<Self> {
        let _ = name;
        Ok(Self {})
    }
    /// Makes the gate of a parent.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn attach(&mut self, parent: &str, index: u32) -> io::Result<()> {
        let _ = (parent, index);
        Ok(())
    }
    /// Removes the gate of a parent.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn detach(&mut self, index: u32) -> io::Result<()> {
        let _ = index;
        Ok(())
    }
    /// Makes all changes at once.
    ///
    /// # Errors
    /// What the kernel says; then nothing has changed.
    pub fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let _ = changes;
        Ok(())
    }
    /// Removes everything.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(self) -> io::Result<()> {
        Ok(())
    }
    /// Removes what a dead predecessor left.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove_leftover(name: &str) -> io::Result<()> {
        let _ = name;
        Ok(())
    }
}
