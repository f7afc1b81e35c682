//! How many virtual routers, and how often they advertise.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::Duration;

/// Virtual routers on one interface.
const PER_INTERFACE: usize = 250;
/// More do not fit the addresses that [`Load::vip`] makes.
const MOST: usize = 4000;

/// Priority of the Master.
pub(crate) const MASTER: u8 = 200;
/// Priority of the Backup.
pub(crate) const BACKUP: u8 = 100;
/// Priority of the one that comes after the Master was killed.
pub(crate) const SUCCESSOR: u8 = 50;

/// A virtual router: number of the LAN and VRID.
pub(crate) type Router = (u8, u8);

/// How many virtual routers, and their interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Load {
    pub(crate) routers: usize,
    pub(crate) interval: Duration,
}

impl Load {
    pub(crate) const fn new(routers: usize, seconds: f64) -> Self {
        let interval = Duration::from_millis((seconds * 1000.0) as u64);
        Self { routers, interval }
    }

    /// Every virtual router.
    pub(crate) fn each(self) -> impl Iterator<Item = Router> {
        (0..self.routers).map(|number| {
            let part = |value: usize| u8::try_from(value).expect("at most 4000 routers");
            let lan = part(number / PER_INTERFACE);
            (lan, part(number % PER_INTERFACE + 1))
        })
    }

    /// The one whose configuration a reload changes.
    pub(crate) fn first() -> Router {
        (0, 1)
    }

    /// The virtual address of a virtual router.
    pub(crate) fn vip((lan, vrid): Router) -> Ipv4Addr {
        Ipv4Addr::new(10, lan, 1, vrid)
    }

    /// The virtual router whose address this is.
    pub(crate) fn router_of(vip: Ipv4Addr) -> Option<Router> {
        let [10, lan, 1, vrid] = vip.octets() else {
            return None;
        };
        Some((lan, vrid))
    }

    /// LANs, and interfaces of each host.
    pub(crate) fn lans(self) -> usize {
        self.routers.div_ceil(PER_INTERFACE)
    }

    /// Advertisements of all virtual routers in `span`.
    pub(crate) fn adverts_in(self, span: Duration) -> f64 {
        self.routers as f64 * span.as_secs_f64() / self.interval.as_secs_f64()
    }

    /// Skew_Time of RFC 9568 §6.1.
    pub(crate) fn skew(self, priority: u8) -> Duration {
        self.interval * (256 - u32::from(priority)) / 256
    }

    /// Active_Down_Interval of RFC 9568 §6.1.
    pub(crate) fn down_interval(self, priority: u8) -> Duration {
        self.interval * 3 + self.skew(priority)
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.routers == 1 { "" } else { "s" };
        let seconds = self.interval.as_secs_f64();
        f.pad(&format!("{} router{plural} at {seconds} s", self.routers))
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@');
        let parsed = parts.and_then(|(routers, interval)| {
            Some(Self::new(routers.parse().ok()?, interval.parse().ok()?))
        });
        parsed
            .filter(|load| (1..=MOST).contains(&load.routers) && !load.interval.is_zero())
            .ok_or_else(|| format!("{text}: ROUTERS@SECONDS, at most {MOST} routers"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_router_has_a_lan_a_vrid_and_an_address_of_its_own() {
        let load = Load::new(1000, 0.1);
        let all: Vec<Router> = load.each().collect();
        assert_eq!((all[0], all[249], all[250]), ((0, 1), (0, 250), (1, 1)));
        assert_eq!((all.len(), load.lans()), (1000, 4));
        assert!(
            all.iter()
                .all(|router| Load::router_of(Load::vip(*router)) == Some(*router))
        );
    }

    #[test]
    fn the_theory_is_that_of_rfc_9568() {
        let load = Load::new(1, 1.0);
        assert_eq!(load.skew(BACKUP), Duration::from_micros(609_375));
        assert_eq!(load.down_interval(BACKUP), Duration::from_micros(3_609_375));
        assert!((load.adverts_in(Duration::from_secs(5)) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_load_is_read_as_it_is_asked_for() {
        assert_eq!("250@0.1".parse(), Ok(Load::new(250, 0.1)));
        for wrong in ["", "250", "0@1", "4001@1", "1@0", "1@-1", "x@1"] {
            assert!(wrong.parse::<Load>().is_err(), "{wrong}");
        }
    }
}
