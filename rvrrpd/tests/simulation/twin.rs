//! What a router must do, told a second time and only as far as an outside observer could tell: it
//! judges the state machine and the engine by what they heard and when.

use std::time::Duration;

use rvrrpd::fsm::{Advert, Params, State, Time, Transition};
use rvrrpd::wire::{PRIORITY_OWNER, PRIORITY_RESIGN, Version};

/// One virtual router on one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twin {
    pub(crate) params: Option<Params>,
    /// When it got them.
    pub(crate) told: Time,
    ready: bool,
    state: Known,
    /// When the last packet found the socket full.
    overflowed: Time,
}

#[derive(Clone, Copy, Debug, Default)]
enum Known {
    #[default]
    Init,
    Backup(Follower),
    Master {
        /// When it sent its last advertisement.
        sent: Time,
        /// The interval was changed since.
        changed: bool,
    },
}

/// What a Backup knows of its Master.
#[derive(Clone, Copy, Debug)]
struct Follower {
    /// What the down timer counts from.
    since: Time,
    interval: Duration,
    resigned: bool,
    preempt_at: Option<Time>,
    /// Until when it gives the Master more time, because of what was lost.
    postponed: Option<Time>,
}

impl Follower {
    fn new(since: Time, interval: Duration) -> Self {
        Self {
            since,
            interval,
            resigned: false,
            preempt_at: None,
            postponed: None,
        }
    }

    /// Until when it must wait.
    fn deadline(&self, params: &Params) -> Time {
        let deadline = self.down_timer(params);
        self.postponed.map_or(deadline, |at| at.max(deadline))
    }

    /// V2-TM-1, V2-TM-2, V3-TM-1, V3-TM-2, in whole microseconds.
    fn down_timer(&self, params: &Params) -> Time {
        let interval = u64::try_from(self.interval.as_micros()).unwrap();
        let base = match params.version {
            Version::V2 => 1_000_000,
            Version::V3 => interval,
        };
        let intervals = if self.resigned { 0 } else { 3 * interval };
        let skew = base * (256 - u64::from(params.priority)) / 256;
        let timer = Time::from_micros(self.since.as_micros() + intervals + skew);
        self.preempt_at.map_or(timer, |at| at.min(timer))
    }
}

/// What is wrong.
pub(crate) type Verdict = Result<(), String>;

impl Twin {
    pub(crate) fn state(&self) -> State {
        match self.state {
            Known::Init => State::Init,
            Known::Backup(_) => State::Backup,
            Known::Master { .. } => State::Master,
        }
    }

    /// A Backup: until when it must wait.
    pub(crate) fn deadline(&self) -> Option<Time> {
        match (&self.state, &self.params) {
            (Known::Backup(follower), Some(params)) => Some(follower.deadline(params)),
            _ => None,
        }
    }

    /// A Master: when it sent its last advertisement, if its interval is the same since.
    pub(crate) fn silent_since(&self) -> Option<Time> {
        match self.state {
            Known::Master {
                sent,
                changed: false,
            } => Some(sent),
            _ => None,
        }
    }

    /// Whether an advertisement with this priority keeps it in Backup.
    pub(crate) fn would_follow(&self, priority: u8) -> bool {
        let Some(params) = &self.params else {
            return false;
        };
        priority != PRIORITY_RESIGN && (!params.preempt || priority >= params.priority)
    }

    pub(crate) fn configured(&mut self, now: Time, params: Params) {
        let before = self.params.replace(params);
        self.told = now;
        match &mut self.state {
            Known::Init => {}
            Known::Backup(_) if params.priority == PRIORITY_OWNER => self.master(now),
            Known::Backup(follower) => {
                if params.version == Version::V2 {
                    follower.interval = params.interval;
                }
                // With less than it had it may have nobody to preempt.
                let has_less = before.is_some_and(|before| params.priority < before.priority);
                if !params.preempt || has_less {
                    follower.preempt_at = None;
                }
                follower.postponed = None;
            }
            Known::Master { changed, .. } => {
                *changed |= before.is_some_and(|before| before.interval != params.interval);
            }
        }
    }

    pub(crate) fn readiness(&mut self, ready: bool) {
        self.ready = ready;
        if !ready {
            self.state = Known::Init;
        }
    }

    /// A packet of anybody found the socket full.
    pub(crate) fn overflowed(&mut self, at: Time) {
        self.overflowed = self.overflowed.max(at);
    }

    /// The Master is given more time, which happens once in a silence, and only where something was
    /// lost since `noticed` at the latest.
    pub(crate) fn postponed(&mut self, now: Time, until: Time, noticed: Time) -> Verdict {
        let (Known::Backup(follower), Some(params)) = (&mut self.state, &self.params) else {
            return Err("it waits for silence and is no Backup".into());
        };
        let span = follower.down_timer(params).since(follower.since);
        if noticed <= follower.since || self.overflowed == Time::START {
            return Err("it doubts the silence although nothing was lost".into());
        }
        if follower.postponed.is_some() || until > now + span {
            return Err("a silent Master is given more than twice its time".into());
        }
        follower.postponed = Some(until);
        Ok(())
    }

    /// FSM-B-7..9, FSM-A-9.
    pub(crate) fn heard(&mut self, advert: &Advert) -> Verdict {
        let Some(params) = self.params else {
            return Ok(());
        };
        if advert.source == params.source {
            return Err("it hears itself (V3-RX-19)".into());
        }
        let better = advert.priority > params.priority
            || (advert.priority == params.priority && advert.source > params.source);
        match &mut self.state {
            Known::Init => {}
            Known::Backup(follower) if advert.priority == PRIORITY_RESIGN => {
                follower.resigned = true;
                follower.since = advert.received;
                follower.postponed = None;
            }
            Known::Backup(follower) => {
                if params.preempt && advert.priority < params.priority {
                    if params.preempt_delay.is_zero() {
                        return Ok(());
                    }
                    let at = advert.received + params.preempt_delay;
                    if *follower.preempt_at.get_or_insert(at) <= advert.received {
                        return Ok(());
                    }
                } else {
                    follower.preempt_at = None;
                }
                follower.resigned = false;
                follower.since = advert.received;
                follower.postponed = None;
                if params.version == Version::V3 {
                    follower.interval = advert.interval;
                }
            }
            Known::Master { .. } if advert.priority != PRIORITY_RESIGN && better => {
                let interval = match params.version {
                    Version::V2 => params.interval,
                    Version::V3 => advert.interval,
                };
                self.state = Known::Backup(Follower::new(advert.received, interval));
            }
            Known::Master { .. } => {}
        }
        Ok(())
    }

    pub(crate) fn transition(&mut self, now: Time, transition: Transition) -> Verdict {
        let Some(params) = self.params else {
            return Err("a router without parameters changes its state".into());
        };
        match (transition.to, self.state) {
            (State::Init, _) if self.ready => {
                return Err("it leaves although nothing keeps it from running".into());
            }
            (State::Init, _) | (State::Backup, Known::Backup(_)) => {}
            (State::Backup | State::Master, Known::Init) if !self.ready => {
                return Err("it starts although it is not ready (FSM-I-1)".into());
            }
            (State::Backup, Known::Init) => {
                self.state = Known::Backup(Follower::new(now, params.interval));
            }
            (State::Master, Known::Init) if params.priority != PRIORITY_OWNER => {
                return Err("it starts as Master although it is not the owner (FSM-I-3)".into());
            }
            (State::Backup, Known::Master { .. }) => {
                return Err("it yields to nobody who is better (FSM-A-9, FSM-X-1)".into());
            }
            (State::Master, Known::Backup(follower)) => {
                let deadline = follower.deadline(&params);
                if now < deadline {
                    let early = deadline.since(now);
                    return Err(format!("it takes over {early:?} too early (V3-TM-2)"));
                }
                let lost = follower.since < self.overflowed && self.overflowed <= deadline;
                let waits = follower.preempt_at.is_none_or(|at| at > deadline);
                if lost && waits && follower.postponed.is_none() {
                    return Err("it believes in silence although its socket was full".into());
                }
                self.master(now);
            }
            (State::Master, Known::Init | Known::Master { .. }) => self.master(now),
        }
        Ok(())
    }

    /// An advertisement has left.
    pub(crate) fn advertised(&mut self, now: Time) {
        if let Known::Master { .. } = self.state {
            self.master(now);
        }
    }

    fn master(&mut self, now: Time) {
        self.state = Known::Master {
            sent: now,
            changed: false,
        };
    }
}
