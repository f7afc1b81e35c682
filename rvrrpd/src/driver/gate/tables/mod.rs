//! The nftables tables of the gate, told over netlink in one transaction for any number of virtual
//! routers:
//!
//! | table | what it drops |
//! |---|---|
//! | `netdev NAME` | at the ingress of a parent that has no eBPF gate: frames to a virtual MAC that is closed |
//! | `inet NAME` | on input: packets to a virtual address of `accept_mode = false`, ND excepted, and neighbour solicitations that the parent must not answer, because the macvlan or the eBPF gate does; on output: what leaves by the macvlan of an IPv6 router and is not said in the name of its virtual addresses |
//! | `arp NAME` | on input: ARP requests that the parent must not answer, likewise |
//!
//! An owner's addresses are on the parent, too, as are those of `iftype = "ebpf"` that are accepted, and the
//! parent has the physical MAC. What the kernel
//! itself asks there must not tell hosts that the two belong together (ARP-1, ND-2): on output, an
//! ARP request from such an address becomes a probe, which has no sender address and nobody learns
//! from (RFC 5227 §1.1), and a neighbour solicitation gets the parent's link-local address as its
//! source. Both are answered to the parent, as before.
//!
//! What an IPv6 macvlan says as Backup would tell switches that the virtual MAC is here. It has no
//! address then, and so nothing that it says comes from a virtual address: what may leave needs no
//! change with an election.
//!
//! The tables of `inet` and `arp` are there only while something is in them, so that a host without
//! such routers pays nothing for them. Where the kernel can (6.9), the tables are owned by
//! this process and persistent: `nft flush ruleset` of a firewall does not open the gate, and
//! neither does SIGKILL.

mod batch;
mod expression;
mod ruleset;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::Change;
use crate::net::sys::ioctl;
use crate::wire::Mac;
use batch::{Batch, Refusal, Socket};
use ruleset::Table;

/// First bytes of every virtual MAC (RFC 9568 §7.3). Frames to other addresses leave the gate after
/// one comparison, so no other address can be closed.
const VIRTUAL_MAC_PREFIX: [u8; 4] = [0x00, 0x00, 0x5e, 0x00];
/// Longest name of the tables in bytes; the kernel takes 255.
const LONGEST_NAME: usize = 128;

/// An element of one of the sets. Its presence is what [`Change`] changes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Element {
    Closed(u32, Mac),
    Refused(IpAddr),
    RefusedLinkLocal(u32, Ipv6Addr),
    Owned(u32, IpAddr),
    Source(u32, Ipv6Addr),
    Silent(u32),
    Voice(u32, Ipv6Addr),
}

impl Change {
    /// The element that comes or goes; none where the change is one for the eBPF gate alone.
    const fn element(self) -> Option<(Element, bool)> {
        Some(match self {
            Self::Close(parent, mac) => (Element::Closed(parent, mac), true),
            Self::Open(parent, mac) => (Element::Closed(parent, mac), false),
            Self::RefuseAt(..)
            | Self::AcceptAt(..)
            | Self::Carry(..)
            | Self::Shut(..)
            | Self::Release(..)
            | Self::Answer(..)
            | Self::Forget(..) => return None,
            Self::Refuse(address) => (Element::Refused(address), true),
            Self::Accept(address) => (Element::Refused(address), false),
            Self::RefuseLinkLocal(index, address) => {
                (Element::RefusedLinkLocal(index, address), true)
            }
            Self::AcceptLinkLocal(index, address) => {
                (Element::RefusedLinkLocal(index, address), false)
            }
            Self::AskFrom(parent, address) => (Element::Source(parent, address), true),
            Self::AskAsBefore(parent, address) => (Element::Source(parent, address), false),
            Self::Own(parent, address) => (Element::Owned(parent, address), true),
            Self::Disown(parent, address) => (Element::Owned(parent, address), false),
            Self::Silence(index) => (Element::Silent(index), true),
            Self::Unsilence(index) => (Element::Silent(index), false),
            Self::Permit(index, address) => (Element::Voice(index, address), true),
            Self::Forbid(index, address) => (Element::Voice(index, address), false),
        })
    }

    /// Whether the tables have to have something for it.
    pub(super) const fn needs_tables(self) -> bool {
        matches!(self.element(), Some((_, true)))
    }
}

/// What we made the kernel believe.
#[derive(Clone, Debug, Default)]
struct State {
    tables: BTreeSet<Table>,
    /// Name by interface index.
    parents: BTreeMap<u32, String>,
    elements: BTreeSet<Element>,
}

/// The tables of this process. Dropping them leaves those of the kernel as they are.
#[derive(Debug)]
pub struct Tables {
    socket: Socket,
    name: String,
    /// `NFT_TABLE_F_*` of the tables.
    flags: u32,
    state: State,
}

impl Tables {
    /// Takes the place of tables of this name that a dead predecessor left, and finds out whether
    /// the kernel can do what the gate needs at an ingress. All is open and accepted then.
    ///
    /// # Errors
    /// `InvalidInput` for a name that is empty, longer than 128 bytes or has other characters than
    /// ASCII letters, digits, `_` and `-`. `Unsupported` if the kernel lacks nf_tables or its family
    /// netdev, which the text says. `PermissionDenied` without CAP_NET_ADMIN or if another process
    /// owns the tables.
    pub fn new(name: &str) -> io::Result<Self> {
        check_name(name)?;
        let mut socket = Socket::open()?;
        remove_tables(&mut socket, name)?;
        let mut gate = Self {
            socket,
            name: name.to_owned(),
            flags: ruleset::OWNED_AND_PERSISTENT,
            state: State::default(),
        };
        let mut made = gate.make_first_table();
        if let Err(refusal) = &made
            && refusal.target.is_some()
            && refusal.is(&[libc::EINVAL, libc::EOPNOTSUPP])
        {
            // A kernel before 6.9 does not know these flags.
            gate.flags = 0;
            made = gate.make_first_table();
        }
        match made {
            Ok(()) => Ok(gate),
            Err(refusal) => Err(gate.explain(refusal)),
        }
    }

    /// Makes the gate of a parent; nothing is closed there yet.
    ///
    /// A parent that is attached already gets its hook anew (the interface may have been removed
    /// and made again with the same index); what was closed stays closed.
    ///
    /// # Errors
    /// `NotFound`: no interface has this name and index. Else what the kernel says; then nothing has changed.
    pub fn attach(&mut self, parent: &str, index: u32) -> io::Result<()> {
        check_interface(parent, index)?;
        let known = self.state.parents.contains_key(&index);
        if !known {
            let mut batch = Batch::new();
            ruleset::add_parent(&mut batch, &self.name, index, parent, true);
            match self.socket.transact(batch) {
                Ok(()) => {
                    self.state.parents.insert(index, parent.to_owned());
                    return Ok(());
                }
                Err(refusal) if refusal.out_of_step() => {}
                Err(refusal) => return Err(self.explain(refusal)),
            }
        }
        let mut next = self.state.clone();
        next.parents.insert(index, parent.to_owned());
        self.rebuild(next, Some(index))
    }

    /// Whether nothing is in them, not even the gate of a parent.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state.parents.is_empty() && self.state.elements.is_empty()
    }

    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Removes the gate of a parent, and what was closed and owned there. The interface itself may
    /// be gone already.
    ///
    /// # Errors
    /// What the kernel says; then nothing has changed.
    pub fn detach(&mut self, index: u32) -> io::Result<()> {
        let mut next = self.state.clone();
        let parent = next.parents.remove(&index);
        let owned: BTreeMap<Element, bool> = self
            .state
            .elements
            .iter()
            .filter(|element| {
                matches!(element, Element::Owned(at, _) | Element::Source(at, _) if *at == index)
            })
            .map(|element| (*element, false))
            .collect();
        if parent.is_none() && owned.is_empty() {
            return Ok(());
        }
        next.elements.retain(|element| {
            !matches!(
                element,
                Element::Owned(at, _) | Element::Source(at, _) | Element::Closed(at, _)
                    if *at == index
            )
        });
        let mut batch = Batch::new();
        if let Some(parent) = parent {
            ruleset::delete_parent(&mut batch, &self.name, index, &parent);
        }
        ruleset::change_elements(&mut batch, &self.name, &owned);
        match self.socket.transact(batch) {
            Ok(()) => {
                self.state = next;
                Ok(())
            }
            Err(refusal) if refusal.out_of_step() => self.rebuild(next, None),
            Err(refusal) => Err(self.explain(refusal)),
        }
    }

    /// Makes all changes in one transaction. Of several changes about one thing the last counts;
    /// what is as it should be already is not touched.
    ///
    /// # Errors
    /// `NotFound`: a MAC is to be closed at a parent that is not attached. `InvalidInput`: it is no
    /// virtual MAC (00-00-5E-00-…). `Unsupported`: the kernel lacks nf_tables for the family that
    /// the text names. Else what the kernel says. Nothing has changed then.
    pub fn apply(&mut self, changes: &[Change]) -> io::Result<()> {
        let mut wanted = BTreeMap::new();
        for (element, present) in changes.iter().filter_map(|change| change.element()) {
            if present {
                self.check(element)?;
                wanted.extend(self.displaced(element).map(|other| (other, false)));
            }
            wanted.insert(element, present);
        }
        wanted.retain(|element, present| self.state.elements.contains(element) != *present);
        if wanted.is_empty() {
            return Ok(());
        }
        let missing: BTreeSet<Table> = wanted
            .keys()
            .map(|element| element.table())
            .filter(|table| !self.state.tables.contains(table))
            .collect();
        let unneeded = self.unneeded(&wanted);
        let mut batch = Batch::new();
        for table in &missing {
            ruleset::add_table(&mut batch, *table, &self.name, self.flags);
            ruleset::add_hooks(&mut batch, *table, &self.name);
        }
        let in_tables_that_stay = wanted
            .iter()
            .filter(|(element, _)| !unneeded.contains(&element.table()))
            .map(|(element, present)| (*element, *present))
            .collect();
        ruleset::change_elements(&mut batch, &self.name, &in_tables_that_stay);
        for table in &unneeded {
            ruleset::delete_table(&mut batch, *table, &self.name);
        }
        let outcome = self.socket.transact(batch);
        let follow = |state: &mut State| {
            state.tables.extend(missing);
            state.tables.retain(|table| !unneeded.contains(table));
            change(&mut state.elements, wanted);
        };
        match outcome {
            Ok(()) => {
                follow(&mut self.state);
                Ok(())
            }
            Err(refusal) if refusal.out_of_step() => {
                let mut next = self.state.clone();
                follow(&mut next);
                self.rebuild(next, None)
            }
            Err(refusal) => Err(self.explain(refusal)),
        }
    }

    /// What has to leave for an element to come: an interface asks from one address.
    fn displaced(&self, element: Element) -> impl Iterator<Item = Element> {
        // Thousands of others displace nothing, and none of them has to be looked at.
        let source = match element {
            Element::Source(at, new) => Some((at, new)),
            _ => None,
        };
        source.into_iter().flat_map(|(at, new)| {
            let elements = self.state.elements.iter().copied();
            elements.filter(move |other| {
                matches!(other, Element::Source(other, old) if at == *other && new != *old)
            })
        })
    }

    /// The tables whose last element leaves. The one of the parents stays.
    fn unneeded(&self, wanted: &BTreeMap<Element, bool>) -> BTreeSet<Table> {
        wanted
            .iter()
            .filter(|(element, present)| !**present && element.table() != Table::Netdev)
            .map(|(element, _)| element.table())
            .filter(|table| {
                let stays = |element: &&Element| wanted.get(*element) != Some(&false);
                let comes =
                    |(element, present): (&Element, &bool)| *present && element.table() == *table;
                !wanted.iter().any(comes)
                    && !self
                        .state
                        .elements
                        .iter()
                        .filter(|e| e.table() == *table)
                        .any(|e| stays(&e))
            })
            .collect()
    }

    /// Whether the kernel keeps others from changing the tables (6.9). If not, a firewall that
    /// flushes the ruleset opens the gate until the next change or [`restore`](Self::restore).
    #[must_use]
    pub const fn protected(&self) -> bool {
        self.flags == ruleset::OWNED_AND_PERSISTENT
    }

    /// Makes everything anew as it should be, in one transaction.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn restore(&mut self) -> io::Result<()> {
        self.rebuild(self.state.clone(), None)
    }

    /// Removes the tables: all is open and accepted.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn remove(mut self) -> io::Result<()> {
        remove_tables(&mut self.socket, &self.name)
    }

    /// Removes tables of this name that a dead predecessor left, if there are any.
    ///
    /// # Errors
    /// As [`Tables::new`]; a kernel without nf_tables has nothing to remove and is no error.
    pub fn remove_leftover(name: &str) -> io::Result<()> {
        check_name(name)?;
        match Socket::open() {
            Ok(mut socket) => remove_tables(&mut socket, name),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn check(&self, element: Element) -> io::Result<()> {
        let Element::Closed(parent, mac) = element else {
            return Ok(());
        };
        if mac.0[..4] != VIRTUAL_MAC_PREFIX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{mac} is no virtual MAC (00:00:5e:00:…), it cannot be closed"),
            ));
        }
        if !self.state.parents.contains_key(&parent) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("closing {mac}: interface index {parent} is not attached"),
            ));
        }
        Ok(())
    }

    /// Makes the table that every gate has. The chain on the loopback interface, gone again in the
    /// same transaction, shows whether the kernel knows the family.
    fn make_first_table(&mut self) -> Result<(), Refusal> {
        let mut batch = Batch::new();
        ruleset::add_table(&mut batch, Table::Netdev, &self.name, self.flags);
        ruleset::probe(&mut batch, &self.name);
        self.socket.transact(batch)?;
        self.state.tables.insert(Table::Netdev);
        Ok(())
    }

    /// Replaces everything by `next` in one transaction. The way out where the kernel does not have
    /// what we think it has, because somebody else changed our tables or an interface disappeared.
    /// A parent whose interface is gone gets no hook, unless it is the `required` one.
    fn rebuild(&mut self, next: State, required: Option<u32>) -> io::Result<()> {
        let elements: BTreeMap<Element, bool> = next
            .elements
            .iter()
            .map(|element| (*element, true))
            .collect();
        let mut gone = BTreeSet::new();
        loop {
            let mut batch = Batch::new();
            for table in &next.tables {
                ruleset::add_table(&mut batch, *table, &self.name, self.flags);
                ruleset::delete_table(&mut batch, *table, &self.name);
                ruleset::add_table(&mut batch, *table, &self.name, self.flags);
                ruleset::add_hooks(&mut batch, *table, &self.name);
            }
            for (index, parent) in &next.parents {
                let hooked = !gone.contains(index);
                ruleset::add_parent(&mut batch, &self.name, *index, parent, hooked);
            }
            ruleset::change_elements(&mut batch, &self.name, &elements);
            let Err(refusal) = self.socket.transact(batch) else {
                self.state = next;
                return Ok(());
            };
            match refusal.missing_parent() {
                Some(index) if required != Some(index) && gone.insert(index) => {}
                _ => return Err(self.explain(refusal)),
            }
        }
    }

    fn explain(&self, refusal: Refusal) -> io::Error {
        refusal.explain(&self.name)
    }
}

/// The changes of a transaction that the kernel has carried out.
fn change(elements: &mut BTreeSet<Element>, changes: BTreeMap<Element, bool>) {
    for (element, present) in changes {
        if present {
            elements.insert(element);
        } else {
            elements.remove(&element);
        }
    }
}

fn remove_tables(socket: &mut Socket, name: &str) -> io::Result<()> {
    for table in Table::ALL {
        if !socket.may_have(table, name) {
            continue;
        }
        let mut batch = Batch::new();
        ruleset::delete_table(&mut batch, table, name);
        match socket.transact(batch) {
            Err(refusal) if !refusal.is(&[libc::ENOENT, libc::EOPNOTSUPP, libc::EAFNOSUPPORT]) => {
                return Err(refusal.explain(name));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_name(name: &str) -> io::Result<()> {
    let fits = (1..=LONGEST_NAME).contains(&name.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if fits && name.bytes().all(plain) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "`{name}` cannot name a table: 1 to {LONGEST_NAME} ASCII letters, digits, `_` or `-`"
        ),
    ))
}

/// The interface must be there with this index: newer kernels (6.16) would take any name and hook
/// what appears under it one day.
fn check_interface(name: &str, index: u32) -> io::Result<()> {
    let Some(kernel_name) = ioctl::Name::new(name) else {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{name}` is no name of an interface"),
        ));
    };
    if ioctl::index(&kernel_name).ok() == Some(index) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::NotFound,
        format!("there is no interface `{name}` with index {index}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    const NAME: &str = "gate_unit_test";
    const FIRST: Mac = Mac([0, 0, 0x5e, 0, 1, 1]);
    const SECOND: Mac = Mac([0, 0, 0x5e, 0, 1, 2]);
    const LO: u32 = 1;

    /// Runs the test once more in a network namespace of its own, which goes with the process.
    fn in_namespace(test: &str, body: impl FnOnce()) {
        const INSIDE: &str = "RVRRPD_TEST_NAMESPACE";
        if std::env::var_os(INSIDE).is_some() {
            return body();
        }
        let output = Command::new("unshare")
            .args(["--map-root-user", "--net"])
            .arg(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--nocapture",
                &format!("driver::gate::tables::tests::{test}"),
            ])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("1 passed"), "{text}");
    }

    fn nft(command: &str) -> String {
        let output = Command::new("nft").arg(command).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn closed(mac: Mac) -> bool {
        nft("list ruleset").contains(&mac.to_string())
    }

    /// As on a kernel that cannot protect our tables.
    fn unprotected() -> Tables {
        let mut gate = Tables::new(NAME).unwrap();
        remove_tables(&mut gate.socket, NAME).unwrap();
        gate.flags = 0;
        gate.make_first_table().unwrap();
        gate.attach("lo", LO).unwrap();
        gate
    }

    #[test]
    fn what_others_changed_is_put_right_by_the_next_change() {
        in_namespace(
            "what_others_changed_is_put_right_by_the_next_change",
            || {
                let mut gate = unprotected();
                let vip: IpAddr = "192.0.2.1".parse().unwrap();
                gate.apply(&[Change::Close(LO, FIRST), Change::Refuse(vip)])
                    .unwrap();

                nft("flush ruleset");
                gate.apply(&[Change::Close(LO, SECOND)]).unwrap();
                assert!(closed(FIRST) && closed(SECOND));
                assert!(nft("list ruleset").contains("192.0.2.1"));

                nft(&format!(
                    "delete element netdev {NAME} closed_1 {{ {FIRST} }}"
                ));
                gate.apply(&[Change::Open(LO, FIRST)]).unwrap();
                assert!(!closed(FIRST) && closed(SECOND));

                nft(&format!("add element netdev {NAME} closed_1 {{ {FIRST} }}"));
                gate.apply(&[Change::Close(LO, FIRST)]).unwrap();
                assert!(closed(FIRST));

                nft(&format!("delete chain netdev {NAME} ingress_1"));
                gate.detach(LO).unwrap();
                assert!(!closed(FIRST) && !closed(SECOND));
                gate.attach("lo", LO).unwrap();

                nft(&format!("delete table inet {NAME}"));
                gate.apply(&[Change::Accept(vip)]).unwrap();
                assert!(!nft("list ruleset").contains("192.0.2.1"));

                gate.apply(&[Change::Close(LO, SECOND)]).unwrap();
                assert!(!gate.protected());
                nft("flush ruleset");
                gate.restore().unwrap();
                assert!(!closed(FIRST) && closed(SECOND));
                nft("flush ruleset");
                gate.remove().unwrap();
            },
        );
    }

    #[test]
    fn what_is_so_already_asks_nothing_of_the_kernel() {
        in_namespace("what_is_so_already_asks_nothing_of_the_kernel", || {
            let mut gate = unprotected();
            gate.apply(&[Change::Close(LO, FIRST)]).unwrap();
            let asked = gate.socket.asked();
            gate.apply(&[Change::Close(LO, FIRST), Change::Open(LO, SECOND)])
                .unwrap();
            gate.apply(&[Change::Close(LO, SECOND), Change::Open(LO, SECOND)])
                .unwrap();
            assert_eq!(gate.socket.asked(), asked);
            gate.apply(&[Change::Open(LO, FIRST), Change::Close(LO, SECOND)])
                .unwrap();
            assert_ne!(gate.socket.asked(), asked);
            assert!(!closed(FIRST) && closed(SECOND));
        });
    }

    #[test]
    fn a_refused_transaction_changes_nothing() {
        in_namespace("a_refused_transaction_changes_nothing", || {
            let mut gate = unprotected();
            gate.apply(&[Change::Close(LO, FIRST)]).unwrap();
            // Another process takes the table: no change of ours is permitted any more.
            nft("flush ruleset");
            let mut other = Tables::new(NAME).unwrap();
            other.attach("lo", LO).unwrap();
            let before = format!("{:?}", gate.state);
            let error = gate.apply(&[Change::Close(LO, SECOND)]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(
                error.to_string().contains("another process owns"),
                "{error}"
            );
            assert_eq!(format!("{:?}", gate.state), before);
            assert!(!closed(SECOND));
            other.remove().unwrap();
            gate.apply(&[Change::Close(LO, SECOND)]).unwrap();
            assert!(closed(FIRST) && closed(SECOND));
        });
    }

    #[test]
    fn what_the_kernel_lacks_is_named() {
        let lacking = |table, object, number| {
            Refusal::new(number, Some(batch::Target { table, object })).explain(NAME)
        };
        for (table, option) in [
            (Table::Netdev, "netdev (CONFIG_NF_TABLES_NETDEV)"),
            (Table::Inet, "inet (CONFIG_NF_TABLES_INET)"),
            (Table::Arp, "arp (CONFIG_NF_TABLES_ARP)"),
        ] {
            let error = lacking(table, ruleset::Object::Chain, libc::ENOENT);
            assert_eq!(error.kind(), io::ErrorKind::Unsupported);
            assert!(error.to_string().contains(option), "{error}");
        }
        let error = Refusal::new(libc::EOPNOTSUPP, None).explain(NAME);
        assert_eq!(error.kind(), io::ErrorKind::Unsupported);
        assert!(error.to_string().contains("CONFIG_NF_TABLES"), "{error}");
    }
}
