//! Masters that advertise as one do what each of them would do by itself: the same frames at the same
//! times, the same orders to the driver, the same counters.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use proptest::prelude::*;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Advert, Beat, Params, Reason, Reasons, State, Time, Transition};
use rvrrpd::pool::{Control, Delivery, Engine, Host, Message, Sample, Setup};
use rvrrpd::stats::Status;
use rvrrpd::wire::advert::{Datagram, Peers};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, Version, Versions, Vrid};

/// Virtual routers, half of them at one beat and half at the other.
const ROUTERS: u8 = 8;
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(300);
/// Longer than all of them need to get to their beat.
const SETTLED: Duration = Duration::from_secs(20);

/// What the host saw, with the time.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Seen {
    Frame(Vec<u8>),
    /// Refused.
    Lost(Vec<u8>),
    Told(String),
}

#[derive(Default)]
struct Recorder {
    now: Time,
    refused: BTreeSet<u8>,
    seen: Vec<(Time, Seen)>,
    /// How often something was sent.
    calls: usize,
}

impl Recorder {
    fn note(&mut self, seen: Seen) {
        self.seen.push((self.now, seen));
    }
}

fn vrid_of(frame: &[u8]) -> u8 {
    let datagram = Datagram::from_ethernet(frame).unwrap();
    datagram.payload[1]
}

impl Host for Recorder {
    type Port = u32;

    fn index(port: &u32) -> u32 {
        *port
    }

    fn now(&self) -> Time {
        self.now
    }

    fn wall_clock(&self) -> Duration {
        Duration::from_micros(self.now.as_micros())
    }

    fn random(&mut self) -> u64 {
        0
    }

    fn waiting(&self) -> usize {
        0
    }

    fn delivery(&mut self) -> Option<Delivery> {
        None
    }

    fn drained_until(&mut self, _port: &u32, now: Time) -> Time {
        now
    }

    fn lost_until(&mut self, _port: &u32, _now: Time) -> Time {
        Time::START
    }

    fn absorb(&mut self, _: &u32, _: (Family, Vrid), _: &Sample, _: Time) -> bool {
        false
    }

    fn last_absorbed(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        Time::START
    }

    fn end_absorption(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        Time::START
    }

    fn send<'a>(
        &mut self,
        _port: &u32,
        frames: impl Iterator<Item = &'a [u8]>,
        mut refused: impl FnMut(usize),
    ) {
        self.calls += 1;
        for (place, frame) in frames.enumerate() {
            if self.refused.contains(&vrid_of(frame)) {
                refused(place);
                self.note(Seen::Lost(frame.to_vec()));
            } else {
                self.note(Seen::Frame(frame.to_vec()));
            }
        }
    }

    fn send_to_peers<'a>(
        &mut self,
        _port: &u32,
        _family: Family,
        _datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize {
        0
    }

    fn command(&mut self, command: Command) {
        self.note(Seen::Told(format!("{command:?}")));
    }

    fn postponed(&mut self, _setup: &Setup<u32>, _until: Time) {}

    fn transition(&mut self, setup: &Setup<u32>, transition: Transition) {
        let vrid = setup.message.vrid;
        self.note(Seen::Told(format!("{vrid:?} {transition:?}")));
    }
}

/// What may be configured of a router.
#[derive(Clone, Copy, Debug)]
struct Values {
    priority: u8,
    interval: Duration,
    addresses: u8,
}

/// Engines of all routers together, or of each by itself.
struct World {
    engines: Vec<(Engine<u32>, Recorder)>,
    status: Vec<Arc<Status>>,
    now: Time,
}

fn id(vrid: u8) -> RouterId {
    RouterId(u32::from(vrid))
}

impl World {
    fn new(engines: usize) -> Self {
        let mut world = Self {
            engines: Vec::new(),
            status: (0..ROUTERS).map(|_| Arc::default()).collect(),
            now: Time::from_micros(1_234_567),
        };
        world.engines.resize_with(engines, Default::default);
        let values = Values {
            priority: 100,
            interval: SHORT,
            addresses: 1,
        };
        for vrid in 1..=ROUTERS {
            world.configure(vrid, values);
            world.order(vrid, Control::Readiness(id(vrid), Reasons::NONE));
        }
        world
    }

    fn engine_of(&mut self, vrid: u8) -> &mut (Engine<u32>, Recorder) {
        let place = usize::from(vrid) % self.engines.len();
        self.engines[place].1.now = self.now;
        &mut self.engines[place]
    }

    fn order(&mut self, vrid: u8, control: Control<u32>) {
        let (engine, host) = self.engine_of(vrid);
        engine.control(control, host);
        self.pass();
    }

    fn configure(&mut self, vrid: u8, values: Values) {
        let (number, source) = (vrid, IpAddr::from([192, 0, 2, 251]));
        let vrid = Vrid::new(vrid).unwrap();
        let addresses = (1..=values.addresses).map(|host| IpAddr::from([192, 0, 2, host]));
        let setup = Setup {
            id: id(number),
            generation: 1,
            title: "".into(),
            params: Params {
                version: Version::V3,
                priority: values.priority,
                interval: values.interval,
                preempt: true,
                preempt_delay: Duration::ZERO,
                startup_delay: Duration::ZERO,
                source,
                beat: Beat::of(source, vrid),
            },
            message: Message {
                vrid,
                family: Family::V4,
                versions: Versions::V3,
                addresses: addresses.collect(),
                auth: Key::None,
                peers: Peers::Group,
                source_mac: Mac::of_virtual_router(Family::V4, vrid),
                checksum_form: None,
            },
            router_advertisements: None,
            port: Some(1),
            status: Arc::clone(&self.status[usize::from(number) - 1]),
        };
        self.order(number, Control::Set(Box::new(setup)));
    }

    fn hear(&mut self, vrid: u8, priority: u8) {
        let received = self.now;
        let (engine, host) = self.engine_of(vrid);
        let delivery = Delivery {
            id: id(vrid),
            advert: Advert {
                priority,
                source: IpAddr::from([192, 0, 2, 252]),
                interval: SHORT,
                received,
            },
            checksum_form: None,
            stamp: None,
            sample: None,
        };
        engine.deliver(&delivery, host);
        self.pass();
    }

    /// All run at the same time, as one does for all.
    fn pass(&mut self) {
        for (engine, host) in &mut self.engines {
            host.now = self.now;
            engine.pass(host);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let deadlines = self
            .engines
            .iter()
            .filter_map(|(engine, _)| engine.deadline());
        deadlines.min()
    }

    /// Time goes on, and everything happens in time.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.deadline().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.pass();
        }
        self.now = end;
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Run(millis) => self.run(Duration::from_millis(millis)),
            Step::Stall(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.pass();
            }
            Step::Hear(vrid, priority) => self.hear(vrid, priority),
            Step::Configure(vrid, values) => self.configure(vrid, values),
            Step::Link(vrid, is_up) => {
                let reasons = Reasons::NONE.with_if(!is_up, Reason::NoCarrier);
                self.order(vrid, Control::Readiness(id(vrid), reasons));
            }
            Step::Refuse(vrid, is_refused) => {
                for (_, host) in &mut self.engines {
                    if is_refused {
                        host.refused.insert(vrid);
                    } else {
                        host.refused.remove(&vrid);
                    }
                }
            }
            Step::Forget(vrid) => {
                let (left, _) = crossbeam_channel::bounded(1);
                self.order(vrid, Control::Remove(vec![id(vrid)], left));
            }
        }
    }

    /// Everything that was seen, in the order of the times; at the same time any order will do.
    fn story(&self) -> Vec<(Time, Seen)> {
        let seen = self.engines.iter().flat_map(|(_, host)| host.seen.clone());
        let mut seen: Vec<_> = seen.collect();
        seen.sort();
        seen
    }

    fn counters(&self) -> Vec<[u64; 3]> {
        let counters = self.status.iter().map(|status| {
            let counters = [
                &status.advertisement_sent,
                &status.send_errors,
                &status.master_transitions,
            ];
            counters.map(|counter| counter.value())
        });
        counters.collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    Run(u64),
    /// Nothing runs for this time.
    Stall(u64),
    Hear(u8, u8),
    Configure(u8, Values),
    Link(u8, bool),
    Refuse(u8, bool),
    Forget(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let vrid = || 1..=ROUTERS;
    let values = (
        prop_oneof![Just(100), Just(101), Just(255)],
        any::<bool>(),
        1_u8..4,
    );
    let values = values.prop_map(|(priority, is_long, addresses)| Values {
        priority,
        interval: if is_long { LONG } else { SHORT },
        addresses,
    });
    prop_oneof![
        6 => (1_u64..700).prop_map(Step::Run),
        2 => Just(Step::Run(15_000)),
        1 => (1_u64..700).prop_map(Step::Stall),
        3 => (vrid(), prop_oneof![Just(0), Just(50), Just(200)])
            .prop_map(|(vrid, priority)| Step::Hear(vrid, priority)),
        2 => (vrid(), values).prop_map(|(vrid, values)| Step::Configure(vrid, values)),
        2 => (vrid(), any::<bool>()).prop_map(|(vrid, is_up)| Step::Link(vrid, is_up)),
        2 => (vrid(), any::<bool>()).prop_map(|(vrid, is)| Step::Refuse(vrid, is)),
        1 => vrid().prop_map(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// V3-TM-7, FSM-A-7: whatever happens, and whoever else there is.
    #[test]
    fn fsm_a_7_together_as_by_oneself(steps in prop::collection::vec(step(), 1..40)) {
        let [mut together, mut alone] = [1, usize::from(ROUTERS)].map(World::new);
        for world in [&mut together, &mut alone] {
            world.run(SETTLED);
            for step in &steps {
                world.act(step);
            }
            world.run(SETTLED);
        }
        prop_assert_eq!(together.counters(), alone.counters());
        let (together, alone) = (together.story(), alone.story());
        for (one, other) in together.iter().zip(&alone) {
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(together.len(), alone.len());
    }
}

/// Each beat is one call, which allocates nothing, and each router is in one of them.
#[test]
fn a_beat_is_one_call() {
    let mut world = World::new(1);
    world.run(SETTLED);
    world.engines[0].1.seen.clear();
    world.engines[0].1.calls = 0;
    world.run(10 * SHORT);
    let (engine, host) = &world.engines[0];
    assert_eq!(host.calls, 10 * Beat::OF_INTERFACE);
    let mut vrids: Vec<u8> = host
        .seen
        .iter()
        .map(|(_, seen)| match seen {
            Seen::Frame(frame) => vrid_of(frame),
            other => panic!("{other:?}"),
        })
        .collect();
    vrids.sort_unstable();
    let expected = (1..=ROUTERS).flat_map(|vrid| [vrid; 10]);
    assert_eq!(vrids, expected.collect::<Vec<_>>());
    assert!((1..=ROUTERS).all(|vrid| engine.router(id(vrid)).unwrap().state() == State::Master));
}

/// A member that somebody contradicts all the time leaves and comes back all the time. The memory of
/// all frames does not grow.
#[test]
fn coming_and_going_takes_no_memory() {
    let mut world = World::new(1);
    world.run(SETTLED);
    let contradicted = |world: &mut World| {
        for _ in 0..200 {
            world.hear(1, 50);
            world.run(SHORT);
            world.engines[0].1.seen.clear();
        }
    };
    contradicted(&mut world);
    let grown = measure(|| contradicted(&mut world)).bytes_current;
    assert_eq!(grown, 0);
}
