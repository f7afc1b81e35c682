//! The validated configuration: every value is in range, every default filled in, every name
//! resolved. Nothing here can be wrong any more; what could be wrong was reported by the parser.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::wire::auth::HmacKeys;
use crate::wire::ra;
use crate::wire::{Family, Vrid};

/// One configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Keys of the top level.
    pub global: Global,
    /// Virtual routers, in the order of the file.
    pub vrouters: Vec<Arc<VirtualRouter>>,
    /// Routes that are there while at least one virtual router is Master.
    pub static_routes: Vec<Route>,
    /// Client API; none: no API.
    pub api: Option<Api>,
}

/// Keys of the top level.
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Debug level, 0..=5.
    pub debug: u8,
    /// Time zone of time stamps.
    pub time_zone: TimeZone,
    /// Form of time stamps.
    pub time_format: TimeFormat,
    /// Form of a log line.
    pub log_format: LogFormat,
    /// Where the log goes.
    pub log_target: LogTarget,
    /// PID file of mode 2.
    pub pid: PathBuf,
    /// Working directory of mode 2.
    pub working_dir: PathBuf,
    /// Runtime directory; none: the default for this network namespace.
    pub run_dir: Option<PathBuf>,
    /// Log file of mode 2.
    pub main_log: PathBuf,
    /// File that takes warnings and errors in mode 2; none: they go to `main_log`.
    pub error_log: Option<PathBuf>,
    /// Worker threads, 1..=64; none: number of cores, at most 4.
    pub workers: Option<u8>,
    /// Real-time scheduling and locked memory.
    pub realtime: bool,
}

/// Time zone of time stamps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeZone {
    /// That of the host.
    Local,
    /// Coordinated Universal Time.
    Utc,
}

/// Form of time stamps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimeFormat {
    /// None.
    Disabled,
    /// `Nov 21 2026 02:05:58`.
    Short,
    /// `Sat, 21 Nov 2026 02:05:58 +0000`.
    Rfc2822,
    /// `2026-11-21T02:05:58.123456+00:00`.
    Rfc3339,
}

/// Form of a log line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogTarget {
    /// stdout and stderr in mode 1, `main_log` and `error_log` in mode 2.
    File,
    /// The systemd journal.
    Journald,
    /// The syslog daemon.
    Syslog,
}

/// A virtual address and the length of its prefix on the interface that carries it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Vip {
    /// The address that is advertised.
    pub address: IpAddr,
    /// Prefix length; none: /32, /128 (link-local: /64) on a virtual interface, the prefix of the
    /// interface's subnet on `ether`.
    pub prefix: Option<u8>,
}

/// The peers of a virtual router that does not use multicast.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unicast {
    /// Addresses of the peers: at least one, at most 64, no duplicates, of the family of the
    /// router; IPv6 ones are all link-local or none is.
    pub peers: Vec<IpAddr>,
    /// Source of the advertisements; none: `primary`, else the first address of the interface
    /// with the scope of the peers.
    pub source: Option<IpAddr>,
    /// Least TTL or hop limit that is accepted, 1..=255.
    pub min_ttl: u8,
}

/// VRRP versions that a virtual router speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// VRRPv2 alone.
    V2,
    /// VRRPv3 alone.
    V3,
    /// Both at once, over IPv4 (RFC 9568 §8.4).
    Both,
}

/// How peers prove who they are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Auth {
    /// Not at all.
    None,
    /// HMAC-SHA256 behind the message, with time and counter; version 2 and 3.
    HmacSha256(HmacKeys),
    /// IP Authentication Header with HMAC-MD5-96 (RFC 2338 §5.3.6), a password of 8 bytes.
    Ah(Secret),
    /// Password in the clear, 8 bytes (RFC 2338 §5.3.6).
    Simple(Secret),
    /// HMAC-SHA256 of the message, 8 bytes (rVRRPd, type 250).
    P0Sha256(Secret),
    /// SHAKE256 of key and message, 8 bytes (rVRRPd, type 251).
    P1Shake256(Secret),
}

/// A secret: wiped when dropped, never printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(pub Zeroizing<Vec<u8>>);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("\"***\"")
    }
}

/// Form of the VRRPv3 checksum over IPv4 that is sent (both are accepted).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChecksumPolicy {
    /// Message only until a peer is heard that uses the pseudo-header, then as that peer does.
    Auto,
    /// Message only (RFC 9568 §5.2.8).
    Rfc9568,
    /// With an IPv4 pseudo-header, as FRR and keepalived send by default.
    PseudoHeader,
}

/// Which kernel interface changes the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NetworkDriver {
    /// rtnetlink (`libnl`, `netlink`).
    Netlink,
    /// Classic ioctls, with an alias label (`eth0:v1`).
    Ioctl,
}

/// What carries the virtual addresses and the virtual MAC.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InterfaceType {
    /// The interface itself.
    Ether,
    /// A macvlan of its own.
    Macvlan,
    /// The eBPF program at the ingress of the interface; there is no interface of its own.
    Ebpf,
    /// [`Self::Ebpf`] where that runs, else [`Self::Macvlan`].
    Auto,
}

/// Which socket filter is attached.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FilterType {
    /// The best that the kernel permits.
    Auto,
    /// eBPF; where the kernel does not permit it, classic BPF.
    Ebpf,
    /// Classic BPF.
    Classic,
}

/// One `[[vrouter]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualRouter {
    /// Unique name.
    pub name: String,
    /// VRID (`group`).
    pub vrid: Vrid,
    /// Name of the network namespace that the parent interface is in; none: that of the daemon.
    pub netns: Option<String>,
    /// Name of the parent interface.
    pub interface: String,
    /// Family of all `vips`.
    pub family: Family,
    /// Versions spoken.
    pub protocol: Protocol,
    /// Virtual addresses in the order in which they are advertised; at least one, at most 255.
    pub vips: Vec<Vip>,
    /// Source of the advertisements; none: the first address of the interface.
    pub primary: Option<IpAddr>,
    /// The routers that advertisements are exchanged with; none: the multicast group.
    pub unicast: Option<Unicast>,
    /// Configured priority, 1..=254; an owner uses 255 instead.
    pub priority: u8,
    /// Whether a higher-priority Backup takes over from a lower-priority Master.
    pub preemption: bool,
    /// How long a lower-priority Master is tolerated before it is preempted.
    pub preempt_delay: Duration,
    /// How long the router stays in Init after it became ready for the first time.
    pub startup_delay: Duration,
    /// Whether packets to the virtual addresses are accepted.
    pub accept_mode: bool,
    /// Authentication.
    pub auth: Auth,
    /// Advertisement interval: whole seconds in version 2 alone, else centiseconds.
    pub interval: Duration,
    /// True: the address list is exactly the `vips`; false: addresses of the interface follow.
    pub rfc3768: bool,
    /// Form of the VRRPv3 checksum over IPv4.
    pub v3_checksum: ChecksumPolicy,
    /// Whether the address list of an advertisement is compared with ours.
    pub address_list_check: bool,
    /// Which kernel interface changes the kernel.
    pub netdrv: NetworkDriver,
    /// What carries the virtual addresses and the virtual MAC.
    pub iftype: InterfaceType,
    /// Whether the virtual MAC is used at all; false only on `ether`.
    pub virtual_mac: bool,
    /// Name of the macvlan, unique in its network namespace.
    pub vifname: String,
    /// Whether a socket filter is attached.
    pub socket_filter: bool,
    /// Which one.
    pub socket_filter_type: FilterType,
    /// Whether the kernel may keep repeated advertisements to itself.
    pub socket_filter_absorb: bool,
    /// Whether applications can be bound to the virtual addresses while it is Backup.
    pub nonlocal_bind: bool,
    /// False: the router stays in Init, sub-state `shutdown`.
    pub enabled: bool,
    /// Routes that are there while this router is Master.
    pub routes: Vec<Route>,
    /// Router advertisements that are sent while this router is Master; IPv6 only.
    pub router_advertisement: Option<Box<RouterAdvertisement>>,
}

/// `router_advertisement` of a virtual router.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RouterAdvertisement {
    /// What they say; at most [`ra::MOST_PACKET_LEN`] bytes.
    pub content: ra::RouterAdvertisement,
    /// Least time between two that nobody asked for, 3 s or more.
    pub min_interval: Duration,
    /// Most time between two, 4 s to 1800 s.
    pub max_interval: Duration,
}

/// A static route.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Route {
    /// Network address; host bits are zero.
    pub destination: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// Next hop.
    pub next_hop: IpAddr,
    /// Metric (priority of the route), 0: the kernel's default.
    pub metric: u32,
    /// MTU of the route in bytes, 0: none.
    pub mtu: u32,
    /// Routing table; 254 is `main`.
    pub table: u32,
}

/// `[api]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// Credential lines of `rvrrpd-pw`.
    pub users: Vec<Secret>,
    /// Key that signs sessions; none: 128 random bits at each start.
    pub secret: Option<Secret>,
    /// Addresses that are listened on.
    pub host: Vec<SocketAddr>,
    /// TLS on or off.
    pub tls: bool,
    /// PEM file of the private key.
    pub tls_key: PathBuf,
    /// PEM file of the certificate chain.
    pub tls_cert: PathBuf,
    /// Life of a session.
    pub session_lifetime: Duration,
    /// Unix socket of `rvrrpadm`; none: `rvrrpd.sock` in the runtime directory.
    pub socket: Option<PathBuf>,
}

impl Api {
    /// Address that is listened on when `host` is absent.
    pub const DEFAULT_HOST: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7080);
}

impl VirtualRouter {
    /// Name of the virtual interface, where the router has one.
    #[must_use]
    pub fn vif(&self) -> Option<&str> {
        match self.iftype {
            InterfaceType::Macvlan => Some(&self.vifname),
            InterfaceType::Ether | InterfaceType::Ebpf | InterfaceType::Auto => None,
        }
    }

    /// Name of the interface that carries the virtual addresses.
    #[must_use]
    pub fn carrier(&self) -> &str {
        self.vif().unwrap_or(&self.interface)
    }

    /// The configured source of the advertisements, if there is one.
    #[must_use]
    pub fn source(&self) -> Option<IpAddr> {
        let unicast = self.unicast.as_ref();
        unicast.and_then(|unicast| unicast.source).or(self.primary)
    }

    /// Where the parent interface is.
    #[must_use]
    pub fn site(&self) -> Site {
        Site {
            netns: self.netns.clone(),
            interface: self.interface.clone(),
        }
    }

    /// What makes a virtual router the same one in two configurations: the parent, the family and
    /// the VRID. All else can change while it runs.
    #[must_use]
    pub fn key(&self) -> RouterKey {
        RouterKey {
            netns: self.netns.clone(),
            interface: self.interface.clone(),
            family: self.family,
            vrid: self.vrid,
        }
    }
}

/// Identity of a virtual router on this host (RFC 9568 §1.4: VRID, interface, family).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RouterKey {
    /// Network namespace of the parent interface; none: that of the daemon.
    pub netns: Option<String>,
    /// Name of the parent interface.
    pub interface: String,
    /// Address family.
    pub family: Family,
    /// VRID.
    pub vrid: Vrid,
}

impl RouterKey {
    /// Where the parent interface is.
    #[must_use]
    pub fn site(&self) -> Site {
        Site {
            netns: self.netns.clone(),
            interface: self.interface.clone(),
        }
    }

    /// Whether the parent interface is this one.
    #[must_use]
    pub fn is_at(&self, site: &Site) -> bool {
        self.interface == site.interface && self.netns == site.netns
    }
}

/// An interface: names of interfaces are those of a network namespace.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Site {
    /// The network namespace; none: that of the daemon.
    pub netns: Option<String>,
    /// The name.
    pub interface: String,
}

/// `eth0`, `eth0 in network namespace blue`.
impl core::fmt::Display for Site {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match &self.netns {
            None => f.write_str(&self.interface),
            Some(netns) => write!(f, "{} in network namespace {netns}", self.interface),
        }
    }
}
