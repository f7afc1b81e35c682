//! The hosts and LANs of a round, and how the daemons come up on them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::sys::Stamp;
use rvrrpd_tests::sys::bulk::Way;

use crate::contender::Contender;
use crate::figures::{firsts, is_claim};
use crate::load::{Load, Router};
use crate::observer::{Ear, Observer, Word};

/// A round or trial that lasts longer hangs.
const LIMIT: Duration = Duration::from_secs(600);
/// Seconds that a daemon has for what it is asked.
const PATIENCE: f64 = 90.0;

/// Numbers of the hosts in what the observer sees.
pub(crate) const R1: u8 = 0;
pub(crate) const R2: u8 = 1;
pub(crate) const R3: u8 = 2;

/// Two routers, and a third one that is attached when it is needed.
pub(crate) struct Scene {
    pub(crate) load: Load,
    pub(crate) contender: Contender,
    pub(crate) lans: Vec<Lan>,
    pub(crate) hosts: [Host; 3],
    pub(crate) lab: Lab,
    is_trial: bool,
}

impl Scene {
    /// LANs and two hosts. But for a trial all are as if they were other machines: who sends pays
    /// nothing for what others do with it ([`Host::handle_apart`]). In a trial the observer must keep
    /// up, whatever else runs.
    pub(crate) fn new(load: Load, contender: Contender, is_trial: bool) -> Self {
        let lab = Lab::with_limit("bench", LIMIT);
        let hosts = ["r1", "r2", "r3"].map(|name| lab.host(name));
        let lans = (0..load.lans())
            .map(|number| lab.lan(&format!("lan{number}")))
            .collect();
        let scene = Self {
            load,
            contender,
            lans,
            hosts,
            lab,
            is_trial,
        };
        scene.attach(R1);
        scene.attach(R2);
        scene
    }

    /// Attaches a host to all LANs.
    pub(crate) fn attach(&self, host: u8) {
        for (number, lan) in self.lans.iter().enumerate() {
            let address = format!("10.{number}.0.{}/16", host + 1);
            let interface = format!("eth{number}");
            self.lab
                .attach(lan, self.host(host), &interface, &[&address]);
            if !self.is_trial {
                lan.handle_apart(self.host(host));
                self.host(host).handle_apart(&interface);
            }
        }
    }

    pub(crate) fn host(&self, host: u8) -> &Host {
        &self.hosts[usize::from(host)]
    }

    /// Listens to the hosts before number `end`, which are attached, and to what the Backup hears. In a
    /// trial all of it at the Master's host: what floods the Backup's would have to pass by there.
    pub(crate) fn observe(&self, end: u8) -> Observer {
        let ear = |host, at, way, is_said| Ear {
            host,
            at: self.host(at),
            way,
            is_said,
        };
        let ears = if self.is_trial {
            vec![ear(R1, R1, Way::Sent, true), ear(R2, R1, Way::Heard, true)]
        } else {
            let sent = (0..end).map(|host| ear(host, host, Way::Sent, true));
            sent.chain([ear(R2, R2, Way::Heard, false)]).collect()
        };
        let interfaces = (0..self.lans.len()).map(|number| format!("eth{number}"));
        let interfaces: Vec<String> = interfaces.collect();
        Observer::start(&ears, &interfaces, self.is_trial)
    }

    /// Writes the configuration of `host`; the first virtual router has priority `first`.
    pub(crate) fn configure(&self, host: u8, priority: u8, first: u8) {
        self.contender
            .configure(&self.lab, self.host(host), self.load, priority, first);
    }

    /// Starts the daemon of `host` with `priority` everywhere.
    pub(crate) fn launch(&self, host: u8, priority: u8) -> Process {
        self.configure(host, priority, priority);
        self.contender.start(&self.lab, self.host(host))
    }

    /// Waits until the log of `daemon` says that every virtual router is Backup; when the last one
    /// was.
    pub(crate) fn all_backup(&self, daemon: &Process) -> Stamp {
        let what = format!("{} is Backup of all {}", self.contender, self.load);
        let (mut mark, mut names) = (0, HashSet::new());
        until(&what, within(PATIENCE), || {
            let lines = daemon.log().lines_after(mark);
            mark += lines.len();
            let mut last = None;
            for line in &lines {
                if let Some(name) = self.contender.became_backup(&line.text) {
                    names.insert(name);
                    last = Some(line.stamp);
                }
            }
            last.filter(|_| names.len() >= self.load.routers)
        })
    }

    /// Waits until `host` has been seen with what `which` chooses of every virtual router, from
    /// `begin` on; the first time of each.
    pub(crate) fn all(
        &self,
        observer: &Observer,
        begin: Stamp,
        host: u8,
        which: impl Fn(Word) -> bool,
    ) -> HashMap<Router, Stamp> {
        let name = self.host(host).name();
        let what = format!("{} on {name} says it of all {}", self.contender, self.load);
        let (mut mark, mut found) = (0, HashMap::new());
        until(&what, within(PATIENCE), || {
            wait(Duration::from_millis(50));
            let mut new = observer.after(&mut mark);
            new.retain(|one| one.at >= begin);
            for (router, at) in firsts(&new, host, &which) {
                found.entry(router).or_insert(at);
            }
            (found.len() >= self.load.routers).then(|| std::mem::take(&mut found))
        })
    }

    /// Waits until `host` is Master of all.
    pub(crate) fn all_master(&self, observer: &Observer, begin: Stamp, host: u8) -> Stamp {
        let found = self.all(observer, begin, host, is_claim);
        found.into_values().max().unwrap_or(begin)
    }

    /// Waits for as long as a Backup would need to lose its patience.
    pub(crate) fn settle(&self, priority: u8) {
        wait(self.load.down_interval(priority) + Duration::from_millis(500));
    }
}

/// Lets the daemons run for `span`.
pub(crate) fn wait(span: Duration) {
    std::thread::sleep(span);
}
