//! The life of an interface, and what others do to the kernel while the daemon runs.

mod address;
mod flap;
mod others;
mod parent;
mod repair;
mod stacked;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::{Frame, Mac};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::mode::Mode;
use rvrrpd_tests::probe::arping;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter};
use rvrrpd_tests::scene::{Scene, VRID};
use rvrrpd_tests::sys::{self, Stamp};

use crate::ipv6::solicit;

/// A family and a mode. Every test of a link runs for both families.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Kind {
    ipv6: bool,
    mode: Mode,
}

const VIP4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 100);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);

impl Kind {
    const fn new(ipv6: bool, mode: Mode) -> Self {
        Self { ipv6, mode }
    }

    /// Both families in this mode.
    const fn of(mode: Mode) -> [Self; 2] {
        [Self::new(false, mode), Self::new(true, mode)]
    }

    /// Name of the virtual router.
    const fn name(self) -> &'static str {
        if self.ipv6 { "eth0-7-v6" } else { "eth0-7" }
    }

    const fn vmac(self) -> Mac {
        if self.ipv6 {
            Mac::virtual_v6(VRID)
        } else {
            Mac::virtual_v4(VRID)
        }
    }

    /// The virtual addresses as they are configured.
    const fn vips(self) -> &'static [&'static str] {
        if self.ipv6 {
            &["fe80::100", "2001:db8::100"]
        } else {
            &["10.0.0.100"]
        }
    }

    /// The one that clients ask for.
    const fn vip(self) -> IpAddr {
        if self.ipv6 {
            IpAddr::V6(VIP6)
        } else {
            IpAddr::V4(VIP4)
        }
    }

    /// Interface that carries it where packets for it are taken.
    const fn carrier(self) -> &'static str {
        match self.mode {
            Mode::Macvlan => "standby7",
            _ => "eth0",
        }
    }

    fn router(self, priority: u8) -> Vrouter {
        Vrouter::new(VRID, self.vips())
            .priority(priority)
            .preemption(true)
            .mode(self.mode)
    }

    /// The usual scene, for IPv6 with global addresses on the LAN that outlive a link that is set
    /// down.
    fn scene(self, test: &str) -> Scene {
        let scene = Scene::new(test);
        scene.lab.step(&format!("{self:?}"));
        if self.ipv6 {
            for (host, number) in [(&scene.r1, 1), (&scene.r2, 2), (&scene.client, 0x50)] {
                host.sysctl("ipv6/conf/eth0/keep_addr_on_down", "1");
                host.ip(&format!(
                    "address add 2001:db8::{number:x}/64 dev eth0 nodad"
                ));
            }
        }
        scene
    }

    /// Who answers for the virtual address, and with which MAC, on one question of the client.
    fn ask(self, lan: &Capture, client: &Host) -> Vec<(String, Mac)> {
        if self.ipv6 {
            let answers = solicit(lan, client, VIP6);
            answers
                .into_iter()
                .map(|(host, nd)| (host, nd.link_layer.expect("link-layer address")))
                .collect()
        } else {
            arping(lan, client, VIP4, 1).remove(0)
        }
    }

    /// Waits until `host` alone answers for the virtual address, with the virtual MAC.
    #[track_caller]
    fn wait_answers(self, lan: &Capture, client: &Host, host: &Host) {
        until(
            &format!("{self:?}: {} alone answers", host.name()),
            within(8.0),
            || (self.ask(lan, client) == [(host.name().to_owned(), self.vmac())]).then_some(()),
        );
    }

    /// Whether a frame comes from the virtual MAC, or answers for the virtual address, and `host`
    /// sent it.
    fn is_duty(self, host: &Host) -> impl Fn(&Frame) -> bool {
        let name = host.name().to_owned();
        move |frame| {
            frame.port == name
                && (frame.source() == self.vmac()
                    || frame.arp().is_some_and(|arp| arp.answers(VIP4))
                    || frame
                        .nd()
                        .is_some_and(|nd| nd.kind == 136 && IpAddr::V6(nd.target) == self.vip()))
        }
    }
}

/// Who advertised from `start` on, in turn: a Master that yields may send one last advertisement
/// (FSM-A-9), which is no turn of its own.
fn turns(lan: &Capture, start: Stamp) -> Vec<String> {
    let adverts = lan.adverts_since(start, VRID);
    let senders: Vec<String> = adverts
        .into_iter()
        .filter(|(_, advert)| advert.priority != 0)
        .map(|(frame, _)| frame.port)
        .collect();
    let mut turns: Vec<String> = Vec::new();
    for (at, sender) in senders.iter().enumerate() {
        let last_word = senders.get(at + 1).is_some_and(|next| next != sender)
            && at > 0
            && senders[at - 1] != *sender;
        if !last_word && turns.last() != Some(sender) {
            turns.push(sender.clone());
        }
    }
    turns
}

/// Waits until the log says why `daemon` has a router in Init.
#[track_caller]
fn wait_reason(daemon: &Rvrrpd, mark: usize, reason: &str) {
    daemon.log().wait_after(mark, reason, within(8.0), |line| {
        let (_, reasons) = line.text.split_once("Waits in Init: ")?;
        reasons.split(", ").any(|one| one == reason).then_some(())
    });
}

/// Does something while `daemon` is stopped: it sees all of it at once, after it.
fn unseen(daemon: &Rvrrpd, happens: impl FnOnce()) {
    sys::kill(daemon.pid(), libc::SIGSTOP).expect("SIGSTOP");
    happens();
    sys::kill(daemon.pid(), libc::SIGCONT).expect("SIGCONT");
}

/// Two routers, the first one Master with priority 200, the second one Backup with 100.
fn pair(kind: Kind, scene: &Scene) -> (Rvrrpd, Rvrrpd) {
    let text = |priority| rvrrpd_tests::rvrrpd::config(&[kind.router(priority)]);
    let first = scene.start(&scene.r1, &text(200));
    first.wait_state(kind.name(), State::Master, within(10.0));
    let second = scene.start(&scene.r2, &text(100));
    second.wait_state(kind.name(), State::Backup, within(10.0));
    (first, second)
}
