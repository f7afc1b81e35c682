//! What happens to the routers: everything that a seed decides before the first event. Steps can be
//! left out, which is how a failing seed is shrunk.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use rvrrpd::wire::advert::ChecksumForm;
use rvrrpd::wire::{Family, Version, Versions, Vrid};

use super::hostile::Hostile;

/// Microseconds of the true time, which no node knows.
pub(crate) type Micros = u64;

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) groups: Vec<Group>,
    /// Interval that everything else is scaled by.
    pub(crate) base: Micros,
    /// Shortest and longest way through the network.
    pub(crate) delay: (Micros, Micros),
    /// Longest time until a thread runs that could.
    pub(crate) latency: Micros,
    /// Packets that a receive socket holds.
    pub(crate) socket: usize,
    /// Whether the network sends every frame back to where it came from, too.
    pub(crate) reflecting: bool,
    pub(crate) steps: Vec<Step>,
    /// When it is over.
    pub(crate) end: Micros,
}

/// One router of the LAN.
#[derive(Clone, Debug)]
pub(crate) struct NodePlan {
    /// What its clock shows at the start.
    pub(crate) clock: Micros,
    /// Microseconds that its clock gains in a second.
    pub(crate) drift: i64,
    /// Whether its kernel keeps repeated advertisements to itself.
    pub(crate) absorbs: bool,
}

/// A virtual router, which every node has.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) vrid: Vrid,
    pub(crate) family: Family,
    /// Of all its frames; where several are spoken, of those that are forged.
    pub(crate) version: Version,
    /// Whether the nodes speak both versions, different ones, or change them (MIX-1).
    pub(crate) mixed: bool,
    /// Whether some do not hear each other, because one speaks version 2 alone and the other one
    /// version 3 alone.
    pub(crate) deaf: bool,
    /// Password of version 2.
    pub(crate) password: bool,
    /// Settings of each node.
    pub(crate) settings: Vec<Settings>,
}

#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) source: IpAddr,
    pub(crate) versions: Versions,
    pub(crate) priority: u8,
    pub(crate) interval: Duration,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) startup_delay: Duration,
    /// Number of virtual addresses.
    pub(crate) addresses: u8,
    pub(crate) checksum_form: Option<ChecksumForm>,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) at: Micros,
    pub(crate) fault: Fault,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Thread {
    Listener,
    Worker,
}

#[derive(Clone, Debug)]
pub(crate) enum Fault {
    Start(usize),
    /// Nothing more comes from it.
    Crash(usize),
    /// It leaves in order.
    Stop(usize),
    /// SIGSTOP, and SIGCONT after a while.
    Pause(usize, Micros),
    /// One thread is not scheduled for a while.
    Stall(usize, Thread, Micros),
    Link(usize, bool),
    /// The side of each node.
    Partition(Vec<u8>),
    /// Whether frames of the first node reach the second one.
    Cut(usize, usize, bool),
    Weather(Weather),
    /// New values of a group on these nodes.
    Configure(usize, Vec<usize>, Change),
    Hostile(Hostile),
}

/// What the network does to frames, in percent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Weather {
    pub(crate) loss: u64,
    pub(crate) duplicate: u64,
    /// Frames that come up to three intervals late.
    pub(crate) late: u64,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Change {
    Priority(u8),
    Interval(Duration),
    Preempt(bool),
    Addresses(u8),
    Versions(Versions),
}

impl Fault {
    /// How long it lasts.
    pub(crate) fn span(&self) -> Micros {
        match self {
            Self::Pause(_, span) | Self::Stall(_, _, span) => *span,
            _ => 0,
        }
    }

    /// Whether routers may do something because of it. What breaks a receive rule must leave no
    /// trace.
    pub(crate) fn disturbs(&self) -> bool {
        match self {
            Self::Hostile(hostile) => hostile.is_valid(),
            _ => true,
        }
    }
}

/// How a node is called in the story.
pub(crate) fn name(node: usize) -> char {
    (b'A'..=b'Z').map(char::from).nth(node).unwrap_or('?')
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(node) => write!(f, "{} starts", name(*node)),
            Self::Crash(node) => write!(f, "{} crashes", name(*node)),
            Self::Stop(node) => write!(f, "{} is told to stop", name(*node)),
            Self::Pause(node, span) => write!(f, "{} is paused for {} µs", name(*node), span),
            Self::Stall(node, thread, span) => {
                write!(f, "the {thread:?} of {} stalls for {span} µs", name(*node))
            }
            Self::Link(node, up) => {
                let state = if *up { "up" } else { "down" };
                write!(f, "the link of {} goes {state}", name(*node))
            }
            Self::Partition(sides) if sides.iter().all(|side| *side == sides[0]) => {
                f.write_str("the network is whole")
            }
            Self::Partition(sides) => write!(f, "the network falls into sides {sides:?}"),
            Self::Cut(from, to, cut) => {
                let verb = if *cut { "hears" } else { "hears again" };
                let what = if *cut { "nothing of" } else { "" };
                write!(f, "{} {verb} {what} {}", name(*to), name(*from))
            }
            Self::Weather(weather) if *weather == Weather::default() => {
                f.write_str("the network is in order")
            }
            Self::Weather(weather) => write!(f, "the network suffers: {weather:?}, in percent"),
            Self::Configure(group, nodes, change) => {
                let nodes: String = nodes.iter().map(|node| name(*node)).collect();
                write!(f, "group {group} of {nodes} gets {change:?}")
            }
            Self::Hostile(hostile) => write!(f, "a stranger sends {hostile:?}"),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: network {}..{} µs, threads up to {} µs late, sockets of {}{}",
            self.seed,
            self.delay.0,
            self.delay.1,
            self.latency,
            self.socket,
            if self.reflecting {
                ", frames come back"
            } else {
                ""
            },
        )?;
        for (index, group) in self.groups.iter().enumerate() {
            writeln!(
                f,
                "group {index}: {:?} {:?} VRID {}",
                group.version, group.family, group.vrid
            )?;
            for (node, settings) in group.settings.iter().enumerate() {
                writeln!(
                    f,
                    "  {} {} {:?} priority {} interval {:?} preempt {} after {:?}, starts after {:?}",
                    name(node),
                    settings.source,
                    settings.versions,
                    settings.priority,
                    settings.interval,
                    settings.preempt,
                    settings.preempt_delay,
                    settings.startup_delay,
                )?;
            }
        }
        Ok(())
    }
}
