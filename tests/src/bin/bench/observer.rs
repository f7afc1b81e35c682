//! The observer: who said what on the LANs, with the kernel's time stamps, in little memory.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rvrrpd_tests::frame::{ARP, IPV4};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::sys::bulk::{self, Way};
use rvrrpd_tests::sys::{Stamp, dropped};

use crate::load::{Load, Router};

/// How long frames may wait for the observer.
const PAUSE: Duration = Duration::from_millis(5);

/// What a frame says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// An advertisement with this priority.
    Advert(u8),
    /// Gratuitous ARP.
    Announcement,
    /// An advertisement that has come in.
    Heard,
}

/// A frame of a virtual router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) at: Stamp,
    /// Number of the host that sent or heard it.
    pub(crate) host: u8,
    pub(crate) router: Router,
    pub(crate) word: Word,
}

/// Where the observer listens.
pub(crate) struct Ear<'a> {
    /// Number of the host whose words these are, or that hears them.
    pub(crate) host: u8,
    pub(crate) at: &'a Host,
    pub(crate) way: Way,
    /// Whether the host says what is heard there, or hears it.
    pub(crate) is_said: bool,
}

/// Takes down what the hosts say until it is dropped.
pub(crate) struct Observer {
    seen: Arc<Mutex<Vec<Sighting>>>,
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<u32>>,
}

impl Observer {
    /// Listens at `interfaces`, each of which is on the LAN with its number. Who is in a hurry takes
    /// the processors before others: not beside a daemon that is compared and has no more right to
    /// them than the observer.
    pub(crate) fn start(ears: &[Ear<'_>], interfaces: &[String], in_a_hurry: bool) -> Self {
        let taps: Vec<Tap> = ears.iter().map(|ear| Tap::new(ear, interfaces)).collect();
        let (seen, stop) = (Arc::default(), Arc::default());
        let reader = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            std::thread::spawn(move || {
                if in_a_hurry {
                    bulk::hurry().expect("priority of the observer");
                }
                read(&taps, &seen, &stop)
            })
        };
        Self {
            seen,
            stop,
            reader: Some(reader),
        }
    }

    /// What has been seen since the last call with this `mark`, zero at first.
    pub(crate) fn after(&self, mark: &mut usize) -> Vec<Sighting> {
        let seen = self.seen.lock().expect("the reader lives");
        let found = seen.get(*mark..).unwrap_or_default().to_vec();
        *mark = seen.len();
        found
    }

    /// Everything that was seen, in the order of the time stamps; it is forgotten.
    pub(crate) fn take(&self) -> Vec<Sighting> {
        let mut found = std::mem::take(&mut *self.seen.lock().expect("the reader lives"));
        found.sort_by_key(|one| one.at);
        found
    }

    /// Stops listening. Fails where the kernel had to drop frames, so that what was seen is not
    /// all.
    pub(crate) fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let reader = self.reader.take().expect("ended once");
        let lost = reader.join().expect("the reader lives");
        assert_eq!(lost, 0, "the observer lost frames");
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            drop(reader.join());
        }
    }
}

/// What takes the frames at one ear.
struct Tap {
    host: u8,
    is_said: bool,
    socket: OwnedFd,
    /// Numbers of the LANs by interface index.
    lans: HashMap<i32, u8>,
}

impl Tap {
    fn new(ear: &Ear<'_>, interfaces: &[String]) -> Self {
        let (socket, indices) = ear.at.tap(interfaces, ear.way);
        Self {
            host: ear.host,
            is_said: ear.is_said,
            socket,
            lans: indices.into_iter().zip(0..).collect(),
        }
    }

    /// Takes down what has come, without waiting; the number of frames.
    fn take(&self, new: &mut Vec<Sighting>) -> usize {
        let took = bulk::receive(&self.socket, 0, |interface, at, bytes| {
            let lan = self.lans.get(&interface);
            if let Some((router, word)) = lan.and_then(|lan| word(*lan, bytes)) {
                let word = if self.is_said { word } else { Word::Heard };
                new.push(Sighting {
                    at,
                    host: self.host,
                    router,
                    word,
                });
            }
        });
        took.expect("the observer's socket")
    }
}

/// Reads until told to stop; returns how many frames were lost.
fn read(taps: &[Tap], seen: &Mutex<Vec<Sighting>>, stop: &AtomicBool) -> u32 {
    let mut new = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let took: usize = taps.iter().map(|tap| tap.take(&mut new)).sum();
        seen.lock().expect("nobody panics with it").append(&mut new);
        if took == 0 {
            std::thread::sleep(PAUSE);
        }
    }
    let lost = |tap: &Tap| dropped(&tap.socket).expect("statistics of the observer's socket");
    taps.iter().map(lost).sum()
}

/// What a frame on LAN number `lan` says about a virtual router.
fn word(lan: u8, frame: &[u8]) -> Option<(Router, Word)> {
    let kind = u16::from_be_bytes([*frame.get(12)?, *frame.get(13)?]);
    let payload = &frame[14..];
    if kind == IPV4 {
        let message = payload.get(usize::from(*payload.first()? & 0x0f) * 4..)?;
        let is_advert = *payload.get(9)? == 112 && *message.first()? & 0x0f == 1;
        let vrid = *message.get(1)?;
        return is_advert.then_some(((lan, vrid), Word::Advert(*message.get(2)?)));
    }
    let (sender, target) = (payload.get(14..18)?, payload.get(24..28)?);
    if kind != ARP || sender != target {
        return None;
    }
    let address: [u8; 4] = sender.try_into().ok()?;
    Some((Load::router_of(address.into())?, Word::Announcement))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rvrrpd_tests::frame::{AdvertSpec, Arp, Mac, ethernet};

    #[test]
    fn adverts_and_announcements_are_told_apart_from_everything_else() {
        let source = [10, 3, 0, 1].into();
        let advert = AdvertSpec::v3(7, 200, 10, source, &[Load::vip((3, 7))]);
        assert_eq!(word(3, &advert.frame()), Some(((3, 7), Word::Advert(200))));
        let vip = [10, 3, 1, 7].into();
        let announcement = Arp::request(Mac::virtual_v4(7), vip, vip);
        assert_eq!(word(3, &announcement), Some(((3, 7), Word::Announcement)));
        let question = Arp::request(Mac::virtual_v4(7), [10, 3, 0, 1].into(), vip);
        assert_eq!(word(3, &question), None);
        for length in 0..40 {
            word(3, &vec![0x45; length]);
            word(
                3,
                &ethernet(Mac::BROADCAST, Mac::BROADCAST, IPV4, &vec![0x4f; length]),
            );
        }
    }
}
