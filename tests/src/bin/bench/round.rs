//! One round: a Master and a Backup of one daemon are started, watched, reloaded, killed, stopped.

use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::sys::Stamp;

use crate::contender::Contender;
use crate::figures::{
    Sample, Silences, adverts_of, excess, firsts, is_announcement, is_claim, is_heard,
    is_resignation, lasts, milliseconds,
};
use crate::host::{Machine, cpu, descriptors, family, resident};
use crate::load::{BACKUP, Load, MASTER, SUCCESSOR};
use crate::observer::{Sighting, Word};
use crate::scene::{R1, R2, R3, Scene, wait};

/// For how long the machine is looked at before anything runs.
const CALM: Duration = Duration::from_millis(500);
/// How long what follows from a start lasts, as announcements that are repeated after 5 s.
const AFTERMATH: Duration = Duration::from_secs(7);
/// How much is told of a Backup that should have been silent.
const MOST_SAID: usize = 40;

/// Parts of a round. The machine's noise is taken down for each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Before anything runs.
    Before,
    Start,
    Steady,
    Reload,
    Kill,
    Stop,
}

/// Number of phases.
pub(crate) const PHASES: usize = 6;

/// What was measured; what was not is NaN. Times in milliseconds, "excess" is over the theory.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    /// Percent of the machine that was busy before anything ran.
    pub(crate) busy_before: f64,
    /// From the start to the last first advertisement, without the down interval.
    pub(crate) start_master: f64,
    /// From the start until the log says that all are Backup.
    pub(crate) start_backup: f64,
    /// Processor time, in percent of one processor.
    pub(crate) master_cpu: f64,
    pub(crate) backup_cpu: f64,
    /// Processor time for 1000 advertisements.
    pub(crate) master_per_1000: f64,
    pub(crate) backup_per_1000: f64,
    /// Soft interrupts of the whole machine, in percent of one processor.
    pub(crate) softirq: f64,
    /// The greater one of Master and Backup; memory in MB.
    pub(crate) memory: f64,
    pub(crate) descriptors: f64,
    /// Longest silence of the routers that a reload did not change, in intervals.
    pub(crate) reload_gap: f64,
    /// Advertisements of the Backup while the Master lived.
    pub(crate) false_claims: f64,
    /// Excess of the first advertisements and of the first announcements after SIGKILL.
    pub(crate) advert_median: f64,
    pub(crate) advert_last: f64,
    pub(crate) arp_median: f64,
    pub(crate) arp_last: f64,
    /// From SIGTERM to the last priority 0, and to the end of the process.
    pub(crate) resign: f64,
    pub(crate) exit: f64,
    /// Excess of the last first advertisement of the next Master over the skew time.
    pub(crate) hand_over: f64,
    /// Interfaces that stayed behind.
    pub(crate) left: f64,
    /// Percent of all processors that the hypervisor took away, by phase.
    pub(crate) steal: [f64; PHASES],
}

impl Round {
    /// Nothing measured yet.
    pub(crate) const EMPTY: Self = Self {
        busy_before: f64::NAN,
        start_master: f64::NAN,
        start_backup: f64::NAN,
        master_cpu: f64::NAN,
        backup_cpu: f64::NAN,
        master_per_1000: f64::NAN,
        backup_per_1000: f64::NAN,
        softirq: f64::NAN,
        memory: f64::NAN,
        descriptors: f64::NAN,
        reload_gap: f64::NAN,
        false_claims: f64::NAN,
        advert_median: f64::NAN,
        advert_last: f64::NAN,
        arp_median: f64::NAN,
        arp_last: f64::NAN,
        resign: f64::NAN,
        exit: f64::NAN,
        hand_over: f64::NAN,
        left: f64::NAN,
        steal: [f64::NAN; PHASES],
    };

    /// A round on new LANs; processor time is counted for `window`.
    ///
    /// # Panics
    /// Where a daemon does not do within 90 s what it should.
    pub(crate) fn run(load: Load, contender: Contender, window: Duration) -> Self {
        let mut round = Self::EMPTY;
        let before = Machine::now();
        round.noted(Phase::Before, || wait(CALM));
        round.busy_before = Machine::now().busy_since(before);
        let scene = Scene::new(load, contender, false);
        let (mut master, mut backup) = round.noted(Phase::Start, || start(&scene));
        round.start_master = master.1;
        round.start_backup = backup.1;
        let costs = round.noted(Phase::Steady, || {
            steady(&scene, &master.0, &backup.0, window)
        });
        costs.into_round(&mut round, load);
        let (gap, claims) = round.noted(Phase::Reload, || reload(&scene, &master.0, &backup.0));
        (round.reload_gap, round.false_claims) = (gap, claims + backup.2);
        let (adverts, arps) = round.noted(Phase::Kill, || kill(&scene, &mut master.0));
        round.advert_median = adverts.median().unwrap_or(f64::NAN);
        round.advert_last = adverts.most().unwrap_or(f64::NAN);
        round.arp_median = arps.median().unwrap_or(f64::NAN);
        round.arp_last = arps.most().unwrap_or(f64::NAN);
        let end = round.noted(Phase::Stop, || stop(&scene, &mut backup.0));
        (round.resign, round.exit, round.hand_over, round.left) = end;
        round
    }

    /// Does `what` and takes down what the hypervisor took away meanwhile.
    fn noted<T>(&mut self, phase: Phase, what: impl FnOnce() -> T) -> T {
        let before = Machine::now();
        let result = what();
        self.steal[phase as usize] = Machine::now().steal_since(before);
        result
    }
}

/// Starts both, the Master first: each with the time that it needed, and the Backup's with how
/// often it spoke.
fn start(scene: &Scene) -> ((Process, f64), (Process, f64, f64)) {
    let observer = scene.observe(R3);
    let begin = Stamp::now();
    let master = scene.launch(R1, MASTER);
    let last = scene.all_master(&observer, begin, R1);
    let theory = milliseconds(scene.load.down_interval(MASTER));
    let master_needed = milliseconds(last.since(begin)) - theory;
    let begin = Stamp::now();
    let backup = scene.launch(R2, BACKUP);
    let last = scene.all_backup(&backup);
    let backup_needed = milliseconds(last.since(begin));
    scene.settle(BACKUP);
    let seen = observer.take();
    observer.end();
    explain(&seen, begin, &backup);
    let claims = adverts_of(&seen, R2) as f64;
    ((master, master_needed), (backup, backup_needed, claims))
}

/// Says on stderr what a Backup that should have been silent said, and what it logged of it.
fn explain(seen: &[Sighting], begin: Stamp, backup: &Process) {
    let spoken = |one: &&Sighting| one.host == R2 && one.word != Word::Heard;
    let mut said = seen.iter().filter(spoken).peekable();
    if said.peek().is_none() {
        return;
    }
    for one in said.take(MOST_SAID) {
        let after = milliseconds(one.at.since(begin));
        eprintln!("  {after:.3} ms: {:?} of {:?}", one.word, one.router);
    }
    let lines = backup.log().lines();
    let telling = lines.iter().filter(|line| {
        let words = ["Master", "warning", "error"];
        line.stamp >= begin && words.iter().any(|word| line.text.contains(word))
    });
    for line in telling.take(MOST_SAID) {
        let after = milliseconds(line.stamp.since(begin));
        eprintln!("  {after:.3} ms: {}", line.text);
    }
}

/// What the steady state costs.
struct Costs {
    cpu: [Duration; 2],
    span: Duration,
    softirq: f64,
    memory: f64,
    descriptors: usize,
}

/// Counts for `window` what the steady state costs; nobody observes meanwhile.
fn steady(scene: &Scene, master: &Process, backup: &Process, window: Duration) -> Costs {
    scene.lab.step("steady state");
    wait(AFTERMATH);
    let both = [family(master.pid()), family(backup.pid())];
    let [first, second] = both.each_ref().map(|pids| resident(pids));
    wait(AFTERMATH);
    let machine = Machine::now();
    let before = both.each_ref().map(|pids| cpu(pids));
    let begin = Instant::now();
    wait(window);
    let span = begin.elapsed();
    let after = both.each_ref().map(|pids| cpu(pids));
    let softirq = Machine::now().softirq_since(machine);
    let [more, less] = both.each_ref().map(|pids| descriptors(pids));
    Costs {
        cpu: [after[0] - before[0], after[1] - before[1]],
        span,
        softirq,
        memory: first.max(second),
        descriptors: more.max(less),
    }
}

impl Costs {
    fn into_round(self, round: &mut Round, load: Load) {
        let thousands = load.adverts_in(self.span) / 1000.0;
        let share = self
            .cpu
            .map(|cpu| 100.0 * cpu.as_secs_f64() / self.span.as_secs_f64());
        let each = self.cpu.map(|cpu| milliseconds(cpu) / thousands);
        [round.master_cpu, round.backup_cpu] = share;
        [round.master_per_1000, round.backup_per_1000] = each;
        round.softirq = self.softirq;
        round.memory = self.memory;
        round.descriptors = self.descriptors as f64;
    }
}

/// Reloads the Master with another priority of its first virtual router: the longest silence of
/// the others in intervals, and how often the Backup spoke for them.
fn reload(scene: &Scene, master: &Process, backup: &Process) -> (f64, f64) {
    let interval = scene.load.interval;
    let observer = scene.observe(R3);
    wait(interval * 3 / 2);
    let begin = Stamp::now();
    scene.configure(R1, MASTER, MASTER - 1);
    master.signal(libc::SIGHUP);
    wait(interval * 4 + Duration::from_secs(2));
    let end = Stamp::now();
    // The frames of this moment may be on their way through the observer's socket.
    wait(Duration::from_millis(50));
    let seen: Vec<_> = observer
        .take()
        .into_iter()
        .filter(|one| one.at <= end && one.router != Load::first())
        .collect();
    observer.end();
    explain(&seen, begin, backup);
    let mut silences = Silences::default();
    silences.hear(&seen);
    silences.end(end);
    let longest = silences.longest(|_| true);
    let gap = longest.map_or(f64::NAN, |span| span.as_secs_f64() / interval.as_secs_f64());
    (gap, adverts_of(&seen, R2) as f64)
}

/// SIGKILL of the Master: the excess of the Backup's first advertisements and announcements. It is
/// done again and again where there is a single virtual router, which says little in one try.
fn kill(scene: &Scene, master: &mut Process) -> (Sample, Sample) {
    let tries = match (scene.load.routers, scene.load.interval.as_millis()) {
        (1, ..500) => 10,
        (1, _) => 2,
        _ => 1,
    };
    let (mut adverts, mut arps) = (Vec::new(), Vec::new());
    for number in 1..=tries {
        let observer = scene.observe(R3);
        // A Backup that is Master beside the other one would take nothing over.
        until("a single Master before the SIGKILL", within(20.0), || {
            drop(observer.take());
            wait(scene.load.interval * 2);
            (adverts_of(&observer.take(), R2) == 0).then_some(())
        });
        // Every router is heard once more, so that it is known when it spoke last.
        scene.all(&observer, Stamp::now(), R1, is_claim);
        let killed = Stamp::now();
        master.kill();
        scene.all(&observer, killed, R2, is_claim);
        scene.all(&observer, killed, R2, is_announcement);
        let seen = observer.take();
        let last = lasts(&seen, R2, is_heard);
        let theory = |_| scene.load.down_interval(BACKUP);
        adverts.push(excess(&last, &firsts(&seen, R2, is_claim), theory));
        arps.push(excess(&last, &firsts(&seen, R2, is_announcement), theory));
        if number < tries {
            let begin = Stamp::now();
            *master = scene.launch(R1, MASTER);
            scene.all_master(&observer, begin, R1);
            scene.settle(BACKUP);
        }
        observer.end();
    }
    (Sample::of(&adverts), Sample::of(&arps))
}

/// SIGTERM to the Backup that has become Master, beside a new Backup: time to the last priority 0
/// and to the end, excess of the hand-over, interfaces left.
fn stop(scene: &Scene, backup: &mut Process) -> (f64, f64, f64, f64) {
    scene.attach(R3);
    let observer = scene.observe(R3 + 1);
    let successor = scene.launch(R3, SUCCESSOR);
    scene.all_backup(&successor);
    scene.settle(SUCCESSOR);
    let begin = Stamp::now();
    backup.signal(libc::SIGTERM);
    backup.wait_exit(within(60.0));
    let exit = milliseconds(Stamp::now().since(begin));
    scene.all(&observer, begin, R3, is_claim);
    let mut seen = observer.take();
    observer.end();
    seen.retain(|one| one.at >= begin);
    let resigned = lasts(&seen, R2, is_resignation);
    let all = resigned.len() >= scene.load.routers;
    let last = resigned.values().max().filter(|_| all);
    let resign = last.map_or(f64::NAN, |last| milliseconds(last.since(begin)));
    let theory = |_| scene.load.skew(SUCCESSOR);
    let hand_over = excess(&resigned, &firsts(&seen, R3, is_claim), theory);
    let left = scene.contender.interfaces_left(scene.host(R2)) as f64;
    (resign, exit, hand_over.most().unwrap_or(f64::NAN), left)
}
