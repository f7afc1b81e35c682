//! One round: a Master and a Backup of one daemon are started, watched, reloaded, killed, stopped.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::sys::Stamp;

use crate::contender::Contender;
use crate::host::{Machine, cpu, descriptors, family, resident};

/// Virtual routers on one interface.
const PER_INTERFACE: usize = 250;
/// How long processor time is counted.
const WINDOW: Duration = Duration::from_secs(10);
const MASTER: u8 = 200;
const BACKUP: u8 = 100;

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

    /// Interface and VRID of each virtual router.
    pub(crate) fn each(self) -> impl Iterator<Item = (u8, u8)> {
        (0..self.routers).map(|number| {
            let part = |value: usize| u8::try_from(value).expect("at most 4000 routers");
            (
                part(number / PER_INTERFACE),
                part(number % PER_INTERFACE + 1),
            )
        })
    }

    pub(crate) fn vip(interface: u8, vrid: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, interface, 1, vrid)
    }

    fn interfaces(self) -> usize {
        self.routers.div_ceil(PER_INTERFACE)
    }

    /// Active_Down_Interval of RFC 9568 §6.1.
    fn down_interval(self, priority: u8) -> Duration {
        self.interval * 3 + self.interval * (256 - u32::from(priority)) / 256
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.routers == 1 {
            "router"
        } else {
            "routers"
        };
        write!(
            f,
            "{} {plural} at {} s",
            self.routers,
            self.interval.as_secs_f64()
        )
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
            .filter(|load| (1..=4000).contains(&load.routers) && !load.interval.is_zero())
            .ok_or_else(|| format!("{text}: ROUTERS@SECONDS, at most 4000 routers"))
    }
}

/// What was measured. Times in milliseconds; "excess" is over the theory.
#[derive(Clone, Debug, Default)]
pub(crate) struct Round {
    /// From the start to the last first advertisement, without the down interval.
    pub(crate) start: f64,
    /// Processor time, in percent of one processor.
    pub(crate) master_cpu: f64,
    pub(crate) backup_cpu: f64,
    /// Soft interrupts of the whole machine, in percent of one processor.
    pub(crate) softirq: f64,
    /// Resident memory in MiB and descriptors, of the Backup.
    pub(crate) memory: f64,
    pub(crate) descriptors: usize,
    /// Longest silence of the routers that a reload did not change, in intervals.
    pub(crate) reload_gap: f64,
    /// Excess of the first advertisements after SIGKILL.
    pub(crate) takeover_median: f64,
    pub(crate) takeover_last: f64,
    /// Excess of the first ARP announcements after SIGKILL.
    pub(crate) arp_last: f64,
    /// From SIGTERM to the last priority 0, and to the end of the process.
    pub(crate) resign: f64,
    pub(crate) exit: f64,
    /// Interfaces that stayed behind.
    pub(crate) left: usize,
    /// Percent of all processors that the hypervisor took away.
    pub(crate) steal: f64,
}

impl Round {
    /// A round on new LANs.
    pub(crate) fn run(load: Load, contender: Contender) -> Self {
        let machine = Machine::now();
        let scene = Scene::new(load, contender);
        let mut round = Self::default();
        let (mut master, mut backup) = scene.start(&mut round);
        scene.steady(&master, &backup, &mut round);
        scene.reload(&backup, &mut round);
        scene.kill(&mut master, &mut round);
        scene.stop(&mut backup, &mut round);
        round.steal = Machine::now().steal_since(machine);
        round
    }
}

struct Scene {
    load: Load,
    contender: Contender,
    lans: Vec<Lan>,
    r1: Host,
    r2: Host,
    lab: Lab,
}

impl Scene {
    fn new(load: Load, contender: Contender) -> Self {
        let lab = Lab::with_limit("bench", Duration::from_secs(600));
        let (r1, r2) = (lab.host("r1"), lab.host("r2"));
        let lans = (0..load.interfaces())
            .map(|number| {
                let lan = lab.lan(&format!("lan{number}"));
                for (host, last) in [(&r1, 1), (&r2, 2)] {
                    let address = format!("10.{number}.0.{last}/16");
                    lab.attach(&lan, host, &format!("eth{number}"), &[&address]);
                }
                lan
            })
            .collect();
        Self {
            load,
            contender,
            lans,
            r1,
            r2,
            lab,
        }
    }

    fn captures(&self) -> Vec<Capture> {
        self.lans.iter().map(Lan::capture).collect()
    }

    /// Starts both, the Master first.
    fn start(&self, round: &mut Round) -> (Process, Process) {
        let captures = self.captures();
        self.contender
            .configure(&self.lab, &self.r1, self.load, MASTER, MASTER);
        self.contender
            .configure(&self.lab, &self.r2, self.load, BACKUP, BACKUP);
        let begin = Stamp::now();
        let master = self.contender.start(&self.lab, &self.r1);
        let firsts = self.all(&captures, begin, &self.r1, is_advert);
        let last = firsts.values().max().copied().unwrap_or(begin);
        round.start =
            milliseconds(last.since(begin)) - milliseconds(self.load.down_interval(MASTER));
        drop(captures);
        let backup = self.contender.start(&self.lab, &self.r2);
        // Until it is certain that it listens: it would be Master by now.
        wait(self.load.down_interval(BACKUP) * 2 + Duration::from_secs(3));
        (master, backup)
    }

    /// Counts what the steady state costs.
    fn steady(&self, master: &Process, backup: &Process, round: &mut Round) {
        let (master, backup) = (family(master.pid()), family(backup.pid()));
        let machine = Machine::now();
        let before = [cpu(&master), cpu(&backup)];
        let begin = Instant::now();
        wait(WINDOW);
        let span = begin.elapsed().as_secs_f64();
        let after = [cpu(&master), cpu(&backup)];
        let share = |at: usize| 100.0 * (after[at] - before[at]).as_secs_f64() / span;
        (round.master_cpu, round.backup_cpu) = (share(0), share(1));
        round.softirq = Machine::now().softirq_since(machine);
        round.memory = resident(&backup) as f64 / 1024.0;
        round.descriptors = descriptors(&backup);
    }

    /// Reloads the Backup's configuration and then the Master's: one router of it changes.
    fn reload(&self, backup: &Process, round: &mut Round) {
        self.contender
            .configure(&self.lab, &self.r2, self.load, BACKUP, BACKUP + 1);
        let captures = self.captures();
        let begin = Stamp::now();
        backup.signal(libc::SIGHUP);
        wait(self.load.interval * 4 + Duration::from_secs(1));
        let end = Stamp::now();
        let mut last: HashMap<(usize, u8), Stamp> = HashMap::new();
        let mut longest = Duration::ZERO;
        for (lan, frame) in frames(&captures, begin) {
            let Some(vrid) = is_advert(&frame) else {
                continue;
            };
            if let Some(before) = last.insert((lan, vrid), frame.stamp) {
                longest = longest.max(frame.stamp.since(before));
            }
        }
        for stamp in last.values() {
            longest = longest.max(end.since(*stamp));
        }
        round.reload_gap = longest.as_secs_f64() / self.load.interval.as_secs_f64();
    }

    /// SIGKILL of the Master.
    fn kill(&self, master: &mut Process, round: &mut Round) {
        let captures = self.captures();
        let begin = Stamp::now();
        // Every router is heard once more, so that it is known when it spoke last.
        self.all(&captures, begin, &self.r1, is_advert);
        let killed = Stamp::now();
        master.kill();
        let adverts = self.all(&captures, killed, &self.r2, is_advert);
        let arps = self.all(&captures, killed, &self.r2, announced);
        let mut lasts: HashMap<(usize, u8), Stamp> = HashMap::new();
        for (lan, frame) in frames(&captures, begin) {
            if frame.port == self.r1.name()
                && let Some(vrid) = is_advert(&frame)
            {
                lasts.insert((lan, vrid), frame.stamp);
            }
        }
        // The first one has another priority since the reload.
        let theory = |key: &(usize, u8)| {
            let is_changed = *key == (0, 1);
            self.load.down_interval(BACKUP + u8::from(is_changed))
        };
        let excess = |of: &HashMap<(usize, u8), Stamp>| -> Vec<f64> {
            let mut all: Vec<f64> = of
                .iter()
                .filter_map(|(key, stamp)| {
                    let gap = stamp.since(*lasts.get(key)?);
                    Some(milliseconds(gap) - milliseconds(theory(key)))
                })
                .collect();
            all.sort_by(f64::total_cmp);
            all
        };
        let (adverts, arps) = (excess(&adverts), excess(&arps));
        round.takeover_median = adverts.get(adverts.len() / 2).copied().unwrap_or(f64::NAN);
        round.takeover_last = adverts.last().copied().unwrap_or(f64::NAN);
        round.arp_last = arps.last().copied().unwrap_or(f64::NAN);
    }

    /// SIGTERM to the one that is left.
    fn stop(&self, backup: &mut Process, round: &mut Round) {
        let captures = self.captures();
        let begin = Stamp::now();
        backup.signal(libc::SIGTERM);
        backup.wait_exit(within(60.0));
        round.exit = milliseconds(Stamp::now().since(begin));
        let resigned = self.all(&captures, begin, &self.r2, |frame| {
            let advert = frame.advert()?;
            (advert.priority == 0).then_some(advert.vrid)
        });
        let last = resigned.values().max().copied().unwrap_or(begin);
        round.resign = milliseconds(last.since(begin));
        round.left = self.contender.interfaces_left(&self.r2);
    }

    /// The first frame of `host` from `begin` on for each virtual router.
    fn all(
        &self,
        captures: &[Capture],
        begin: Stamp,
        host: &Host,
        which: impl Fn(&Frame) -> Option<u8>,
    ) -> HashMap<(usize, u8), Stamp> {
        let what = format!("{} of all {}", self.contender, self.load);
        until(&what, within(120.0), || {
            wait(Duration::from_millis(100));
            let mut firsts = HashMap::new();
            for (lan, frame) in frames(captures, begin) {
                if frame.port == host.name()
                    && let Some(vrid) = which(&frame)
                {
                    firsts.entry((lan, vrid)).or_insert(frame.stamp);
                }
            }
            (firsts.len() >= self.load.routers).then_some(firsts)
        })
    }
}

fn frames(captures: &[Capture], begin: Stamp) -> impl Iterator<Item = (usize, Frame)> {
    let each = captures.iter().enumerate();
    each.flat_map(move |(lan, capture)| {
        let frames = capture.frames_since(begin).into_iter();
        frames.map(move |frame| (lan, frame))
    })
}

fn is_advert(frame: &Frame) -> Option<u8> {
    frame.advert().map(|advert| advert.vrid)
}

/// VRID of the virtual address that a gratuitous ARP announces.
fn announced(frame: &Frame) -> Option<u8> {
    let arp = frame.arp()?;
    let [_, _, third, vrid] = arp.sender.octets();
    (arp.sender == arp.target && third == 1).then_some(vrid)
}

fn milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1000.0
}

fn wait(span: Duration) {
    std::thread::sleep(span);
}
