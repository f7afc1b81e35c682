//! keepalived as a peer.

use std::path::PathBuf;

use crate::deadline::{Deadline, within};
use crate::host::Host;
use crate::lab::Lab;
use crate::process::Process;

/// Where keepalived is.
const PATHS: [&str; 2] = ["/usr/local/sbin/keepalived", "/usr/sbin/keepalived"];

/// A running keepalived, VRRP alone.
#[derive(Debug)]
pub struct Keepalived(Process);

/// Whether keepalived is installed.
#[must_use]
pub fn installed() -> bool {
    PATHS.iter().any(|path| PathBuf::from(path).exists())
}

/// Whether this keepalived has `v3_checksum_as_v2` (2.3.0 and later); one that has not always uses
/// a pseudo-header.
#[must_use]
pub fn can_choose_checksum() -> bool {
    let option = b"v3_checksum_as_v2";
    PATHS
        .iter()
        .filter_map(|path| std::fs::read(path).ok())
        .any(|program| program.windows(option.len()).any(|window| window == option))
}

/// One `vrrp_instance` on `eth0`.
#[derive(Clone, Debug)]
pub struct Instance {
    /// VRRP version.
    pub version: u8,
    /// VRID.
    pub vrid: u8,
    /// Priority.
    pub priority: u8,
    /// Advertisement interval in seconds.
    pub interval: f64,
    /// Password of authentication type 1; behind `AH:`, of type 2.
    pub password: Option<String>,
    /// With a virtual MAC.
    pub vmac: bool,
    /// More lines of the block.
    pub options: Vec<String>,
    /// Virtual addresses with prefix.
    pub vips: Vec<String>,
}

impl Instance {
    /// As the text of a configuration file.
    #[must_use]
    pub fn text(&self) -> String {
        let Self {
            version,
            vrid,
            priority,
            interval,
            password,
            vmac,
            options,
            vips,
        } = self;
        let options = options.join("\n  ");
        let vmac = if *vmac {
            format!("use_vmac vrrp.{vrid}")
        } else {
            String::new()
        };
        let auth = password.as_ref().map_or_else(String::new, |password| {
            let (kind, password) = match password.strip_prefix("AH:") {
                Some(password) => ("AH", password),
                None => ("PASS", password.as_str()),
            };
            format!("authentication {{\n    auth_type {kind}\n    auth_pass {password}\n  }}")
        });
        format!(
            "vrrp_instance V{vrid} {{\n  version {version}\n  state BACKUP\n  interface eth0\n  \
             virtual_router_id {vrid}\n  priority {priority}\n  advert_int {interval}\n  \
             {vmac}\n  {auth}\n  {options}\n  virtual_ipaddress {{\n    {}\n  }}\n}}\n",
            vips.join("\n    ")
        )
    }
}

impl Keepalived {
    /// Starts keepalived on `host` with these instances.
    #[must_use]
    pub fn start(lab: &Lab, host: &Host, instances: &[Instance]) -> Self {
        let path = |end: &str| lab.dir().join(format!("keepalived-{}.{end}", host.name()));
        let mut text = String::from(
            "global_defs {\n  vrrp_garp_master_repeat 1\n  vrrp_garp_master_delay 0\n}\n",
        );
        for instance in instances {
            text.push_str(&instance.text());
        }
        std::fs::write(path("conf"), text).expect("configuration of keepalived");
        let mut command = host.command("keepalived");
        command
            .args(["-n", "-l", "-D", "-P", "-G", "-f"])
            .arg(path("conf"));
        command
            .arg("-p")
            .arg(path("pid"))
            .arg("-r")
            .arg(path("vrrp.pid"));
        let process = Process::start(&format!("keepalived on {}", host.name()), command);
        Self(process)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.0
    }

    /// Waits until it has entered `state` (MASTER, BACKUP) after `mark` lines of its log.
    #[track_caller]
    pub fn wait_state(&self, vrid: u8, state: &str, mark: usize, deadline: Deadline) {
        let what = format!("instance V{vrid} enters {state}");
        self.0.log().wait_after(mark, &what, deadline, |line| {
            (line
                .text
                .contains(&format!("(V{vrid}) Entering {state} STATE")))
            .then_some(())
        });
    }

    /// Orderly stop.
    #[track_caller]
    pub fn stop(mut self) {
        self.0.signal(libc::SIGTERM);
        self.0.wait_exit(within(10.0));
    }

    /// SIGKILL to it and its child.
    pub fn kill(mut self) {
        self.0.kill();
    }
}
