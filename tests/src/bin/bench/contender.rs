//! The daemons that are compared, and how each is told the same.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{self, Files, Vrouter, config};

use crate::round::Load;

/// A daemon.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Contender {
    Rvrrpd,
    Keepalived,
}

impl Contender {
    pub(crate) const ALL: [Self; 2] = [Self::Rvrrpd, Self::Keepalived];

    /// Writes the configuration of `host`. One router, the first, has `first` as its priority.
    pub(crate) fn configure(self, lab: &Lab, host: &Host, load: Load, priority: u8, first: u8) {
        let text = match self {
            Self::Rvrrpd => rvrrpd(load, priority, first),
            Self::Keepalived => keepalived(load, priority, first),
        };
        match self {
            Self::Rvrrpd => Files::of(lab, host).write(&text),
            Self::Keepalived => {
                std::fs::write(keepalived_file(lab, host, "conf"), text).expect("configuration");
            }
        }
    }

    /// Starts it on `host`.
    pub(crate) fn start(self, lab: &Lab, host: &Host) -> Process {
        let command = match self {
            Self::Rvrrpd => {
                let mut command = rvrrpd::command_on(host);
                let config = Files::of(lab, host).config;
                command.args(["-m", "1", "-c"]).arg(config);
                command
            }
            Self::Keepalived => {
                let name = std::env::var("KEEPALIVED").unwrap_or_else(|_| "keepalived".into());
                let mut command = host.command(name);
                command.args(["-n", "-l", "-P", "-G"]);
                for (option, end) in [("-f", "conf"), ("-p", "pid"), ("-r", "vrrp.pid")] {
                    command.arg(option).arg(keepalived_file(lab, host, end));
                }
                command
            }
        };
        Process::start(&format!("{self} on {}", host.name()), command)
    }

    /// Interfaces that it made and that are still there.
    pub(crate) fn interfaces_left(self, host: &Host) -> usize {
        let interfaces = host.interfaces();
        let is_ours = |name: &&String| *name != "lo" && !name.starts_with("eth");
        interfaces.iter().filter(is_ours).count()
    }
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rvrrpd => "rvrrpd",
            Self::Keepalived => "keepalived",
        })
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|one| one.to_string() == text);
        known.ok_or_else(|| format!("{text}: rvrrpd or keepalived"))
    }
}

fn rvrrpd(load: Load, priority: u8, first: u8) -> String {
    let vrouters: Vec<Vrouter> = load
        .each()
        .enumerate()
        .map(|(number, (interface, vrid))| {
            Vrouter::new(vrid, &[&Load::vip(interface, vrid).to_string()])
                .text("interface", &format!("eth{interface}"))
                .macvlan()
                .text("vifname", &format!("v{interface}.{vrid}"))
                .interval(load.interval.as_secs_f64())
                .preemption(true)
                .priority(if number == 0 { first } else { priority })
        })
        .collect();
    config(&vrouters)
}

fn keepalived(load: Load, priority: u8, first: u8) -> String {
    let mut text = String::from(
        "global_defs {\n  vrrp_garp_master_repeat 1\n  vrrp_garp_master_delay 0\n  \
         vrrp_version 3\n}\n",
    );
    let interval = load.interval.as_secs_f64();
    for (number, (interface, vrid)) in load.each().enumerate() {
        let priority = if number == 0 { first } else { priority };
        let vip = Load::vip(interface, vrid);
        let _ = write!(
            text,
            "vrrp_instance V{interface}.{vrid} {{\n  state BACKUP\n  interface eth{interface}\n  \
             virtual_router_id {vrid}\n  priority {priority}\n  advert_int {interval}\n  \
             use_vmac v{interface}.{vrid}\n  virtual_ipaddress {{\n    {vip}/32\n  }}\n}}\n"
        );
    }
    text
}

fn keepalived_file(lab: &Lab, host: &Host, end: &str) -> PathBuf {
    lab.dir().join(format!("keepalived-{}.{end}", host.name()))
}
