//! The daemon behind a socket, and what it says.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use rvrrpadm::{Client, Error};
use serde_json::Value;

use super::Finding;
use super::Verdict::{Bad, Good, Warning};
use super::host::Host;

/// Reasons why a virtual router does not run that somebody wanted or that pass by themselves.
const WANTED: &[&str] = &["disabled", "stopping"];

/// What is at a socket.
#[derive(Debug)]
pub(super) struct Daemon {
    /// The socket.
    pub(super) socket: PathBuf,
    state: State,
    /// Process id of who listens there, as seen from here.
    pub(super) process: Option<u32>,
    /// The configuration file that it uses.
    pub(super) conf: Option<PathBuf>,
    routers: Vec<Value>,
}

#[derive(Debug)]
enum State {
    Answers,
    /// There is no socket.
    Absent,
    /// There is something else.
    NoSocket,
    /// Nobody listens.
    LeftOver,
    Fails(Error),
}

impl Daemon {
    /// The daemon at the first of these sockets that is there.
    pub(super) fn at(host: &Host, sockets: &[PathBuf]) -> Self {
        let there = sockets.iter().find(|it| host.path(it).exists());
        let socket = there
            .or_else(|| sockets.first())
            .cloned()
            .unwrap_or_default();
        let mut daemon = Self {
            socket,
            state: State::Answers,
            process: None,
            conf: None,
            routers: Vec::new(),
        };
        if let Err(state) = daemon.ask(host) {
            daemon.state = state;
        }
        daemon
    }

    /// Whether it does.
    pub(super) const fn answers(&self) -> bool {
        matches!(self.state, State::Answers)
    }

    fn ask(&mut self, host: &Host) -> Result<(), State> {
        let path = host.path(&self.socket);
        let metadata = fs::metadata(&path).map_err(|_| State::Absent)?;
        if !metadata.file_type().is_socket() {
            return Err(State::NoSocket);
        }
        let client = Client::unix(&path);
        let failed = |error: Error| match &error {
            Error::Unreachable { source, .. }
                if source.kind() == io::ErrorKind::ConnectionRefused =>
            {
                State::LeftOver
            }
            _ => State::Fails(error),
        };
        let global: Value = client.read("/run/global").map_err(failed)?;
        self.routers = client.read("/run/vrrp").map_err(failed)?;
        let conf = global.get("config").and_then(Value::as_str);
        self.conf = conf.map(PathBuf::from);
        // One of another process namespace is not seen.
        self.process = client.process().ok();
        Ok(())
    }

    /// What there is to say about the socket and about the virtual routers behind it.
    pub(super) fn findings(&self, host: &Host) -> Vec<Finding> {
        let subject = self.socket.display().to_string();
        let first = match (&self.state, runs(host)) {
            (State::Answers, _) => {
                let message = match self.process {
                    Some(process) => format!("the daemon listens (process {process})"),
                    None => "the daemon listens".to_owned(),
                };
                Finding::new(Good, subject, message)
            }
            (State::NoSocket, _) => Finding::new(Bad, subject, "is no socket"),
            (State::LeftOver, _) => Finding::new(Bad, subject, "is left over: nobody listens"),
            (State::Fails(error), _) => Finding::new(Bad, subject, error.to_string()),
            (State::Absent, None) => Finding::new(Warning, subject, "rvrrpd does not run"),
            (State::Absent, Some((process, true))) => {
                let message = format!(
                    "is not there, although rvrrpd runs (process {process}): has it another \
                     configuration? -s names its socket"
                );
                Finding::new(Bad, subject, message)
            }
            (State::Absent, Some((process, false))) => {
                let message = format!(
                    "rvrrpd does not run in this network namespace; process {process} does in \
                     another one"
                );
                Finding::new(Warning, subject, message)
            }
        };
        let mut findings = vec![first];
        findings.extend(self.routers.iter().filter_map(not_ready));
        findings
    }
}

/// A daemon that runs, and whether it may be in this network namespace; one that is goes first.
fn runs(host: &Host) -> Option<(u32, bool)> {
    let own = host.inode("/proc/self/ns/net");
    let here = |process: u32| {
        let its = host.inode(&format!("/proc/{process}/ns/net"));
        own.is_none() || its.is_none() || own == its
    };
    let processes = host.processes().into_iter();
    let daemons = processes.filter(|(_, name)| name == "rvrrpd");
    daemons
        .map(|(process, _)| (process, here(process)))
        .max_by_key(|(_, here)| *here)
}

/// A virtual router that cannot run.
fn not_ready(router: &Value) -> Option<Finding> {
    let reasons = router.get("not_ready")?.as_array()?;
    let reasons: Vec<&str> = reasons
        .iter()
        .filter_map(Value::as_str)
        .filter(|reason| !WANTED.contains(reason))
        .collect();
    if reasons.is_empty() {
        return None;
    }
    let text = |key: &str| router.get(key).and_then(Value::as_str).unwrap_or_default();
    let link = router.get("parent").and_then(Value::as_str);
    let link = link.unwrap_or_else(|| text("interface"));
    let message = format!("does not run on {link}: {}", reasons.join(", "));
    let subject = format!("virtual router {}", text("name"));
    Some(Finding::new(Bad, subject, message))
}

/// The configuration file that is looked at: that of the daemon where no other is asked for.
pub(super) fn conf<'p>(asked: Option<&'p Path>, daemon: &'p Daemon) -> &'p Path {
    asked
        .or(daemon.conf.as_deref())
        .unwrap_or_else(|| "/etc/rvrrpd.conf".as_ref())
}
