//! The state machine against RFC 9568 §6.4 and RFC 3768 §6.4, with a clock that the tests turn.

use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};

use proptest::prelude::*;

use super::*;
use crate::wire::Version;

const SECOND: Duration = Duration::from_secs(1);
const OWN: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 100));
const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 99));
/// Higher as a number, lower in its last byte.
const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 3, 1));

fn params(version: Version, priority: u8) -> Params {
    Params {
        version,
        priority,
        interval: SECOND,
        preempt: true,
        preempt_delay: Duration::ZERO,
        startup_delay: Duration::ZERO,
        source: OWN,
    }
}

/// A router with a clock.
struct Bench {
    router: Router,
    now: Time,
}

impl Bench {
    fn new(params: Params) -> Self {
        Self {
            router: Router::new(params),
            now: Time::from_micros(1_000_000_000),
        }
    }

    /// A router that was started just now.
    fn started(params: Params) -> Self {
        let mut bench = Self::new(params);
        bench.ready();
        bench
    }

    /// A Master by silence.
    fn master(params: Params) -> Self {
        let mut bench = Self::started(params);
        if bench.router.state() == State::Backup {
            bench.expire();
        }
        assert_eq!(bench.router.state(), State::Master);
        bench
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.router.handle(self.now, event, &mut actions);
        actions
    }

    fn ready(&mut self) -> Vec<Action> {
        self.handle(Event::Readiness(Reasons::NONE))
    }

    fn not_ready(&mut self, reason: Reason) -> Vec<Action> {
        self.handle(Event::Readiness(reason.into()))
    }

    fn advert(&mut self, priority: u8, source: IpAddr, interval: Duration) -> Vec<Action> {
        self.handle(Event::Advert(Advert {
            priority,
            source,
            interval,
            received: self.now,
        }))
    }

    /// Time until the deadline.
    fn left(&self) -> Option<Duration> {
        self.router
            .deadline()
            .map(|deadline| deadline.at.since(self.now))
    }

    /// Turns the clock to the deadline and lets it take effect.
    fn expire(&mut self) -> Vec<Action> {
        let deadline = self.router.deadline().expect("a timer is armed");
        self.now = deadline.at;
        self.handle(Event::Timer {
            generation: deadline.generation,
        })
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }
}

fn transition(from: State, to: State, cause: Cause) -> Action {
    Action::Transition(Transition { from, to, cause })
}

/// FSM-I-1
#[test]
fn init_waits_for_startup() {
    let mut bench = Bench::new(params(Version::V3, 100));
    assert_eq!(bench.advert(200, HIGHER, SECOND), []);
    assert_eq!(bench.left(), None);
    assert_eq!(bench.advert(0, HIGHER, SECOND), []);
    assert_eq!(bench.left(), None);
    assert_eq!(bench.handle(Event::Timer { generation: 0 }), []);
    assert_eq!(bench.not_ready(Reason::Stopping), []);
    assert_eq!(bench.router.state(), State::Init);
    assert_eq!(bench.left(), None);
}

/// FSM-I-2: regardless of Preempt_Mode.
#[test]
fn an_owner_starts_as_master() {
    for preempt in [true, false] {
        let mut bench = Bench::new(Params {
            preempt,
            ..params(Version::V3, 255)
        });
        assert_eq!(
            bench.ready(),
            [
                Action::SendAdvert,
                Action::Activate,
                transition(State::Init, State::Master, Cause::OwnerPreempt)
            ]
        );
        assert_eq!(bench.left(), Some(SECOND));
    }
}

/// FSM-I-3, V2-TM-1, V2-TM-2, V3-TM-1, V3-TM-2, V3-TM-4: nothing is sent, the down timer counts.
#[test]
fn a_backup_waits_for_the_down_interval() {
    let micros = Duration::from_micros;
    for (version, priority, interval, down) in [
        (Version::V2, 100, SECOND, micros(3_609_375)),
        (Version::V2, 100, 5 * SECOND, micros(15_609_375)),
        (Version::V2, 254, SECOND, micros(3_007_812)),
        (Version::V3, 100, SECOND, micros(3_609_375)),
        (Version::V3, 100, SECOND / 10, micros(360_937)),
        (Version::V3, 254, SECOND, micros(3_007_812)),
        (Version::V3, 1, SECOND, micros(3_996_093)),
    ] {
        let mut bench = Bench::new(Params {
            interval,
            ..params(version, priority)
        });
        assert_eq!(
            bench.ready(),
            [transition(State::Init, State::Backup, Cause::Startup)]
        );
        assert_eq!(
            bench.left(),
            Some(down),
            "{version:?} {priority} {interval:?}"
        );
    }
    assert_eq!(params(Version::V3, 255).skew(SECOND), SECOND / 256);
}

/// V3-TM-5: priorities 200 and 199 at 10 cs do not fire at the same instant.
#[test]
fn neighbouring_priorities_never_tie() {
    for (version, interval) in [(Version::V3, SECOND / 100), (Version::V2, SECOND)] {
        for priority in 1..254 {
            let skew = |priority| params(version, priority).skew(interval).as_micros();
            assert!(skew(priority) > skew(priority + 1));
        }
    }
}

/// FSM-B-6: the advertisement first, then the addresses and their announcements.
#[test]
fn silence_makes_a_backup_master() {
    for version in [Version::V2, Version::V3] {
        let mut bench = Bench::started(params(version, 100));
        assert_eq!(
            bench.expire(),
            [
                Action::SendAdvert,
                Action::Activate,
                transition(State::Backup, State::Master, Cause::MasterTimeout)
            ]
        );
        assert_eq!(
            bench.left(),
            Some(SECOND),
            "Adver_Timer runs on the own interval: V3-TM-6"
        );
    }
}

/// FSM-B-5
#[test]
fn a_backup_leaves_silently() {
    let mut bench = Bench::started(params(Version::V3, 100));
    assert_eq!(
        bench.not_ready(Reason::Stopping),
        [transition(State::Backup, State::Init, Cause::Shutdown)]
    );
    assert_eq!(bench.left(), None);
}

/// FSM-B-7, V3-TM-3: skew of the own priority and of the interval learned before.
#[test]
fn a_resigning_master_is_replaced_within_skew() {
    let mut bench = Bench::started(params(Version::V3, 100));
    bench.advert(200, HIGHER, 3 * SECOND);
    bench.pass(SECOND);
    assert_eq!(bench.advert(0, HIGHER, 40 * SECOND), []);
    assert_eq!(
        bench.left(),
        Some(params(Version::V3, 100).skew(3 * SECOND))
    );
    assert_eq!(
        bench.expire().last(),
        Some(&transition(
            State::Backup,
            State::Master,
            Cause::MasterResigned
        ))
    );
}

/// FSM-B-8, V3-RX-8, V3-TM-3: the Master's interval is learned in version 3.
#[test]
fn a_backup_follows_the_masters_interval() {
    let mut bench = Bench::started(params(Version::V3, 100));
    bench.advert(100, LOWER, 3 * SECOND);
    assert_eq!(
        bench.left(),
        Some(params(Version::V3, 100).down_interval(3 * SECOND))
    );
    assert_eq!(bench.router.master_interval(), 3 * SECOND);
    // A new start begins with the own one.
    bench.not_ready(Reason::NoCarrier);
    bench.ready();
    assert_eq!(bench.router.master_interval(), SECOND);

    let mut bench = Bench::started(params(Version::V2, 100));
    bench.advert(100, LOWER, 3 * SECOND);
    assert_eq!(
        bench.left(),
        Some(params(Version::V2, 100).down_interval(SECOND))
    );
}

/// FSM-B-8: no tie-break by address in Backup.
#[test]
fn an_equal_master_with_a_lower_address_stays() {
    let mut bench = Bench::started(params(Version::V3, 100));
    bench.pass(SECOND);
    bench.advert(100, LOWER, SECOND);
    assert_eq!(
        bench.left(),
        Some(params(Version::V3, 100).down_interval(SECOND))
    );
}

/// FSM-B-9: discarded, the timer keeps running.
#[test]
fn a_lower_master_is_preempted_when_the_timer_fires() {
    let mut bench = Bench::started(params(Version::V3, 100));
    let before = bench.router.deadline();
    bench.pass(SECOND);
    assert_eq!(bench.advert(99, HIGHER, SECOND), []);
    assert_eq!(bench.router.deadline(), before);
}

/// FSM-B-10
#[test]
fn without_preemption_a_lower_master_stays_until_it_dies() {
    let mut bench = Bench::started(Params {
        preempt: false,
        ..params(Version::V3, 200)
    });
    for _ in 0..20 {
        bench.pass(SECOND);
        bench.advert(1, LOWER, SECOND);
        assert_eq!(
            bench.left(),
            Some(params(Version::V3, 200).down_interval(SECOND))
        );
    }
    bench.expire();
    assert_eq!(bench.router.state(), State::Master);
}

/// RFC 8347 hold-time: a lower Master is followed for the delay, then preempted at once.
#[test]
fn preemption_can_be_delayed() {
    let delayed = Params {
        preempt_delay: 10 * SECOND,
        ..params(Version::V3, 100)
    };
    let mut bench = Bench::started(delayed);
    let start = bench.now;
    for _ in 0..10 {
        assert_eq!(bench.advert(50, LOWER, SECOND), []);
        bench.pass(SECOND);
    }
    assert_eq!(
        bench.router.deadline().map(|deadline| deadline.at),
        Some(start + 10 * SECOND)
    );
    assert_eq!(
        bench.expire().last(),
        Some(&transition(
            State::Backup,
            State::Master,
            Cause::PreemptHoldTimeout
        ))
    );

    // It dies meanwhile: an ordinary takeover.
    let mut bench = Bench::started(delayed);
    bench.advert(50, LOWER, SECOND);
    assert_eq!(
        bench.expire().last(),
        Some(&transition(
            State::Backup,
            State::Master,
            Cause::MasterTimeout
        ))
    );

    // A higher Master comes: nothing to preempt any more.
    let mut bench = Bench::started(delayed);
    bench.advert(50, LOWER, SECOND);
    bench.pass(SECOND);
    bench.advert(150, HIGHER, 20 * SECOND);
    assert_eq!(bench.left(), Some(delayed.down_interval(20 * SECOND)));
}

/// TX-9, FSM-B-9: who waits to preempt and is given a lower priority meanwhile, or another delay, does
/// not take over by what counted before.
#[test]
fn a_delayed_preemption_follows_the_parameters() {
    let waiting = Params {
        preempt_delay: 10 * SECOND,
        ..params(Version::V3, 200)
    };
    let lower = Params {
        priority: 64,
        ..waiting
    };
    let longer = Params {
        preempt_delay: 60 * SECOND,
        ..waiting
    };
    for changed in [lower, longer] {
        let mut bench = Bench::started(waiting);
        for _ in 0..10 {
            bench.advert(100, HIGHER, SECOND);
            bench.pass(SECOND - SECOND / 100);
        }
        bench.handle(Event::Params(changed));
        let down = changed.down_interval(SECOND);
        assert_eq!(bench.left(), Some(down - SECOND + SECOND / 100));
        bench.pass(SECOND / 100);
        bench.advert(100, HIGHER, SECOND);
        assert_eq!(bench.left(), Some(down));
    }
}

/// The start-up delay is kept in Init, once.
#[test]
fn start_up_can_be_delayed() {
    let mut bench = Bench::new(Params {
        startup_delay: 30 * SECOND,
        ..params(Version::V3, 255)
    });
    assert_eq!(bench.ready(), []);
    assert_eq!(
        (bench.router.state(), bench.left()),
        (State::Init, Some(30 * SECOND))
    );
    bench.pass(10 * SECOND);
    bench.not_ready(Reason::NoCarrier);
    assert_eq!(bench.left(), None);
    bench.ready();
    bench.expire();
    assert_eq!(bench.router.state(), State::Master);
    bench.not_ready(Reason::NoCarrier);
    bench.ready();
    assert_eq!(bench.router.state(), State::Master);
}

/// FSM-A-6: priority 0 first, then the addresses go.
#[test]
fn a_master_resigns() {
    for (reason, cause) in [
        (Reason::Stopping, Cause::Shutdown),
        (Reason::Disabled, Cause::Shutdown),
        (Reason::NoCarrier, Cause::InterfaceDown),
        (Reason::NoPrimaryAddress, Cause::NoPrimaryIpAddress),
    ] {
        let mut bench = Bench::master(params(Version::V3, 100));
        assert_eq!(
            bench.not_ready(reason),
            [
                Action::SendResign,
                Action::Deactivate,
                transition(State::Master, State::Init, cause)
            ]
        );
        assert_eq!(bench.left(), None);
    }
}

/// FSM-A-7, V3-TM-7: keyed to the deadline, no drift.
#[test]
fn a_master_advertises_every_interval() {
    // Master at once, and on the beat.
    let mut bench = Bench::master(params(Version::V3, 255));
    let start = bench.now;
    for round in 1..=5 {
        let deadline = bench.router.deadline().expect("armed");
        assert_eq!(deadline.at, start + round * SECOND);
        bench.now = deadline.at + Duration::from_millis(7);
        let actions = bench.handle(Event::Timer {
            generation: deadline.generation,
        });
        assert_eq!(actions, [Action::SendAdvert]);
    }
}

/// V3-TM-7: a Master comes to the beat by intervals that are shorter by a little, never longer, and
/// whatever it sends because of an event does not wait for it.
#[test]
fn v3_tm_7_a_master_comes_to_the_beat() {
    let mut bench = Bench::master(params(Version::V3, 200));
    assert_eq!(bench.left(), Some(SECOND), "the first interval is whole");
    let past_beat = bench.now.as_micros() % 1_000_000;
    assert!(past_beat > 0, "it became Master off the beat");
    bench.expire();
    for _ in 0..past_beat / 5000 {
        assert_eq!(bench.left(), Some(SECOND - Duration::from_millis(5)));
        bench.expire();
    }
    bench.expire();
    for _ in 0..3 {
        assert_eq!(bench.left(), Some(SECOND));
        assert_eq!(bench.expire(), [Action::SendAdvert]);
        assert_eq!(bench.now.as_micros() % 1_000_000, 0);
    }
}

/// V3-TM-7: after a stall one advertisement and an announcement, no burst.
#[test]
fn a_late_master_announces_itself_once() {
    let mut bench = Bench::master(params(Version::V3, 100));
    let deadline = bench.router.deadline().expect("armed");
    bench.now = deadline.at + 5 * SECOND;
    let actions = bench.handle(Event::Timer {
        generation: deadline.generation,
    });
    assert_eq!(actions, [Action::SendAdvert, Action::Announce]);
    assert_eq!(bench.left(), Some(SECOND));
}

/// Lateness is counted in the interval that the others go by, not in one that was set meanwhile.
#[test]
fn a_late_master_announces_itself_whatever_its_interval_became() {
    for interval in [SECOND / 10, 3 * SECOND] {
        let mut bench = Bench::master(params(Version::V3, 100));
        bench.pass(5 * SECOND);
        bench.handle(Event::Params(Params {
            interval,
            ..params(Version::V3, 100)
        }));
        let actions = bench.expire();
        assert_eq!(actions, [Action::SendAdvert, Action::Announce]);
    }
}

/// FSM-A-8. Hosts are told again, for whoever resigned told them something else.
#[test]
fn priority_zero_makes_a_master_advertise_at_once() {
    let mut bench = Bench::master(params(Version::V3, 100));
    bench.pass(SECOND / 2);
    let actions = bench.advert(0, HIGHER, SECOND);
    assert_eq!(actions, [Action::SendAdvert, Action::Announce]);
    assert_eq!(bench.left(), Some(SECOND));
    assert_eq!(bench.advert(0, HIGHER, SECOND), [Action::SendAdvert]);
    assert_eq!(bench.router.state(), State::Master);
}

/// FSM-A-9, FSM-A-11, FSM-X-1: higher priority, or equal and a higher address. One last
/// advertisement makes the better one announce itself.
#[test]
fn a_master_yields_to_a_better_one() {
    for (version, priority, source) in [
        (Version::V2, 101, LOWER),
        (Version::V3, 101, LOWER),
        (Version::V3, 100, HIGHER),
        (Version::V3, 255, LOWER),
    ] {
        for preempt in [true, false] {
            let mut bench = Bench::master(Params {
                preempt,
                ..params(version, 100)
            });
            assert_eq!(
                bench.advert(priority, source, 2 * SECOND),
                [
                    Action::SendAdvert,
                    Action::Deactivate,
                    transition(State::Master, State::Backup, Cause::HigherPriorityMaster)
                ]
            );
            let learned = if version == Version::V3 {
                2 * SECOND
            } else {
                SECOND
            };
            assert_eq!(
                bench.left(),
                Some(params(version, 100).down_interval(learned))
            );
        }
    }
}

/// FSM-A-9, MIX-1: a Master of short intervals yields to a slow one without a last advertisement:
/// Backups would follow its interval and not wait for the next one of the slow Master.
#[test]
fn a_fast_master_yields_to_a_slow_one_in_silence() {
    for (millis, last) in [(1000, true), (334, true), (333, false), (10, false)] {
        let interval = Duration::from_millis(millis);
        let mut bench = Bench::master(Params {
            interval,
            ..params(Version::V3, 100)
        });
        let actions = bench.advert(200, LOWER, SECOND);
        assert_eq!(actions.contains(&Action::SendAdvert), last, "{interval:?}");
        assert!(actions.contains(&Action::Deactivate));
        let learned = params(Version::V3, 100).down_interval(SECOND);
        assert_eq!(bench.left(), Some(learned));
    }
}

/// MIX-1, V3-TM-8: a Backup that begins to speak version 3 goes on waiting for its Master as long
/// as that announced; one that speaks version 2 alone again goes by its own interval.
#[test]
fn mix_1_a_change_of_version_keeps_the_interval_of_the_master() {
    let mut bench = Bench::started(params(Version::V2, 100));
    bench.advert(200, HIGHER, SECOND);
    let fast = |version| Params {
        interval: SECOND / 10,
        ..params(version, 100)
    };
    assert_eq!(bench.handle(Event::Params(fast(Version::V3))), []);
    assert_eq!(bench.router.master_interval(), SECOND);
    let left = fast(Version::V3).down_interval(SECOND);
    assert_eq!(bench.left(), Some(left));
    bench.advert(200, HIGHER, 5 * SECOND);
    assert_eq!(bench.handle(Event::Params(params(Version::V2, 100))), []);
    assert_eq!(bench.router.master_interval(), SECOND);
}

/// FSM-A-10: one answer in version 3, none in version 2; Adver_Timer is not restarted. What comes
/// too soon after an answer is answered later.
#[test]
fn a_master_answers_a_worse_one() {
    for (version, priority, source, answer) in [
        (
            Version::V3,
            99,
            HIGHER,
            &[Action::SendAdvert, Action::Announce][..],
        ),
        (
            Version::V3,
            100,
            LOWER,
            &[Action::SendAdvert, Action::Announce],
        ),
        (Version::V2, 99, HIGHER, &[Action::Announce]),
    ] {
        let mut bench = Bench::master(params(version, 100));
        let before = bench.router.deadline();
        bench.pass(SECOND / 2);
        assert_eq!(bench.advert(priority, source, SECOND), answer);
        assert_eq!(bench.router.deadline(), before);
        bench.pass(SECOND / 50);
        for _ in 0..3 {
            let actions = bench.advert(priority, source, SECOND);
            assert_eq!(actions, [], "answers are limited");
        }
        assert_eq!(bench.left(), Some(SECOND / 10 - SECOND / 50));
        assert_eq!(bench.expire(), answer);
        assert_eq!(
            bench.router.deadline().map(|deadline| deadline.at),
            before.map(|deadline| deadline.at)
        );
        bench.pass(SECOND / 4);
        assert_eq!(bench.advert(priority, source, SECOND), answer);
    }
}

/// TX-9, V3-TM-8, V3-TM-9: new values count without a change of state.
#[test]
fn parameters_change_while_running() {
    let mut bench = Bench::master(params(Version::V3, 100));
    let faster = Params {
        interval: SECOND / 10,
        ..params(Version::V3, 50)
    };
    assert_eq!(bench.handle(Event::Params(faster)), []);
    assert_eq!(bench.left(), Some(SECOND / 10));

    // A longer interval is announced in the time that the shorter one promised, also when it
    // grows twice before that: no Backup may lose patience meanwhile.
    bench.pass(SECOND / 50);
    for seconds in [10, 20] {
        let slower = Params {
            interval: seconds * SECOND,
            ..params(Version::V3, 50)
        };
        assert_eq!(bench.handle(Event::Params(slower)), []);
        assert_eq!(bench.left(), Some(SECOND / 10 - SECOND / 50));
    }
    assert_eq!(bench.expire(), [Action::SendAdvert]);
    let on_the_way_to_the_beat = Duration::from_millis(5);
    assert_eq!(bench.left(), Some(20 * SECOND - on_the_way_to_the_beat));

    let mut bench = Bench::started(params(Version::V3, 100));
    bench.advert(200, HIGHER, 2 * SECOND);
    bench.pass(SECOND);
    assert_eq!(bench.handle(Event::Params(faster)), []);
    assert_eq!(
        bench.left(),
        Some(faster.down_interval(2 * SECOND) - SECOND),
        "the learned interval stays, the skew is that of the new priority"
    );

    let mut bench = Bench::started(params(Version::V3, 100));
    let actions = bench.handle(Event::Params(params(Version::V3, 255)));
    assert_eq!(
        actions.last(),
        Some(&transition(
            State::Backup,
            State::Master,
            Cause::OwnerPreempt
        ))
    );
}

/// A late expiry of a timer that was armed anew has no effect.
#[test]
fn a_stale_expiry_is_ignored() {
    let mut bench = Bench::started(params(Version::V3, 100));
    let stale = bench.router.deadline().expect("armed").generation;
    bench.advert(200, HIGHER, SECOND);
    assert_eq!(bench.handle(Event::Timer { generation: stale }), []);
    assert_eq!(bench.router.state(), State::Backup);
}

/// Events in any order, with any values.
fn events() -> impl Strategy<Value = Vec<(u64, u8, u8, u8)>> {
    prop::collection::vec(
        (0_u64..3_000_000, 0_u8..5, any::<u8>(), any::<u8>()),
        0..100,
    )
}

proptest! {
    /// V3-TM-6 and the invariant that keeps a group from staying without a Master: whoever runs
    /// has a timer armed; whoever does not has none.
    #[test]
    fn whoever_runs_has_a_timer(own in 1_u8..=255, v3: bool, preempt: bool, delay in 0_u64..3, steps in events()) {
        let version = if v3 { Version::V3 } else { Version::V2 };
        let mut bench = Bench::new(Params {
            preempt,
            preempt_delay: Duration::from_secs(delay),
            ..params(version, own)
        });
        let mut active = false;
        for (span, kind, one, other) in steps {
            bench.pass(Duration::from_micros(span));
            let event = match kind {
                0 => Event::Readiness(Reasons::NONE.with_if(one % 2 == 0, Reason::NoCarrier)),
                1 => Event::Params(Params { preempt: one % 2 == 0, ..params(version, other.max(1)) }),
                2 => match bench.router.deadline() {
                    Some(deadline) if deadline.at <= bench.now => Event::Timer { generation: deadline.generation },
                    _ => continue,
                },
                _ => Event::Advert(Advert {
                    priority: one,
                    source: if other % 2 == 0 { LOWER } else { HIGHER },
                    interval: Duration::from_millis(u64::from(other) * 10 + 10),
                    received: bench.now,
                }),
            };
            for action in bench.handle(event) {
                match action {
                    Action::Activate => { prop_assert!(!active); active = true; }
                    Action::Deactivate => { prop_assert!(active); active = false; }
                    Action::Announce => prop_assert!(active),
                    _ => {}
                }
            }
            prop_assert_eq!(active, bench.router.state() == State::Master);
            prop_assert_eq!(bench.left().is_some(), bench.router.state() != State::Init);
        }
    }
}
