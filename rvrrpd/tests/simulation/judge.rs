//! The invariants (ARCHITECTURE.md, Simulation).

use std::time::Duration;

use rvrrpd::driver::Command;
use rvrrpd::fsm::{Params, State, Time, Transition};
use rvrrpd::wire::{PRIORITY_OWNER, Version, Versions};

use super::hostile::Hostile;
use super::lan::Lan;
use super::node::{Deed, Node};
use super::scenario::{Change, Fault, Group, Micros, Scenario, name};
use super::setup::id;
use super::twin::{Twin, Verdict};

pub(crate) struct Judge {
    twins: Vec<Vec<Twin>>,
    /// Who was heard announcing the addresses last, by group and place: what hosts and switches
    /// there believe. None: nobody, or what they believe is nobody's fault.
    believed: Vec<Vec<Option<usize>>>,
    /// By group: how long after the last disturbance everything must be as it will stay.
    settle: Vec<Micros>,
    quiet_since: Micros,
    /// How late a thread may be that is not hindered.
    slack: Duration,
    /// Quiet times that were judged.
    pub(crate) judged: u64,
    /// Takeovers that were judged.
    pub(crate) takeovers: u64,
    /// Takeovers that were postponed because something was lost.
    pub(crate) postponements: u64,
}

/// One pass of a worker.
pub(crate) struct Pass<'a> {
    pub(crate) at: Micros,
    pub(crate) number: usize,
    pub(crate) node: &'a Node,
    /// When it could not run last, by its own clock.
    pub(crate) hindered: Time,
    pub(crate) deeds: &'a [Deed],
    pub(crate) lan: &'a Lan,
    /// As they are configured.
    pub(crate) groups: &'a [Group],
}

/// How much longer a Backup may wait that looked at its deadline then: as long as it was late, and 50 ms
/// at the most.
fn grace(deadline: Time, looked: Time) -> Duration {
    looked.since(deadline).min(Duration::from_millis(50))
}

impl Judge {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let nodes = scenario.nodes.len();
        let groups = scenario.groups.len();
        Self {
            twins: vec![vec![Twin::default(); groups]; nodes],
            believed: vec![vec![None; nodes]; groups],
            settle: (0..groups).map(|group| settle(scenario, group)).collect(),
            quiet_since: 0,
            slack: Duration::from_micros(4 * scenario.latency + 1000),
            judged: 0,
            takeovers: 0,
            postponements: 0,
        }
    }

    pub(crate) fn disturbed(&mut self, until: Micros) {
        self.quiet_since = self.quiet_since.max(until);
    }

    /// The ways through the network are others, or what is accepted is. Nobody knows which hosts
    /// moved: those are judged that follow a Master who is still there.
    pub(crate) fn topology_changed(&mut self, lan: &Lan) {
        for group in 0..self.believed.len() {
            for place in 0..self.twins.len() {
                let believed = self.believed[group][place];
                let is_served =
                    |node| self.state(node, group) == State::Master && lan.reaches(node, place);
                if !believed.is_some_and(is_served) {
                    self.believed[group][place] = None;
                }
            }
        }
    }

    pub(crate) fn gone(&mut self, node: usize) {
        for group in 0..self.believed.len() {
            self.excuse(node, group, |_| true);
            self.twins[node][group] = Twin::default();
        }
    }

    /// A frame of this node got lost.
    pub(crate) fn lost(&mut self, from: usize, group: usize) {
        if self.state(from, group) != State::Master {
            self.excuse(from, group, |_| true);
        }
    }

    /// A packet found a socket of this node full.
    pub(crate) fn overflowed(&mut self, node: usize, received: Time) {
        for twin in &mut self.twins[node] {
            twin.overflowed(received);
        }
    }

    fn excuse(&mut self, node: usize, group: usize, at: impl Fn(usize) -> bool) {
        for (place, believed) in self.believed[group].iter_mut().enumerate() {
            if *believed == Some(node) && at(place) {
                *believed = None;
            }
        }
    }

    fn state(&self, node: usize, group: usize) -> State {
        self.twins[node][group].state()
    }

    fn is_settled(&self, group: usize, at: Micros, lan: &Lan) -> bool {
        lan.is_clean() && at > self.quiet_since + self.settle[group]
    }

    /// Judges what a worker did.
    pub(crate) fn pass(&mut self, pass: &Pass<'_>) -> Verdict {
        let now = pass.node.clock.shows(pass.at);
        let groups = self.believed.len();
        let mut late = [false; 8];
        for (group, late) in late.iter_mut().enumerate().take(groups) {
            let twin = &self.twins[pass.number][group];
            *late = twin.silent_since().is_some_and(|since| {
                let interval = twin.params.map_or(Duration::ZERO, |params| params.interval);
                now.since(since) >= 3 * interval
            });
        }
        let mut before = None;
        for deed in pass.deeds {
            if !is_second(before, deed) {
                self.deed(pass, now, deed)?;
            }
            before = Some(deed);
        }
        for (group, late) in late.into_iter().enumerate().take(groups) {
            self.rest(pass, now, group)?;
            self.versions(pass, group)?;
            let own = id(group);
            let announced = pass.deeds.iter().any(|deed| match deed {
                Deed::Told(Command::Announce(id) | Command::Activate(id)) => *id == own,
                _ => false,
            });
            let advertised = self.twins[pass.number][group].silent_since() == Some(now);
            if late && advertised && !announced {
                return Err("a Master that was late does not announce itself".into());
            }
        }
        Ok(())
    }

    fn deed(&mut self, pass: &Pass<'_>, now: Time, deed: &Deed) -> Verdict {
        let number = pass.number;
        match deed {
            Deed::Params(id, params) => {
                self.twins[number][id.0 as usize].configured(now, *params);
            }
            Deed::Ready(id, ready) => {
                let group = id.0 as usize;
                if !ready {
                    self.leaves(pass, group);
                }
                self.twins[number][group].readiness(*ready);
            }
            Deed::Heard(delivery) => {
                let group = delivery.id.0 as usize;
                let before = self.state(number, group);
                self.twins[number][group].heard(&delivery.advert)?;
                if before == State::Master && self.state(number, group) == State::Backup {
                    self.leaves(pass, group);
                    let params = self.twins[number][group].params;
                    if params.is_some_and(|params| 3 * params.interval < delivery.advert.interval) {
                        self.excuse(number, group, |_| true);
                    }
                }
            }
            Deed::Transition(id, transition) => {
                self.transition(pass, now, id.0 as usize, *transition)?;
            }
            Deed::Sent(frame) => self.sent(pass, now, frame)?,
            Deed::Told(command) => self.told(pass, command)?,
            Deed::Postponed(id, until) => {
                let noticed = pass.node.listener.lost_until(now);
                self.postponements += 1;
                self.twins[number][id.0 as usize].postponed(now, *until, noticed)?;
            }
        }
        Ok(())
    }

    /// A Master is none any more. Hosts are not judged whom the one that stays cannot reach, or if
    /// it cannot know that there were two: an owner must ignore all advertisements (V2-RX-7,
    /// V3-RX-7).
    fn leaves(&mut self, pass: &Pass<'_>, group: usize) {
        let is_owned = self.twins.iter().any(|twins| {
            let twin = &twins[group];
            let owner = |params: Params| params.priority == PRIORITY_OWNER;
            twin.state() == State::Master && twin.params.is_some_and(owner)
        });
        // Until both have the same configuration, version 2 does not listen to the other.
        let is_outdated = !pass.node.controls.is_empty();
        let excused = is_owned || is_outdated || !pass.lan.is_clean();
        let number = pass.number;
        self.excuse(number, group, |place| {
            excused || !pass.lan.reaches(number, place)
        });
    }

    fn transition(
        &mut self,
        pass: &Pass<'_>,
        now: Time,
        group: usize,
        transition: Transition,
    ) -> Verdict {
        if self.is_settled(group, pass.at, pass.lan) {
            return Err(format!("it becomes {} without a cause", transition.to));
        }
        let twin = &self.twins[pass.number][group];
        let deadline = twin.deadline();
        if let (State::Master, Some(deadline)) = (transition.to, deadline) {
            self.takeovers += 1;
            let versions = pass.groups[group].settings[pass.number].versions;
            let unread = pass.node.listener.unread().any(|(frame, received)| {
                frame.from.is_some_and(|from| from != pass.number)
                    && frame.is_for(versions)
                    && usize::from(frame.vrid) == group + 1
                    && *received < deadline
                    && twin.would_follow(frame.priority)
            });
            if unread {
                return Err("it takes over while an advertisement lies unread".into());
            }
            self.in_time(pass, now, deadline, twin.told)?;
        }
        self.twins[pass.number][group].transition(now, transition)
    }

    /// What was to happen at `deadline`, of which it was told at `told`.
    fn in_time(&self, pass: &Pass<'_>, now: Time, deadline: Time, told: Time) -> Verdict {
        let looked = deadline.max(told).max(pass.hindered) + self.slack;
        if now > looked + grace(deadline, looked) {
            let late = now.since(deadline.max(told));
            return Err(format!("its down timer fires {late:?} too late"));
        }
        Ok(())
    }

    fn sent(&mut self, pass: &Pass<'_>, now: Time, frame: &[u8]) -> Verdict {
        let (group, _) = read(frame);
        let twin = &mut self.twins[pass.number][group];
        let before = twin.silent_since();
        twin.advertised(now);
        let settled = self.is_settled(group, pass.at, pass.lan);
        let twin = &self.twins[pass.number][group];
        if let (true, Some(before), Some(params)) = (settled, before, twin.params)
            // It may be on its way to the beat.
            && now.since(before) + self.slack + params.interval / 50 < params.interval
        {
            return Err("it advertises more often than its interval (V3-TM-7, V3-RX-19)".into());
        }
        Ok(())
    }

    fn told(&mut self, pass: &Pass<'_>, command: &Command) -> Verdict {
        let (Command::Activate(id) | Command::Announce(id)) = command else {
            return Ok(());
        };
        let group = id.0 as usize;
        if self.is_settled(group, pass.at, pass.lan) {
            return Err("it announces the addresses without a cause".into());
        }
        for place in 0..self.twins.len() {
            if pass.lan.reaches(pass.number, place) {
                self.believed[group][place] = Some(pass.number);
            }
        }
        // It may have yielded in the same pass, and commands come last.
        if self.state(pass.number, group) != State::Master {
            self.leaves(pass, group);
        }
        Ok(())
    }

    /// MIX-1: each version is sent, version 3 first.
    fn versions(&self, pass: &Pass<'_>, group: usize) -> Verdict {
        let is_new = |deed: &Deed| matches!(deed, Deed::Params(of, _) if *of == id(group));
        if !pass.node.controls.is_empty() || pass.deeds.iter().any(is_new) {
            return Ok(());
        }
        let versions = pass.groups[group].settings[pass.number].versions;
        let sent: Vec<(Version, u8)> = pass
            .deeds
            .iter()
            .filter_map(|deed| match deed {
                Deed::Sent(frame) if read(frame).0 == group => {
                    Some((version(frame), read(frame).1))
                }
                _ => None,
            })
            .collect();
        let is_right = |said: &[(Version, u8)]| {
            said.iter().map(|(version, _)| version).eq(versions.each())
                && said.iter().all(|(_, priority)| *priority == said[0].1)
        };
        if !sent.chunks(versions.each().len()).all(is_right) {
            return Err(format!("it speaks {versions:?} and sends {sent:?}"));
        }
        Ok(())
    }

    /// What must hold after a pass.
    fn rest(&self, pass: &Pass<'_>, now: Time, group: usize) -> Verdict {
        let twin = &self.twins[pass.number][group];
        let Some(router) = pass.node.engine.router(id(group)) else {
            return Ok(());
        };
        if router.state() != twin.state() {
            let (is, must) = (router.state(), twin.state());
            return Err(format!("it is {is} and should be {must}"));
        }
        if router.state() == State::Init {
            return Ok(());
        }
        let armed = router.deadline().map(|deadline| deadline.at);
        let armed = armed.map(|at| twin.deadline().map_or(at, |postponed| at.max(postponed)));
        let latest = armed.map(|at| at.max(now) + grace(at, now) + self.slack);
        if armed.is_none() || pass.node.engine.deadline() > latest {
            return Err("it runs and no timer is armed".into());
        }
        if let Some(deadline) = twin.deadline() {
            self.in_time(pass, now, deadline, twin.told)?;
        }
        if let (Some(since), Some(params)) = (twin.silent_since(), twin.params) {
            self.in_time(pass, now, since + params.interval, Time::START)
                .map_err(|_| String::from("a Master falls silent (FSM-A-7)"))?;
        }
        Ok(())
    }

    /// What must hold in a quiet time, on each side of a partition.
    pub(crate) fn quiet(
        &mut self,
        at: Micros,
        nodes: &[Option<Node>],
        groups: &[Group],
        lan: &Lan,
    ) -> Verdict {
        for (group, configured) in groups.iter().enumerate() {
            if !self.is_settled(group, at, lan) {
                continue;
            }
            self.judged += 1;
            let mut sides: Vec<u8> = (0..nodes.len()).map(|node| lan.side(node)).collect();
            sides.sort_unstable();
            sides.dedup();
            for side in sides {
                let running: Vec<usize> = (0..nodes.len())
                    .filter(|node| lan.side(*node) == side && lan.has_link(*node))
                    .filter(|node| nodes[*node].is_some())
                    .collect();
                self.side(group, configured, &running)?;
                self.intervals(group, configured, &running, nodes)?;
                if configured.deaf {
                    continue;
                }
                let masters = running.iter().copied();
                let master = masters
                    .clone()
                    .find(|node| self.state(*node, group) == State::Master);
                if let Some(master) = master {
                    self.hosts(group, side, master, lan)?;
                }
            }
        }
        Ok(())
    }

    /// One Master among those that hear each other.
    fn side(&self, group: usize, configured: &Group, running: &[usize]) -> Verdict {
        for node in running {
            let heard = self.masters_heard(group, configured, running, *node);
            let is_master = self.state(*node, group) == State::Master;
            let may_be_deaf = configured.deaf && !is_master;
            if heard.len() + usize::from(is_master) != 1 && !may_be_deaf {
                let names: String = running.iter().map(|node| name(*node)).collect();
                let masters = heard.len() + usize::from(is_master);
                let who = name(*node);
                return Err(format!(
                    "of {names} there are {masters} Masters of group {group} for {who}"
                ));
            }
            let params = |node: usize| self.twins[node][group].params;
            let best = heard
                .iter()
                .filter_map(|master| Some(params(*master)?.priority))
                .max();
            if let (Some(best), Some(params)) = (best, params(*node))
                && params.preempt
                && params.priority > best
            {
                let (better, worse) = (name(*node), name(heard[0]));
                return Err(format!("{better} does not preempt {worse} (FSM-B-9)"));
            }
            if heard.is_empty() && !is_master {
                return Err(format!("{} hears no Master of group {group}", name(*node)));
            }
        }
        Ok(())
    }

    /// The Masters, other than itself, that a node hears.
    fn masters_heard(
        &self,
        group: usize,
        configured: &Group,
        running: &[usize],
        node: usize,
    ) -> Vec<usize> {
        let hears = |other: &usize| {
            let [one, other] = [node, *other].map(|node| configured.settings[node].versions);
            one.each().iter().any(|version| other.include(*version))
        };
        running
            .iter()
            .copied()
            .filter(|other| *other != node && self.state(*other, group) == State::Master)
            .filter(hears)
            .collect()
    }

    /// V3-TM-3, MIX-1: who speaks version 3 times the Master out by what that announces in version
    /// 3, or in whole seconds if it does not speak it.
    fn intervals(
        &self,
        group: usize,
        configured: &Group,
        running: &[usize],
        nodes: &[Option<Node>],
    ) -> Verdict {
        for node in running {
            let own = &configured.settings[*node];
            let heard = self.masters_heard(group, configured, running, *node);
            let router = nodes[*node]
                .as_ref()
                .and_then(|node| node.engine.router(id(group)));
            let ([master], Some(router)) = (&heard[..], router) else {
                continue;
            };
            if router.state() != State::Backup || own.versions == Versions::V2 {
                continue;
            }
            let theirs = &configured.settings[*master];
            let announced = match theirs.versions {
                Versions::V2 => whole_seconds(theirs.interval),
                Versions::V3 | Versions::Both => theirs.interval,
            };
            if router.master_interval() != announced {
                let (learned, who) = (router.master_interval(), name(*node));
                return Err(format!("{who} learned {learned:?} and not {announced:?}"));
            }
        }
        Ok(())
    }

    /// Nobody sends packets to a router that is not the Master.
    fn hosts(&self, group: usize, side: u8, master: usize, lan: &Lan) -> Verdict {
        for (place, believed) in self.believed[group].iter().enumerate() {
            if let Some(believed) = believed
                && lan.side(place) == side
                && *believed != master
            {
                return Err(format!(
                    "hosts beside {} believe {}, the Master of group {group} is {}",
                    name(place),
                    name(*believed),
                    name(master)
                ));
            }
        }
        Ok(())
    }
}

/// Whether a deed is the second half of an advertisement in both versions.
fn is_second(before: Option<&Deed>, deed: &Deed) -> bool {
    match (before, deed) {
        (Some(Deed::Sent(one)), Deed::Sent(two)) => {
            let versions = [version(one), version(two)];
            versions == [Version::V3, Version::V2] && read(one) == read(two)
        }
        _ => false,
    }
}

/// MIX-2: what version 2 announces.
pub(crate) fn whole_seconds(interval: Duration) -> Duration {
    let seconds = interval.as_millis().div_ceil(1000);
    Duration::from_secs(u64::try_from(seconds).unwrap())
}

/// Version of a frame; of one that has none, 3.
pub(crate) fn version(frame: &[u8]) -> Version {
    match frame.get(14 + 20) {
        Some(byte) if frame[12..14] == [8, 0] && byte >> 4 == 2 => Version::V2,
        _ => Version::V3,
    }
}

/// Group and priority of a frame.
pub(crate) fn read(frame: &[u8]) -> (usize, u8) {
    let message = if frame[12..14] == [0x86, 0xdd] {
        14 + 40
    } else {
        14 + 20
    };
    let group = usize::from(frame[message + 1]).saturating_sub(1);
    (group, frame[message + 2])
}

/// The longest chain of events that may follow a disturbance: a start that is delayed, the silence
/// of whoever is followed, a preemption that is delayed and an answer.
fn settle(scenario: &Scenario, group: usize) -> Micros {
    let settings = &scenario.groups[group].settings;
    let longest = |of: fn(&super::scenario::Settings) -> Duration| {
        settings.iter().map(of).max().unwrap_or_default()
    };
    let heard = scenario.steps.iter().filter_map(|step| match &step.fault {
        Fault::Configure(of, _, Change::Interval(interval)) if *of == group => Some(*interval),
        Fault::Hostile(Hostile::Forged(of, _, interval)) if *of == group => Some(*interval),
        _ => None,
    });
    let interval = heard.fold(longest(|settings| settings.interval), Duration::max);
    // Version 2 counts its skew by the second, however short the interval.
    let interval = interval.max(Duration::from_micros(scenario.base));
    let span = longest(|settings| settings.startup_delay)
        + longest(|settings| settings.preempt_delay)
        + 7 * interval;
    let span = u64::try_from(span.as_micros()).unwrap();
    span + span / 500 + 20 * (scenario.delay.1 + scenario.latency)
}
