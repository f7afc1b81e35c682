//! What a client sees: ping through the virtual address, ARP replies.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::capture::Capture;
use crate::deadline::{Deadline, until, within};
use crate::frame::{Arp, Icmp, Mac};
use crate::host::Host;
use crate::sys::{self, Stamp};

/// Identifier of the next series of echo requests.
static IDENTIFIER: AtomicU16 = AtomicU16::new(0x7000);

/// How long replies are waited for after the last request.
const LAST_REPLIES: Duration = Duration::from_millis(200);

/// One echo request.
#[derive(Clone, Copy, Debug)]
pub struct Echo {
    /// Its sequence number.
    pub sequence: u16,
    /// When it was sent.
    pub sent: Stamp,
    /// When its reply came.
    pub answered: Option<Stamp>,
}

/// Pings an address at a fixed interval until stopped.
pub struct Pinger {
    echoes: Arc<Mutex<Vec<Echo>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pinger {
    /// Pings `target` from `host` through its own routes every `interval`.
    ///
    /// # Panics
    /// Where no raw socket can be had.
    #[must_use]
    pub fn start(host: &Host, target: Ipv4Addr, interval: Duration) -> Self {
        let socket = host.inside(|| sys::icmp_socket().expect("ICMP socket"));
        let echoes = Arc::<Mutex<Vec<Echo>>>::default();
        let stop = Arc::<AtomicBool>::default();
        let identifier = IDENTIFIER.fetch_add(1, Ordering::Relaxed);
        let thread = {
            let (echoes, stop) = (Arc::clone(&echoes), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                let mut due = Instant::now();
                let mut sequence = 0_u16;
                let mut end: Option<Instant> = None;
                while end.is_none_or(|end| Instant::now() < end) {
                    if end.is_none() && stop.load(Ordering::Relaxed) {
                        end = Some(Instant::now() + LAST_REPLIES);
                    }
                    if end.is_none() && Instant::now() >= due {
                        let sent = Stamp::now();
                        echoes.lock().unwrap().push(Echo {
                            sequence,
                            sent,
                            answered: None,
                        });
                        // A failure (no route, no neighbour) is a lost ping and counted as such.
                        drop(sys::send_to(
                            &socket,
                            &Icmp::echo(identifier, sequence),
                            target,
                        ));
                        sequence = sequence.wrapping_add(1);
                        due += interval;
                    }
                    let wait = due.saturating_duration_since(Instant::now()).as_millis();
                    let received = sys::receive(&socket, &mut buffer, (wait as i32).max(1));
                    let Ok(Some(received)) = received else {
                        continue;
                    };
                    let Some(answer) = reply(&buffer[..received.length], identifier) else {
                        continue;
                    };
                    let mut echoes = echoes.lock().unwrap();
                    if let Some(echo) = echoes.iter_mut().rev().find(|e| e.sequence == answer) {
                        echo.answered.get_or_insert(received.stamp);
                    }
                }
            })
        };
        Self {
            echoes,
            stop,
            thread: Some(thread),
        }
    }

    /// Waits until a ping that was sent after `start` is answered.
    #[track_caller]
    pub fn wait_answer(&self, start: Stamp, deadline: Deadline) -> Echo {
        until("a ping is answered", deadline, || {
            let echoes = self.echoes.lock().unwrap();
            echoes
                .iter()
                .find(|echo| echo.sent >= start && echo.answered.is_some())
                .copied()
        })
    }

    /// Stops and returns every ping that was sent. Replies to the last ones are waited for.
    #[must_use]
    pub fn stop(mut self) -> Vec<Echo> {
        self.finish();
        self.echoes.lock().unwrap().clone()
    }

    fn finish(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

impl Drop for Pinger {
    fn drop(&mut self) {
        self.finish();
    }
}

/// The sequence number of an echo reply to `identifier` in an IPv4 packet.
fn reply(packet: &[u8], identifier: u16) -> Option<u16> {
    let icmp = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let mine = icmp.first() == Some(&0) && icmp.get(4..6)? == identifier.to_be_bytes();
    mine.then_some(u16::from_be_bytes([*icmp.get(6)?, *icmp.get(7)?]))
}

/// The pings without reply, as a time: from the first of a row that was lost to the first that
/// was answered after it; the longest such row.
#[must_use]
pub fn longest_outage(echoes: &[Echo]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut began: Option<Stamp> = None;
    for echo in echoes {
        match (echo.answered, began) {
            (None, None) => began = Some(echo.sent),
            (Some(_), Some(start)) => {
                longest = longest.max(echo.sent.since(start));
                began = None;
            }
            _ => {}
        }
    }
    if let (Some(start), Some(last)) = (began, echoes.last()) {
        longest = longest.max(last.sent.since(start));
    }
    longest
}

/// Sequence numbers of the pings without reply.
#[must_use]
pub fn lost(echoes: &[Echo]) -> Vec<u16> {
    echoes
        .iter()
        .filter(|echo| echo.answered.is_none())
        .map(|echo| echo.sequence)
        .collect()
}

/// Asks `requests` times by ARP who has `target`, from `eth0` of `client`, and returns for each
/// request who answered (host, sender hardware address).
#[must_use]
pub fn arping(
    lan: &Capture,
    client: &Host,
    target: Ipv4Addr,
    requests: usize,
) -> Vec<Vec<(String, Mac)>> {
    let (mac, sender) = (client.mac("eth0"), client.address("eth0"));
    let injector = client.injector("eth0");
    (0..requests)
        .map(|_| {
            let start = Stamp::now();
            injector.send(&Arp::request(mac, sender, target));
            let answers =
                |frame: &crate::frame::Frame| frame.arp().is_some_and(|arp| arp.answers(target));
            lan.answers(start, answers)
                .into_iter()
                .filter_map(|frame| Some((frame.port.clone(), frame.arp()?.sender_mac)))
                .collect()
        })
        .collect()
}

/// Sends `count` echo requests for `target` in frames to `mac`, whatever the neighbour cache says,
/// and returns how many came back to `client`.
#[must_use]
pub fn ping_mac(lan: &Capture, client: &Host, mac: Mac, target: Ipv4Addr, count: u16) -> usize {
    let (own, source) = (client.mac("eth0"), client.address("eth0"));
    let injector = client.injector("eth0");
    let identifier = IDENTIFIER.fetch_add(1, Ordering::Relaxed);
    let start = Stamp::now();
    for sequence in 0..count {
        injector.send(&Icmp::echo_frame(
            (own, mac),
            (source, target),
            identifier,
            sequence,
        ));
    }
    let quiet = Duration::from_millis(300);
    let is_reply = |frame: &crate::frame::Frame| {
        frame.icmp().is_some_and(|icmp| {
            icmp.kind == 0
                && icmp.identifier == identifier
                && icmp.destination == IpAddr::V4(source)
        })
    };
    lan.until_quiet(start, quiet, within(5.0), is_reply).len()
}
