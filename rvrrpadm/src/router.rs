//! What the daemon says about virtual routers. Fields that this version does not know are ignored,
//! those that an older daemon does not send are empty.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a virtual router; `Master` is `Active` of RFC 9568.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum State {
    /// It does not take part.
    Init,
    /// It watches the Master.
    Backup,
    /// It has the virtual addresses.
    Master,
}

impl State {
    /// Name in Sun's commands: `INIT`, `BACK`, `MAST`.
    #[must_use]
    pub const fn short(self) -> &'static str {
        match self {
            Self::Init => "INIT",
            Self::Backup => "BACK",
            Self::Master => "MAST",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Why a virtual router is in Init.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Substate {
    /// An operator or the configuration disabled it.
    Shutdown,
    /// It waits for a protected service.
    Pending,
}

impl Substate {
    /// Name: `shutdown`, `pending`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Pending => "pending",
        }
    }
}

/// Address family.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

/// A line of the list of virtual routers.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Summary {
    /// Name.
    pub name: String,
    /// VRID.
    pub group: u8,
    /// Interface that carries the virtual addresses.
    pub interface: String,
    /// Interface on which advertisements are sent and received.
    pub parent: Option<String>,
    /// First virtual address, or all of them.
    pub virtual_ip: Addresses,
    /// Family; follows from the address where the daemon does not say.
    pub family: Option<Family>,
}

/// One address or several.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Addresses {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

impl Default for Addresses {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Addresses {
    /// All of them.
    #[must_use]
    pub fn list(&self) -> Vec<&str> {
        match self {
            Self::One(address) => vec![address],
            Self::Several(addresses) => addresses.iter().map(String::as_str).collect(),
        }
    }
}

impl Summary {
    /// Family of the virtual router.
    #[must_use]
    pub fn family(&self) -> Family {
        family(self.family, &self.virtual_ip)
    }

    /// Interface on which advertisements are sent and received.
    #[must_use]
    pub fn link(&self) -> &str {
        self.parent.as_deref().unwrap_or(&self.interface)
    }
}

fn family(said: Option<Family>, addresses: &Addresses) -> Family {
    said.unwrap_or_else(|| {
        let first = addresses.list().first().copied().unwrap_or_default();
        if first.contains(':') {
            Family::Ipv6
        } else {
            Family::Ipv4
        }
    })
}

/// Times of a virtual router in seconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Timers {
    /// Advertisement interval.
    pub advert: Option<f64>,
    /// Skew time.
    pub skew: Option<f64>,
    /// Master down interval.
    pub master_down: Option<f64>,
    /// What is left of it.
    pub master_down_left: Option<f64>,
}

/// Who was heard last.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Peer {
    /// Source address.
    pub address: String,
    /// Priority.
    pub priority: Option<u8>,
    /// Advertisement interval in seconds.
    pub advert_interval: Option<f64>,
    /// When it was heard, RFC 3339.
    pub last_advert: Option<String>,
    /// How many seconds ago that was.
    pub last_advert_ago: Option<f64>,
}

/// The last change of state.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Transition {
    /// State before.
    pub from: Option<State>,
    /// State after.
    pub to: Option<State>,
    /// Sub-state before.
    pub from_substate: Option<Substate>,
    /// Why.
    pub reason: Option<String>,
    /// When, RFC 3339.
    pub at: Option<String>,
    /// How many seconds ago that was.
    pub ago: Option<f64>,
}

/// Everything about a virtual router.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Router {
    /// Name.
    pub name: String,
    /// VRID.
    pub group: u8,
    /// Interface that carries the virtual addresses.
    pub interface: String,
    /// State.
    pub state: State,
    /// Priority in the election, 255 for an owner.
    pub priority: u8,
    /// Priority of the configuration.
    #[serde(default)]
    pub configured_priority: Option<u8>,
    /// First virtual address, or all of them.
    #[serde(default)]
    pub virtual_ip: Addresses,
    /// All virtual addresses.
    #[serde(default)]
    pub virtual_ips: Vec<String>,
    /// Interface on which advertisements are sent and received.
    #[serde(default)]
    pub parent: Option<String>,
    /// Virtual interface, if there is one.
    #[serde(default)]
    pub vif: Option<String>,
    /// Network namespace of the interface; none: that of the daemon.
    #[serde(default)]
    pub netns: Option<String>,
    /// What carries the virtual addresses: `ether`, `macvlan` or `ebpf`.
    #[serde(default)]
    pub data_plane: Option<String>,
    /// Why no better one.
    #[serde(default)]
    pub data_plane_why: Option<String>,
    /// Virtual MAC, if there is one.
    #[serde(default)]
    pub virtual_mac: Option<String>,
    /// Family; follows from the addresses where the daemon does not say.
    #[serde(default)]
    pub family: Option<Family>,
    /// Whether a higher priority takes over from a lower one.
    #[serde(default)]
    pub preempt: bool,
    /// Whether packets to the virtual addresses are accepted.
    #[serde(default = "yes")]
    pub accept_mode: bool,
    /// Whether it may run at all.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Why it is in Init, if it was made to be.
    #[serde(default)]
    pub substate: Option<Substate>,
    /// What keeps it in Init, by name.
    #[serde(default)]
    pub not_ready: Vec<String>,
    /// Source address of the advertisements.
    #[serde(default)]
    pub primary: Option<String>,
    /// Services that it protects.
    #[serde(default)]
    pub protects: Vec<String>,
    /// Advertisement interval in seconds.
    #[serde(default)]
    pub advert_interval: Option<f64>,
    /// Master down interval in seconds.
    #[serde(default)]
    pub masterdown_interval: Option<f64>,
    /// Skew time in seconds.
    #[serde(default)]
    pub skew_time: Option<f64>,
    /// The filter of its receive socket.
    #[serde(default)]
    pub socket_filter: Option<String>,
    /// The gate in front of its virtual MAC, if there is one.
    #[serde(default)]
    pub gate: Option<String>,
    /// Ethernet address of the parent.
    #[serde(default)]
    pub interface_hwaddress: Option<String>,
    /// Times.
    #[serde(default)]
    pub timers: Timers,
    /// Who was heard last.
    #[serde(default)]
    pub peer: Option<Peer>,
    /// The last change of state.
    #[serde(default)]
    pub last_transition: Option<Transition>,
    /// Counters, with the names of RFC 8347.
    #[serde(default)]
    pub statistics: BTreeMap<String, serde_json::Value>,
}

const fn yes() -> bool {
    true
}

impl Router {
    /// Family of the virtual router.
    #[must_use]
    pub fn family(&self) -> Family {
        family(self.family, &self.virtual_ip)
    }

    /// Interface on which advertisements are sent and received.
    #[must_use]
    pub fn link(&self) -> &str {
        self.parent.as_deref().unwrap_or(&self.interface)
    }

    /// All virtual addresses.
    #[must_use]
    pub fn addresses(&self) -> Vec<&str> {
        if self.virtual_ips.is_empty() {
            self.virtual_ip.list()
        } else {
            self.virtual_ips.iter().map(String::as_str).collect()
        }
    }

    /// Advertisement interval in seconds.
    #[must_use]
    pub fn advert(&self) -> Option<f64> {
        self.timers.advert.or(self.advert_interval)
    }

    /// Skew time in seconds.
    #[must_use]
    pub fn skew(&self) -> Option<f64> {
        self.timers.skew.or(self.skew_time)
    }

    /// Master down interval in seconds.
    #[must_use]
    pub fn master_down(&self) -> Option<f64> {
        self.timers.master_down.or(self.masterdown_interval)
    }
}
