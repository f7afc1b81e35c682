//! The gate: a program at the ingress of each parent.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::Map;
use aya::programs::links::{Link as _, LinkOrder};
use aya::programs::tc::{
    NlOptions, SchedClassifier, SchedClassifierLink, TcAttachOptions, TcAttachType, TcHandle,
};
use aya::programs::{ProgramError, tc};
use rvrrpd_ebpf::{ANSWERED, Address, GateState, REFUSED};

use super::addresses::{Addresses, Known};
use super::conflicts::{Conflict, Conflicts};
use super::counters::{Counters, StoppedFrames};
use super::interfaces::Interfaces;
use super::states::{Place, States, index};
use super::{io_error, os_error, take};
use crate::net::sys::{interface, programs};
use crate::wire::{Family, Vrid};

pub(super) const PROGRAM: &str = "rvrrpd_gate";
const INGRESS: TcAttachType = TcAttachType::Ingress;
/// Before the filters of others, as far as their owners have not chosen the same.
const CLSACT_PRIORITY: u16 = 1;
/// By which the filter is known, "VRRP". Not by its name: a process without CAP_PERFMON cannot give
/// it one, for want of an answer to whether the kernel has names.
const HANDLE: TcHandle = TcHandle::new(0x5652, 0x5250);

/// How the program is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hook {
    /// A tcx link (Linux 6.6). It ends with this process, also by SIGKILL: frames pass then.
    Tcx,
    /// A filter of a clsact qdisc. It stays behind after SIGKILL, with its last state, until
    /// [`Gate::remove_leftover`]. The qdisc stays in any case, because others may use it as well.
    Clsact,
}

/// A program of somebody else at the ingress of an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Neighbour {
    /// Name of the program.
    pub name: String,
    /// Its number in the kernel.
    pub id: u32,
    /// Whether it sees frames before the gate does, and may keep them from it.
    pub is_before: bool,
}

/// The loaded gate. Dropping it detaches it from everything.
#[derive(Debug)]
pub struct Gate {
    ebpf: Ebpf,
    interfaces: Interfaces,
    addresses: Addresses,
    conflicts: Conflicts,
    stopped: StoppedFrames,
    states: Arc<States>,
    attached: BTreeMap<u32, Attached>,
}

#[derive(Debug)]
struct Attached {
    place: Place,
    link: Link,
    addresses: Known,
}

#[derive(Debug)]
enum Link {
    /// Dropping it detaches.
    Tcx(#[expect(dead_code, reason = "lives as long as the attachment")] SchedClassifierLink),
    /// The filter is found by its handle.
    Clsact,
}

impl Link {
    const fn hook(&self) -> Hook {
        match self {
            Self::Tcx(_) => Hook::Tcx,
            Self::Clsact => Hook::Clsact,
        }
    }

    fn detach(self, ifindex: u32) {
        if self.hook() == Hook::Clsact {
            // With the interface the filter is gone, too.
            let _gone = Gate::remove_leftover(ifindex);
        }
    }
}

impl Gate {
    /// The gate of an object whose program is loaded.
    pub(super) fn new(mut ebpf: Ebpf) -> Result<Self, Box<dyn Error>> {
        let Map::Array(states) = take(&mut ebpf, "STATES")? else {
            return Err("the map STATES is no array".into());
        };
        let Map::Array(conflicts) = take(&mut ebpf, "CONFLICTS")? else {
            return Err("the map CONFLICTS is no array".into());
        };
        Ok(Self {
            interfaces: Interfaces::new(
                take(&mut ebpf, "INTERFACES")?,
                take(&mut ebpf, "NUMBERS")?,
            )?,
            addresses: Addresses::new(take(&mut ebpf, "ADDRESSES")?)?,
            conflicts: Conflicts::map(&conflicts)?,
            stopped: StoppedFrames(Arc::new(Counters::new(take(&mut ebpf, "STOPPED")?)?)),
            states: Arc::new(States::of(states)),
            attached: BTreeMap::new(),
            ebpf,
        })
    }

    /// Attaches the gate to the ingress of an interface, before all other programs that are there
    /// now; by clsact where the kernel has no tcx. Everything passes until [`States::set`] says
    /// otherwise. Some 10 ms, so never in an election.
    ///
    /// An interface that is attached already keeps its place and its states. It is attached anew
    /// if that is needed because it was removed and made again with the same index.
    ///
    /// # Errors
    /// `ENXIO` where there is no such interface, `StorageFull` with 64 interfaces. Clsact needs
    /// CAP_NET_ADMIN.
    pub fn attach(&mut self, ifindex: u32) -> io::Result<Place> {
        match self.attach_by(ifindex, Hook::Tcx) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.attach_by(ifindex, Hook::Clsact)
            }
            result => result,
        }
    }

    /// [`Self::attach`] by one way alone.
    ///
    /// # Errors
    /// As there; `InvalidInput` where the kernel does not have it.
    pub fn attach_by(&mut self, ifindex: u32, hook: Hook) -> io::Result<Place> {
        let name = interface::name(ifindex)?;
        let known = self.attached.get(&ifindex).map(|attached| attached.place);
        let place = match known {
            Some(place) => place,
            None => self.free_place()?,
        };
        if known.is_none() {
            self.states.open(place)?;
            self.interfaces.insert(ifindex, place)?;
        }
        let program = program(&mut self.ebpf).map_err(|error| io_error(&*error))?;
        let linked = match hook {
            Hook::Tcx => link_tcx(program, &name),
            Hook::Clsact => link_clsact(program, &name),
        };
        match linked {
            Ok(link) => {
                let mut addresses = Known::default();
                if let Some(known) = self.attached.remove(&ifindex) {
                    addresses = known.addresses;
                    if known.link.hook() != hook {
                        known.link.detach(ifindex);
                    }
                }
                let attached = Attached {
                    place,
                    link,
                    addresses,
                };
                self.attached.insert(ifindex, attached);
                Ok(place)
            }
            // It is still there.
            Err(error) if known.is_some() && os_error(&error) == Some(libc::EEXIST) => Ok(place),
            Err(error) => {
                if known.is_none() {
                    self.interfaces.remove(ifindex);
                }
                Err(io_error(&error))
            }
        }
    }

    /// Attaches the gate anew where it is attached by [`Hook::Tcx`] and somebody has detached it, or
    /// where another interface has the index by now, and says whether it did. A filter of
    /// [`Hook::Clsact`] is not looked for.
    ///
    /// # Errors
    /// What the kernel says, but that there is no such interface.
    pub fn examine(&mut self, ifindex: u32) -> io::Result<bool> {
        if self.hook(ifindex) != Some(Hook::Tcx) {
            return Ok(false);
        }
        let Ok(name) = interface::name(ifindex) else {
            return Ok(false);
        };
        let program = program(&mut self.ebpf).map_err(|error| io_error(&*error))?;
        match link_tcx(program, &name) {
            Ok(link) => {
                if let Some(known) = self.attached.get_mut(&ifindex) {
                    known.link = link;
                }
                Ok(true)
            }
            Err(error) => match os_error(&error) {
                Some(libc::EEXIST | libc::ENODEV | libc::ENXIO) => Ok(false),
                _ => Err(io_error(&error)),
            },
        }
    }

    /// Detaches the gate from an interface, which may be gone, and forgets all that was said about
    /// it. Some 10 to 30 ms where it is there.
    pub fn detach(&mut self, ifindex: u32) {
        let Some(attached) = self.attached.remove(&ifindex) else {
            return;
        };
        self.addresses.clear(ifindex, &attached.addresses);
        self.interfaces.remove(ifindex);
        attached.link.detach(ifindex);
        self.states.clear(attached.place);
    }

    /// How the gate is attached to an interface; none where it is not.
    #[must_use]
    pub fn hook(&self, ifindex: u32) -> Option<Hook> {
        let attached = self.attached.get(&ifindex)?;
        Some(attached.link.hook())
    }

    /// What opens and closes virtual MACs, for any thread.
    #[must_use]
    pub const fn states(&self) -> &Arc<States> {
        &self.states
    }

    /// Opens or closes the virtual MAC of a virtual router on an interface that is attached:
    /// [`States::set`] for who does not keep the [`Place`].
    ///
    /// # Errors
    /// `NotFound` where the interface is not attached.
    pub fn set(&self, ifindex: u32, router: (Family, Vrid), state: GateState) -> io::Result<()> {
        let attached = self.attached.get(&ifindex).ok_or_else(not_attached)?;
        self.states.set(attached.place, router, state);
        Ok(())
    }

    /// Packets to this address that arrive at the interface are not accepted while the virtual
    /// router is Master (`accept_mode = false`), except for ND. What arrives elsewhere is not
    /// concerned.
    ///
    /// # Errors
    /// `NotFound` where the interface is not attached; the map is full, which is 32768 addresses.
    pub fn refuse(
        &mut self,
        ifindex: u32,
        router: (Family, Vrid),
        address: IpAddr,
    ) -> io::Result<()> {
        self.change(ifindex, address, |place, known| {
            let place = index(place, router);
            let known = known.filter(|known| known.place == place);
            let flags = known.map_or(0, |known| known.flags) | REFUSED;
            Some(Address { place, flags })
        })
    }

    /// Packets to this address are accepted again.
    pub fn accept(&mut self, ifindex: u32, address: IpAddr) {
        let _nothing_known = self.change(ifindex, address, |_, known| {
            let Address { place, flags } = known?;
            let flags = flags & !REFUSED;
            (flags != 0).then_some(Address { place, flags })
        });
    }

    /// The gate answers ARP requests and neighbour solicitations for this address that arrive at
    /// the interface while the virtual router is [`GateState::Carried`], with its virtual MAC, and
    /// drops them while it is [`GateState::Closed`]. Unless the router `accepts`, packets to the
    /// address are [refused](Self::refuse) as well.
    ///
    /// # Errors
    /// `NotFound` where the interface is not attached; `InvalidInput` for an address of the other
    /// family; the map is full, which is 32768 addresses.
    pub fn answer(
        &mut self,
        ifindex: u32,
        router: (Family, Vrid),
        address: IpAddr,
        accepts: bool,
    ) -> io::Result<()> {
        if address.is_ipv4() != (router.0 == Family::V4) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{address} is no address of this family"),
            ));
        }
        self.change(ifindex, address, |place, _| {
            Some(Address {
                place: index(place, router),
                flags: if accepts {
                    ANSWERED
                } else {
                    ANSWERED | REFUSED
                },
            })
        })
    }

    /// The gate has nothing to do with this address any more.
    pub fn forget(&mut self, ifindex: u32, address: IpAddr) {
        let _nothing_known = self.change(ifindex, address, |_, _| None);
    }

    /// Changes what is known of an address of an interface.
    fn change(
        &mut self,
        ifindex: u32,
        address: IpAddr,
        to: impl FnOnce(Place, Option<Address>) -> Option<Address>,
    ) -> io::Result<()> {
        let attached = self.attached.get_mut(&ifindex).ok_or_else(not_attached)?;
        let known = &mut attached.addresses;
        let result = match to(attached.place, known.of(address)) {
            Some(what) => self.addresses.put(ifindex, known, address, what),
            None => {
                self.addresses.remove(ifindex, known, address);
                Ok(())
            }
        };
        self.states
            .set_addresses(attached.place, known.refused, known.answered);
        result
    }

    /// Who said since the last call that he has an address that is answered or refused on an
    /// interface with answered addresses, and whose virtual router is Master. His MAC address is noted
    /// once a second at the most; of several addresses one may stand for others. No system call, and
    /// where nothing ever happened one read of memory.
    pub fn conflicts(&mut self) -> Vec<Conflict> {
        self.conflicts.take()
    }

    /// What was dropped, answered and noted.
    #[must_use]
    pub const fn stopped(&self) -> &StoppedFrames {
        &self.stopped
    }

    /// The tcx programs of others at the ingress of an interface, in the order in which they run.
    ///
    /// # Errors
    /// Without CAP_SYS_ADMIN, which is needed to look at programs of others.
    pub fn neighbours(&mut self, ifindex: u32) -> io::Result<Vec<Neighbour>> {
        let name = interface::name(ifindex)?;
        let program = program(&mut self.ebpf).map_err(|error| io_error(&*error))?;
        let own = program.info().map_err(|error| io_error(&error))?.id();
        let (_, programs) =
            SchedClassifier::query_tcx(&name, INGRESS).map_err(|error| io_error(&error))?;
        let mut is_before = programs.iter().any(|program| program.id() == own);
        let mut neighbours = Vec::new();
        for program in programs {
            if program.id() == own {
                is_before = false;
                continue;
            }
            neighbours.push(Neighbour {
                name: program.name_as_str().unwrap_or_default().to_owned(),
                id: program.id(),
                is_before,
            });
        }
        Ok(neighbours)
    }

    /// The tcx programs of others that see frames of an interface before the gate does, each by its
    /// name and number; by its number alone where this process may not look at programs of others
    /// (CAP_SYS_ADMIN).
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN; `EINVAL` where the kernel has no tcx.
    pub fn before(&mut self, ifindex: u32) -> io::Result<Vec<String>> {
        let numbers = programs::at_ingress(ifindex)?;
        let program = program(&mut self.ebpf).map_err(|error| io_error(&*error))?;
        let own = program.info().map_err(|error| io_error(&error))?.id();
        let Some(before) = numbers.iter().position(|number| *number == own) else {
            return Ok(Vec::new());
        };
        if before == 0 {
            return Ok(Vec::new());
        }
        let named = self.neighbours(ifindex).unwrap_or_default();
        let name = |number: &u32| match named.iter().find(|one| one.id == *number) {
            Some(one) => format!("{} (id {number})", one.name),
            None => format!("with id {number}"),
        };
        Ok(numbers.iter().take(before).map(name).collect())
    }

    /// Removes the filter that a predecessor, attached by [`Hook::Clsact`], left behind on an
    /// interface when it was killed. Nothing there is what is wanted.
    ///
    /// # Errors
    /// Without CAP_NET_ADMIN, and `ENXIO` where there is no such interface.
    pub fn remove_leftover(ifindex: u32) -> io::Result<()> {
        remove_filter(&interface::name(ifindex)?).map_err(|error| io_error(&error))
    }

    fn free_place(&self) -> io::Result<Place> {
        let taken: BTreeSet<_> = self.attached.values().map(|one| one.place).collect();
        let mut places = Place::ALL.map(Place);
        places.find(|place| !taken.contains(place)).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::StorageFull,
                format!("{} interfaces have a gate already", Place::ALL.end),
            )
        })
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        while let Some((ifindex, attached)) = self.attached.pop_first() {
            attached.link.detach(ifindex);
        }
    }
}

/// Loads the gate of an object, and nothing else of it.
pub(super) fn load(mut ebpf: Ebpf) -> Result<Gate, Box<dyn Error>> {
    let program = program(&mut ebpf)?;
    super::persistently(|| program.load())?;
    Gate::new(ebpf)
}

fn program(ebpf: &mut Ebpf) -> Result<&mut SchedClassifier, Box<dyn Error>> {
    let program = ebpf.program_mut(PROGRAM);
    Ok(program.ok_or("the object has no gate")?.try_into()?)
}

fn link_tcx(program: &mut SchedClassifier, name: &str) -> Result<Link, ProgramError> {
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let link = program.attach_with_options(name, INGRESS, order)?;
    program.take_link(link).map(Link::Tcx)
}

fn link_clsact(program: &mut SchedClassifier, name: &str) -> Result<Link, ProgramError> {
    match tc::qdisc_add_clsact(name) {
        Err(error) if os_error(&error) != Some(libc::EEXIST) => return Err(error.into()),
        _ => {}
    }
    remove_filter(name)?;
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: CLSACT_PRIORITY,
        handle: HANDLE,
        ..NlOptions::default()
    });
    let link = program.attach_with_options(name, INGRESS, options)?;
    // Dropped, it would remove the filter of whatever interface has its index then.
    core::mem::forget(program.take_link(link)?);
    Ok(Link::Clsact)
}

/// No filter of ours, or no clsact qdisc to look for one, is what is wanted.
fn remove_filter(name: &str) -> Result<(), ProgramError> {
    let known = SchedClassifierLink::attached(name, INGRESS, CLSACT_PRIORITY, HANDLE, None);
    match known.map_err(ProgramError::IOError)?.detach() {
        Err(error) if !matches!(os_error(&error), Some(libc::ENOENT | libc::EINVAL)) => Err(error),
        _ => Ok(()),
    }
}

fn not_attached() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        "the gate is not attached to this interface",
    )
}
