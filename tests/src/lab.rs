//! A laboratory: namespaces with unique names, LANs between them, and a watchdog.
//!
//! Names are `rvt-PID-N-HOST`; what a killed run left behind is removed by the next one.

use std::collections::HashMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use crate::capture::Capture;
use crate::deadline::{slowness, until, within};
use crate::frame::Mac;
use crate::host::{Host, command_output};
use crate::standstill;
use crate::sys;

/// Beginning of the names of all namespaces and directories.
const PREFIX: &str = "rvt-";
/// Environment variable that marks a process that has re-executed itself in a user namespace.
const IN_USER_NAMESPACE: &str = "RVRRPD_TESTS_USERNS";
/// Limit of one test unless it asks for another.
const LIMIT: Duration = Duration::from_secs(90);

/// Namespaces of the laboratories that live in this process, for the watchdog.
static LIVE: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// What is waited for or done, by laboratory, for the watchdog.
static STEPS: Mutex<Vec<(String, String)>> = Mutex::new(Vec::new());
/// Number of the next laboratory.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A laboratory. Dropping it kills every process inside and removes the namespaces.
pub struct Lab {
    tag: String,
    dir: PathBuf,
    bridges: Host,
    counts: Mutex<Counts>,
    _watchdog: Sender<()>,
}

/// How many hosts and LANs there are.
#[derive(Default)]
struct Counts {
    hosts: u8,
    lans: u8,
}

impl Lab {
    /// An empty laboratory; the test may last 90 s.
    #[must_use]
    pub fn new(test: &str) -> Self {
        Self::with_limit(test, LIMIT)
    }

    /// An empty laboratory; the test may last `limit`.
    ///
    /// # Panics
    /// Where no namespace can be made.
    #[must_use]
    pub fn with_limit(test: &str, limit: Duration) -> Self {
        become_root();
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        standstill::watch();
        let tag = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let dir = std::env::temp_dir().join(&tag);
        std::fs::create_dir(&dir).expect("temporary directory");
        STEPS
            .lock()
            .unwrap()
            .push((tag.clone(), format!("{test}: started")));
        let watchdog = start_watchdog(test, &tag, limit.mul_f64(slowness()));
        let bridges = make_host(&tag, "bridges");
        bridges.sysctl("ipv6/conf/all/disable_ipv6", "1");
        bridges.sysctl("ipv6/conf/default/disable_ipv6", "1");
        // Where br_netfilter is loaded, it would look at every frame.
        for family in ["arp", "ip", "ip6"] {
            let path = format!("bridge/bridge-nf-call-{family}tables");
            if bridges.read_sysctl(&path).is_some() {
                bridges.sysctl(&path, "0");
            }
        }
        Self {
            tag,
            dir,
            bridges,
            counts: Mutex::default(),
            _watchdog: watchdog,
        }
    }

    /// Notes what the test is doing; the watchdog prints the last note.
    pub fn step(&self, text: &str) {
        for (tag, step) in STEPS.lock().unwrap().iter_mut() {
            if *tag == self.tag {
                text.clone_into(step);
            }
        }
    }

    /// A new host: a router that forwards IPv4 and IPv6, without interfaces.
    #[must_use]
    pub fn host(&self, name: &str) -> Host {
        let host = make_host(&self.tag, name);
        host.ip("link set lo up");
        host.sysctl("ipv4/ip_forward", "1");
        host.sysctl("ipv6/conf/all/forwarding", "1");
        host.sysctl("ipv6/conf/default/accept_dad", "0");
        host
    }

    /// A new LAN: a bridge without spanning tree and without multicast snooping.
    #[must_use]
    pub fn lan(&self, name: &str) -> Lan {
        let number = {
            let mut counts = self.counts.lock().unwrap();
            counts.lans += 1;
            counts.lans
        };
        self.bridges.ip(&format!(
            "link add {name} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
        ));
        self.bridges.ip(&format!("link set {name} up"));
        Lan {
            name: name.to_owned(),
            number,
            bridges: self.bridges.clone(),
            ports: Arc::default(),
        }
    }

    /// A host on `lan` by `eth0` with these addresses.
    #[must_use]
    pub fn host_on(&self, lan: &Lan, name: &str, addresses: &[&str]) -> Host {
        let host = self.host(name);
        self.attach(lan, &host, "eth0", addresses);
        host
    }

    /// Attaches `host` to `lan` by a new `interface` with these addresses.
    pub fn attach(&self, lan: &Lan, host: &Host, interface: &str, addresses: &[&str]) {
        let port_number = {
            let mut counts = self.counts.lock().unwrap();
            counts.hosts += 1;
            counts.hosts
        };
        let port = format!("p{port_number}-{}", host.name());
        let port = &port[..port.len().min(15)];
        self.bridges.ip(&format!(
            "link add {port} address fe:00:00:00:{:02x}:{port_number:02x} type veth peer name \
             {interface} netns {} address 02:00:00:00:{:02x}:{port_number:02x}",
            lan.number,
            host.netns(),
            lan.number
        ));
        for address in addresses {
            host.ip(&format!("address add {address} dev {interface}"));
        }
        host.ip(&format!("link set {interface} up"));
        self.bridges
            .ip(&format!("link set {port} master {} up", lan.name));
        // The kernel tells of the carrier up to a second later, and only then makes the link-local
        // address.
        until("the carrier", within(5.0), || {
            let link = host.ip_json(&format!("link show dev {interface}"));
            (link[0]["operstate"] == "UP").then_some(())
        });
        let index = self
            .bridges
            .inside(|| sys::interface_index(port).expect("port"));
        lan.ports
            .lock()
            .unwrap()
            .insert(index, (host.name().to_owned(), port.to_owned()));
    }

    /// Deletes the namespace of `host` by its name, as `ip netns delete` does.
    ///
    /// # Panics
    /// Where that fails.
    pub fn delete(&self, host: &Host) {
        command_output(Command::new("ip").args(["netns", "delete", host.netns()]))
            .unwrap_or_else(|error| panic!("{}: {error}", host.netns()));
    }

    /// Makes the namespace of a host that was deleted again, by the same name, without interfaces.
    pub fn make_again(&self, host: &Host) {
        command_output(Command::new("ip").args(["netns", "add", host.netns()]))
            .unwrap_or_else(|error| panic!("{}: {error}", host.netns()));
        host.ip("link set lo up");
        host.sysctl("ipv6/conf/default/accept_dad", "0");
    }

    /// A directory of this laboratory, removed with it.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        remove(&self.tag);
        STEPS.lock().unwrap().retain(|(tag, _)| *tag != self.tag);
        drop(std::fs::remove_dir_all(&self.dir));
    }
}

/// A LAN.
pub struct Lan {
    name: String,
    number: u8,
    bridges: Host,
    ports: Arc<Mutex<HashMap<i32, (String, String)>>>,
}

impl Lan {
    /// Captures every frame that a host sends into this LAN, once, with the host's name as port.
    #[must_use]
    pub fn capture(&self) -> Capture {
        self.capture_by(|_| ())
    }

    fn capture_by(&self, prepare: impl FnOnce(&OwnedFd)) -> Capture {
        let ports = Arc::clone(&self.ports);
        let socket = self
            .bridges
            .inside(|| sys::packet_socket(0, true, true).expect("capture socket"));
        prepare(&socket);
        Capture::start(&format!("LAN {}", self.name), socket, move |index| {
            ports
                .lock()
                .unwrap()
                .get(&index)
                .map(|(host, _)| host.clone())
        })
    }

    /// The same without the frames that have this Ethernet source, so that a flood of them costs the
    /// capture nothing.
    #[must_use]
    pub fn capture_without(&self, mac: Mac) -> Capture {
        self.capture_by(|socket| sys::ignore_source(socket, mac.0).expect("filter"))
    }

    /// From now on a kernel thread of its own handles what `host` sends into the LAN, as if the LAN were
    /// another machine ([`Host::handle_apart`]).
    pub fn handle_apart(&self, host: &Host) {
        self.bridges.handle_apart(&self.port_of(host));
    }

    /// Takes `host` off the LAN without its link going down.
    pub fn cut(&self, host: &Host) {
        self.bridges
            .ip(&format!("link set {} nomaster", self.port_of(host)));
    }

    /// Puts `host` back on the LAN.
    pub fn heal(&self, host: &Host) {
        self.bridges.ip(&format!(
            "link set {} master {}",
            self.port_of(host),
            self.name
        ));
    }

    /// Sets the switch's end of the cable of `host` down or up: the host's carrier follows.
    pub fn carrier(&self, host: &Host, on: bool) {
        let state = if on { "up" } else { "down" };
        self.bridges
            .ip(&format!("link set {} {state}", self.port_of(host)));
    }

    /// Whether the kernel still has a cable of `host`: it goes with the namespace of the host, when
    /// nobody holds that any more.
    #[must_use]
    pub fn has_cable(&self, host: &Host) -> bool {
        let there = self.bridges.interfaces();
        let ports = self.ports.lock().unwrap();
        let mut ports = ports.values().filter(|(name, _)| name == host.name());
        ports.any(|(_, port)| there.contains(port))
    }

    /// Name of the port of `host`.
    fn port_of(&self, host: &Host) -> String {
        let ports = self.ports.lock().unwrap();
        ports
            .values()
            .find(|(name, _)| name == host.name())
            .unwrap_or_else(|| panic!("{} is not on {}", host.name(), self.name))
            .1
            .clone()
    }
}

/// First address of a list such as `["10.0.0.1/24"]` without its prefix length.
#[must_use]
pub fn address_of(text: &str) -> IpAddr {
    text.split('/')
        .next()
        .and_then(|text| text.parse().ok())
        .expect("an address")
}

/// Makes the namespace of a host.
fn make_host(tag: &str, name: &str) -> Host {
    let netns = format!("{tag}-{name}");
    command_output(Command::new("ip").args(["netns", "add", &netns]))
        .unwrap_or_else(|error| panic!("cannot make namespace {netns}: {error}"));
    LIVE.lock().unwrap().push(netns.clone());
    Host::new(name, &netns)
}

/// Kills what runs in the namespaces that begin with `tag` and removes them.
fn remove(tag: &str) {
    let mine: Vec<String> = {
        let mut live = LIVE.lock().unwrap();
        let (mine, others) = live.drain(..).partition(|name| {
            name.strip_prefix(tag)
                .is_some_and(|rest| rest.starts_with('-'))
        });
        *live = others;
        mine
    };
    for netns in &mine {
        remove_netns(netns);
    }
}

/// Kills what runs in `netns`, process by process, and removes it.
fn remove_netns(netns: &str) {
    if let Ok(pids) = command_output(Command::new("ip").args(["netns", "pids", netns])) {
        for pid in pids.split_whitespace().filter_map(|text| text.parse().ok()) {
            // It may be gone already, which is what was wanted.
            drop(sys::kill(pid, libc::SIGKILL));
        }
    }
    drop(command_output(
        Command::new("ip").args(["netns", "del", netns]),
    ));
}

/// Removes what runs left behind whose process is gone.
fn sweep() {
    for directory in ["/run/netns".into(), std::env::temp_dir()] {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(pid) = name
                .strip_prefix(PREFIX)
                .and_then(|rest| rest.split('-').next())
            else {
                continue;
            };
            if Path::new("/proc").join(pid).exists() {
                continue;
            }
            if directory.ends_with("netns") {
                remove_netns(&name);
            } else {
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// Removes all laboratories of this process, which is about to end.
pub fn remove_all() {
    if let Ok(live) = LIVE.try_lock() {
        for netns in live.iter() {
            remove_netns(netns);
        }
    }
    let steps = STEPS.lock().unwrap_or_else(|error| error.into_inner());
    for (tag, _) in steps.iter() {
        drop(std::fs::remove_dir_all(std::env::temp_dir().join(tag)));
    }
}

/// Starts the thread that ends the whole process when the test lasts longer than `limit`. It
/// stops when the sender is dropped.
fn start_watchdog(test: &str, tag: &str, limit: Duration) -> Sender<()> {
    let (alive, dropped) = channel::<()>();
    let (test, tag) = (test.to_owned(), tag.to_owned());
    std::thread::spawn(move || {
        if dropped.recv_timeout(limit) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        // Not eprintln!, which the test harness would keep for a test that never ends.
        let mut out = std::io::stderr();
        drop(writeln!(
            out,
            "\nwatchdog: test {test} ({tag}) hangs, {limit:?} are over"
        ));
        if let Ok(steps) = STEPS.try_lock() {
            for (other, step) in steps.iter() {
                let mark = if *other == tag { ">" } else { " " };
                drop(writeln!(out, "{mark} {other}: {step}"));
            }
        }
        if let Ok(pending) = crate::deadline::PENDING.try_lock() {
            for what in pending.iter() {
                drop(writeln!(out, "  waiting: {what}"));
            }
        }
        crate::process::print_logs(&mut out);
        remove_all();
        std::process::exit(101);
    });
    alive
}

/// Makes sure that namespaces can be made: without root the process starts itself again in a user
/// namespace.
///
/// # Panics
/// Where that is not permitted either.
fn become_root() {
    static TRY: Once = Once::new();
    if sys::is_root() {
        return;
    }
    TRY.call_once(|| {
        assert!(
            std::env::var_os(IN_USER_NAMESPACE).is_none(),
            "not root although in a user namespace"
        );
        let script = "mount -t tmpfs tmpfs /run && exec \"$@\"";
        let error = Command::new("unshare")
            .args([
                "-Urnm",
                "--propagation",
                "private",
                "sh",
                "-c",
                script,
                "sh",
            ])
            .arg(std::env::current_exe().expect("path of this program"))
            .args(std::env::args_os().skip(1))
            .env(IN_USER_NAMESPACE, "1")
            .exec();
        panic!(
            "these tests make network namespaces: run them as root, or where unprivileged user \
             namespaces are permitted (unshare: {error})"
        );
    });
}

/// Whether the tests run in a user namespace instead of as root, where eBPF is not permitted.
#[must_use]
pub fn in_user_namespace() -> bool {
    std::env::var_os(IN_USER_NAMESPACE).is_some()
}
