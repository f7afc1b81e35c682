//! A host: a network namespace and what can be asked of its kernel.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::process::{Command, Output};
use std::sync::Arc;

use serde_json::Value;

use crate::capture::Capture;
use crate::deadline::{until, within};
use crate::flood::Flood;
use crate::frame::Mac;
use crate::inject::Injector;
use crate::sys;
use crate::sys::bulk::Way;

/// A host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host(Arc<Names>);

#[derive(Debug)]
struct Names {
    name: String,
    netns: String,
}

impl Host {
    pub(crate) fn new(name: &str, netns: &str) -> Self {
        Self(Arc::new(Names {
            name: name.to_owned(),
            netns: netns.to_owned(),
        }))
    }

    /// Short name, as in the test.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Name under /run/netns.
    #[must_use]
    pub fn netns(&self) -> &str {
        &self.0.netns
    }

    /// A command that will run on this host. Its process id is that of the program itself.
    #[must_use]
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.netns()]).arg(program);
        command
    }

    /// Runs `program` and returns its stdout.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        command_output(self.command(program).args(arguments)).unwrap_or_else(|error| {
            panic!(
                "{}: {program} {}: {error}",
                self.name(),
                arguments.join(" ")
            )
        })
    }

    /// Runs `ip` with the words of `line`.
    ///
    /// # Panics
    /// Where it fails.
    #[track_caller]
    pub fn ip(&self, line: &str) -> String {
        command_output(
            Command::new("ip")
                .args(["-n", self.netns()])
                .args(line.split_whitespace()),
        )
        .unwrap_or_else(|error| panic!("{}: ip {line}: {error}", self.name()))
    }

    /// Runs several commands of `ip` in one process, faster than anybody can look between.
    ///
    /// # Panics
    /// Where one fails.
    #[track_caller]
    pub fn ip_batch(&self, lines: &[&str]) {
        let mut command = Command::new("ip");
        command.args(["-n", self.netns(), "-batch", "-"]);
        let mut child = command
            .stdin(std::process::Stdio::piped())
            .spawn()
            .expect("ip -batch");
        let mut input = child.stdin.take().expect("stdin");
        io::Write::write_all(&mut input, format!("{}\n", lines.join("\n")).as_bytes())
            .expect("lines for ip -batch");
        drop(input);
        let status = child.wait().expect("ip -batch");
        assert!(status.success(), "{}: {lines:?}: {status}", self.name());
    }

    /// From now on a kernel thread of its own handles what arrives at a veth interface of this host
    /// (threaded NAPI, Documentation/networking/napi.rst), and not whoever sends it in his time.
    ///
    /// # Panics
    /// Where the kernel cannot do that.
    #[track_caller]
    pub fn handle_apart(&self, interface: &str) {
        // veth polls only with GRO, and only for a sender that does not segment by itself.
        self.run("ethtool", &["-K", interface, "gro", "on", "tso", "off"]);
        // Only who polls can be asked.
        let script = format!("echo 1 > /sys/class/net/{interface}/threaded");
        self.run("sh", &["-c", &script]);
        // A queue waits for the thread; without one, as veth has by itself, frames would be lost.
        self.run(
            "tc",
            &["qdisc", "replace", "dev", interface, "root", "pfifo"],
        );
    }

    /// What `ip -j` says; null where it says nothing or fails.
    #[must_use]
    pub fn ip_json(&self, line: &str) -> Value {
        command_output(
            Command::new("ip")
                .args(["-n", self.netns(), "-j"])
                .args(line.split_whitespace()),
        )
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
    }

    /// Runs `f` in a thread inside the namespace.
    ///
    /// # Panics
    /// Where `f` does or the namespace cannot be entered.
    pub fn inside<T: Send>(&self, f: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.netns());
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let file = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
                    sys::enter_netns(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
                    f()
                })
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// A packet socket that takes what this host sends by these interfaces, with the time when it
    /// leaves, or hears there, and the indices of the interfaces in their order.
    ///
    /// # Panics
    /// Where there is no such interface.
    #[must_use]
    pub fn tap(&self, interfaces: &[String], way: Way) -> (OwnedFd, Vec<i32>) {
        let tap = self.inside(|| {
            let indices = interfaces.iter().map(|name| sys::interface_index(name));
            let indices = indices.collect::<io::Result<Vec<i32>>>()?;
            let socket = sys::packet_socket(0, true, way == Way::Heard)?;
            sys::bulk::keep_many(&socket)?;
            sys::bulk::take_only(&socket, &indices, way)?;
            io::Result::Ok((socket, indices))
        });
        tap.unwrap_or_else(|error| panic!("{}: tap: {error}", self.name()))
    }

    /// Writes the sysctl `/proc/sys/net/PATH`.
    #[track_caller]
    pub fn sysctl(&self, path: &str, value: &str) {
        self.inside(|| {
            std::fs::write(format!("/proc/sys/net/{path}"), value)
                .unwrap_or_else(|error| panic!("sysctl {path} = {value}: {error}"));
        });
    }

    /// Reads the sysctl `/proc/sys/net/PATH`; none where it does not exist.
    #[must_use]
    pub fn read_sysctl(&self, path: &str) -> Option<String> {
        self.inside(|| std::fs::read_to_string(format!("/proc/sys/net/{path}")).ok())
            .map(|text| text.trim().to_owned())
    }

    /// Ethernet address of `interface`.
    ///
    /// # Panics
    /// Where there is no such interface.
    #[must_use]
    pub fn mac(&self, interface: &str) -> Mac {
        let links = self.ip_json(&format!("link show dev {interface}"));
        let text = links[0]["address"].as_str().unwrap_or_default();
        Mac::parse(text)
    }

    /// Names of all interfaces, sorted.
    #[must_use]
    pub fn interfaces(&self) -> Vec<String> {
        let text = self.inside(|| std::fs::read_to_string("/proc/thread-self/net/dev"));
        let text = text.expect("interfaces");
        let names = text.lines().filter_map(|line| line.split_once(':'));
        let mut names: Vec<String> = names.map(|(name, _)| name.trim().to_owned()).collect();
        names.sort();
        names
    }

    /// The interfaces that carry `address`.
    #[must_use]
    pub fn carriers_of(&self, address: IpAddr) -> Vec<String> {
        let links = self.ip_json("address show");
        let carries = |link: &Value| {
            link["addr_info"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|info| {
                    info["local"].as_str().and_then(|text| text.parse().ok()) == Some(address)
                })
        };
        links
            .as_array()
            .into_iter()
            .flatten()
            .filter(|link| carries(link))
            .filter_map(|link| Some(link["ifname"].as_str()?.to_owned()))
            .collect()
    }

    /// Waits until an interface carries `address`: a virtual router is Master before its driver has
    /// put it there.
    #[track_caller]
    pub fn wait_until_carried(&self, address: IpAddr) {
        until(&format!("{address} is there"), within(5.0), || {
            (!self.carriers_of(address).is_empty()).then_some(())
        });
    }

    /// All addresses of `interface`, in the kernel's order.
    #[must_use]
    pub fn addresses(&self, interface: &str) -> Vec<IpAddr> {
        let links = self.ip_json(&format!("address show dev {interface}"));
        let address = |info: &Value| info["local"].as_str().and_then(|text| text.parse().ok());
        let links = links.as_array().into_iter().flatten();
        links
            .flat_map(|link| link["addr_info"].as_array().into_iter().flatten())
            .filter_map(address)
            .collect()
    }

    /// The first IPv4 address of `interface`.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn address(&self, interface: &str) -> Ipv4Addr {
        self.addresses(interface)
            .into_iter()
            .find_map(|address| match address {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .unwrap_or_else(|| panic!("{} {interface} has no IPv4 address", self.name()))
    }

    /// The link-local address of `interface`.
    ///
    /// # Panics
    /// Where it has none.
    #[must_use]
    pub fn link_local(&self, interface: &str) -> Ipv6Addr {
        self.addresses(interface)
            .into_iter()
            .find_map(|address| match address {
                IpAddr::V6(address) => address.is_unicast_link_local().then_some(address),
                IpAddr::V4(_) => None,
            })
            .unwrap_or_else(|| panic!("{} {interface} has no link-local address", self.name()))
    }

    /// What the neighbour cache holds for `address`; none where nothing or nothing valid.
    #[must_use]
    pub fn neighbour(&self, address: IpAddr) -> Option<Mac> {
        let entries = self.ip_json(&format!("neigh show to {address}"));
        entries[0]["lladdr"].as_str().map(Mac::parse)
    }

    /// All IPv4 routes of all tables, one line each.
    #[must_use]
    pub fn routes(&self) -> Vec<String> {
        self.ip("-4 route show table all")
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }

    /// Captures what `interface` receives and sends.
    #[must_use]
    pub fn capture(&self, interface: &str) -> Capture {
        let socket = self.inside(|| {
            let index = sys::interface_index(interface).expect("interface");
            sys::packet_socket(index, true, false).expect("capture socket")
        });
        let port = interface.to_owned();
        Capture::start(&format!("{} {interface}", self.name()), socket, move |_| {
            Some(port.clone())
        })
    }

    /// Lets these frames arrive at `interface`, one kind after the other and again, as if its driver
    /// had received them by so many queues: `rate` in a second or as many as the machine can.
    #[must_use]
    pub fn flood_arriving(
        &self,
        interface: &str,
        frames: Vec<Vec<u8>>,
        rate: f64,
        queues: usize,
    ) -> Flood {
        Flood::arriving(self, interface, frames, rate, queues)
    }

    /// Sends these frames from `interface`, one after the other and again, as fast as the machine
    /// can, until it is told to stop.
    #[must_use]
    pub fn flood(&self, interface: &str, frames: Vec<Vec<u8>>) -> Flood {
        let socket = self.inside(|| {
            let index = sys::interface_index(interface).expect("interface");
            sys::packet_socket(index, false, false).expect("packet socket")
        });
        Flood::start(socket, frames)
    }

    /// Sends whole frames from `interface`.
    #[must_use]
    pub fn injector(&self, interface: &str) -> Injector {
        let socket = self.inside(|| {
            let index = sys::interface_index(interface).expect("interface");
            sys::packet_socket(index, false, false).expect("packet socket")
        });
        Injector::new(socket)
    }
}

/// Runs `command` to its end: stdout, or what it said on failure.
pub(crate) fn command_output(command: &mut Command) -> Result<String, String> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    if !status.success() {
        return Err(format!(
            "{status}: {}",
            String::from_utf8_lossy(&stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
