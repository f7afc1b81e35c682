//! From a seed to a scenario.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rvrrpd::wire::advert::ChecksumForm;
use rvrrpd::wire::{Family, Version, Versions, Vrid};

use super::hostile::{Flaw, Hostile};
use super::random::Random;
use super::scenario::{
    Change, Fault, Group, Micros, NodePlan, Scenario, Settings, Step, Thread, Weather,
};

/// Intervals of version 3 that everything is scaled by, in milliseconds.
const BASES: [Micros; 4] = [30, 100, 200, 1000];
/// Configured intervals are up to so many times the base.
const LONGEST: u64 = 3;
/// Priorities that a scenario chooses from: neighbours, equals, extremes.
const PRIORITIES: [u8; 12] = [1, 2, 99, 100, 100, 101, 150, 199, 200, 200, 253, 254];

pub(crate) fn scenario(seed: u64) -> Scenario {
    let mut random = Random::new(seed);
    let has_v2 = random.percent(35);
    let base = if has_v2 { 1000 } else { random.pick(&BASES) } * 1000;
    let count = random.index(4) + 1 + random.index(2);
    let nodes = plans(&mut random, seed, count);
    let mut groups = vec![group(&mut random, count, base, has_v2, 1)];
    if random.percent(30) {
        let is_v2 = has_v2 && random.percent(50);
        groups.push(group(&mut random, count, base, is_v2, 2));
    }
    complete(seed, random, nodes, groups, base)
}

/// Routers of version 2, of version 3 and of both in one group (MIX-1).
pub(crate) fn mixed(seed: u64) -> Scenario {
    let mut random = Random::new(seed.rotate_left(16) ^ 0x2_0003);
    let base = 1_000_000;
    let count = random.index(4) + 2;
    let nodes = plans(&mut random, seed, count);
    let groups = vec![mixed_group(&mut random, count, base)];
    complete(seed, random, nodes, groups, base)
}

fn plans(random: &mut Random, seed: u64, count: usize) -> Vec<NodePlan> {
    (0..count)
        .map(|node| NodePlan {
            clock: random.within(1..1_000_000_000_000),
            drift: i64::try_from(random.within(0..2001)).unwrap() - 1000,
            absorbs: !(seed + node as u64).is_multiple_of(3),
        })
        .collect()
}

/// The story of these nodes and groups.
fn complete(
    seed: u64,
    random: Random,
    nodes: Vec<NodePlan>,
    groups: Vec<Group>,
    base: Micros,
) -> Scenario {
    let mut generator = Generator {
        random,
        count: nodes.len(),
        base,
        now: 0,
        steps: Vec::new(),
    };
    generator.story(&groups);
    let Generator {
        mut random,
        steps,
        now,
        ..
    } = generator;
    Scenario {
        seed,
        nodes,
        base,
        delay: (base / 2000, base / 2000 + random.within(1..base / 50)),
        latency: random.within(base / 1000..base / 100),
        socket: random.pick(&[4, 16, 64]),
        reflecting: random.percent(25),
        steps,
        end: now,
        groups,
    }
}

fn group(random: &mut Random, nodes: usize, base: Micros, is_v2: bool, vrid: u8) -> Group {
    let (version, family) = match (is_v2, random.percent(50)) {
        (true, _) => (Version::V2, Family::V4),
        (false, true) => (Version::V3, Family::V4),
        (false, false) => (Version::V3, Family::V6),
    };
    let owner = if random.percent(15) {
        random.index(nodes)
    } else {
        nodes
    };
    let step = Duration::from_micros(base);
    let common = step * u32::try_from(random.within(1..LONGEST + 1)).unwrap();
    let one_interval = is_v2 || random.percent(60);
    let addresses = u8::try_from(random.within(1..5)).unwrap();
    let turn = random.index(nodes);
    let settings = (0..nodes)
        .map(|node| {
            let host = u8::try_from(10 + (node + turn) % nodes).unwrap();
            Settings {
                source: match family {
                    Family::V4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
                    Family::V6 => {
                        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)))
                    }
                },
                versions: version.into(),
                priority: if node == owner {
                    255
                } else {
                    random.pick(&PRIORITIES)
                },
                interval: if one_interval {
                    common
                } else {
                    step * u32::try_from(random.within(1..LONGEST + 1)).unwrap()
                },
                preempt: random.percent(70),
                preempt_delay: if random.percent(20) {
                    step * u32::try_from(random.within(1..8)).unwrap()
                } else {
                    Duration::ZERO
                },
                startup_delay: if random.percent(10) {
                    step * u32::try_from(random.within(1..5)).unwrap()
                } else {
                    Duration::ZERO
                },
                addresses,
                checksum_form: random.pick(&[
                    None,
                    Some(ChecksumForm::Message),
                    Some(ChecksumForm::PseudoHeader),
                ]),
            }
        })
        .collect();
    Group {
        vrid: Vrid::new(vrid).unwrap(),
        family,
        version,
        mixed: false,
        deaf: false,
        password: is_v2 && random.percent(30),
        settings,
    }
}

/// Of two kinds: each node speaks both versions or else one that is the same for all, so that
/// everybody hears everybody; or some speak version 2 alone and some version 3 alone, and then
/// those that speak both have the highest priorities and preempt, as a migration needs it.
fn mixed_group(random: &mut Random, nodes: usize, base: Micros) -> Group {
    let mut group = group(random, nodes, base, true, 1);
    let common = group.settings[0].interval;
    let deaf = random.percent(25);
    let other = random.pick(&[Versions::V2, Versions::V3]);
    for settings in &mut group.settings {
        settings.versions = match random.within(0..10) {
            0..5 => Versions::Both,
            5..8 => other,
            _ if deaf && other == Versions::V2 => Versions::V3,
            _ if deaf => Versions::V2,
            _ => other,
        };
        settings.interval = interval(random, settings.versions, common, base);
        if deaf && settings.versions == Versions::Both {
            settings.preempt = true;
            settings.priority = random.pick(&[150, 200, 254]);
        } else if deaf {
            settings.priority = random.pick(&[1, 50, 100, 100, 149]);
        }
    }
    Group {
        version: match other {
            Versions::V2 => Version::V2,
            Versions::V3 | Versions::Both => Version::V3,
        },
        mixed: true,
        deaf,
        password: false,
        ..group
    }
}

/// The interval of version 2 is the same for all in whole seconds (MIX-2), that of version 3 is any.
fn interval(random: &mut Random, versions: Versions, common: Duration, base: Micros) -> Duration {
    // Longer than any way through the network, which keeps a pair of versions near each other.
    let fraction = Duration::from_millis(50 * random.within(0..20));
    match versions {
        Versions::V2 => common,
        _ if random.percent(50) => common,
        Versions::Both => common - fraction,
        Versions::V3 => Duration::from_micros(base) + fraction,
    }
}

struct Generator {
    random: Random,
    count: usize,
    base: Micros,
    now: Micros,
    steps: Vec<Step>,
}

impl Generator {
    /// Troubles, and between them peace that is long enough to be judged.
    fn story(&mut self, groups: &[Group]) {
        for node in 0..self.count {
            self.now += self.random.within(0..self.base * 2);
            self.push(Fault::Start(node));
        }
        self.peace();
        for _ in 0..self.random.within(2..5) {
            for _ in 0..self.random.within(1..6) {
                self.now += self.random.within(0..self.base * 4);
                self.trouble(groups);
            }
            if self.random.percent(70) {
                self.clear();
            }
            self.peace();
        }
        self.clear();
        self.push(Fault::Partition(vec![0; self.count]));
        self.peace();
    }

    fn push(&mut self, fault: Fault) {
        self.steps.push(Step {
            at: self.now,
            fault,
        });
    }

    /// Loss and deafness end; partitions may stay.
    fn clear(&mut self) {
        self.now += self.random.within(1..self.base * 4);
        self.push(Fault::Weather(Weather::default()));
        for from in 0..self.count {
            for to in 0..self.count {
                let latest = self.steps.iter().rev().find_map(|step| match step.fault {
                    Fault::Cut(f, t, cut) if (f, t) == (from, to) => Some(cut),
                    _ => None,
                });
                if latest == Some(true) {
                    self.push(Fault::Cut(from, to, false));
                }
            }
        }
    }

    /// A quiet time, disturbed by frames that must leave no trace.
    fn peace(&mut self) {
        let span = self.base * self.random.within(35..50);
        let end = self.now + span;
        if self.random.percent(30) {
            self.now += self.random.within(0..span);
            let hostile = if self.random.percent(30) {
                Hostile::Garbage(self.random.number())
            } else {
                Hostile::Spoof(
                    0,
                    self.random.pick(&Flaw::ALL),
                    self.random.pick(&[0, 50, 255]),
                )
            };
            self.push(Fault::Hostile(hostile));
        }
        self.now = end;
    }

    fn trouble(&mut self, groups: &[Group]) {
        let node = self.random.index(self.count);
        let other = self.random.index(self.count);
        let span = self.random.within(self.base / 2..self.base * 12);
        let fault = match self.random.within(0..100) {
            0..10 => Fault::Crash(node),
            10..18 => Fault::Stop(node),
            18..30 => Fault::Start(node),
            30..42 => Fault::Pause(node, span),
            42..50 => {
                let thread = self.random.pick(&[Thread::Listener, Thread::Worker]);
                Fault::Stall(node, thread, span)
            }
            50..54 => Fault::Link(node, false),
            54..62 => Fault::Link(node, true),
            62..72 => {
                let sides = (0..self.count)
                    .map(|_| self.random.pick(&[0, 0, 1, 2]))
                    .collect();
                Fault::Partition(sides)
            }
            72..76 if node != other => Fault::Cut(node, other, true),
            72..84 => Fault::Weather(Weather {
                loss: self.random.pick(&[0, 5, 30, 80]),
                duplicate: self.random.pick(&[0, 10]),
                late: self.random.pick(&[0, 5, 30]),
            }),
            84..94 => self.reconfiguration(groups, node),
            _ => self.hostile(groups),
        };
        self.push(fault);
    }

    fn reconfiguration(&mut self, groups: &[Group], node: usize) -> Fault {
        let index = self.random.index(groups.len());
        let group = &groups[index];
        let interval = Duration::from_micros(self.base)
            * u32::try_from(self.random.within(1..LONGEST + 1)).unwrap();
        let change = match self.random.within(0..4) {
            _ if group.deaf => Change::Addresses(u8::try_from(self.random.within(1..6)).unwrap()),
            0..2 if group.mixed => Change::Versions(match self.random.within(0..5) {
                0..3 => Versions::Both,
                _ => group.version.into(),
            }),
            0 => Change::Priority(self.random.pick(&PRIORITIES)),
            1 => Change::Interval(interval),
            2 => Change::Preempt(self.random.percent(50)),
            _ => Change::Addresses(u8::try_from(self.random.within(1..6)).unwrap()),
        };
        // Version 2 demands the same of all.
        let common = (group.version == Version::V2 || group.mixed)
            && matches!(change, Change::Interval(_) | Change::Addresses(_));
        let nodes = if common {
            (0..self.count).collect()
        } else {
            vec![node]
        };
        Fault::Configure(index, nodes, change)
    }

    fn hostile(&mut self, groups: &[Group]) -> Fault {
        let index = self.random.index(groups.len());
        Fault::Hostile(match self.random.within(0..3) {
            0 => Hostile::Garbage(self.random.number()),
            1 => Hostile::Spoof(index, self.random.pick(&Flaw::ALL), 255),
            _ => {
                let interval = if groups[index].version == Version::V2 {
                    groups[index].settings[0].interval
                } else {
                    Duration::from_micros(self.base) * u32::try_from(LONGEST).unwrap()
                };
                let priority = self.random.pick(&[0, 0, 1, 120, 254]);
                Hostile::Forged(index, priority, interval)
            }
        })
    }
}
