//! `make api-load`: a thousand virtual routers, all Master, and two hundred clients of the Client API.
//! Watched on the wire: how late their advertisements are, without clients and with them.
//!
//! ```text
//!   clients ── LAN ── r1 (Master) ═══ lan0 … lan3
//! ```
//!
//! The stamps are those of the moment when a frame leaves r1: behind that a virtual cable hands it to
//! a thread of the kernel that runs at the priority of the clients, which is no matter of the daemon.
//!
//! What the machine itself is late, a probe of the highest priority on each processor tells.
//!
//! Fails where somebody without a session sees data, where an advertisement is too late, where
//! `/run/vrrp` takes too long, or where the memory grows.

use std::fs;
use std::net::SocketAddr;
use std::process::{Child, Command, ExitCode, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rvrrpd_tests::capture::Capture;
use rvrrpd_tests::deadline::within;
use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::{Lab, Lan};
use rvrrpd_tests::load::{Connection, Seen, clients};
use rvrrpd_tests::rvrrpd::{Rvrrpd, Vrouter, config};
use rvrrpd_tests::sys::Stamp;
use rvrrpd_tests::web::curl;

const USAGE: &str = "api_load [--routers N] [--interval SECONDS] [--clients N] [--seconds N] \
                     [--late MILLISECONDS]";
/// Virtual routers on one interface.
const PER_INTERFACE: usize = 250;
/// Longest median time of `/run/vrrp` without load.
const LONGEST: Duration = Duration::from_millis(20);
/// Most resident memory that the clients may cost, in MiB.
const MEMORY: u64 = 96;
/// Word by which this program runs itself as a probe.
const NOISE: &str = "--noise";
/// The password is `banana`.
const API: &str = r#"[api]
host = "10.200.0.1:7080"
users = ["{{SHA256}}admin:0:a3e5b8d8b1f43248:9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa"]

"#;

struct Options {
    routers: usize,
    /// Seconds.
    interval: f64,
    clients: usize,
    seconds: f64,
    /// How late an advertisement may be, in milliseconds.
    late: f64,
}

fn main() -> ExitCode {
    if let Some(seconds) = std::env::args().skip_while(|word| word != NOISE).nth(1) {
        println!(
            "{}",
            noise(Duration::from_secs_f64(seconds.parse().unwrap_or(1.0)))
        );
        return ExitCode::SUCCESS;
    }
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("api_load: {error}\nusage: {USAGE}");
            return ExitCode::from(2);
        }
    };
    let faults = run(&options);
    for fault in &faults {
        eprintln!("api_load: {fault}");
    }
    if faults.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options {
        routers: 1000,
        interval: 1.0,
        clients: 200,
        seconds: 60.0,
        late: 5.0,
    };
    while let Some(argument) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{argument} needs a value"))?;
        match argument.as_str() {
            "--routers" => options.routers = number(&value)?,
            "--interval" => options.interval = number(&value)?,
            "--clients" => options.clients = number(&value)?,
            "--seconds" => options.seconds = number(&value)?,
            "--late" => options.late = number(&value)?,
            other => return Err(format!("{other} is not known")),
        }
    }
    if !(1..=PER_INTERFACE * 100).contains(&options.routers) {
        return Err("--routers: 1 to 25000".to_owned());
    }
    Ok(options)
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn run(options: &Options) -> Vec<String> {
    let limit = Duration::from_secs_f64(300.0 + 3.0 * options.seconds);
    let lab = Lab::with_limit("api_load", limit);
    let r1 = lab.host("r1");
    let count = options.routers.div_ceil(PER_INTERFACE);
    let _lans: Vec<Lan> = (0..count)
        .map(|number| {
            let lan = lab.lan(&format!("lan{number}"));
            let address = format!("10.{number}.0.1/16");
            lab.attach(&lan, &r1, &format!("eth{number}"), &[&address]);
            lan
        })
        .collect();
    let outside = lab.lan("outside");
    lab.attach(&outside, &r1, "mgmt", &["10.200.0.1/24"]);
    let client = lab.host_on(&outside, "client", &["10.200.0.2/24"]);

    let daemon = Rvrrpd::start(&lab, &r1, &(API.to_owned() + &routers(options)));
    wait_all(&daemon, options.routers);
    std::thread::sleep(Duration::from_secs(5));
    let url = "http://10.200.0.1:7080/auth";
    let cookies = curl(&client, &["-d", "user=admin passwd=banana", url]).cookies();
    let address: SocketAddr = "10.200.0.1:7080".parse().expect("address");
    let mut faults = Vec::new();

    let (median, longest, size) = latency(&client, address, &cookies);
    println!(
        "GET /run/vrrp of {} virtual routers, {size} bytes: median {:.2} ms, longest {:.2} ms",
        options.routers,
        milliseconds(median),
        milliseconds(longest)
    );
    if median > LONGEST {
        faults.push(format!("/run/vrrp takes {median:?}, allowed: {LONGEST:?}"));
    }

    let mark = daemon.log().mark();
    let before = resident(daemon.pid());
    let alone = watch(&r1, count, options, &daemon, || {
        std::thread::sleep(Duration::from_secs_f64(options.seconds));
        Seen::default()
    });
    alone.report("alone");
    let loaded = watch(&r1, count, options, &daemon, || {
        let span = Duration::from_secs_f64(options.seconds);
        let secret = "\"eth0-7\"";
        clients(&client, address, &cookies, secret, options.clients, span)
    });
    loaded.report(&format!("beside {} clients", options.clients));
    let seen = &loaded.seen;
    println!(
        "  {} answers with data, {} refusals, {} broken connections, slowest answer {:.0} ms, \
         memory {before} MiB, {} MiB at the most",
        seen.served,
        seen.refused,
        seen.broken,
        milliseconds(seen.longest),
        loaded.memory
    );
    if !seen.wrong.is_empty() || seen.served == 0 || seen.refused == 0 {
        let first: Vec<_> = seen.wrong.iter().take(5).collect();
        faults.push(format!("{} wrong answers: {first:?}", seen.wrong.len()));
    }
    if loaded.memory > before + MEMORY {
        faults.push(format!("{} MiB after {before} MiB", loaded.memory));
    }
    if loaded.late > 0 {
        let (late, most) = (loaded.late, options.late);
        let noise = loaded.noise;
        faults.push(format!(
            "{late} advertisements more than {most} ms late, beside {noise:.3} ms of the machine"
        ));
    }
    let changes = daemon.log().texts_after(mark);
    let changes = changes.iter().filter(|line| line.contains("Changed from"));
    let changes = changes.count();
    if changes > 0 {
        faults.push(format!("{changes} changes of state"));
    }
    faults
}

fn routers(options: &Options) -> String {
    let router = |number: usize| {
        let (interface, vrid) = (number / PER_INTERFACE, number % PER_INTERFACE + 1);
        let vrid = u8::try_from(vrid).expect("at most 250");
        Vrouter::new(vrid, &[&format!("10.{interface}.1.{vrid}")])
            .text("interface", &format!("eth{interface}"))
            .macvlan()
            .text("vifname", &format!("v{interface}.{vrid}"))
            .interval(options.interval)
    };
    let vrouters: Vec<Vrouter> = (0..options.routers).map(router).collect();
    config(&vrouters)
}

fn wait_all(daemon: &Rvrrpd, count: usize) {
    let deadline = within(120.0);
    loop {
        let lines = daemon.log().lines();
        let there = lines.iter().filter(|line| line.text.contains(" to Master"));
        if there.count() >= count {
            return;
        }
        assert!(!deadline.passed(), "not all of {count} are Master");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Median and longest time of `/run/vrrp`, and its length.
fn latency(client: &Host, address: SocketAddr, cookies: &str) -> (Duration, Duration, usize) {
    client.inside(|| {
        let mut connection = Connection::new(address).expect("connection");
        let mut size = 0;
        let mut times: Vec<Duration> = (0..200)
            .map(|_| {
                let answer = connection.get("/run/vrrp", Some(cookies));
                let (status, body, took) = answer.expect("answer");
                assert_eq!(status, 200);
                size = body.len();
                took
            })
            .collect();
        times.sort();
        (times[times.len() / 2], times[times.len() - 1], size)
    })
}

/// What was on the wire meanwhile.
struct Watched {
    seen: Seen,
    /// Advertisements.
    count: usize,
    /// How late each was, behind the interval after the one before, in milliseconds; sorted.
    lateness: Vec<f64>,
    /// How many were too late.
    late: usize,
    /// Most resident memory in MiB.
    memory: u64,
    /// How late a thread of the highest priority was at the most, in milliseconds.
    noise: f64,
    /// Share of the processors that the host of this machine gave to others.
    stolen: f64,
}

fn watch(
    r1: &Host,
    interfaces: usize,
    options: &Options,
    daemon: &Rvrrpd,
    meanwhile: impl FnOnce() -> Seen,
) -> Watched {
    let captures: Vec<Capture> = (0..interfaces)
        .map(|number| r1.capture(&format!("eth{number}")))
        .collect();
    let over = AtomicBool::new(false);
    let probes = probes(options.seconds);
    let before = processors();
    let (seen, memory) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !over.load(Ordering::Relaxed) {
                most = most.max(resident(daemon.pid()));
                std::thread::sleep(Duration::from_millis(200));
            }
            most
        });
        let seen = meanwhile();
        over.store(true, Ordering::Relaxed);
        (seen, watcher.join().expect("watcher"))
    });
    let after = processors();
    let noise = probes.into_iter().map(|probe| {
        let output = probe.wait_with_output().expect("probe");
        let text = String::from_utf8_lossy(&output.stdout).trim().parse();
        text.unwrap_or(0.0)
    });
    let noise = noise.fold(0.0, f64::max);
    let mut lateness: Vec<f64> = captures
        .iter()
        .flat_map(|capture| lateness(capture, options.interval))
        .collect();
    lateness.sort_by(f64::total_cmp);
    let late = lateness.iter().filter(|ms| **ms > options.late + noise);
    let late = late.count();
    Watched {
        seen,
        count: lateness.len(),
        late,
        lateness,
        memory,
        noise,
        stolen: 100.0 * (after.1 - before.1) / (after.0 - before.0).max(1.0),
    }
}

/// A probe on each processor, which nothing of the daemon comes before.
fn probes(seconds: f64) -> Vec<Child> {
    let own = std::env::current_exe().expect("path of this program");
    let count = std::thread::available_parallelism().map_or(1, usize::from);
    let one = |number: usize| {
        let mut command = Command::new("chrt");
        command.args(["--fifo", "98", "taskset", "--cpu-list", &number.to_string()]);
        command.arg(&own).args([NOISE, &seconds.to_string()]);
        command.stdout(Stdio::piped()).spawn().expect("chrt")
    };
    (0..count).map(one).collect()
}

/// How late this thread gets to a time that has come, in milliseconds at the most.
fn noise(span: Duration) -> f64 {
    const STEP: Duration = Duration::from_millis(1);
    let began = Instant::now();
    let mut worst = Duration::ZERO;
    while began.elapsed() < span {
        let wanted = Instant::now() + STEP;
        std::thread::sleep(STEP);
        worst = worst.max(Instant::now().saturating_duration_since(wanted));
    }
    milliseconds(worst)
}

/// How late each advertisement is, in milliseconds.
fn lateness(capture: &Capture, interval: f64) -> Vec<f64> {
    let mut last: [Option<Stamp>; 256] = [None; 256];
    let mut found = Vec::new();
    for frame in capture.frames() {
        let Some(advert) = frame.advert() else {
            continue;
        };
        let place = &mut last[usize::from(advert.vrid)];
        if let Some(last) = place.replace(frame.stamp) {
            let gap = frame.stamp.since(last).as_secs_f64();
            found.push((gap - interval) * 1e3);
        }
    }
    found
}

impl Watched {
    fn report(&self, what: &str) {
        let at = |share: f64| {
            let place = (share * (self.lateness.len().saturating_sub(1)) as f64) as usize;
            self.lateness.get(place).copied().unwrap_or(f64::NAN)
        };
        println!(
            "{what}: {} advertisements; late by {:.3} ms in the median, {:.3} ms at 99.9 %, \
             {:.3} ms at the most; the machine itself was late by {:.3} ms at the most ({:.1} % of \
             the processors stolen); {} too late",
            self.count,
            at(0.5),
            at(0.999),
            at(1.0),
            self.noise,
            self.stolen,
            self.late
        );
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Time of all processors and what of it was stolen, in ticks (proc_stat(5)).
fn processors() -> (f64, f64) {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let stolen = fields.get(7).copied().unwrap_or(0.0);
    (fields.iter().take(8).sum(), stolen)
}

/// Resident memory in MiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) / 1024
}
