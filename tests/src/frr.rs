//! FRR's vrrpd as a peer, with the zebra that it needs.
//!
//! Its virtual MAC is on a macvlan that the operator makes; this does it as FRR's manual says. It
//! runs in the host's namespace with files of its own; no service and no vtysh has a part in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::deadline::{Deadline, until, within};
use crate::family::Family;
use crate::frame::Mac;
use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;

/// Where Debian's package has its daemons.
const DIRECTORY: &str = "/usr/lib/frr";

/// A running vrrpd with its zebra. Dropping it kills both.
#[derive(Debug)]
pub struct Frr {
    vrrpd: Process,
    zebra: Process,
}

/// Whether FRR's vrrpd is installed.
#[must_use]
pub fn installed() -> bool {
    ["zebra", "vrrpd"]
        .iter()
        .all(|name| Path::new(DIRECTORY).join(name).exists())
}

/// Whether this vrrpd has `checksum-with-ipv4-pseudoheader`; one that has not always uses a
/// pseudo-header.
#[must_use]
pub fn can_choose_checksum() -> bool {
    let program = std::fs::read(Path::new(DIRECTORY).join("vrrpd")).unwrap_or_default();
    let option = b"checksum-with-ipv4-pseudoheader";
    program.windows(option.len()).any(|window| window == option)
}

/// One virtual router on `eth0`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// Address family.
    pub family: Family,
    /// VRRP version.
    pub version: u8,
    /// VRID.
    pub vrid: u8,
    /// Priority, at most 254.
    pub priority: u8,
    /// Advertisement interval in milliseconds.
    pub interval: u32,
    /// Virtual address without prefix.
    pub vip: String,
    /// `checksum-with-ipv4-pseudoheader`, or its `no` form; none: not written.
    pub pseudo_header: Option<bool>,
}

impl Instance {
    /// Name of its macvlan.
    fn macvlan(&self) -> String {
        let family = if self.family == Family::V4 { 4 } else { 6 };
        format!("vrrp{family}-{}", self.vrid)
    }

    /// Its lines below `interface eth0`.
    fn text(&self) -> String {
        let Self {
            version,
            vrid,
            priority,
            interval,
            vip,
            ..
        } = self;
        let kind = if self.family == Family::V4 {
            "ip"
        } else {
            "ipv6"
        };
        let checksum = match self.pseudo_header {
            None => String::new(),
            Some(true) => format!(" vrrp {vrid} checksum-with-ipv4-pseudoheader\n"),
            Some(false) => format!(" no vrrp {vrid} checksum-with-ipv4-pseudoheader\n"),
        };
        format!(
            " vrrp {vrid} version {version}\n vrrp {vrid} priority {priority}\n \
             vrrp {vrid} advertisement-interval {interval}\n{checksum} vrrp {vrid} {kind} {vip}\n"
        )
    }

    /// Makes its macvlan: bridge mode, the virtual MAC, no link-local address derived from that.
    fn prepare(&self, host: &Host) {
        let name = self.macvlan();
        if host.interfaces().contains(&name) {
            return;
        }
        let (mac, prefix) = match self.family {
            Family::V4 => (Mac::virtual_v4(self.vrid), 24),
            Family::V6 => (Mac::virtual_v6(self.vrid), 64),
        };
        host.ip(&format!(
            "link add {name} link eth0 address {mac} type macvlan mode bridge"
        ));
        host.sysctl(&format!("ipv6/conf/{name}/addr_gen_mode"), "3");
        host.ip(&format!("address add {}/{prefix} dev {name}", self.vip));
        host.ip(&format!("link set {name} up"));
    }
}

impl Frr {
    /// Starts zebra and vrrpd on `host` with these virtual routers.
    #[must_use]
    pub fn start(lab: &Lab, host: &Host, instances: &[Instance]) -> Self {
        for instance in instances {
            instance.prepare(host);
        }
        let directory = lab.dir().join(format!("frr-{}", host.name()));
        std::fs::create_dir_all(&directory).expect("directory of FRR");
        let text: String = instances.iter().map(Instance::text).collect();
        let write = |name: &str, text: &str| {
            std::fs::write(directory.join(name), text).expect("configuration of FRR");
        };
        write("zebra.conf", "");
        write(
            "vrrpd.conf",
            &format!("debug vrrp proto\ninterface eth0\n{text}"),
        );
        give(&directory);
        let socket = directory.join("zserv.api");
        // zebra takes its own away when it starts, not when it ends.
        let _none = std::fs::remove_file(&socket);
        let zebra = daemon(host, &directory, "zebra", &socket);
        until("zebra listens", within(10.0), || {
            socket.exists().then_some(())
        });
        let vrrpd = daemon(host, &directory, "vrrpd", &socket);
        Self { vrrpd, zebra }
    }

    /// The vrrpd.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.vrrpd
    }

    /// Waits until `vrid` has changed to `state` (Master, Backup) after `mark` lines of the log.
    #[track_caller]
    pub fn wait_state(&self, vrid: u8, state: &str, mark: usize, deadline: Deadline) {
        let what = format!("VRID {vrid} changes to {state}");
        let (whose, change) = (format!("[VRID {vrid}]"), format!("-> {state}"));
        self.vrrpd.log().wait_after(mark, &what, deadline, |line| {
            (line.text.contains(&whose) && line.text.ends_with(&change)).then_some(())
        });
    }

    /// Orderly stop.
    #[track_caller]
    pub fn stop(mut self) {
        self.vrrpd.signal(libc::SIGTERM);
        self.vrrpd.wait_exit(within(10.0));
        self.zebra.signal(libc::SIGTERM);
        self.zebra.wait_exit(within(10.0));
    }

    /// SIGKILL to both.
    pub fn kill(mut self) {
        self.vrrpd.kill();
        self.zebra.kill();
    }
}

/// Starts one of the daemons.
fn daemon(host: &Host, directory: &Path, name: &str, socket: &Path) -> Process {
    let path = |end: &str| -> PathBuf { directory.join(format!("{name}.{end}")) };
    let mut command = host.command(Path::new(DIRECTORY).join(name));
    command
        .arg("-f")
        .arg(path("conf"))
        .arg("-i")
        .arg(path("pid"));
    command.arg("-z").arg(socket);
    command.arg("--vty_socket").arg(directory);
    command.args(["-P", "0", "--log", "stdout", "--log-level", "debug"]);
    Process::start(&format!("{name} on {}", host.name()), command)
}

/// Gives the directory to the user that FRR's daemons become.
fn give(directory: &Path) {
    let status = Command::new("chown")
        .args(["-R", "frr:frr"])
        .arg(directory)
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "{} cannot be given to user frr",
        directory.display()
    );
}
