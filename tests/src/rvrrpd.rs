//! rVRRPd under test: its configuration, its process, its log.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use crate::bpf;
use crate::deadline::{Deadline, slowness, until, within};
use crate::host::Host;
use crate::lab::Lab;
use crate::mode::Mode;
use crate::process::{Log, Process};
use crate::standstill;
use crate::sys::Stamp;

/// States as the log and the counters name them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Not running.
    Init,
    /// Waiting.
    Backup,
    /// Serving.
    Master,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Whether the daemons are to run without the right to load eBPF programs.
#[must_use]
pub fn without_bpf() -> bool {
    std::env::var_os(WITHOUT_BPF).is_some()
}

/// One `[[vrouter]]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Vrouter {
    group: u8,
    keys: BTreeMap<String, String>,
}

impl Vrouter {
    /// VRID `group` on `eth0`, version 3, interval 0.1 s, with these virtual addresses.
    #[must_use]
    pub fn new(group: u8, vips: &[&str]) -> Self {
        let list: Vec<String> = vips.iter().map(|vip| format!("{vip:?}")).collect();
        Self {
            group,
            keys: BTreeMap::new(),
        }
        .key("group", group)
        .text("interface", "eth0")
        .key("vip", format!("[{}]", list.join(", ")))
        .key("version", 3)
        .key("timers", "{ advert = 0.1 }")
    }

    /// The same with `priority`.
    #[must_use]
    pub fn priority(self, priority: u8) -> Self {
        self.key("priority", priority)
    }

    /// The same with `preemption`.
    #[must_use]
    pub fn preemption(self, on: bool) -> Self {
        self.key("preemption", on)
    }

    /// The same with this interval in seconds.
    #[must_use]
    pub fn interval(self, seconds: f64) -> Self {
        self.key("timers", format!("{{ advert = {seconds} }}"))
    }

    /// The same with version 2 and 1 s.
    #[must_use]
    pub fn v2(self) -> Self {
        self.key("version", 2).key("timers", "{ advert = 1 }")
    }

    /// The same on a macvlan.
    #[must_use]
    pub fn macvlan(self) -> Self {
        self.text("iftype", "macvlan")
    }

    /// The same on this `iftype`.
    #[must_use]
    pub fn iftype(self, iftype: &str) -> Self {
        self.text("iftype", iftype)
    }

    /// The same in this mode.
    #[must_use]
    pub fn mode(self, mode: Mode) -> Self {
        let vrouter = self.iftype(mode.iftype());
        if mode.accepts() {
            vrouter
        } else {
            vrouter.key("accept_mode", false)
        }
    }

    /// The same with `name = value`, written as it is.
    #[must_use]
    pub fn key(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.keys.insert(name.to_owned(), value.to_string());
        self
    }

    /// The same with `name = "value"`.
    #[must_use]
    pub fn text(self, name: &str, value: &str) -> Self {
        self.key(name, format!("{value:?}"))
    }

    /// The same in the network namespace of `host`.
    #[must_use]
    pub fn inside(self, host: &Host) -> Self {
        self.text("netns", host.netns())
    }

    /// The value of a key as it is written.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.keys.get(name).map(String::as_str)
    }

    /// VRID.
    #[must_use]
    pub fn group(&self) -> u8 {
        self.group
    }
}

impl fmt::Display for Vrouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "[[vrouter]]")?;
        for (name, value) in &self.keys {
            writeln!(f, "{name} = {value}")?;
        }
        Ok(())
    }
}

/// The text of a configuration with these virtual routers.
#[must_use]
pub fn config(vrouters: &[Vrouter]) -> String {
    let mut text = String::new();
    for vrouter in vrouters {
        let _ = writeln!(text, "{vrouter}");
    }
    text
}

/// The program under test: `RVRRPD_BIN`, else `rvrrpd` beside the directory of this program.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn program() -> PathBuf {
    beside("RVRRPD_BIN", "rvrrpd")
}

/// The admin tool: `RVRRPADM_BIN`, else `rvrrpadm` beside the directory of this program.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn admin() -> PathBuf {
    beside("RVRRPADM_BIN", "rvrrpadm")
}

/// The C library: `RVRRP_LIBRARY`, else `librvrrp.so` beside the directory of this program.
///
/// # Panics
/// Where there is none.
#[must_use]
pub fn library() -> PathBuf {
    beside("RVRRP_LIBRARY", "librvrrp.so")
}

/// Environment variable that takes the right to load eBPF programs from the daemons.
const WITHOUT_BPF: &str = "RVRRPD_TESTS_WITHOUT_BPF";

/// A command that runs the program under test on `host`. Where `RVRRPD_TESTS_WITHOUT_BPF` is set it
/// has none of the capabilities that permit eBPF, and cannot get them.
#[must_use]
pub fn command_on(host: &Host) -> Command {
    if !without_bpf() {
        return host.command(program());
    }
    let mut command = host.command("setpriv");
    command
        .args(["--bounding-set", "-sys_admin,-bpf,-perfmon", "--"])
        .arg(program());
    command
}

/// The same for a daemon with routers in other network namespaces, which takes CAP_SYS_ADMIN to
/// enter. That permits eBPF as well, so bpf(2) itself is refused.
fn command_in_namespaces(host: &Host) -> Command {
    let mut command = host.command(program());
    if without_bpf() {
        bpf::refused(&mut command);
    }
    command
}

/// A program of the workspace: the value of `variable`, else `name` beside the directory of this
/// program.
fn beside(variable: &str, name: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(
        || {
            let own = std::env::current_exe().expect("path of this program");
            let directory = own
                .parent()
                .and_then(Path::parent)
                .expect("target directory");
            directory.join(name)
        },
        PathBuf::from,
    );
    assert!(
        path.exists(),
        "{} does not exist: `cargo build -p {name}` first, or set {variable}",
        path.display()
    );
    path
}

/// Runs rvrrpd on `host` to its end: exit code, stdout, stderr. A daemon that does not end is
/// stopped after 10 s.
#[must_use]
pub fn run(host: &Host, arguments: &[&str]) -> (Option<i32>, Vec<String>, Vec<String>) {
    let mut command = command_on(host);
    command.args(arguments);
    let mut process = Process::start(&format!("rvrrpd {}", arguments.join(" ")), command);
    let status = process.wait_exit(within(10.0));
    process.log().wait_end(within(5.0));
    let lines = process.log().lines();
    let of = |stderr| {
        lines
            .iter()
            .filter(|l| l.stderr == stderr)
            .map(|l| l.text.clone())
            .collect()
    };
    (status.code(), of(false), of(true))
}

/// A running rvrrpd in mode 1.
#[derive(Debug)]
pub struct Rvrrpd {
    process: Process,
    host: Host,
    files: Files,
}

/// Files of one daemon. They depend on the host alone, so that a daemon that is started again on
/// the same host finds what the one before left in its `run_dir`.
#[derive(Clone, Debug)]
pub struct Files {
    /// Configuration file.
    pub config: PathBuf,
    /// `run_dir`.
    pub run_dir: PathBuf,
}

impl Files {
    /// The files of the daemon on `host`.
    #[must_use]
    pub fn of(lab: &Lab, host: &Host) -> Self {
        let path = |end: &str| lab.dir().join(format!("rvrrpd-{}{end}", host.name()));
        Self {
            config: path(".conf"),
            run_dir: path("-run"),
        }
    }

    /// `text` as a complete configuration: with `run_dir`, unless it has one.
    #[must_use]
    pub fn complete(&self, text: &str) -> String {
        if text.contains("run_dir") {
            return text.to_owned();
        }
        format!("run_dir = {:?}\n{text}", self.run_dir.display().to_string())
    }

    /// Writes the configuration.
    pub fn write(&self, text: &str) {
        std::fs::write(&self.config, self.complete(text)).expect("configuration of rvrrpd");
    }
}

impl Rvrrpd {
    /// Starts rvrrpd on `host` with the configuration `text` (TOML; `run_dir` is added).
    #[must_use]
    pub fn start(lab: &Lab, host: &Host, text: &str) -> Self {
        let files = Files::of(lab, host);
        files.write(text);
        let mut command = if text.contains("netns = ") {
            command_in_namespaces(host)
        } else {
            command_on(host)
        };
        command.args(["-m", "1", "-c"]).arg(&files.config);
        Self::start_command(host, files, command)
    }

    /// Starts `command`, a rvrrpd in the foreground with these files.
    #[must_use]
    pub fn start_command(host: &Host, files: Files, command: Command) -> Self {
        let process = Process::start(&format!("rvrrpd on {}", host.name()), command);
        Self {
            process,
            host: host.clone(),
            files,
        }
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Log {
        self.process.log()
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Its files.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// Waits until the virtual router `name` (`INTERFACE-GROUP`) is in `state`: the last change
    /// that the log tells is to it.
    #[track_caller]
    pub fn wait_state(&self, name: &str, state: State, deadline: Deadline) {
        until(
            &format!(
                "{}: {name} is {state} (changes: {:?})",
                self.process.name(),
                self.changes()
            ),
            deadline,
            || (self.state(name) == Some(state)).then_some(()),
        );
    }

    /// Waits until the log tells a change of `name` to `state` after `mark` lines.
    #[track_caller]
    pub fn wait_change(&self, mark: usize, name: &str, state: State, deadline: Deadline) {
        self.log().wait_after(
            mark,
            &format!("{name} changes to {state}"),
            deadline,
            |line| {
                let change = Change::parse(&line.text)?;
                (change.name == name && change.to == state.to_string()).then_some(())
            },
        );
    }

    /// State of the virtual router `name` by the last change in the log.
    #[must_use]
    pub fn state(&self, name: &str) -> Option<State> {
        let last = self
            .changes()
            .into_iter()
            .rfind(|change| change.name == name)?;
        [State::Init, State::Backup, State::Master]
            .into_iter()
            .find(|state| state.to_string() == last.to)
    }

    /// All changes of state that the log tells.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.log()
            .lines()
            .iter()
            .filter_map(|line| Change::parse(&line.text))
            .collect()
    }

    /// Writes a new configuration without telling the daemon.
    pub fn rewrite(&self, text: &str) {
        self.files.write(text);
    }

    /// Writes a new configuration and sends SIGHUP.
    #[track_caller]
    pub fn reload(&self, text: &str) {
        self.rewrite(text);
        self.process.signal(libc::SIGHUP);
    }

    /// Counters, as SIGUSR2 makes the daemon log them: those of virtual router `name`, or the
    /// global ones for `global`.
    #[track_caller]
    pub fn counters(&self, name: &str) -> Counters {
        self.statistics()
            .remove(name)
            .unwrap_or_else(|| panic!("no counters of {name}"))
    }

    /// All counters: of every virtual router by its name, and the global ones as `global`.
    #[track_caller]
    pub fn statistics(&self) -> BTreeMap<String, Counters> {
        let mark = self.log().mark();
        self.process.signal(libc::SIGUSR2);
        until("the counters are logged", within(5.0), || {
            let lines: Vec<_> = self
                .log()
                .texts_after(mark)
                .iter()
                .filter_map(|line| statistics_line(line))
                .collect();
            let global = lines.iter().position(|(name, _)| name == "global")?;
            let routers = *lines[global].1.get("virtual-routers")?;
            let lines: BTreeMap<_, _> = lines[global..].iter().cloned().collect();
            (lines.len() as u64 == routers + 1).then_some(lines)
        })
    }

    /// Everything that the line of virtual router `name` (or of `global`) says, as text.
    #[track_caller]
    pub fn status(&self, name: &str) -> BTreeMap<String, String> {
        let mark = self.log().mark();
        self.process.signal(libc::SIGUSR2);
        let whose = if name == "global" {
            "stats global ".to_owned()
        } else {
            format!("stats router={name} ")
        };
        let what = format!("the line of {name} is logged");
        self.log().wait_after(mark, &what, within(5.0), |line| {
            let (_, fields) = line.text.split_once(&whose)?;
            let fields = fields.split_whitespace();
            let fields = fields.filter_map(|field| field.split_once('='));
            Some(
                fields
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            )
        })
    }

    /// The counters of `name`, and between when they were read.
    #[track_caller]
    pub fn reading(&self, name: &str) -> Reading {
        let asked = Stamp::now();
        let counters = self.counters(name);
        Reading {
            asked,
            counters,
            answered: Stamp::now(),
        }
    }

    /// SIGTERM, then its exit status; it may take 3 s, and what the machine stands still.
    #[track_caller]
    pub fn sigterm(&mut self) -> ExitStatus {
        let told = Stamp::now();
        self.process.signal(libc::SIGTERM);
        let status = self.process.wait_exit(within(10.0));
        let ended = Stamp::now();
        let most = Duration::from_secs(3).mul_f64(slowness()) + standstill::between(told, ended);
        let took = ended.since(told);
        assert!(took <= most, "{}: ends after {took:?}", self.process.name());
        status
    }

    /// Orderly stop with exit code 0.
    #[track_caller]
    pub fn stop(mut self) {
        let status = self.sigterm();
        assert_eq!(
            status.code(),
            Some(0),
            "exit status of {}: {status}",
            self.process.name()
        );
    }

    /// SIGKILL.
    pub fn sigkill(&mut self) {
        self.process.kill();
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }
}

/// Counters of a virtual router.
#[derive(Clone, Debug)]
pub struct Reading {
    /// They were read later than this.
    pub asked: Stamp,
    /// The counters.
    pub counters: Counters,
    /// They were read before this.
    pub answered: Stamp,
}

impl Reading {
    /// Asserts that the advertisements of these times were counted between this reading and `last`, each
    /// once, but for `lost` of them at most, and for one that may be under way at both ends.
    ///
    /// # Panics
    /// Where it is another number.
    #[track_caller]
    pub fn assert_counted(&self, last: &Self, stamps: &[Stamp], lost: u64) {
        let counted = |reading: &Self| reading.counters["advertisement-rcvd"];
        let counted = counted(last) - counted(self);
        let sent = |from: Stamp, to: Stamp| {
            let range = stamps.iter().filter(|stamp| (from..to).contains(stamp));
            range.count() as u64
        };
        let least = sent(self.answered, last.asked);
        let most = sent(self.asked, last.answered);
        let is_exact = counted + lost + 1 >= least && counted <= most + 1;
        assert!(is_exact, "{counted} of {least} to {most} counted");
    }
}

/// Counters by their names.
pub type Counters = BTreeMap<String, u64>;

/// A line `stats global k=v ...` or `stats router=NAME k=v ...`: whose counters, and the counters.
#[must_use]
pub fn statistics_line(line: &str) -> Option<(String, Counters)> {
    let (_, fields) = line.split_once("stats ")?;
    let mut name = "global";
    let mut counters = Counters::new();
    for (key, value) in fields
        .split_whitespace()
        .filter_map(|field| field.split_once('='))
    {
        if key == "router" {
            name = value;
        } else if let Ok(value) = value.parse() {
            counters.insert(key.to_owned(), value);
        }
    }
    Some((name.to_owned(), counters))
}

/// A line `VR <vip> for group <g> on interface <if> - Changed from <A> to <B>`; behind the interface
/// stands ` in network namespace <ns>` where it is not that of the daemon.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// `INTERFACE-GROUP`, for IPv6 with `-v6` behind it, in another network namespace with
    /// `NAMESPACE-` before it: the name that a router has by default.
    pub name: String,
    /// State before.
    pub from: String,
    /// State after.
    pub to: String,
}

impl Change {
    /// The change that `line` tells, whatever stands before it.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let (head, tail) = line.split_once(" - Changed from ")?;
        let (from, to) = tail.split_once(" to ")?;
        let (_, head) = head.rsplit_once("VR ")?;
        let (vip, head) = head.split_once(" for group ")?;
        let (group, interface) = head.split_once(" on interface ")?;
        let family = if vip.contains(':') { "-v6" } else { "" };
        let place = interface.split_once(" in network namespace ");
        let interface = place.map_or_else(
            || interface.trim().to_owned(),
            |(interface, netns)| format!("{}-{interface}", netns.trim()),
        );
        Some(Self {
            name: format!("{interface}-{}{family}", group.trim()),
            from: from.trim().to_owned(),
            to: to
                .split([' ', '(', ','])
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_state_is_read() {
        let line =
            "[Nov 21] VR 10.0.0.7 for group 7 on interface eth0 - Changed from Init to Backup";
        let change = Change::parse(line).unwrap();
        assert_eq!(
            (change.name.as_str(), change.from.as_str()),
            ("eth0-7", "Init")
        );
        assert_eq!(change.to, "Backup");
        let line = "VR fe80::7 for group 7 on interface eth0 in network namespace blue - Changed \
                    from Init to Backup (startup)";
        assert_eq!(Change::parse(line).unwrap().name, "blue-eth0-7-v6");
        assert_eq!(Change::parse("VR 10.0.0.7 started"), None);
    }

    #[test]
    fn a_configuration_is_toml() {
        let text = config(&[Vrouter::new(7, &["10.0.0.7"]).priority(200).macvlan()]);
        assert!(text.starts_with("[[vrouter]]\ngroup = 7\n"), "{text}");
        assert!(text.contains("vip = [\"10.0.0.7\"]\n"), "{text}");
        assert!(text.contains("iftype = \"macvlan\"\n"), "{text}");
    }
}
