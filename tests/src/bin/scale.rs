//! `make scale`: thousands of virtual routers between two daemons, watched for a minute, and then
//! for another one beside busy loops. Fails where one of them changes its state.
//!
//! ```text
//!   r1 (Master) ═╤═ lan0 … lan15 ═╤═ r2 (Backup)
//! ```

use std::fs;
use std::process::{Command, ExitCode};
use std::str::FromStr;
use std::time::{Duration, Instant};

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{Rvrrpd, State, Vrouter, config};

const USAGE: &str =
    "scale [--routers N] [--interval SECONDS] [--seconds N] [--loops N] [--key 'NAME=VALUE']...";

/// Virtual routers on one interface.
const PER_INTERFACE: usize = 250;

struct Options {
    routers: usize,
    /// Seconds.
    interval: f64,
    /// How long each part lasts, in seconds.
    seconds: f64,
    /// Busy loops of the second part.
    loops: usize,
    /// More keys of each router.
    keys: Vec<(String, String)>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("scale: {error}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let scene = Scene::new(&options);
    let (master, backup) = scene.start();
    let mut changes = scene.watch("alone", &master, &backup, options.seconds);
    let loops = busy_loops(options.loops);
    let what = format!("beside {} busy loops", loops.len());
    changes += scene.watch(&what, &master, &backup, options.seconds);
    drop(loops);
    scene.stop(backup, "Backup");
    scene.stop(master, "Master");
    if changes > 0 {
        eprintln!("scale: {changes} changes of state");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        routers: 4000,
        interval: 0.1,
        seconds: 60.0,
        loops: 4,
        keys: Vec::new(),
    };
    while let Some(argument) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--routers" => options.routers = number(&value)?,
            "--interval" => options.interval = number(&value)?,
            "--seconds" => options.seconds = number(&value)?,
            "--loops" => options.loops = number(&value)?,
            "--key" => {
                let (name, value) = value.split_once('=').ok_or("--key NAME=VALUE")?;
                options.keys.push((name.to_owned(), value.to_owned()));
            }
            other => return Err(format!("{other} is not known")),
        }
    }
    if !(1..=PER_INTERFACE * 255).contains(&options.routers) {
        return Err("--routers: 1 to 63750".to_owned());
    }
    Ok(options)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

struct Scene<'a> {
    options: &'a Options,
    _lans: Vec<Lan>,
    r1: Host,
    r2: Host,
    lab: Lab,
}

impl<'a> Scene<'a> {
    fn new(options: &'a Options) -> Self {
        let limit = Duration::from_secs_f64(600.0 + 2.0 * options.seconds);
        let lab = Lab::with_limit("scale", limit);
        let (r1, r2) = (lab.host("r1"), lab.host("r2"));
        let lans = (0..options.routers.div_ceil(PER_INTERFACE))
            .map(|number| {
                let lan = lab.lan(&format!("lan{number}"));
                for (host, last) in [(&r1, 1), (&r2, 2)] {
                    let address = format!("10.{number}.0.{last}/16");
                    lab.attach(&lan, host, &format!("eth{number}"), &[&address]);
                }
                lan
            })
            .collect();
        Self {
            options,
            _lans: lans,
            r1,
            r2,
            lab,
        }
    }

    fn config(&self, priority: u8) -> String {
        let router = |number: usize| {
            let (interface, vrid) = (number / PER_INTERFACE, number % PER_INTERFACE + 1);
            let vrid = u8::try_from(vrid).expect("at most 250");
            let vrouter = Vrouter::new(vrid, &[&format!("10.{interface}.1.{vrid}")])
                .text("interface", &format!("eth{interface}"))
                .macvlan()
                .text("vifname", &format!("v{interface}.{vrid}"))
                .interval(self.options.interval)
                .preemption(true)
                .priority(priority);
            let keys = self.options.keys.iter();
            keys.fold(vrouter, |vrouter, (name, value)| vrouter.key(name, value))
        };
        let vrouters: Vec<Vrouter> = (0..self.options.routers).map(router).collect();
        config(&vrouters)
    }

    fn start(&self) -> (Rvrrpd, Rvrrpd) {
        let daemons = [
            (&self.r1, 200, State::Master),
            (&self.r2, 100, State::Backup),
        ];
        let [master, backup] = daemons.map(|(host, priority, state)| {
            let began = Instant::now();
            let daemon = Rvrrpd::start(&self.lab, host, &self.config(priority));
            self.wait_all(&daemon, state);
            println!(
                "{}: all {} {state} after {:.2} s",
                host.name(),
                self.options.routers,
                began.elapsed().as_secs_f64()
            );
            daemon
        });
        // Announcements and what else follows a start.
        std::thread::sleep(Duration::from_secs(5));
        (master, backup)
    }

    fn wait_all(&self, daemon: &Rvrrpd, state: State) {
        let (wanted, deadline) = (format!(" to {state}"), within(120.0));
        loop {
            let lines = daemon.log().lines();
            let there = lines.iter().filter(|line| line.text.contains(&wanted));
            let count = there.count();
            if count >= self.options.routers {
                return;
            }
            if deadline.passed() {
                // A panic aborts, and shows no log.
                for line in lines.iter().rev().take(20).rev() {
                    eprintln!("{}", line.text);
                }
                panic!("{count} of {} are {state}", self.options.routers);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Changes of state meanwhile.
    fn watch(&self, what: &str, master: &Rvrrpd, backup: &Rvrrpd, seconds: f64) -> usize {
        let daemons = [master, backup];
        let marks = daemons.map(|daemon| daemon.log().mark());
        let before = daemons.map(|daemon| cpu(daemon.pid()));
        let counted = |daemon: &Rvrrpd, counter: &str| -> u64 {
            let all = daemon.statistics();
            all.values().filter_map(|of| of.get(counter)).sum()
        };
        let sent = counted(master, "advertisement-sent");
        let received = counted(backup, "advertisement-rcvd");
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs_f64(seconds));
        let span = began.elapsed().as_secs_f64();
        let sent = counted(master, "advertisement-sent") - sent;
        let received = counted(backup, "advertisement-rcvd") - received;
        let mut all = 0;
        println!("{what}, {span:.1} s: {sent} advertisements sent, {received} received");
        for ((daemon, mark), before) in daemons.iter().zip(marks).zip(before) {
            let mut lines = daemon.log().texts_after(mark);
            lines.retain(|line| !line.contains("stats "));
            let changes = lines.iter().filter(|line| line.contains("Changed from"));
            let changes = changes.count();
            let share = 100.0 * (cpu(daemon.pid()) - before).as_secs_f64() / span;
            let global = daemon.counters("global");
            println!(
                "  {}: {changes} changes of state, {share:.1} % of a processor, {} packets and {} \
                 advertisements lost, {} takeovers postponed, {} MiB, {} descriptors, {} lines",
                daemon.host().name(),
                global["receive-overflows"],
                global["queue-overflows"],
                counted(daemon, "takeovers-postponed"),
                resident(daemon.pid()) / 1024,
                descriptors(daemon.pid()),
                lines.len(),
            );
            for line in lines.iter().take(10) {
                println!("    {line}");
            }
            all += changes;
        }
        all
    }

    fn stop(&self, mut daemon: Rvrrpd, who: &str) {
        let began = Instant::now();
        daemon.process().signal(libc::SIGTERM);
        daemon.process().wait_exit(within(120.0));
        let left = daemon.host().interfaces();
        let left = left.iter().filter(|name| name.starts_with('v')).count();
        let span = began.elapsed().as_secs_f64();
        println!("{who} stopped in {span:.2} s, {left} interfaces left");
    }
}

/// Ordinary processes that never wait.
fn busy_loops(count: usize) -> Vec<Process> {
    let one = |_| {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]);
        Process::start("busy loop", command)
    };
    (0..count).map(one).collect()
}

/// Processor time of all threads, to the nanosecond (Documentation/scheduler/sched-stats.rst).
fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("threads");
    let nanoseconds = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.unwrap_or(0)
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
