//! The gate: a program at the ingress of each parent.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{HashMap, Map, MapData};
use aya::programs::links::{Link as _, LinkOrder};
use aya::programs::tc::{
    NlOptions, SchedClassifier, SchedClassifierLink, TcAttachOptions, TcAttachType, TcHandle,
};
use aya::programs::{ProgramError, tc};
use rvrrpd_ebpf::{GateState, MAPPED, RefusedKey};

use super::counters::{Counters, StoppedFrames};
use super::states::{Place, States, index};
use super::{io_error, os_error, take};
use crate::net::sys::interface;
use crate::wire::{Family, Vrid};

const PROGRAM: &str = "rvrrpd_gate";
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
    numbers: HashMap<MapData, u32, u32>,
    refused: HashMap<MapData, [u8; 20], u32>,
    stopped: StoppedFrames,
    states: Arc<States>,
    attached: BTreeMap<u32, Attached>,
}

#[derive(Debug)]
struct Attached {
    place: Place,
    link: Link,
    refused: BTreeSet<IpAddr>,
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
    pub(super) fn load(mut ebpf: Ebpf) -> Result<Self, Box<dyn Error>> {
        program(&mut ebpf)?.load()?;
        let Map::Array(states) = take(&mut ebpf, "STATES")? else {
            return Err("the map STATES is no array".into());
        };
        Ok(Self {
            numbers: HashMap::try_from(take(&mut ebpf, "INTERFACES")?)?,
            refused: HashMap::try_from(take(&mut ebpf, "REFUSED")?)?,
            stopped: StoppedFrames(Arc::new(Counters::new(take(&mut ebpf, "STOPPED")?)?)),
            states: Arc::new(States::map(states)?),
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
            self.numbers
                .insert(ifindex, place.0, 0)
                .map_err(|error| io_error(&error))?;
        }
        let program = program(&mut self.ebpf).map_err(|error| io_error(&*error))?;
        let linked = match hook {
            Hook::Tcx => link_tcx(program, &name),
            Hook::Clsact => link_clsact(program, &name),
        };
        match linked {
            Ok(link) => {
                let mut refused = BTreeSet::new();
                if let Some(known) = self.attached.remove(&ifindex) {
                    refused = known.refused;
                    if known.link.hook() != hook {
                        known.link.detach(ifindex);
                    }
                }
                let attached = Attached {
                    place,
                    link,
                    refused,
                };
                self.attached.insert(ifindex, attached);
                Ok(place)
            }
            // It is still there.
            Err(error) if known.is_some() && os_error(&error) == Some(libc::EEXIST) => Ok(place),
            Err(error) => {
                if known.is_none() {
                    let _never_there = self.numbers.remove(&ifindex);
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
        for address in &attached.refused {
            let _gone = self.refused.remove(&key(ifindex, *address));
        }
        self.publish_count();
        let _gone = self.numbers.remove(&ifindex);
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
    /// router is open (`accept_mode = false`), except for ND. What arrives elsewhere is not
    /// concerned.
    ///
    /// # Errors
    /// `NotFound` where the interface is not attached; the map is full, which is 16384 addresses.
    pub fn refuse(
        &mut self,
        ifindex: u32,
        router: (Family, Vrid),
        address: IpAddr,
    ) -> io::Result<()> {
        let attached = self.attached.get_mut(&ifindex).ok_or_else(not_attached)?;
        self.refused
            .insert(key(ifindex, address), index(attached.place, router), 0)
            .map_err(|error| io_error(&error))?;
        attached.refused.insert(address);
        self.publish_count();
        Ok(())
    }

    /// Packets to this address are accepted again.
    pub fn accept(&mut self, ifindex: u32, address: IpAddr) {
        let Some(attached) = self.attached.get_mut(&ifindex) else {
            return;
        };
        if attached.refused.remove(&address) {
            let _gone = self.refused.remove(&key(ifindex, address));
            self.publish_count();
        }
    }

    /// What was dropped.
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

    fn publish_count(&self) {
        let counts = self.attached.values().map(|one| one.refused.len() as u64);
        self.states.set_refused(counts.sum());
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        while let Some((ifindex, attached)) = self.attached.pop_first() {
            attached.link.detach(ifindex);
        }
    }
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

/// A [`RefusedKey`] as bytes.
fn key(ifindex: u32, address: IpAddr) -> [u8; 20] {
    let address = match address {
        IpAddr::V4(address) => {
            let [a, b, c] = MAPPED;
            [a, b, c, u32::from_ne_bytes(address.octets())]
        }
        IpAddr::V6(address) => {
            let octets = address.octets();
            core::array::from_fn(|word| {
                u32::from_ne_bytes(core::array::from_fn(|byte| octets[word * 4 + byte]))
            })
        }
    };
    let key = RefusedKey { address, ifindex };
    let mut bytes = [0; 20];
    let words = key.address.into_iter().chain([key.ifindex]);
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}
