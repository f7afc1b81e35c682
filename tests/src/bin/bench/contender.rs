//! The daemons that are compared, and how each is told the same.

use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::process::Command;
use std::str::FromStr;

use rvrrpd_tests::host::Host;
use rvrrpd_tests::lab::Lab;
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{self, Change, Files, State, Vrouter, config};

use crate::load::Load;

/// A daemon, on one of its data planes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Contender {
    /// rvrrpd on macvlans, as keepalived.
    Rvrrpd,
    /// rvrrpd with a virtual MAC that needs no interface.
    Ebpf,
    /// rvrrpd with the addresses on the interface itself, which keeps its Ethernet address: many
    /// virtual routers cannot share one.
    Ether,
    Keepalived,
}

impl Contender {
    pub(crate) const ALL: [Self; 4] = [Self::Rvrrpd, Self::Ebpf, Self::Ether, Self::Keepalived];
    /// Those that do the same in the same way.
    pub(crate) const PAIR: [Self; 2] = [Self::Rvrrpd, Self::Keepalived];

    /// Writes the configuration of `host`. One router, the first, has `first` as its priority.
    pub(crate) fn configure(self, lab: &Lab, host: &Host, load: Load, priority: u8, first: u8) {
        let text = match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => self.rvrrpd(load, priority, first),
            Self::Keepalived => keepalived(load, priority, first),
        };
        match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => Files::of(lab, host).write(&text),
            Self::Keepalived => {
                std::fs::write(keepalived_file(lab, host, "conf"), text).expect("configuration");
            }
        }
    }

    /// Starts it on `host`.
    pub(crate) fn start(self, lab: &Lab, host: &Host) -> Process {
        let command = match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => {
                let mut command = rvrrpd::command_on(host);
                let config = Files::of(lab, host).config;
                command.args(["-m", "1", "-c"]).arg(config);
                command
            }
            Self::Keepalived => {
                let mut command = host.command(keepalived_program());
                command.args(["-n", "-l", "-P", "-G"]);
                // A killed one leaves them behind; where nobody has taken note of its end yet, the
                // next one would believe that it runs.
                for (option, end) in [("-p", "pid"), ("-r", "vrrp.pid")] {
                    let file = keepalived_file(lab, host, end);
                    drop(std::fs::remove_file(&file));
                    command.arg(option).arg(file);
                }
                command.arg("-f").arg(keepalived_file(lab, host, "conf"));
                command
            }
        };
        Process::start(&format!("{self} on {}", host.name()), command)
    }

    /// The virtual router that has become Backup, if `line` of its log says so.
    pub(crate) fn became_backup(self, line: &str) -> Option<String> {
        match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => {
                let change = Change::parse(line)?;
                (change.to == State::Backup.to_string()).then_some(change.name)
            }
            Self::Keepalived => {
                let (name, _) = line.split_once(") Entering BACKUP STATE")?;
                Some(name.rsplit('(').next()?.to_owned())
            }
        }
    }

    fn rvrrpd(self, load: Load, priority: u8, first: u8) -> String {
        let vrouters: Vec<Vrouter> = load
            .each()
            .enumerate()
            .map(|(number, router)| {
                let (interface, vrid) = router;
                let vrouter = Vrouter::new(vrid, &[&Load::vip(router).to_string()])
                    .text("interface", &format!("eth{interface}"))
                    .interval(load.interval.as_secs_f64())
                    .preemption(true)
                    .priority(if number == 0 { first } else { priority });
                match self {
                    Self::Ebpf => vrouter.iftype("ebpf").key("accept_mode", false),
                    Self::Ether => vrouter.iftype("ether").key("virtual_mac", false),
                    Self::Rvrrpd | Self::Keepalived => vrouter
                        .macvlan()
                        .text("vifname", &format!("v{interface}.{vrid}")),
                }
            })
            .collect();
        config(&vrouters)
    }

    /// What it says of its version.
    pub(crate) fn version(self) -> String {
        let mut command = match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => Command::new(rvrrpd::program()),
            Self::Keepalived => Command::new(keepalived_program()),
        };
        let option = match self {
            Self::Rvrrpd | Self::Ebpf | Self::Ether => "-V",
            Self::Keepalived => "-v",
        };
        let said = command.arg(option).output().ok();
        let text = said.map_or_else(String::new, |said| {
            let (out, error) = (&said.stdout, &said.stderr);
            String::from_utf8_lossy(if out.is_empty() { error } else { out }).into_owned()
        });
        // What stands in brackets is a date or a commit.
        let line = text.lines().next().unwrap_or("unknown version");
        line.split(['(', ','])
            .next()
            .unwrap_or(line)
            .trim()
            .to_owned()
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
            Self::Ebpf => "ebpf",
            Self::Ether => "ether",
            Self::Keepalived => "keepalived",
        })
    }
}

impl FromStr for Contender {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|one| one.to_string() == text);
        known.ok_or_else(|| format!("{text}: rvrrpd, ebpf, ether or keepalived"))
    }
}

fn keepalived(load: Load, priority: u8, first: u8) -> String {
    let mut text = String::from(
        "global_defs {\n  vrrp_garp_master_repeat 1\n  vrrp_garp_master_delay 0\n  \
         vrrp_version 3\n}\n",
    );
    let interval = load.interval.as_secs_f64();
    for (number, router) in load.each().enumerate() {
        let priority = if number == 0 { first } else { priority };
        let (vip, (interface, vrid)) = (Load::vip(router), router);
        let _ = write!(
            text,
            "vrrp_instance V{interface}.{vrid} {{\n  state BACKUP\n  interface eth{interface}\n  \
             virtual_router_id {vrid}\n  priority {priority}\n  advert_int {interval}\n  \
             use_vmac v{interface}.{vrid}\n  virtual_ipaddress {{\n    {vip}/32\n  }}\n}}\n"
        );
    }
    text
}

/// Debian's, unless another one is asked for.
fn keepalived_program() -> String {
    let other = std::env::var("KEEPALIVED").ok();
    other
        .filter(|path| !path.is_empty())
        .unwrap_or_else(|| "keepalived".to_owned())
}

fn keepalived_file(lab: &Lab, host: &Host, end: &str) -> PathBuf {
    lab.dir().join(format!("keepalived-{}.{end}", host.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_logs_tell_who_became_backup() {
        let ours = "INFO VR 10.0.1.7 for group 7 on interface eth0 - Changed from Init to Backup";
        let theirs = "Sun Jan  1 00:00:00 2023: (V0.7) Entering BACKUP STATE (init)";
        assert_eq!(
            Contender::Rvrrpd.became_backup(ours).as_deref(),
            Some("eth0-7")
        );
        assert_eq!(
            Contender::Keepalived.became_backup(theirs).as_deref(),
            Some("V0.7")
        );
        let master = ours.replace("Backup", "Master");
        assert_eq!(Contender::Rvrrpd.became_backup(&master), None);
        let master = theirs.replace("BACKUP", "MASTER");
        assert_eq!(Contender::Keepalived.became_backup(&master), None);
    }
}
