//! A flood: the same frames again and again, as fast as the machine can.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::bpf::Arrivals;
use crate::host::Host;
use crate::sys;

/// Frames in one system call.
const BATCH: usize = 512;

/// A running flood. Dropping it ends it.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    began: Instant,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    frames: AtomicU64,
}

/// How much a flood was.
#[derive(Clone, Copy, Debug)]
pub struct Volume {
    /// Frames that left.
    pub frames: u64,
    /// How long it lasted.
    pub span: Duration,
}

impl Volume {
    /// Frames in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.frames as f64 / self.span.as_secs_f64()
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.as_secs_f64();
        let rate = self.rate() / 1000.0;
        let frames = self.frames;
        write!(
            f,
            "{frames} frames in {seconds:.1} s, {rate:.0} thousand per second"
        )
    }
}

impl Flood {
    pub(crate) fn start(socket: OwnedFd, frames: Vec<Vec<u8>>) -> Self {
        assert!(!frames.is_empty(), "a flood of nothing");
        let shared = Arc::<Shared>::default();
        // Many rounds in one call.
        let count = frames.len();
        let batch: Vec<Vec<u8>> = frames
            .into_iter()
            .cycle()
            .take(BATCH.next_multiple_of(count))
            .collect();
        // Where the kernel does not have it, it goes through the queue.
        drop(sys::bypass_queue(&socket));
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || send(&socket, &batch, &shared))
        };
        Self {
            shared,
            began: Instant::now(),
            threads: vec![thread],
        }
    }

    /// Frames that have left.
    #[must_use]
    pub fn frames(&self) -> u64 {
        self.shared.frames.load(Ordering::Relaxed)
    }

    /// Ends it.
    #[must_use]
    pub fn stop(mut self) -> Volume {
        self.end();
        Volume {
            frames: self.frames(),
            span: self.began.elapsed(),
        }
    }

    /// Frames that arrive at `interface` of `host` as if its driver had received them by so many
    /// queues, `rate` of them in a second or as many as the machine can.
    #[must_use]
    pub(crate) fn arriving(
        host: &Host,
        interface: &str,
        frames: Vec<Vec<u8>>,
        rate: f64,
        queues: usize,
    ) -> Self {
        assert!(!frames.is_empty(), "a flood of nothing");
        let shared = Arc::<Shared>::default();
        let queue = |number| {
            let (host, interface) = (host.clone(), interface.to_owned());
            let (shared, mut frames) = (Arc::clone(&shared), frames.clone());
            // Not all of them the same at the same time.
            let first = number * frames.len() / queues + number;
            let first = first % frames.len();
            frames.rotate_left(first);
            std::thread::spawn(move || {
                host.inside(|| arrive(&interface, &frames, rate / queues as f64, &shared));
            })
        };
        Self {
            threads: (0..queues).map(queue).collect(),
            shared,
            began: Instant::now(),
        }
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.end();
    }
}

/// Arrivals by one system call at the most.
const ARRIVALS: f64 = 65536.0;
/// System calls in a second where that is enough.
const CALLS: f64 = 5.0;

fn arrive(interface: &str, frames: &[Vec<u8>], rate: f64, shared: &Shared) {
    let arrivals = Arrivals::at(interface).expect("XDP in live frame mode");
    let each = (rate / CALLS).clamp(1.0, ARRIVALS) as u32;
    let began = Instant::now();
    let (mut next, mut arrived) = (frames.iter().cycle(), 0);
    while !shared.stop.load(Ordering::Relaxed) {
        let early = Duration::from_secs_f64(arrived as f64 / rate).saturating_sub(began.elapsed());
        if !early.is_zero() {
            std::thread::sleep(early);
            continue;
        }
        let frame = next.next().expect("endless");
        arrivals.repeat(frame, each).expect("BPF_PROG_TEST_RUN");
        arrived += u64::from(each);
        shared.frames.fetch_add(u64::from(each), Ordering::Relaxed);
    }
}

fn send(socket: &OwnedFd, batch: &[Vec<u8>], shared: &Shared) {
    let mut next = 0;
    while !shared.stop.load(Ordering::Relaxed) {
        match sys::send_many(socket, &batch[next..]) {
            Ok(sent) => {
                shared.frames.fetch_add(sent as u64, Ordering::Relaxed);
                next = (next + sent) % batch.len();
            }
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                std::thread::yield_now();
            }
            Err(error) => panic!("flood: {error}"),
        }
    }
}
