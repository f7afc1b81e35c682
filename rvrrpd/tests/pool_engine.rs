//! The engine of a worker. Masters that advertise as one do what each of them would do by itself: the
//! same frames at the same times, the same orders to the driver, the same counters. Backups that were
//! stopped do not take over at once.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use proptest::prelude::*;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Advert, Beat, Params, Reason, Reasons, State, Time, Transition};
use rvrrpd::pool::{Control, Delivery, Engine, Host, Message, Sample, Setup};
use rvrrpd::stats::Status;
use rvrrpd::wire::advert::{ChecksumForm, Datagram, Peers};
use rvrrpd::wire::auth::{HmacKey, HmacKeys, Key};
use rvrrpd::wire::{Family, Mac, Versions, Vrid};

/// Virtual routers, half of them at one beat and half at the other.
const ROUTERS: u8 = 8;
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_millis(300);
/// Longer than all of them need to get to their beat.
const SETTLED: Duration = Duration::from_secs(20);

/// What the host saw of a router.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    /// A frame that leaves by an interface.
    Frame(u32, Vec<u8>),
    /// Refused.
    Lost(u32, Vec<u8>),
    Told(String),
}

#[derive(Default)]
struct Recorder {
    now: Time,
    refused: BTreeSet<u8>,
    /// With time and VRID.
    seen: Vec<(Time, u8, Seen)>,
    /// How often something was sent.
    calls: usize,
    /// The last deadline that was got to.
    reached: Option<Time>,
    /// It keeps repetitions to itself, and the last one came then.
    absorbed: Option<Time>,
}

impl Recorder {
    fn note(&mut self, vrid: u8, seen: Seen) {
        self.seen.push((self.now, vrid, seen));
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
        self.absorbed.is_some()
    }

    fn last_absorbed(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        self.absorbed.unwrap_or_default()
    }

    fn end_absorption(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        self.absorbed.unwrap_or_default()
    }

    fn send<'a>(
        &mut self,
        port: &u32,
        frames: impl Iterator<Item = &'a [u8]>,
        mut refused: impl FnMut(usize),
    ) {
        self.calls += 1;
        for (place, frame) in frames.enumerate() {
            let vrid = vrid_of(frame);
            if self.refused.contains(&vrid) {
                refused(place);
                self.note(vrid, Seen::Lost(*port, frame.to_vec()));
            } else {
                self.note(vrid, Seen::Frame(*port, frame.to_vec()));
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

    fn reached(&mut self, deadline: Time, now: Time) {
        assert!(deadline <= now && now == self.now);
        assert_eq!(self.reached.replace(deadline), None, "told twice");
    }

    fn command(&mut self, command: Command) {
        let id = match &command {
            Command::Activate(id) | Command::Announce(id) | Command::Deactivate(id) => *id,
            Command::Remove(ids) => ids[0],
            _ => return,
        };
        let vrid = u8::try_from(id.0).unwrap();
        self.note(vrid, Seen::Told(format!("{command:?}")));
    }

    fn postponed(&mut self, _setup: &Setup<u32>, _until: Time) {}

    fn transition(&mut self, setup: &Setup<u32>, transition: Transition) {
        let vrid = setup.message.vrid.number();
        self.note(vrid, Seen::Told(format!("{transition:?}")));
    }
}

/// What may be configured of a router.
#[derive(Clone, Copy, Debug)]
struct Values {
    priority: u8,
    interval: Duration,
    addresses: u8,
    port: Option<u32>,
    kind: Kind,
}

const USUAL: Values = Values {
    priority: 100,
    interval: SHORT,
    addresses: 1,
    port: Some(1),
    kind: Kind::Plain,
};

/// What its messages are like.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Always the same one.
    Plain,
    /// The same with a password.
    Password,
    /// Numbered.
    Sealed,
    /// Two.
    BothVersions,
}

impl Kind {
    fn key(self) -> Key {
        let keys = HmacKeys {
            active: HmacKey {
                id: NonZeroU8::MIN,
                secret: b"secret".to_vec().into(),
            },
            others: Vec::new(),
            clock_skew: Duration::from_secs(30),
        };
        match self {
            Self::Plain | Self::BothVersions => Key::None,
            Self::Password => Key::simple(b"secret"),
            Self::Sealed => Key::HmacSha256(keys),
        }
    }

    const fn versions(self) -> Versions {
        match self {
            Self::Plain | Self::Sealed => Versions::V3,
            Self::Password => Versions::V2,
            Self::BothVersions => Versions::Both,
        }
    }
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
        for vrid in 1..=ROUTERS {
            world.configure(vrid, USUAL);
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
                version: values.kind.versions().timers(),
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
                versions: values.kind.versions(),
                addresses: addresses.collect(),
                auth: values.kind.key(),
                peers: Peers::Group,
                source_mac: Mac::of_virtual_router(Family::V4, vrid),
                checksum_form: None,
            },
            router_advertisements: None,
            port: values.port,
            status: Arc::clone(&self.status[usize::from(number) - 1]),
        };
        self.order(number, Control::Set(Box::new(setup)));
    }

    fn hear(&mut self, vrid: u8, priority: u8, checksum_form: ChecksumForm) {
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
            checksum_form: Some(checksum_form),
            stamp: None,
            sample: host.absorbed.map(|_| {
                let datagram = Datagram {
                    family: Family::V4,
                    source: IpAddr::from([192, 0, 2, 252]),
                    destination: IpAddr::from([224, 0, 0, 18]),
                    ttl: 255,
                    payload: &[0x31],
                    ah: None,
                };
                (1, Box::new(Sample::of(&datagram)))
            }),
        };
        engine.deliver(&delivery, host);
        self.pass();
    }

    /// All run at the same time, as one does for all. How late each was is told.
    fn pass(&mut self) {
        for (engine, host) in &mut self.engines {
            host.now = self.now;
            let due = engine.deadline().filter(|deadline| *deadline <= self.now);
            engine.pass(host);
            assert_eq!(host.reached.take(), due);
        }
    }

    fn deadline(&self) -> Option<Time> {
        let deadlines = self
            .engines
            .iter()
            .filter_map(|(engine, _)| engine.deadline());
        deadlines.min()
    }

    fn stop(&mut self) {
        for (engine, host) in &mut self.engines {
            host.now = self.now;
            engine.control(Control::Stop, host);
        }
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
            Step::Hear(vrid, priority, form) => self.hear(vrid, priority, form),
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
            Step::Forget(vrid) => self.order(vrid, Control::Remove(vec![id(vrid)])),
        }
    }

    /// Everything that was seen of each router, in its order.
    fn story(&self) -> Vec<(Time, u8, Seen)> {
        let seen = self.engines.iter().flat_map(|(_, host)| host.seen.clone());
        let mut seen: Vec<_> = seen.collect();
        seen.sort_by_key(|(_, vrid, _)| *vrid);
        seen
    }

    /// What others see.
    fn published(&self) -> Vec<impl PartialEq + core::fmt::Debug> {
        let published = self.status.iter().map(|status| {
            (
                status.condition(),
                status.since(),
                status.master_down_at(),
                status.last_transition(),
            )
        });
        published.collect()
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
    Hear(u8, u8, ChecksumForm),
    Configure(u8, Values),
    Link(u8, bool),
    Refuse(u8, bool),
    Forget(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let vrid = || 1..=ROUTERS;
    let priority = prop_oneof![Just(100), Just(101), Just(255)];
    let kind = prop_oneof![
        6 => Just(Kind::Plain),
        1 => Just(Kind::Password),
        1 => Just(Kind::Sealed),
        1 => Just(Kind::BothVersions),
    ];
    let port = prop_oneof![6 => Just(Some(1)), 2 => Just(Some(2)), 1 => Just(None)];
    let values = (priority, any::<bool>(), 1_u8..4, port, kind);
    let values = values.prop_map(|(priority, is_long, addresses, port, kind)| Values {
        priority,
        interval: if is_long { LONG } else { SHORT },
        addresses,
        port,
        kind,
    });
    let form = prop_oneof![
        Just(ChecksumForm::Message),
        Just(ChecksumForm::PseudoHeader)
    ];
    let heard = (vrid(), prop_oneof![Just(0), Just(50), Just(200)], form);
    prop_oneof![
        6 => (1_u64..700).prop_map(Step::Run),
        2 => Just(Step::Run(15_000)),
        1 => (1_u64..700).prop_map(Step::Stall),
        3 => heard.prop_map(|(vrid, priority, form)| Step::Hear(vrid, priority, form)),
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
        }
        for step in &steps {
            together.act(step);
            alone.act(step);
            prop_assert_eq!(together.published(), alone.published());
        }
        for world in [&mut together, &mut alone] {
            world.run(SETTLED);
            world.stop();
        }
        prop_assert_eq!(together.counters(), alone.counters());
        let (together, alone) = (together.story(), alone.story());
        for (one, other) in together.iter().zip(&alone) {
            prop_assert_eq!(one, other);
        }
        prop_assert_eq!(together.len(), alone.len());
    }
}

/// Each beat is one call, and each router is in one of them.
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
        .map(|(_, vrid, seen)| match seen {
            Seen::Frame(1, _) => *vrid,
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
            world.hear(1, 50, ChecksumForm::Message);
            world.run(SHORT);
            world.engines[0].1.seen.clear();
        }
    };
    contradicted(&mut world);
    let grown = measure(|| contradicted(&mut world)).bytes_current;
    assert_eq!(grown, 0);
}

/// V3-TM-7: a Backup that was stopped gives its Master, which may have been stopped with it, as much
/// time as it was late itself, within bounds; then, and where it was hardly late, it takes over.
#[test]
fn v3_tm_7_who_was_stopped_does_not_take_over_at_once() {
    let state = |world: &World| world.engines[0].0.router(id(1)).unwrap().state();
    let stopped = |late| {
        let mut world = World::new(1);
        world.now = world.deadline().unwrap() + Duration::from_millis(late);
        world.pass();
        world
    };
    for (late, grace) in [(0, None), (10, None), (11, Some(11)), (2000, Some(50))] {
        let mut world = stopped(late);
        let postponed = world.status[0].takeovers_postponed.value();
        assert_eq!(postponed, u64::from(grace.is_some()), "{late} ms late");
        if let Some(grace) = grace {
            assert_eq!(state(&world), State::Backup, "{late} ms late");
            let until = world.now + Duration::from_millis(grace);
            assert_eq!(world.deadline(), Some(until), "{late} ms late");
            world.run(Duration::from_millis(grace));
        }
        assert_eq!(state(&world), State::Master, "{late} ms late");
    }
    let mut world = stopped(300);
    world.hear(1, 200, ChecksumForm::Message);
    world.run(3 * SHORT);
    assert_eq!(state(&world), State::Backup, "its Master goes on");
    world.run(SHORT);
    assert_eq!(state(&world), State::Master, "its Master has ended");
}

/// V3-TM-7: the same where it finds first that the kernel has kept some advertisements, and where
/// other values come meanwhile.
#[test]
fn v3_tm_7_what_comes_meanwhile_ends_no_grace() {
    let state = |world: &World| world.engines[0].0.router(id(1)).unwrap().state();
    let mut world = World::new(1);
    world.engines[0].1.absorbed = Some(Time::START);
    world.hear(1, 200, ChecksumForm::Message);
    world.engines[0].1.absorbed = Some(world.now + 2 * SHORT);
    world.now = world.now + Duration::from_secs(2);
    world.pass();
    world.pass();
    assert_eq!(state(&world), State::Backup);
    let until = world.now + Duration::from_millis(50);
    world.run(Duration::from_millis(20));
    world.configure(1, USUAL);
    world.pass();
    assert_eq!(state(&world), State::Backup);
    assert_eq!(world.deadline(), Some(until));
    world.run(Duration::from_millis(30));
    assert_eq!(state(&world), State::Master);
}
