//! The usual scene: two routers and a client on a LAN, a server behind the routers.
//!
//! ```text
//!   client 10.0.0.50 ─┐                                  ┌─ server 10.1.0.50
//!                     ├─ LAN ─ eth0 r1 10.0.0.1 eth1 ─┐  │
//!    (default route:  │                               ├─ upstream
//!     the VIP)        └─────── eth0 r2 10.0.0.2 eth1 ─┘
//! ```
//!
//! The server answers through r2, whose kernel forwards whoever is Master.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::capture::Capture;
use crate::deadline::{Deadline, until};
use crate::frame::{AdvertSpec, Frame, Mac};
use crate::host::Host;
use crate::lab::{Lab, Lan};
use crate::rvrrpd::Rvrrpd;
use crate::sys::Stamp;

/// VRID of the usual virtual router.
pub const VRID: u8 = 7;
/// Its virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
/// The same as text.
pub const VIP_TEXT: &str = "10.0.0.100";
/// Name that the usual virtual router has by default.
pub const NAME: &str = "eth0-7";
/// Virtual MAC of the usual virtual router.
pub const VMAC: Mac = Mac::virtual_v4(VRID);
/// Address of the server.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 50);
/// An address on the LAN that nobody has, for a peer that exists in injected frames only.
pub const GHOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 200);

/// The usual scene.
pub struct Scene {
    /// First router.
    pub r1: Host,
    /// Second router.
    pub r2: Host,
    /// Client.
    pub client: Host,
    /// Server; it is there only after [`Self::with_upstream`].
    pub server: Option<Host>,
    /// The LAN with the virtual address.
    pub lan: Lan,
    /// The laboratory; the last field, so that it is removed last.
    pub lab: Lab,
}

impl Scene {
    /// Two routers and a client.
    #[must_use]
    pub fn new(test: &str) -> Self {
        Self::in_lab(Lab::new(test))
    }

    /// The same in a laboratory with its own limit.
    #[must_use]
    pub fn in_lab(lab: Lab) -> Self {
        let lan = lab.lan("lan");
        let r1 = lab.host_on(&lan, "r1", &["10.0.0.1/24"]);
        let r2 = lab.host_on(&lan, "r2", &["10.0.0.2/24"]);
        let client = lab.host_on(&lan, "client", &["10.0.0.50/24"]);
        Self {
            r1,
            r2,
            client,
            server: None,
            lan,
            lab,
        }
    }

    /// Two routers, a client whose default route is the VIP, and a server behind the routers.
    #[must_use]
    pub fn with_upstream(test: &str) -> Self {
        let mut scene = Self::new(test);
        let upstream = scene.lab.lan("upstream");
        scene
            .lab
            .attach(&upstream, &scene.r1, "eth1", &["10.1.0.1/24"]);
        scene
            .lab
            .attach(&upstream, &scene.r2, "eth1", &["10.1.0.2/24"]);
        let server = scene.lab.host_on(&upstream, "server", &["10.1.0.50/24"]);
        server.ip("route add default via 10.1.0.2");
        scene.client.ip(&format!("route add default via {VIP}"));
        scene.server = Some(server);
        scene
    }

    /// Starts rvrrpd on `host`.
    #[must_use]
    pub fn start(&self, host: &Host, config: &str) -> Rvrrpd {
        Rvrrpd::start(&self.lab, host, config)
    }

    /// Sends one advert for the usual virtual router, as if from [`GHOST`], from the client's
    /// port and with the client's MAC, so that the switch does not learn the virtual MAC there.
    pub fn inject(&self, spec: AdvertSpec) {
        let spec = AdvertSpec {
            mac: Some(self.client.mac("eth0")),
            ..spec
        };
        self.client.injector("eth0").send(&spec.frame());
    }

    /// An advert of [`GHOST`] for the usual virtual router.
    #[must_use]
    pub fn ghost(&self, priority: u8, centiseconds: u16) -> AdvertSpec {
        AdvertSpec::v3(VRID, priority, centiseconds, GHOST, &[VIP])
    }
}

/// Hosts that advertised `vrid` within the last `window` with a priority other than 0.
#[must_use]
pub fn masters(lan: &Capture, vrid: u8, window: Duration) -> BTreeSet<String> {
    let start = Stamp(Stamp::now().0.saturating_sub(window));
    lan.adverts_since(start, vrid)
        .into_iter()
        .filter(|(_, advert)| advert.priority != 0)
        .map(|(frame, _)| frame.port)
        .collect()
}

/// Waits until, of each virtual router, exactly the host named has advertised for `window`.
///
/// # Panics
/// When the deadline passes; the message shows who is Master of what.
#[track_caller]
pub fn converge(lan: &Capture, expected: &[(u8, &Host)], window: Duration, deadline: Deadline) {
    let began = Stamp::now();
    let wrong = || -> Vec<String> {
        expected
            .iter()
            .filter_map(|(vrid, host)| {
                let masters = masters(lan, *vrid, window);
                let right = masters.len() == 1 && masters.contains(host.name());
                (!right).then(|| format!("VRID {vrid}: {} expected, {masters:?}", host.name()))
            })
            .collect()
    };
    let settled = || (Stamp::now().since(began) >= window && wrong().is_empty()).then_some(());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        until(
            "exactly one Master of each virtual router",
            deadline,
            settled,
        );
    }));
    assert!(
        result.is_ok(),
        "no convergence within {:?}: {:#?}",
        deadline.limit(),
        wrong()
    );
}

/// Whether `frame` comes from `host` and is an advert of `vrid`.
pub fn advert_from(host: &Host, vrid: u8) -> impl Fn(&Frame) -> bool {
    let name = host.name().to_owned();
    move |frame| frame.port == name && frame.is_advert_of(vrid)
}

/// Skew time of version 3: (256 - priority) / 256 of the interval (RFC 9568 §6.1).
#[must_use]
pub fn skew(priority: u8, interval: Duration) -> Duration {
    interval * (256 - u32::from(priority)) / 256
}

/// Down interval of version 3: three intervals and the skew time (RFC 9568 §6.1).
#[must_use]
pub fn down_interval(priority: u8, interval: Duration) -> Duration {
    3 * interval + skew(priority, interval)
}
