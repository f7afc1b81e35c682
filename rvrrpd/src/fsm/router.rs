//! One virtual router.

use core::fmt;
use core::time::Duration;

use super::{Action, Advert, Cause, Event, Params, Reason, Reasons, Time, Transition};
use crate::wire::{PRIORITY_RESIGN, Version};

/// State of a virtual router. `Active` of RFC 9568 is shown as `Master`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum State {
    /// Cannot run, or waits for its start-up delay.
    Init,
    /// Listens to the Master.
    Backup,
    /// Forwards for the virtual addresses.
    Master,
}

impl State {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 3] = [Self::Init, Self::Backup, Self::Master];
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "Init",
            Self::Backup => "Backup",
            Self::Master => "Master",
        })
    }
}

/// When a router wants to be called, and which arming of its timer that is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline {
    /// The time.
    pub at: Time,
    /// Changes whenever the timer is armed anew: a late expiry of an older arming has no effect.
    pub generation: u64,
}

/// A higher rate of answers to lower-priority advertisements serves nobody: the group hears one.
const LONGEST_ANSWER_GAP: Duration = Duration::from_millis(100);

/// The state machine of one virtual router. What a Master's timer takes lies together: the memory of
/// a thousand routers is cold between two advertisements.
#[derive(Clone, Debug)]
#[repr(C)]
pub struct Router {
    state: State,
    /// Backup: the Master that was followed resigned.
    resigned: bool,
    reasons: Reasons,
    /// Active_Adver_Interval: the interval of the Master that is followed. Master: the one that
    /// was advertised last.
    master_interval: Duration,
    /// The main timer: start-up delay in Init, Active_Down_Timer in Backup, Adver_Timer in
    /// Master.
    timer: Option<Time>,
    /// Backup: when the lower-priority Master is preempted.
    preempt_at: Option<Time>,
    /// Master: when one is answered that came too soon after the one before.
    answer_at: Option<Time>,
    /// Backup: what the down timer counts from. Master: when the last advertisement was sent.
    since: Time,
    generation: u64,
    params: Params,
    /// Master: when another Master was last answered.
    answered: Option<Time>,
    /// Backup: a lower-priority Master was heard, and not listened to, since the timer was armed.
    ignored_lower: bool,
    /// What ends the present time in Init.
    start_cause: Cause,
    /// The start-up delay is over; it is kept once in a life.
    started: bool,
}

impl Router {
    /// A router in Init that knows no reason to start yet: it waits for [`Event::Readiness`].
    #[must_use]
    pub fn new(params: Params) -> Self {
        Self {
            params,
            state: State::Init,
            reasons: Reasons::from(Reason::NotPrepared),
            master_interval: params.interval,
            timer: None,
            preempt_at: None,
            resigned: false,
            ignored_lower: false,
            start_cause: Cause::Startup,
            since: Time::default(),
            answered: None,
            answer_at: None,
            started: params.startup_delay.is_zero(),
            generation: 0,
        }
    }

    /// The present state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The parameters in force.
    #[must_use]
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// Why the router is in Init; empty in the other states and during the start-up delay.
    #[must_use]
    pub const fn reasons(&self) -> Reasons {
        self.reasons
    }

    /// Interval of the Master: learned in Backup, advertised in Master.
    #[must_use]
    pub const fn master_interval(&self) -> Duration {
        self.master_interval
    }

    /// When the main timer runs out: the start-up delay in Init, Active_Down_Timer in Backup,
    /// Adver_Timer in Master.
    #[must_use]
    pub const fn timer_end(&self) -> Option<Time> {
        self.timer
    }

    /// When the router wants [`Event::Timer`]; changes only in [`Self::handle`].
    #[must_use]
    pub fn deadline(&self) -> Option<Deadline> {
        let others = [self.preempt_at, self.answer_at].into_iter().flatten();
        Some(Deadline {
            at: others.fold(self.timer?, Time::min),
            generation: self.generation,
        })
    }

    /// Whether the advertisement that was handled last is the one that the down timer counts from:
    /// that of a Master which is followed.
    #[must_use]
    pub fn follows(&self, advert: &Advert) -> bool {
        self.state == State::Backup && !self.resigned && self.since == advert.received
    }

    /// Whether the deadline may only be believed once every advertisement that the kernel
    /// received before it has been handled: true in Backup, where silence means a takeover.
    #[must_use]
    pub const fn needs_drain(&self) -> bool {
        matches!(self.state, State::Backup)
    }

    /// In Backup: since when the silence lasts that the deadline waits for. None where it waits for
    /// something else, which is the delay of a preemption.
    #[must_use]
    pub fn silent_since(&self) -> Option<Time> {
        let waits_for_silence = self.preempt_at.is_none_or(|at| Some(at) > self.timer);
        (self.state == State::Backup && waits_for_silence).then_some(self.since)
    }

    /// Whether this Master advertises at its beat, as everybody does who has been Master for a while.
    #[must_use]
    pub fn is_on_beat(&self) -> bool {
        let Params { interval, beat, .. } = self.params;
        let stays = |at| beat.attract(at, interval) == at;
        self.state == State::Master && self.answer_at.is_none() && self.timer.is_some_and(stays)
    }

    /// Whether both are Masters whose timers, as long as nothing else happens, always do the same at
    /// the same times.
    #[must_use]
    pub fn is_in_step_with(&self, other: &Self) -> bool {
        let step = |router: &Self| {
            let Params { interval, beat, .. } = router.params;
            let timers = [router.timer, router.answer_at];
            (timers, router.since, router.master_interval, interval, beat)
        };
        self.state == State::Master && other.state == State::Master && step(self) == step(other)
    }

    /// What the timer of `other` has done since both were in step, that of this router has done, too.
    pub fn keep_step_with(&mut self, other: &Self) {
        self.timer = other.timer;
        self.since = other.since;
        self.generation += 1;
    }

    /// Handles one event at the time `now` and appends what is to be done to `actions`.
    pub fn handle(&mut self, now: Time, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Readiness(reasons) => self.readiness(now, reasons, actions),
            Event::Params(params) => self.reconfigure(now, params, actions),
            Event::Timer { generation } if generation == self.generation => {
                self.timer(now, actions);
            }
            Event::Timer { .. } => {}
            Event::Advert(advert) => match self.state {
                State::Init => {}
                State::Backup => self.advert_in_backup(&advert),
                State::Master => self.advert_in_master(now, &advert, actions),
            },
        }
    }

    /// FSM-I-1..3, FSM-B-5, FSM-A-6.
    fn readiness(&mut self, now: Time, reasons: Reasons, actions: &mut Vec<Action>) {
        let was_ready = self.reasons.is_ready();
        self.reasons = reasons;
        if reasons.is_ready() {
            if was_ready {
                return;
            }
            if self.started {
                self.startup(now, actions);
            } else {
                self.arm(now + self.params.startup_delay);
            }
        } else if self.state == State::Init {
            self.disarm();
            if let Some(cause) = cause_of(reasons) {
                self.start_cause = cause.opposite();
            }
        } else {
            self.shutdown(cause_of(reasons).unwrap_or(Cause::InterfaceDown), actions);
        }
    }

    /// FSM-I-2 and FSM-I-3.
    fn startup(&mut self, now: Time, actions: &mut Vec<Action>) {
        self.started = true;
        self.master_interval = self.params.interval;
        if self.params.is_owner() {
            self.become_master(now, Cause::OwnerPreempt, actions);
        } else {
            self.become_backup(now, self.start_cause, actions);
        }
    }

    fn shutdown(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        if self.state == State::Master {
            actions.push(Action::SendResign);
            actions.push(Action::Deactivate);
        }
        self.disarm();
        self.start_cause = cause.opposite();
        self.transition(State::Init, cause, actions);
    }

    /// TX-9, V3-TM-8, V3-TM-9: the new values count from now on, without a change of state.
    fn reconfigure(&mut self, now: Time, params: Params, actions: &mut Vec<Action>) {
        let before = core::mem::replace(&mut self.params, params);
        match self.state {
            State::Init => {}
            State::Backup if params.is_owner() => {
                self.become_master(now, Cause::OwnerPreempt, actions);
            }
            State::Backup => {
                if params.version == Version::V2 {
                    self.master_interval = params.interval;
                }
                let span = if self.resigned {
                    params.skew(self.master_interval)
                } else {
                    params.down_interval(self.master_interval)
                };
                // The next advertisement tells whether there is still somebody to preempt, and
                // begins the delay that counts now.
                let waits_anew = params.preempt_delay != before.preempt_delay;
                if !params.preempt || params.priority < before.priority || waits_anew {
                    self.preempt_at = None;
                }
                self.arm(self.since + span);
            }
            State::Master => {
                if params.interval != before.interval {
                    // Backups go by what was announced last: a longer interval is announced when
                    // the shorter one is over, or they would take this Master for dead meanwhile.
                    let next = self.since + params.interval;
                    self.arm(now.max(self.timer.map_or(next, |due| due.min(next))));
                }
            }
        }
    }

    fn timer(&mut self, now: Time, actions: &mut Vec<Action>) {
        let Some(deadline) = self.timer else { return };
        match self.state {
            State::Init => self.startup(now, actions),
            State::Backup => {
                let cause = if deadline <= now && self.resigned {
                    Cause::MasterResigned
                } else if deadline <= now && self.ignored_lower {
                    Cause::LowerPriorityMaster
                } else if deadline <= now {
                    Cause::MasterTimeout
                } else {
                    Cause::PreemptHoldTimeout
                };
                self.become_master(now, cause, actions);
            }
            State::Master => {
                if self.answer_at.is_some_and(|at| at <= now) {
                    self.answer(now, actions);
                }
                if deadline <= now {
                    let Params { interval, beat, .. } = self.params;
                    let deadline = beat.attract(deadline, interval);
                    self.adver_timer(now, deadline, actions);
                }
            }
        }
    }

    /// FSM-A-7, V3-TM-7. Keyed to the deadline so that work does not make it drift; after a stall
    /// one advertisement leaves, not all that were missed. Whoever was silent for three of the
    /// intervals that it announced may have been replaced meanwhile, so hosts and switches are told
    /// again where the virtual MAC is.
    fn adver_timer(&mut self, now: Time, deadline: Time, actions: &mut Vec<Action>) {
        actions.push(Action::SendAdvert);
        if now.since(self.since) >= 3 * self.master_interval {
            actions.push(Action::Announce);
        }
        self.advertised(now);
        let next = deadline + self.params.interval;
        self.arm(if next > now {
            next
        } else {
            now + self.params.interval
        });
    }

    fn advert_in_backup(&mut self, advert: &Advert) {
        if advert.priority == PRIORITY_RESIGN {
            // FSM-B-7: the interval of this advertisement is not learned.
            self.resigned = true;
            self.ignored_lower = false;
            self.since = advert.received;
            self.arm(advert.received + self.params.skew(self.master_interval));
            return;
        }
        if self.params.preempt && advert.priority < self.params.priority {
            // FSM-B-9: ignored, so that the down timer runs out; with a preempt delay it is
            // followed until that is over.
            if self.params.preempt_delay.is_zero() {
                self.ignored_lower = true;
                return;
            }
            let preempt_at = *self
                .preempt_at
                .get_or_insert(advert.received + self.params.preempt_delay);
            if preempt_at <= advert.received {
                return;
            }
        } else {
            self.preempt_at = None;
        }
        self.follow(advert);
    }

    /// FSM-B-8: the sender is the Master, the down timer starts anew.
    fn follow(&mut self, advert: &Advert) {
        if self.params.version == Version::V3 {
            self.master_interval = advert.interval;
        }
        self.resigned = false;
        self.ignored_lower = false;
        self.since = advert.received;
        self.arm(advert.received + self.params.down_interval(self.master_interval));
    }

    fn advert_in_master(&mut self, now: Time, advert: &Advert, actions: &mut Vec<Action>) {
        if advert.priority == PRIORITY_RESIGN {
            // FSM-A-8. Who resigns was Master, too, and told hosts so.
            actions.push(Action::SendAdvert);
            self.advertised(now);
            self.arm(now + self.params.interval);
            self.contradict(now, &[Action::Announce], actions);
        } else if advert.priority > self.params.priority
            || (advert.priority == self.params.priority && advert.source > self.params.source)
        {
            // FSM-A-9. One last advertisement tells the better Master that there were two: it may
            // have heard nothing of this one, and hosts and switches may still follow this one.
            // Backups follow it, too: not where they would lose patience before they hear the
            // better one again, which may be of version 2 and slow (RFC 9568 §8.4.3.1).
            if 3 * self.params.interval >= advert.interval {
                actions.push(Action::SendAdvert);
            }
            actions.push(Action::Deactivate);
            self.preempt_at = None;
            self.answer_at = None;
            self.master_interval = self.params.interval;
            self.follow(advert);
            self.transition(State::Backup, Cause::HigherPriorityMaster, actions);
        } else {
            self.answer(now, actions);
        }
    }

    /// FSM-A-10. RFC 9568 answers with an advertisement at once, version 2 does not; both tell
    /// hosts and switches again, for the other Master told them something else.
    fn answer(&mut self, now: Time, actions: &mut Vec<Action>) {
        match self.params.version {
            Version::V2 => self.contradict(now, &[Action::Announce], actions),
            Version::V3 => {
                self.contradict(now, &[Action::SendAdvert, Action::Announce], actions);
            }
        }
    }

    /// Answers another Master, but not more often than serves anybody. What comes too soon is
    /// answered later, not never: the last one to announce must be the one that stays.
    fn contradict(&mut self, now: Time, answer: &[Action], actions: &mut Vec<Action>) {
        let gap = self.params.interval.min(LONGEST_ANSWER_GAP);
        match self.answered {
            Some(answered) if now.since(answered) < gap => {
                if self.answer_at.is_none() {
                    self.answer_at = Some(answered + gap);
                    self.generation += 1;
                }
            }
            _ => {
                self.answered = Some(now);
                self.answer_at = None;
                actions.extend_from_slice(answer);
            }
        }
    }

    fn become_backup(&mut self, now: Time, cause: Cause, actions: &mut Vec<Action>) {
        self.preempt_at = None;
        self.resigned = false;
        self.ignored_lower = false;
        self.since = now;
        self.arm(now + self.params.down_interval(self.master_interval));
        self.transition(State::Backup, cause, actions);
    }

    /// FSM-B-6: the advertisement first, then the addresses and their announcements.
    fn become_master(&mut self, now: Time, cause: Cause, actions: &mut Vec<Action>) {
        actions.push(Action::SendAdvert);
        actions.push(Action::Activate);
        self.preempt_at = None;
        self.resigned = false;
        self.ignored_lower = false;
        self.answered = None;
        self.answer_at = None;
        self.advertised(now);
        self.arm(now + self.params.interval);
        self.transition(State::Master, cause, actions);
    }

    /// Master: an advertisement leaves, and not as an answer.
    fn advertised(&mut self, now: Time) {
        self.since = now;
        self.master_interval = self.params.interval;
    }

    fn transition(&mut self, to: State, cause: Cause, actions: &mut Vec<Action>) {
        let from = core::mem::replace(&mut self.state, to);
        actions.push(Action::Transition(Transition { from, to, cause }));
    }

    fn arm(&mut self, at: Time) {
        self.timer = Some(at);
        self.generation += 1;
    }

    fn disarm(&mut self) {
        self.timer = None;
        self.preempt_at = None;
        self.answer_at = None;
        self.generation += 1;
    }
}

/// The event of RFC 8347 that reasons stand for; none for those that it does not know.
fn cause_of(reasons: Reasons) -> Option<Cause> {
    let any = |of: &[Reason]| of.iter().any(|reason| reasons.contains(*reason));
    if any(&[Reason::Disabled, Reason::Stopping]) {
        Some(Cause::Shutdown)
    } else if any(&[
        Reason::NoInterface,
        Reason::NotEthernet,
        Reason::InterfaceDown,
        Reason::NoCarrier,
        Reason::Enslaved,
    ]) {
        Some(Cause::InterfaceDown)
    } else if any(&[
        Reason::NoPrimaryAddress,
        Reason::TentativeAddress,
        Reason::DuplicateAddress,
    ]) {
        Some(Cause::NoPrimaryIpAddress)
    } else {
        None
    }
}
