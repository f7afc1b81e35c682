//! Macvlans: made, silenced and set up in few batches.

use std::collections::BTreeMap;
use std::io;

use super::kernel::{Batch, Kernel};
use super::netlink::{self, Ipv4Silence};
use super::prepare::Failures;
use super::{Carrier, Error, RouterId, sysctl};
use crate::driver::dataplane::virtual_mac;
use crate::wire::Family;

impl Kernel {
    /// Creates, silences and sets up the macvlans, all in three batches.
    pub(super) fn make_macvlans(&mut self, fresh: &[RouterId], failures: &mut Failures) {
        // Anew, for a rename may have freed a name.
        let Ok(links) = self.netlink.links() else {
            return;
        };
        let mut batch = Batch::default();
        let mut wanted = Vec::new();
        for id in fresh {
            if failures.contains_key(id) {
                continue;
            }
            let Some(plan) = self.routers.get(id).map(|router| router.plan.clone()) else {
                continue;
            };
            let Carrier::Macvlan { name } = &plan.carrier else {
                continue;
            };
            if let Some(parent) = links
                .iter()
                .find(|link| link.index == plan.parent && link.macvlan)
            {
                let beside = io::Error::new(
                    io::ErrorKind::Unsupported,
                    format!(
                        "{} is a macvlan itself: the kernel would put this one beside it, not on \
                         it; allowed: its lower interface, or `iftype = \"ether\"`",
                        parent.name
                    ),
                );
                failures.insert(*id, Error::new(format!("macvlan {name}"), beside));
                continue;
            }
            let mac = virtual_mac(&plan);
            match links.iter().find(|link| link.name == *name) {
                Some(link) if link.mac != Some(mac) || link.lower != Some(plan.parent) => {
                    let taken = io::Error::new(
                        io::ErrorKind::AlreadyExists,
                        "there is an interface of this name that is not ours; allowed: another \
                         `vifname`",
                    );
                    failures.insert(*id, Error::new(format!("macvlan {name}"), taken));
                    continue;
                }
                // Left by a predecessor that is dead and whose journal was lost.
                Some(link) => {
                    let request = netlink::set_group(link.index, self.group.number);
                    batch.push(*id, format!("macvlan {name}"), request);
                }
                None => {
                    let request =
                        netlink::create_macvlan(name, mac, plan.parent, self.group.number);
                    batch.push(*id, format!("macvlan {name}"), request);
                }
            }
            wanted.push((*id, name.clone(), plan.family));
        }
        if wanted.is_empty() {
            return;
        }
        self.run(batch, failures);
        let Ok(links) = self.netlink.links() else {
            return;
        };
        let indexes: BTreeMap<&str, u32> = links
            .iter()
            .map(|link| (link.name.as_str(), link.index))
            .collect();
        wanted.retain(|(id, _, _)| !failures.contains_key(id));
        let (mut silence, mut up) = (Batch::default(), Batch::default());
        for (id, name, family) in &wanted {
            let Some(&index) = indexes.get(name.as_str()) else {
                continue;
            };
            if let Some(router) = self.routers.get_mut(id) {
                router.vif = Some(index);
            }
            let parent = self
                .routers
                .get(id)
                .map(|router| router.plan.parent_name.clone());
            let ipv4 = silent_ipv4(&parent.unwrap_or_default());
            let request = netlink::silence_macvlan(index, ipv4, *family == Family::V6);
            silence.push(*id, format!("settings of macvlan {name}"), request);
            up.push(*id, format!("macvlan {name} up"), netlink::set_up(index));
        }
        self.run(silence, failures);
        for (id, name, family) in &wanted {
            if let Err(error) = silence_ipv6(name, *family) {
                failures.insert(
                    *id,
                    Error::new(format!("settings of macvlan {name}"), error),
                );
            }
        }
        // Before they are up: what the kernel says of itself then must not leave.
        let ids: Vec<RouterId> = wanted.iter().map(|(id, _, _)| *id).collect();
        self.set_gate(&ids, failures);
        self.run(up, failures);
    }

    fn run(&mut self, batch: Batch, failures: &mut Failures) {
        for (id, error) in self.execute(batch) {
            failures.entry(id).or_insert(error);
        }
    }

    /// A macvlan that was made and is not there, because somebody deleted or renamed it at once or
    /// the list of links failed: a Master would have nothing to put its addresses on.
    pub(super) fn find_unmade(&self, fresh: &[RouterId], failures: &mut Failures) {
        for router in fresh.iter().filter_map(|id| self.routers.get(id)) {
            let Carrier::Macvlan { name } = &router.plan.carrier else {
                continue;
            };
            if router.vif.is_none() {
                let missing = io::Error::from(io::ErrorKind::NotFound);
                let missing = Error::new(format!("macvlan {name}"), missing);
                failures.entry(router.plan.id).or_insert(missing);
            }
        }
    }
}

/// IPv4 settings of a macvlan on this parent. It forwards where the parent does. The way back of
/// what comes in is the parent, so only loose filtering lets it in; the kernel uses the greater
/// `rp_filter` of interface and `all`, so that 0 would not do where `all` is 1.
fn silent_ipv4(parent: &str) -> Ipv4Silence {
    let forwarding = sysctl::read(&format!("net/ipv4/conf/{parent}/forwarding"));
    Ipv4Silence {
        arp_ignore: 1,
        arp_announce: 2,
        send_redirects: 0,
        rp_filter: 2,
        promote_secondaries: 1,
        forwarding: u32::from(forwarding.is_ok_and(|value| value == "1")),
    }
}

/// A macvlan must not say anything by itself: no link-local address of its own, no MLD, no router
/// solicitation. An IPv4 one has no IPv6 at all.
fn silence_ipv6(name: &str, family: Family) -> io::Result<()> {
    let settings: &[(&str, &str)] = match family {
        Family::V4 => &[("disable_ipv6", "1")],
        Family::V6 => &[
            ("accept_ra", "0"),
            ("autoconf", "0"),
            ("router_solicitations", "0"),
            ("dad_transmits", "0"),
            ("forwarding", "1"),
        ],
    };
    for (setting, value) in settings {
        match sysctl::write(&format!("net/ipv6/conf/{name}/{setting}"), value) {
            // A kernel without IPv6.
            Err(error) if error.kind() == io::ErrorKind::NotFound && family == Family::V4 => {}
            result => result?,
        }
    }
    Ok(())
}
