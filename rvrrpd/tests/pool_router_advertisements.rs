//! Router advertisements as a worker sends them: by the Master alone, and never a lifetime of 0
//! unless the configuration ends them.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Advert, Beat, Params, Reason, Reasons, State, Time, Transition};
use rvrrpd::pool::{Control, Delivery, Engine, Host, Message, RouterAdvertisements, Sample, Setup};
use rvrrpd::wire::advert::{ChecksumForm, Peers};
use rvrrpd::wire::auth::Key;
use rvrrpd::wire::{Family, Mac, Version, Versions, Vrid};

const ID: RouterId = RouterId(7);
const INTERVAL: Duration = Duration::from_secs(1);
const SOURCE: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
/// Stand-ins for the frames.
const RA: &[u8] = b"RA";
const CHANGED: &[u8] = b"changed RA";
const FAREWELL: &[u8] = b"lifetime 0";

/// What a worker of one virtual router sees.
struct World {
    now: Time,
    random: u64,
    queue: VecDeque<Delivery>,
    /// Router advertisements and when they left.
    sent: Vec<(f64, &'static [u8])>,
    engine: Option<Engine<u32>>,
}

impl World {
    /// The engine and what it sees apart.
    fn tell(&mut self, control: Control<u32>) {
        let mut engine = self.engine.take().unwrap();
        engine.control(control, self);
        engine.pass(self);
        self.engine = Some(engine);
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, seconds: f64) {
        let end = self.now + Duration::from_secs_f64(seconds);
        let mut engine = self.engine.take().unwrap();
        while let Some(next) = engine.deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            engine.pass(self);
        }
        self.now = end;
        self.engine = Some(engine);
    }

    fn advert(&mut self, priority: u8) {
        let advert = Advert {
            priority,
            source: IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xff)),
            interval: INTERVAL,
            received: self.now,
        };
        self.queue.push_back(Delivery {
            id: ID,
            advert,
            checksum_form: Some(ChecksumForm::PseudoHeader),
            stamp: None,
            sample: None,
        });
        let mut engine = self.engine.take().unwrap();
        engine.pass(self);
        self.engine = Some(engine);
    }

    fn state(&self) -> State {
        let engine = self.engine.as_ref().unwrap();
        engine.router(ID).unwrap().state()
    }

    /// What has left since the last time.
    fn sent(&mut self) -> Vec<(f64, &'static [u8])> {
        std::mem::take(&mut self.sent)
    }

    /// A Master since 4 s, its addresses are in since then.
    fn master(random: u64) -> Self {
        let mut world = Self {
            now: Time::START,
            random,
            queue: VecDeque::new(),
            sent: Vec::new(),
            engine: Some(Engine::default()),
        };
        world.tell(Control::Set(Box::new(setup(Some(advertisements(RA))))));
        world.tell(Control::Readiness(ID, Reasons::NONE));
        assert_eq!(world.state(), State::Backup);
        world.tell(Control::Solicited(ID, world.now));
        world.wait(4.0);
        assert_eq!(world.state(), State::Master);
        assert_eq!(world.sent(), [], "before the addresses are in");
        world.tell(Control::Activated(ID));
        assert_eq!(world.sent(), [(4.0, RA)]);
        world
    }
}

impl Host for World {
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
        self.random
    }

    fn waiting(&self) -> usize {
        self.queue.len()
    }

    fn delivery(&mut self) -> Option<Delivery> {
        self.queue.pop_front()
    }

    fn drained_until(&mut self, _port: &u32, now: Time) -> Time {
        now
    }

    fn lost_until(&mut self, _port: &u32, _now: Time) -> Time {
        Time::START
    }

    fn postponed(&mut self, _setup: &Setup<u32>, _until: Time) {}

    fn absorb(&mut self, _: &u32, _: (Family, Vrid), _: &Sample, _: Time) -> bool {
        false
    }

    fn last_absorbed(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        Time::default()
    }

    fn end_absorption(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        Time::default()
    }

    fn send<'a>(
        &mut self,
        _port: &u32,
        frames: impl Iterator<Item = &'a [u8]>,
        _refused: impl FnMut(usize),
    ) {
        for frame in frames {
            let known = [RA, CHANGED, FAREWELL]
                .into_iter()
                .find(|one| *one == frame);
            let at = self.now.since(Time::START).as_secs_f64();
            self.sent.extend(known.map(|one| (at, one)));
        }
    }

    fn send_to_peers<'a>(
        &mut self,
        _port: &u32,
        _family: Family,
        datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize {
        datagrams.count()
    }

    fn command(&mut self, _command: Command) {}

    fn transition(&mut self, _setup: &Setup<u32>, _transition: Transition) {}
}

fn advertisements(frame: &[u8]) -> RouterAdvertisements {
    RouterAdvertisements {
        frame: frame.to_vec(),
        farewell: FAREWELL.to_vec(),
        source: SOURCE,
        min_interval: Duration::from_secs(198),
        max_interval: Duration::from_secs(600),
        doorbell: Arc::default(),
    }
}

fn setup(router_advertisements: Option<RouterAdvertisements>) -> Setup<u32> {
    let vrid = Vrid::new(10).unwrap();
    let source = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    Setup {
        id: ID,
        generation: 1,
        title: "".into(),
        params: Params {
            version: Version::V3,
            priority: 100,
            interval: INTERVAL,
            preempt: false,
            preempt_delay: Duration::ZERO,
            startup_delay: Duration::ZERO,
            source,
            beat: Beat::of(source, vrid),
        },
        message: Message {
            vrid,
            family: Family::V6,
            versions: Versions::V3,
            addresses: vec![IpAddr::V6(SOURCE)],
            auth: Key::None,
            peers: Peers::Group,
            source_mac: Mac::of_virtual_router(Family::V6, vrid),
            checksum_form: Some(ChecksumForm::PseudoHeader),
        },
        router_advertisements: router_advertisements.map(Box::new),
        port: Some(1),
        status: Arc::default(),
    }
}

/// RA-1: the first when the addresses are in, two more within 16 s each, then at random times
/// between the two intervals.
#[test]
fn ra_1_a_master_advertises() {
    for random in [0, 1 << 28, 400_000_000, u64::MAX] {
        let mut world = World::master(random);
        // The driver says it once more.
        world.tell(Control::Activated(ID));
        world.wait(3000.0);
        let times: Vec<f64> = world.sent().iter().map(|(at, _)| *at).collect();
        assert_eq!(times[..2], [20.0, 36.0]);
        for pair in times[1..].windows(2) {
            let gap = pair[1] - pair[0];
            assert!((197.9..600.1).contains(&gap), "{gap}");
        }
        assert!(times.len() > 5, "{times:?}");
    }
}

/// RA-1, RA-5: another Master, or a stop: silence, without a lifetime of 0; and nothing in Backup
/// or Init, whoever asks.
#[test]
fn ra_1_ra_5_leaving_is_silent() {
    for leave in [
        |world: &mut World| world.advert(200),
        |world: &mut World| {
            world.tell(Control::Readiness(ID, Reason::Disabled.into()));
        },
        |world: &mut World| world.tell(Control::Remove(vec![ID])),
        |world: &mut World| world.tell(Control::Stop),
    ] {
        let mut world = World::master(0);
        leave(&mut world);
        world.tell(Control::Solicited(ID, world.now));
        // The driver reports late that it was Master.
        world.tell(Control::Activated(ID));
        world.wait(3.5);
        for _ in 0..100 {
            world.advert(200);
            world.wait(1.0);
        }
        assert_eq!(world.sent(), []);
    }
}

/// RA-1: Master again, and the addresses are in again: it begins anew.
#[test]
fn ra_1_master_again() {
    let mut world = World::master(0);
    world.tell(Control::Readiness(ID, Reason::NoCarrier.into()));
    world.tell(Control::Readiness(ID, Reasons::NONE));
    world.wait(3.7);
    assert_eq!(world.state(), State::Master);
    assert_eq!(world.sent(), []);
    world.tell(Control::Activated(ID));
    assert_eq!(world.sent(), [(7.7, RA)]);
    world.wait(20.0);
    assert_eq!(world.sent(), [(23.7, RA)]);
}

/// RFC 4861 §6.2.6: answers are delayed by up to half a second and 3 s apart, however many ask.
#[test]
fn solicitations_are_answered() {
    let mut world = World::master(250_000);
    world.wait(6.0);
    for _ in 0..1000 {
        world.tell(Control::Solicited(ID, world.now));
        world.wait(0.0001);
    }
    assert_eq!(world.sent(), []);
    world.wait(0.9);
    assert_eq!(world.sent(), [(10.25, RA)]);
    for _ in 0..2 {
        world.tell(Control::Solicited(ID, world.now));
    }
    world.wait(10.0);
    assert_eq!(world.sent(), [(13.5, RA)]);
}

/// A reload: other options are announced soon, without a change of state; none at all end with a
/// lifetime of 0, as the configuration demands; another address says farewell from the old one.
#[test]
fn a_reload_changes_the_options() {
    let mut world = World::master(0);
    world.wait(1.0);
    world.tell(Control::Set(Box::new(setup(Some(advertisements(RA))))));
    world.wait(10.0);
    assert_eq!(world.sent(), [], "nothing has changed");
    world.tell(Control::Set(Box::new(setup(Some(advertisements(CHANGED))))));
    assert_eq!(world.sent(), [(15.0, CHANGED)]);
    world.wait(40.0);
    assert_eq!(world.sent(), [(31.0, CHANGED), (47.0, CHANGED)]);
    let moved = RouterAdvertisements {
        source: Ipv6Addr::LOCALHOST,
        ..advertisements(RA)
    };
    world.tell(Control::Set(Box::new(setup(Some(moved)))));
    assert_eq!(world.sent(), [(55.0, FAREWELL)]);
    world.wait(4.0);
    assert_eq!(world.sent(), [(58.0, RA)]);
    world.tell(Control::Set(Box::new(setup(None))));
    assert_eq!(world.sent(), [(59.0, FAREWELL)]);
    world.wait(1000.0);
    world.tell(Control::Solicited(ID, world.now));
    world.wait(1000.0);
    assert_eq!(world.sent(), []);
    world.tell(Control::Set(Box::new(setup(Some(advertisements(RA))))));
    assert_eq!(
        world.sent(),
        [(2059.0, RA)],
        "a Master that is told to begin"
    );
    assert_eq!(world.state(), State::Master);
}

/// In the steady state nothing is allocated.
#[test]
fn a_router_advertisement_allocates_nothing() {
    let mut world = World::master(0);
    world.sent.reserve(1000);
    world.wait(1000.0);
    let before = world.sent.len();
    let info = measure(|| world.wait(10_000.0));
    assert_eq!(info.count_total, 0);
    assert!(world.sent.len() > before + 10);
}
