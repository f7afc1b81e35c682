//! The run of a scenario: events in the order of the true time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::mem::take;
use std::rc::Rc;

use rvrrpd::pool::Control;
use rvrrpd::wire::{Family, Version, Versions};

use super::judge::{Judge, Pass, read, version, whole_seconds};
use super::lan::Lan;
use super::listener::{Frame, Receipt};
use super::node::{Deed, Node};
use super::random::Random;
use super::scenario::{Change, Fault, Group, Micros, Scenario, Step, Thread, Weather, name};
use super::story::{self, Story};
use super::twin::Verdict;

/// More events than any scenario needs: a storm.
const MOST_EVENTS: u64 = 1_000_000;

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    /// What happened, where it was asked for.
    pub(crate) story: Story,
    pub(crate) judged: u64,
    pub(crate) takeovers: u64,
    /// Advertisements that the kernel kept.
    pub(crate) absorbed: u64,
    pub(crate) postponements: u64,
    pub(crate) events: u64,
}

/// Runs a scenario.
pub(crate) fn run(scenario: &Scenario, with_story: bool) -> Outcome {
    let mut world = World::new(scenario, with_story);
    let verdict = world.run();
    if let Err(error) = &verdict {
        world.tell(|| format!("WRONG: {error}"));
    }
    Outcome {
        verdict,
        story: world.story.unwrap_or_default(),
        judged: world.judge.judged,
        takeovers: world.judge.takeovers,
        absorbed: world.absorbed,
        postponements: world.judge.postponements,
        events: world.number,
    }
}

struct World<'a> {
    scenario: &'a Scenario,
    /// As they are configured now.
    groups: Vec<Group>,
    now: Micros,
    events: BinaryHeap<Reverse<Entry>>,
    number: u64,
    nodes: Vec<Option<Node>>,
    threads: Vec<[Scheduled; 2]>,
    lan: Lan,
    judge: Judge,
    random: Random,
    absorbed: u64,
    story: Option<Story>,
}

/// When a thread runs next, and from when on it can.
#[derive(Clone, Copy, Default)]
struct Scheduled {
    next: Option<Micros>,
    free: Micros,
}

struct Entry {
    at: Micros,
    number: u64,
    event: Event,
}

enum Event {
    Step(usize),
    Arrival(usize, Rc<Frame>),
    Run(usize, Thread),
    End,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, with_story: bool) -> Self {
        let count = scenario.nodes.len();
        let mut world = Self {
            scenario,
            groups: scenario.groups.clone(),
            now: 0,
            events: BinaryHeap::new(),
            number: 0,
            nodes: (0..count).map(|_| None).collect(),
            threads: vec![Default::default(); count],
            lan: Lan::new(scenario),
            judge: Judge::new(scenario),
            random: Random::new(scenario.seed.rotate_left(32)),
            absorbed: 0,
            story: with_story.then(Story::default),
        };
        for (index, step) in scenario.steps.iter().enumerate() {
            world.push(step.at, Event::Step(index));
        }
        world.push(scenario.end, Event::End);
        world
    }

    fn run(&mut self) -> Verdict {
        while let Some(Reverse(entry)) = self.events.pop() {
            self.now = entry.at;
            match entry.event {
                Event::Step(index) => self.step(&self.scenario.steps[index])?,
                Event::Arrival(node, frame) => self.arrival(node, frame),
                Event::Run(node, thread) => self.runs(node, thread)?,
                Event::End => {
                    let (nodes, groups) = (&self.nodes, &self.groups);
                    return self.judge.quiet(self.now, nodes, groups, &self.lan);
                }
            }
            if self.number > MOST_EVENTS {
                return Err("a storm: there is no end of events".into());
            }
        }
        Ok(())
    }

    fn push(&mut self, at: Micros, event: Event) {
        self.number += 1;
        let number = self.number;
        self.events.push(Reverse(Entry { at, number, event }));
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.add(self.now, &line());
        }
    }

    fn step(&mut self, step: &Step) -> Verdict {
        self.judge
            .quiet(self.now, &self.nodes, &self.groups, &self.lan)?;
        self.tell(|| format!("* {}", step.fault));
        if step.fault.disturbs() {
            self.judge.disturbed(self.now + step.fault.span());
        }
        match &step.fault {
            Fault::Start(node) => self.start(*node),
            Fault::Crash(node) => self.end(*node),
            Fault::Stop(node) => self.order(*node, |daemon| {
                daemon.controls.push_back(Control::Stop);
            }),
            Fault::Pause(node, span) => {
                self.hold(*node, Thread::Listener, *span);
                self.hold(*node, Thread::Worker, *span);
            }
            Fault::Stall(node, thread, span) => self.hold(*node, *thread, *span),
            Fault::Link(node, up) => {
                self.lan.change(&step.fault);
                self.judge.topology_changed(&self.lan);
                let (groups, up) = (self.groups.len(), *up);
                self.order(*node, |daemon| daemon.ready(groups, up));
            }
            Fault::Partition(_) | Fault::Cut(..) => {
                self.lan.change(&step.fault);
                self.judge.topology_changed(&self.lan);
            }
            Fault::Weather(weather) => {
                self.lan.change(&step.fault);
                if *weather == Weather::default() {
                    // Late frames are still under way.
                    self.judge.disturbed(self.now + 3 * self.scenario.base);
                }
            }
            Fault::Configure(group, nodes, change) => self.configure(*group, nodes, *change),
            Fault::Hostile(hostile) => {
                let bytes = hostile.frame(&self.groups);
                self.transmit(None, bytes);
            }
        }
        Ok(())
    }

    fn start(&mut self, number: usize) {
        if self.nodes[number].is_some() {
            return;
        }
        let plan = &self.scenario.nodes[number];
        let mut node = Node::new(plan, number, &self.groups);
        node.ready(self.groups.len(), self.lan.has_link(number));
        self.nodes[number] = Some(node);
        self.threads[number] = Default::default();
        self.wake(number, Thread::Worker, self.now);
    }

    fn end(&mut self, number: usize) {
        self.nodes[number] = None;
        self.threads[number] = Default::default();
        self.judge.gone(number);
    }

    fn order(&mut self, number: usize, give: impl FnOnce(&mut Node)) {
        if let Some(node) = &mut self.nodes[number] {
            give(node);
            self.wake(number, Thread::Worker, self.now);
        }
    }

    fn hold(&mut self, number: usize, thread: Thread, span: Micros) {
        if self.nodes[number].is_some() {
            let free = &mut self.threads[number][thread as usize].free;
            *free = (*free).max(self.now + span);
        }
    }

    /// An owner stays the owner and nobody else becomes one: two owners are two Masters for ever.
    fn configure(&mut self, group: usize, nodes: &[usize], change: Change) {
        if self.groups[group].version == Version::V2 || self.groups[group].mixed {
            self.judge.topology_changed(&self.lan);
        }
        for number in nodes {
            let settings = &mut self.groups[group].settings[*number];
            match change {
                Change::Priority(priority) => settings.priority = priority,
                Change::Interval(interval) => settings.interval = interval,
                Change::Preempt(preempt) => settings.preempt = preempt,
                Change::Addresses(count) => settings.addresses = count,
                Change::Versions(versions) => {
                    settings.versions = versions;
                    if versions == Versions::V2 {
                        settings.interval = whole_seconds(settings.interval);
                    }
                }
            }
        }
        for number in nodes {
            let groups = take(&mut self.groups);
            self.order(*number, |node| node.configure(&groups, group, *number));
            self.groups = groups;
        }
    }

    /// A thread is woken: it runs a little later, unless it does so before anyway.
    fn wake(&mut self, number: usize, thread: Thread, at: Micros) {
        let scheduled = self.threads[number][thread as usize];
        let latency = self.random.within(1..self.scenario.latency.max(2));
        let at = at.max(scheduled.free) + latency;
        if scheduled.next.is_none_or(|next| at < next) {
            self.threads[number][thread as usize].next = Some(at);
            self.push(at, Event::Run(number, thread));
        }
    }

    fn runs(&mut self, number: usize, thread: Thread) -> Verdict {
        let scheduled = &mut self.threads[number][thread as usize];
        if scheduled.next != Some(self.now) || self.nodes[number].is_none() {
            return Ok(());
        }
        scheduled.next = None;
        if self.now < scheduled.free {
            let free = scheduled.free;
            self.wake(number, thread, free);
            return Ok(());
        }
        match thread {
            Thread::Listener => self.listener(number),
            Thread::Worker => return self.worker(number),
        }
        Ok(())
    }

    fn listener(&mut self, number: usize) {
        let Some(node) = &mut self.nodes[number] else {
            return;
        };
        let more = node.listener.listen(node.clock.shows(self.now));
        if node.has_work() {
            self.wake(number, Thread::Worker, self.now);
        }
        if more {
            self.wake(number, Thread::Listener, self.now);
        }
    }

    fn worker(&mut self, number: usize) -> Verdict {
        let Some(mut node) = self.nodes[number].take() else {
            return Ok(());
        };
        let is_free = self.threads[number][Thread::Listener as usize].free <= self.now;
        let runs = node.work(self.now, is_free && self.random.percent(50));
        let threads = &mut self.threads[number];
        if node.listener.unread().next().is_some() || node.has_work() {
            threads[0].free = threads[0].free.max(self.now);
        }
        let free = threads[0].free.max(threads[1].free);
        let deeds = take(&mut node.deeds);
        let pass = Pass {
            at: self.now,
            number,
            node: &node,
            hindered: node.clock.shows(free),
            deeds: &deeds,
            lan: &self.lan,
            groups: &self.groups,
        };
        let verdict = self.judge.pass(&pass);
        let now = node.clock.shows(self.now);
        for deed in &deeds {
            self.tell(|| story::line(number, now, deed));
        }
        if let Err(error) = verdict {
            return Err(format!("{}: {error}", name(number)));
        }
        let next = if node.has_work() {
            Some(self.now)
        } else {
            node.engine.deadline().map(|at| node.clock.moment(at))
        };
        self.nodes[number] = Some(node);
        for deed in deeds {
            if let Deed::Sent(bytes) = deed {
                self.transmit(Some(number), bytes);
            }
        }
        if !runs {
            self.end_in_order(number);
        } else if let Some(next) = next {
            self.wake(number, Thread::Worker, next.max(self.now));
        }
        Ok(())
    }

    /// Unlike a crash this leaves hosts to whoever heard the resignation.
    fn end_in_order(&mut self, number: usize) {
        self.nodes[number] = None;
        self.threads[number] = Default::default();
    }

    fn transmit(&mut self, from: Option<usize>, bytes: Vec<u8>) {
        let (group, priority) = if from.is_some() { read(&bytes) } else { (0, 0) };
        let version = version(&bytes);
        let both = from.is_some_and(|from| {
            let settings = &self.groups[group].settings[from];
            settings.versions == Versions::Both
        });
        let frame = Rc::new(Frame {
            from,
            version,
            double: both && version == Version::V2,
            family: match bytes[12..14] {
                [0x86, 0xdd] => Family::V6,
                _ => Family::V4,
            },
            vrid: u8::try_from(group + 1).unwrap(),
            priority,
            bytes,
        });
        for to in 0..self.nodes.len() {
            let heard = match from {
                Some(from) if from == to => self.scenario.reflecting && self.lan.has_link(to),
                Some(from) => self.lan.reaches(from, to),
                None => self.lan.has_link(to),
            };
            if !heard || self.nodes[to].is_none() {
                continue;
            }
            let copies = self.lan.copies();
            if let ([None, None], Some(from)) = (copies, from) {
                self.judge.lost(from, group);
                self.tell(|| format!("{} - frame to {} is lost", name(from), name(to)));
            }
            for way in copies.into_iter().flatten() {
                self.push(self.now + way, Event::Arrival(to, Rc::clone(&frame)));
            }
        }
    }

    fn arrival(&mut self, number: usize, frame: Rc<Frame>) {
        if !self.lan.has_link(number) {
            return;
        }
        let Some(node) = &mut self.nodes[number] else {
            return;
        };
        let (from, group) = (frame.from, usize::from(frame.vrid) - 1);
        let received = node.clock.shows(self.now);
        match (
            node.listener.receive(frame, received, self.scenario.socket),
            from,
        ) {
            (Receipt::Waits, _) => self.wake(number, Thread::Listener, self.now),
            (Receipt::Absorbed, _) => self.absorbed += 1,
            (Receipt::Lost, from) => {
                self.judge.overflowed(number, received);
                if let Some(from) = from {
                    self.judge.lost(from, group);
                }
                self.tell(|| format!("{} - a socket is full, a frame is lost", name(number)));
            }
        }
    }
}
