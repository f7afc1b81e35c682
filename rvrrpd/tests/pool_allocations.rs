//! In the steady state a worker allocates nothing, whatever the LAN sends, nor in an election, for which it
//! is awake in time.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use rvrrpd::driver::{Command, RouterId};
use rvrrpd::fsm::{Advert, Beat, Params, Reasons, State, Time, Transition};
use rvrrpd::pool::{Control, Delivery, Engine, Host, Message, Sample, Setup};
use rvrrpd::wire::advert::{ChecksumForm, Peers};
use rvrrpd::wire::auth::{HmacKey, HmacKeys, Key};
use rvrrpd::wire::{Family, Mac, Version, Versions, Vrid};

const ID: RouterId = RouterId(7);
const INTERVAL: Duration = Duration::from_secs(1);

/// Counts what it is given.
#[derive(Default)]
struct Counting {
    now: Time,
    queue: VecDeque<Delivery>,
    frames: usize,
    announcements: usize,
    absorbed: Time,
    /// How often a takeover was said to be near.
    near: usize,
}

impl Host for Counting {
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

    fn absorb(&mut self, _: &u32, _: (Family, Vrid), _: &Sample, received: Time) -> bool {
        self.absorbed = received;
        true
    }

    fn last_absorbed(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        self.absorbed
    }

    fn end_absorption(&mut self, _: &u32, _: (Family, Vrid)) -> Time {
        self.absorbed
    }

    fn send<'a>(
        &mut self,
        _port: &u32,
        frames: impl Iterator<Item = &'a [u8]>,
        _refused: impl FnMut(usize),
    ) {
        self.frames += frames.count();
    }

    fn send_to_peers<'a>(
        &mut self,
        _port: &u32,
        _family: Family,
        datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize {
        self.frames += datagrams.count();
        0
    }

    fn takeover_is_near(&mut self) {
        self.near += 1;
    }

    fn command(&mut self, command: Command) {
        if let Command::Announce(ID) = command {
            self.announcements += 1;
        }
    }

    fn transition(&mut self, _setup: &Setup<u32>, _transition: Transition) {}
}

fn setup(peers: Peers, versions: Versions, auth: Key) -> Setup<u32> {
    let vrid = Vrid::new(10).unwrap();
    let source = IpAddr::from([192, 0, 2, 251]);
    Setup {
        id: ID,
        generation: 1,
        title: "".into(),
        params: Params {
            version: Version::V3,
            priority: 100,
            interval: INTERVAL,
            preempt: true,
            preempt_delay: Duration::ZERO,
            startup_delay: Duration::ZERO,
            source,
            beat: Beat::of(source, vrid),
        },
        message: Message {
            vrid,
            family: Family::V4,
            versions,
            addresses: vec![IpAddr::from([192, 0, 2, 1])],
            auth,
            peers,
            source_mac: Mac::of_virtual_router(Family::V4, vrid),
            checksum_form: None,
        },
        router_advertisements: None,
        port: Some(1),
        status: Arc::default(),
    }
}

fn advert(host: &Counting, priority: u8) -> Delivery {
    Delivery {
        id: ID,
        advert: Advert {
            priority,
            source: IpAddr::from([192, 0, 2, 252]),
            interval: INTERVAL,
            received: host.now,
        },
        checksum_form: Some(ChecksumForm::Message),
        stamp: None,
        sample: None,
    }
}

/// An hour as Backup, then an hour as Master, heard and contradicted by another router.
#[test]
fn an_advertisement_allocates_nothing() {
    assert_allocates_nothing(Peers::Group, Versions::V3, Key::None, 1);
}

/// MIX-1: the same in both versions, also where authentication numbers them.
#[test]
fn an_advertisement_in_both_versions_allocates_nothing() {
    assert_allocates_nothing(Peers::Group, Versions::Both, Key::None, 2);
    let keys = HmacKeys {
        active: HmacKey {
            id: NonZeroU8::MIN,
            secret: b"secret".to_vec().into(),
        },
        others: Vec::new(),
        clock_skew: Duration::from_secs(30),
    };
    // The answer and the one that is due at the same time are one, for they would have one number.
    assert_allocates_nothing(Peers::Group, Versions::Both, Key::HmacSha256(keys), 1);
}

/// The same with unicast peers, each of which gets a datagram.
#[test]
fn an_advertisement_to_peers_allocates_nothing() {
    let addresses = [252, 253, 254].map(|host| IpAddr::from([192, 0, 2, host]));
    let peers = Peers::Listed {
        addresses: addresses.into(),
        least_ttl: 255,
    };
    assert_allocates_nothing(peers, Versions::V3, Key::None, addresses.len());
}

/// `copies`: packets of one advertisement.
fn assert_allocates_nothing(peers: Peers, versions: Versions, auth: Key, copies: usize) {
    let (mut host, mut engine) = (Counting::default(), Engine::default());
    engine.control(
        Control::Set(Box::new(setup(peers, versions, auth))),
        &mut host,
    );
    engine.control(Control::Readiness(ID, Reasons::NONE), &mut host);
    for (priority, state) in [(200, State::Backup), (50, State::Master)] {
        let mut second = |host: &mut Counting| {
            host.now = host.now + INTERVAL;
            host.queue.push_back(advert(host, priority));
            engine.pass(host);
        };
        // Until the lists have their size, and the Backup has lost patience.
        for _ in 0..10 {
            second(&mut host);
        }
        let (frames, announcements) = (host.frames, host.announcements);
        let info = measure(|| (0..3600).for_each(|_| second(&mut host)));
        assert_eq!(info.count_total, 0, "{state}");
        assert_eq!(engine.router(ID).unwrap().state(), state);
        let expected = if state == State::Master { 3600 } else { 0 };
        assert_eq!(host.announcements - announcements, expected);
        assert_eq!(host.frames - frames, 2 * expected * copies);
    }
}

const MANY: u32 = 200;

fn many() -> impl Iterator<Item = RouterId> {
    (1..=MANY).map(RouterId)
}

/// New Backups.
fn join(engine: &mut Engine<u32>, host: &mut Counting, ids: impl Iterator<Item = RouterId>) {
    for id in ids {
        let setup = setup(Peers::Group, Versions::V3, Key::None);
        engine.control(Control::Set(Box::new(Setup { id, ..setup })), host);
        engine.control(Control::Readiness(id, Reasons::NONE), host);
    }
    engine.pass(host);
}

/// Many that have been Master for a while, as one, and as many Backups.
fn many_masters() -> (Engine<u32>, Counting) {
    let (mut host, mut engine) = (Counting::default(), Engine::default());
    join(&mut engine, &mut host, many());
    // By 5 ms each, until they are at their beat.
    for _ in 0..=INTERVAL.as_millis() / 5 {
        host.now = engine.deadline().unwrap();
        engine.pass(&mut host);
    }
    assert!(are_all(&engine, State::Master));
    let others = (MANY + 1..=2 * MANY).map(RouterId);
    join(&mut engine, &mut host, others);
    host.frames = 0;
    (engine, host)
}

fn are_all(engine: &Engine<u32>, state: State) -> bool {
    many().all(|id| engine.router(id).unwrap().state() == state)
}

/// All routers of a worker become Master at once, and resign at once.
#[test]
fn an_election_allocates_nothing() {
    let (mut host, mut engine) = (Counting::default(), Engine::default());
    join(&mut engine, &mut host, many());
    host.now = engine.deadline().unwrap();
    let taken_over = measure(|| engine.pass(&mut host));
    assert!(are_all(&engine, State::Master));
    let resigned = measure(|| engine.control(Control::Stop, &mut host));
    assert_eq!(host.frames, 2 * MANY as usize);
    assert_eq!((taken_over.count_total, resigned.count_total), (0, 0));
}

/// Nor do those that advertise as one, and what ends that: a better Master, a stall after which all
/// announce themselves, the stop. Backups that came meanwhile take no room of theirs.
#[test]
fn many_that_advertise_as_one_allocate_nothing() {
    let (mut engine, mut host) = many_masters();
    let better = many().map(|id| Delivery {
        id,
        ..advert(&host, 200)
    });
    let better: Vec<_> = better.collect();
    let yielded = measure(|| {
        for delivery in &better {
            engine.deliver(delivery, &mut host);
        }
    });
    assert!(are_all(&engine, State::Backup));

    let (mut engine, mut host) = many_masters();
    let beat = measure(|| {
        host.now = engine.deadline().unwrap();
        engine.pass(&mut host);
    });
    assert_eq!(host.frames, MANY as usize);
    // As late as this all announce themselves, and the others take over a moment later.
    host.now = host.now + 4 * INTERVAL;
    let announced = measure(|| engine.pass(&mut host));
    assert_eq!((host.announcements, host.frames), (1, 2 * MANY as usize));
    let taken_over = measure(|| {
        host.now = engine.deadline().unwrap();
        engine.pass(&mut host);
    });
    assert_eq!((host.announcements, host.frames), (1, 3 * MANY as usize));

    let (mut engine, mut host) = many_masters();
    let resigned = measure(|| engine.control(Control::Stop, &mut host));
    assert_eq!(host.frames, MANY as usize);
    let all = [yielded, beat, announced, taken_over, resigned];
    let counts = all.map(|info| info.count_total);
    assert_eq!(counts, [0; 5]);
}

/// A takeover does not wait for a processor that sleeps; the next advertisement of a Master may.
#[test]
fn a_worker_is_awake_before_a_silence_ends() {
    let (mut host, mut engine) = (Counting::default(), Engine::default());
    let setup = setup(Peers::Group, Versions::V3, Key::None);
    engine.control(Control::Set(Box::new(setup)), &mut host);
    engine.control(Control::Readiness(ID, Reasons::NONE), &mut host);
    engine.pass(&mut host);
    let (wake, end) = (engine.wake().unwrap(), engine.deadline().unwrap());
    assert!(wake < end, "{wake} and {end}");
    assert!(
        end.since(wake) < Duration::from_millis(1),
        "{wake} and {end}"
    );
    host.now = wake;
    engine.pass(&mut host);
    assert_eq!(
        (engine.router(ID).unwrap().state(), host.frames),
        (State::Backup, 0)
    );
    assert_eq!((engine.deadline(), host.near), (Some(end), 1));
    host.now = end;
    engine.pass(&mut host);
    assert_eq!(engine.router(ID).unwrap().state(), State::Master);
    assert_eq!(engine.wake(), engine.deadline());
}
