//! Trials: rvrrpd alone under more than it will meet. They pass or fail and have no ratio.

use std::fmt;
use std::process::Command;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::flood::Flood;
use rvrrpd_tests::frame::{AdvertSpec, Mac, Sum};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::statistics_line;
use rvrrpd_tests::sys::Stamp;

use crate::contender::Contender;
use crate::figures::{Silences, adverts_of, is_claim};
use crate::host::Machine;
use crate::load::{BACKUP, Load, MASTER};
use crate::observer::Observer;
use crate::scene::{R1, R2, R3, Scene, wait};

/// What is tried.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Strain {
    /// Nothing but the load.
    Calm,
    /// Two busy loops for each processor.
    Busy,
    /// Foreign and malformed advertisements, a million in a second if the machine can, by the data
    /// plane that needs no interface.
    Flood,
    /// The same by macvlans, for each of which the kernel looks at each of them: veth is promiscuous
    /// once an interface on it has another Ethernet address, and then macvlan's filter lets all pass.
    FloodOnMacvlans,
}

impl Strain {
    fn is_flood(self) -> bool {
        matches!(self, Self::Flood | Self::FloodOnMacvlans)
    }

    fn contender(self) -> Contender {
        match self {
            Self::Flood => Contender::Ebpf,
            Self::Calm | Self::Busy | Self::FloodOnMacvlans => Contender::Rvrrpd,
        }
    }
}

impl fmt::Display for Strain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Flood => "flood",
            Self::FloodOnMacvlans => "flood-on-macvlans",
        })
    }
}

impl FromStr for Strain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Calm, Self::Busy, Self::Flood, Self::FloodOnMacvlans];
        let known = all.into_iter().find(|one| one.to_string() == text);
        known.ok_or_else(|| format!("{text}: calm, busy, flood, flood-on-macvlans or traffic"))
    }
}

/// What became of it.
#[derive(Clone, Debug)]
pub(crate) struct Trial {
    pub(crate) load: Load,
    pub(crate) strain: Strain,
    pub(crate) span: Duration,
    /// Advertisements of the Backup.
    pub(crate) false_claims: usize,
    /// Longest silence of a virtual router, in intervals.
    pub(crate) gap: f64,
    /// Advertisements of the Master that were on the wire and that the Backup did not count; none
    /// where it could not log all counters.
    pub(crate) missed: Option<i64>,
    /// Lines that both daemons logged meanwhile.
    pub(crate) lines: usize,
    /// Frames of the flood in a second.
    pub(crate) flood: f64,
    /// Percent that the hypervisor took away.
    pub(crate) steal: f64,
}

impl Trial {
    /// Tries `load` under `strain` for `span`.
    ///
    /// # Panics
    /// Where the daemons do not come up.
    pub(crate) fn run(load: Load, strain: Strain, span: Duration) -> Self {
        let scene = Scene::new(load, strain.contender(), true);
        let observer = scene.observe(R3);
        // The Backup is first, so that it hears everything that the Master ever says.
        let begin = Stamp::now();
        let backup = scene.launch(R2, BACKUP);
        scene.all_master(&observer, begin, R2);
        let begin = Stamp::now();
        let mut master = scene.launch(R1, MASTER);
        scene.all_master(&observer, begin, R1);
        scene.settle(BACKUP);
        let mut sent = adverts_of(&observer.take(), R1);
        let marks = [master.log().mark(), backup.log().mark()];
        let machine = Machine::now();
        let (silences, claims, flood) = strained(&scene, &observer, strain, span, &mut sent);
        let steal = Machine::now().steal_since(machine);
        let lines = [&master, &backup]
            .iter()
            .zip(marks)
            .map(|(daemon, mark)| daemon.log().mark() - mark)
            .sum();
        let killed = Stamp::now();
        master.kill();
        scene.all(&observer, killed, R2, is_claim);
        sent += adverts_of(&observer.take(), R1);
        observer.end();
        let gap = silences.longest(|_| true).unwrap_or(span);
        Self {
            load,
            strain,
            span,
            false_claims: claims,
            gap: gap.as_secs_f64() / load.interval.as_secs_f64(),
            missed: received(&backup, load).map(|received| sent as i64 - received),
            lines,
            flood,
            steal,
        }
    }
}

impl Trial {
    /// How many were missed, if that is known.
    pub(crate) fn missed_text(&self) -> String {
        self.missed
            .map_or_else(|| "—".to_owned(), |missed| missed.to_string())
    }
}

/// The strain itself: silences, how often the Backup spoke, frames of the flood in a second. What
/// the Master sent is added to `sent`.
fn strained(
    scene: &Scene,
    observer: &Observer,
    strain: Strain,
    span: Duration,
    sent: &mut usize,
) -> (Silences, usize, f64) {
    let loops = if strain == Strain::Busy {
        busy_loops()
    } else {
        Vec::new()
    };
    let flood: Option<Flood> = strain.is_flood().then(|| {
        let host = scene.host(R2);
        host.flood_arriving("eth0", hostile(), RATE, QUEUES)
    });
    let (mut silences, mut claims) = (Silences::default(), 0);
    let begin = Instant::now();
    while begin.elapsed() < span {
        wait(Duration::from_millis(200));
        let seen = observer.take();
        silences.hear(&seen);
        claims += adverts_of(&seen, R2);
        *sent += adverts_of(&seen, R1);
    }
    let rate = flood.map_or(0.0, |flood| flood.stop().rate());
    drop(loops);
    // What was lost at the end shows as a silence now.
    wait(scene.load.interval);
    let seen = observer.take();
    silences.hear(&seen);
    claims += adverts_of(&seen, R2);
    *sent += adverts_of(&seen, R1);
    (silences, claims, rate)
}

/// Two busy loops for each processor, until they are dropped.
fn busy_loops() -> Vec<Process> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (0..2 * processors)
        .map(|number| {
            let mut command = Command::new("sh");
            command.args(["-c", "while :; do :; done"]);
            Process::start(&format!("busy loop {number}"), command)
        })
        .collect()
}

/// Advertisements that `daemon` counts as received, of all virtual routers; none where lines of its
/// log are lost, as happens with thousands of them on a busy machine.
fn received(daemon: &Process, load: Load) -> Option<i64> {
    let mark = daemon.log().mark();
    daemon.signal(libc::SIGUSR2);
    let patience = within(10.0);
    loop {
        wait(Duration::from_millis(100));
        let texts = daemon.log().texts_after(mark);
        let lines = texts.iter().filter_map(|text| statistics_line(text));
        let counted: Vec<u64> = lines
            .filter(|(name, _)| name != "global")
            .filter_map(|(_, counters)| counters.get("advertisement-rcvd").copied())
            .collect();
        if counted.len() >= load.routers {
            return i64::try_from(counted.iter().sum::<u64>()).ok();
        }
        if patience.passed() {
            return None;
        }
    }
}

/// Frames in a second that a flood is meant to have.
const RATE: f64 = 1e6;
/// Queues of the interface that it arrives by.
const QUEUES: usize = 4;
/// Ethernet source of the flood: virtual MACs would make the bridge learn them anew all the time.
const SOURCE: Mac = Mac([0x02, 0, 0, 0xf1, 0, 0x0d]);

/// 64 frames: virtual routers of others, and ours in every form that breaks a rule.
fn hostile() -> Vec<Vec<u8>> {
    let source = [10, 0, 0, 77].into();
    let frame = |number: u8| {
        let vrid = number.wrapping_mul(3) % 250 + 1;
        let right = AdvertSpec {
            mac: Some(SOURCE),
            ..AdvertSpec::v3(vrid, 254, 10, source, &[Load::vip((0, vrid))])
        };
        let wrong = match number % 8 {
            0 => AdvertSpec {
                vrid: 251 + number % 5,
                ..right
            },
            1 => AdvertSpec {
                sum: Sum::Wrong,
                ..right
            },
            2 => AdvertSpec { ttl: 254, ..right },
            3 => AdvertSpec {
                version: 4,
                ..right
            },
            4 => AdvertSpec { kind: 2, ..right },
            5 => AdvertSpec {
                count: Some(200),
                ..right
            },
            6 => AdvertSpec {
                count: Some(0),
                addresses: Vec::new(),
                ..right
            },
            _ => AdvertSpec {
                version: 2,
                interval: 1,
                ..right
            },
        };
        wrong.frame()
    };
    (0..64).map(frame).collect()
}

/// Whether the flood was as strong as it is meant to be.
pub(crate) fn is_full_flood(rate: f64) -> bool {
    rate >= 0.95 * RATE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_has_no_frame_that_a_router_of_ours_may_believe() {
        let frames = hostile();
        assert_eq!(frames.len(), 64);
        for bytes in frames {
            let frame = rvrrpd_tests::frame::Frame {
                stamp: Stamp::default(),
                port: String::new(),
                bytes,
            };
            let advert = frame.advert().expect("an advertisement");
            let is_right = advert.version == 3
                && advert.kind == 1
                && advert.ttl == 255
                && advert.sum != Sum::Wrong
                && advert.count == 1
                && advert.vrid <= 250;
            assert!(!is_right, "{frame:?}");
        }
    }
}
