//! Counters and the published state of virtual routers: written by the thread that owns the event,
//! read by anybody without a lock.
//!
//! Names are those of RFC 8347 (`ietf-vrrp`).

mod counters;
mod source;

use core::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};
use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use rvrrpd_ebpf::Dropped;

pub use counters::{Counter, Durations, Global, Performance, Rejects};
use source::Source;

use crate::fsm::{Advert, Cause, NewMasterReason, Reasons, Router, State, Time, Transition};
use crate::net::kernel::{Filter, Slot};
use crate::wire::verdict::Reject;

/// What a virtual router is called.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// Its name in the configuration.
    pub name: String,
    /// VRID.
    pub group: u8,
    /// The interface that carries the virtual addresses.
    pub interface: String,
    /// The interface that it runs on.
    pub parent: String,
    /// Its first virtual address.
    pub virtual_ip: IpAddr,
}

/// What others see first of a virtual router.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Condition {
    /// State.
    pub state: State,
    /// Why it cannot run.
    pub reasons: Reasons,
    /// Effective priority; 0 before there is one.
    pub priority: u8,
}

/// Who was heard last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer {
    /// Source of the advertisement.
    pub address: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Its interval.
    pub interval: Duration,
    /// When the last one like it came.
    pub at: Time,
}

/// What one virtual router publishes. In this order what an advertisement changes lies together.
#[derive(Debug)]
#[repr(C)]
pub struct Status {
    /// When the main timer of a router that is not Master runs out, in microseconds of the monotonic
    /// clock; 0: it does not run.
    timer: AtomicU64,
    /// Sent advertisements, those with priority 0 included. One is a packet for each version and
    /// unicast peer.
    pub advertisement_sent: Counter,
    identity: ArcSwapOption<Identity>,
    state: AtomicU8,
    priority: AtomicU8,
    reasons: AtomicU16,
    new_master_reason: AtomicU8,
    /// Priority of the last accepted advertisement.
    last_adv_priority: AtomicU8,
    since: AtomicU64,
    /// The same, microseconds since 1970.
    since_wall: AtomicU64,
    /// Microseconds.
    skew: AtomicU64,
    /// Microseconds.
    down_interval: AtomicU64,
    last_adv_source: Source,
    /// Interval of the last accepted advertisement in microseconds.
    last_adv_interval: AtomicU64,
    /// When it came, likewise; 0 before the first.
    last_adv_at: AtomicU64,
    /// The last change of state, as [`packed`] makes it; 0 before the first.
    last_transition: AtomicU64,
    /// When it left Init, microseconds since 1970; 0 while it is there.
    up: AtomicU64,
    /// `discontinuity-datetime`: since when the counters count, as in [`Global`].
    pub discontinuity: SystemTime,
    /// Accepted advertisements that were delivered; see [`Self::advertisements_received`].
    pub advertisement_rcvd: Counter,
    /// Accepted advertisements that the kernel kept to itself in slots given back since.
    absorbed_before: Counter,
    kernel: ArcSwapOption<InKernel>,
    /// Sent router advertisements.
    pub router_advertisement_sent: Counter,
    /// Valid router solicitations that were heard, as Backup too.
    pub router_solicitation_rcvd: Counter,
    /// Accepted advertisements with priority 0.
    pub priority_zero_pkts_rcvd: Counter,
    /// Sent advertisements with priority 0.
    pub priority_zero_pkts_sent: Counter,
    /// Transitions to Master.
    pub master_transitions: Counter,
    /// How often a silent Master was given more time, because packets had been lost or the end of the
    /// silence was noticed late.
    pub takeovers_postponed: Counter,
    /// Advertisements that could not be sent.
    pub send_errors: Counter,
    /// Accepted advertisements whose interval differs from the configured one (version 3).
    pub interval_mismatches: Counter,
    /// Accepted advertisements whose address list differs from the configured one (version 3).
    pub address_list_mismatches: Counter,
    /// Advertisements of version 2 that were ignored because their sender speaks version 3, too
    /// (MIX-1).
    pub v2_ignored: Counter,
    /// How often a sender was found to speak version 3 alone, while this router speaks both
    /// (MIX-1).
    pub v3_alone: Counter,
    /// ARP packets and neighbour advertisements in which somebody else said that he has a virtual
    /// address, while this router was Master, as far as the eBPF gate sees them.
    pub address_conflicts: Counter,
    /// Refused packets with the VRID of this router, by rule, that were delivered; see
    /// [`Self::refused`].
    pub rejects: Rejects,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            identity: ArcSwapOption::empty(),
            state: AtomicU8::new(State::Init as u8),
            reasons: AtomicU16::new(0),
            priority: AtomicU8::new(0),
            since: AtomicU64::new(0),
            since_wall: AtomicU64::new(0),
            new_master_reason: AtomicU8::new(NewMasterReason::NotMaster as u8),
            skew: AtomicU64::new(0),
            down_interval: AtomicU64::new(0),
            last_adv_source: Source::default(),
            last_adv_priority: AtomicU8::new(0),
            last_adv_interval: AtomicU64::new(0),
            last_adv_at: AtomicU64::new(0),
            timer: AtomicU64::new(0),
            last_transition: AtomicU64::new(0),
            up: AtomicU64::new(0),
            discontinuity: SystemTime::now(),
            advertisement_rcvd: Counter::default(),
            absorbed_before: Counter::default(),
            kernel: ArcSwapOption::empty(),
            router_advertisement_sent: Counter::default(),
            router_solicitation_rcvd: Counter::default(),
            advertisement_sent: Counter::default(),
            priority_zero_pkts_rcvd: Counter::default(),
            priority_zero_pkts_sent: Counter::default(),
            master_transitions: Counter::default(),
            takeovers_postponed: Counter::default(),
            send_errors: Counter::default(),
            interval_mismatches: Counter::default(),
            address_list_mismatches: Counter::default(),
            v2_ignored: Counter::default(),
            v3_alone: Counter::default(),
            address_conflicts: Counter::default(),
            rejects: Rejects::default(),
        }
    }
}

/// Where the kernel counts what it does not deliver.
#[derive(Debug)]
struct InKernel {
    filter: Arc<Filter>,
    slot: u32,
    /// What it had counted before, for another router with this VRID.
    before: InSlot,
}

/// The counters of a slot.
#[derive(Clone, Copy, Debug, Default)]
struct InSlot {
    absorbed: u64,
    /// In the order of [`rvrrpd_ebpf::Dropped::ALL`].
    dropped: [u64; Dropped::ALL.len()],
}

impl InKernel {
    fn new(filter: &Arc<Filter>, slot: u32) -> Self {
        let mut new = Self {
            filter: Arc::clone(filter),
            slot,
            before: InSlot::default(),
        };
        new.before = new.counted();
        new
    }

    /// What was counted for this router.
    fn counted(&self) -> InSlot {
        let slot = self.filter.slots().slot(self.slot);
        let now = slot.map_or(self.before, |slot| InSlot {
            absorbed: slot.absorbed(),
            dropped: slot.dropped(),
        });
        let mut dropped = now.dropped;
        for (now, before) in dropped.iter_mut().zip(self.before.dropped) {
            *now = now.saturating_sub(before);
        }
        InSlot {
            absorbed: now.absorbed.saturating_sub(self.before.absorbed),
            dropped,
        }
    }

    /// The rules whose breach the kernel counts, and how often it did.
    fn rejects(&self) -> [(Reject, u64); Dropped::ALL.len()] {
        let dropped = self.counted().dropped;
        Dropped::ALL.map(|reason| (rule(reason), dropped[reason as usize]))
    }
}

/// What user space would have refused a packet for that the kernel dropped.
const fn rule(reason: Dropped) -> Reject {
    match reason {
        Dropped::Ttl => Reject::Ttl,
        Dropped::Version => Reject::Version,
        Dropped::Type => Reject::Type,
        Dropped::CountZero => Reject::CountZero,
        Dropped::Length => Reject::Length,
        Dropped::Checksum => Reject::Checksum,
        Dropped::Truncated => Reject::Truncated,
    }
}

impl Status {
    /// Accepted advertisements, also those that the kernel kept to itself.
    #[must_use]
    pub fn advertisements_received(&self) -> u64 {
        self.advertisement_rcvd.value() + self.absorbed()
    }

    /// Advertisements that the kernel kept to itself: repetitions of the one before.
    #[must_use]
    pub fn absorbed(&self) -> u64 {
        let kernel = self.kernel.load();
        let counted = kernel
            .as_ref()
            .map_or(0, |kernel| kernel.counted().absorbed);
        self.absorbed_before.value() + counted
    }

    /// Refused packets by rule, also those that the kernel refused.
    #[must_use]
    pub fn refused(&self) -> Rejects {
        let sum = Rejects::default();
        for (reject, count) in self.rejects.broken() {
            sum.of(reject).add(count);
        }
        for (reject, count) in self.refused_in_kernel() {
            sum.of(reject).add(count);
        }
        sum
    }

    /// Advertisements with another interval than the configured one (`interval-errors`).
    #[must_use]
    pub fn interval_errors(&self) -> u64 {
        self.rejects.sum(&[Reject::Interval, Reject::IntervalZero])
            + self.interval_mismatches.value()
    }

    /// Advertisements with another address list than the configured one (`address-list-errors`).
    #[must_use]
    pub fn address_list_errors(&self) -> u64 {
        self.rejects.of(Reject::AddressList).value() + self.address_list_mismatches.value()
    }

    /// Those that the kernel refused in the slot that the router has now.
    #[must_use]
    pub fn refused_in_kernel(&self) -> [(Reject, u64); Dropped::ALL.len()] {
        let kernel = self.kernel.load();
        let nothing = || Dropped::ALL.map(|reason| (rule(reason), 0));
        kernel
            .as_ref()
            .map_or_else(nothing, |kernel| kernel.rejects())
    }

    /// From now on the kernel counts in this slot, which is new to the router, or nothing. What it
    /// counted before is added up here and in `global`.
    pub fn count_in_kernel(&self, slot: Option<(&Arc<Filter>, u32)>, global: &Global) {
        let slot = slot.map(|(filter, slot)| InKernel::new(filter, slot));
        let known = self.kernel.load();
        let is_same = match (known.as_ref(), &slot) {
            (Some(known), Some(slot)) => {
                known.slot == slot.slot && Arc::ptr_eq(&known.filter, &slot.filter)
            }
            (None, None) => true,
            _ => false,
        };
        if is_same {
            return;
        }
        let Some(known) = self.kernel.swap(slot.map(Arc::new)) else {
            return;
        };
        self.absorbed_before.add(known.counted().absorbed);
        for (reject, count) in known.rejects() {
            self.rejects.of(reject).add(count);
            global.rejects.of(reject).add(count);
        }
    }

    /// Publishes what the router is called.
    pub fn identify(&self, identity: Identity) {
        self.identity.store(Some(identity.into()));
    }

    /// What the router is called; none for one that nobody has named yet.
    #[must_use]
    pub fn identity(&self) -> Option<Arc<Identity>> {
        self.identity.load_full()
    }

    /// Publishes a change of state of a router that could not run for these `reasons` before.
    pub fn transition(&self, transition: Transition, reasons: Reasons, at: Time) {
        let Transition { from, to, cause } = transition;
        self.state.store(to as u8, Ordering::Relaxed);
        self.since.store(at.as_micros(), Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        self.since_wall.store(now, Ordering::Relaxed);
        self.last_transition
            .store(packed(transition, reasons), Ordering::Relaxed);
        if to == State::Master {
            self.master_transitions.count();
            self.new_master_reason
                .store(cause.new_master_reason() as u8, Ordering::Relaxed);
        }
        match (from, to) {
            (_, State::Init) => self.up.store(0, Ordering::Relaxed),
            (State::Init, _) => self.up.store(now, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Publishes why the router cannot run and its effective priority.
    pub fn publish(&self, reasons: Reasons, priority: u8) {
        self.reasons.store(reasons.bits(), Ordering::Relaxed);
        self.priority.store(priority, Ordering::Relaxed);
    }

    /// Reads a little of what an advertisement changes.
    #[must_use]
    pub fn fetch(&self) -> u64 {
        self.advertisement_sent.value()
    }

    /// Publishes what the state machine has come to.
    pub fn publish_router(&self, router: &Router) {
        self.publish(router.reasons(), router.params().priority);
        let interval = router.master_interval();
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.skew
            .store(micros(router.params().skew(interval)), Ordering::Relaxed);
        self.down_interval.store(
            micros(router.params().down_interval(interval)),
            Ordering::Relaxed,
        );
        let timer = router.timer_end().map_or(0, Time::as_micros);
        self.timer.store(timer, Ordering::Relaxed);
    }

    /// Publishes an accepted advertisement. For the thread of the router's worker alone.
    pub fn heard(&self, advert: &Advert) {
        self.last_adv_source.set(advert.source);
        let interval = u64::try_from(advert.interval.as_micros()).unwrap_or(u64::MAX);
        self.last_adv_priority
            .store(advert.priority, Ordering::Relaxed);
        self.last_adv_interval.store(interval, Ordering::Relaxed);
        self.last_adv_at
            .fetch_max(advert.received.as_micros(), Ordering::Relaxed);
    }

    /// Who was heard last; none before the first accepted advertisement.
    #[must_use]
    pub fn peer(&self) -> Option<Peer> {
        let address = self.last_adv_source()?;
        let at = Time::from_micros(self.last_adv_at.load(Ordering::Relaxed));
        Some(Peer {
            address,
            priority: self.last_adv_priority.load(Ordering::Relaxed),
            interval: Duration::from_micros(self.last_adv_interval.load(Ordering::Relaxed)),
            // The kernel keeps to itself what repeats the last one that was delivered.
            at: at.max(self.repeated()),
        })
    }

    /// When the kernel kept the last repetition to itself; the start of the clock where it keeps
    /// none.
    fn repeated(&self) -> Time {
        let kernel = self.kernel.load();
        let slot = kernel
            .as_ref()
            .and_then(|kernel| kernel.filter.slots().slot(kernel.slot));
        slot.map_or(Time::START, Slot::last)
    }

    /// When a Backup takes the Master for gone; none in the other states.
    #[must_use]
    pub fn master_down_at(&self) -> Option<Time> {
        let timer = self.timer.load(Ordering::Relaxed);
        let repeated = match self.repeated() {
            Time::START => Time::START,
            repeated => repeated + self.master_down_interval(),
        };
        (self.state() == State::Backup && timer > 0).then(|| Time::from_micros(timer).max(repeated))
    }

    /// The last change of state; none where it never changed.
    #[must_use]
    pub fn last_transition(&self) -> Option<(Transition, Reasons)> {
        unpacked(self.last_transition.load(Ordering::Relaxed))
    }

    /// Source of the last accepted advertisement (`last-adv-source`).
    #[must_use]
    pub fn last_adv_source(&self) -> Option<IpAddr> {
        self.last_adv_source.address()
    }

    /// The identity of the last event that changed the state (`last-event`).
    #[must_use]
    pub fn last_event(&self) -> &'static str {
        let last = self.last_transition();
        last.map_or("none", |(last, _)| last.cause.last_event())
    }

    /// Why it became Master the last time (`new-master-reason`).
    #[must_use]
    pub fn new_master_reason(&self) -> NewMasterReason {
        let number = usize::from(self.new_master_reason.load(Ordering::Relaxed));
        NewMasterReason::ALL
            .get(number)
            .copied()
            .unwrap_or_default()
    }

    /// When it left Init (`up-datetime`); none while it is there.
    #[must_use]
    pub fn up(&self) -> Option<SystemTime> {
        let micros = self.up.load(Ordering::Relaxed);
        (micros > 0).then(|| UNIX_EPOCH + Duration::from_micros(micros))
    }

    /// `skew-time` with the Master's interval as it is known now.
    #[must_use]
    pub fn skew_time(&self) -> Duration {
        Duration::from_micros(self.skew.load(Ordering::Relaxed))
    }

    /// `master-down-interval` with the Master's interval as it is known now.
    #[must_use]
    pub fn master_down_interval(&self) -> Duration {
        Duration::from_micros(self.down_interval.load(Ordering::Relaxed))
    }

    /// The state.
    #[must_use]
    pub fn state(&self) -> State {
        let number = usize::from(self.state.load(Ordering::Relaxed));
        State::ALL.get(number).copied().unwrap_or(State::Init)
    }

    /// When the state changed last; the start of the clock where it never did.
    #[must_use]
    pub fn since(&self) -> Time {
        Time::from_micros(self.since.load(Ordering::Relaxed))
    }

    /// When the state changed last by the wall clock of that time; none where it never did.
    #[must_use]
    pub fn changed(&self) -> Option<SystemTime> {
        let micros = self.since_wall.load(Ordering::Relaxed);
        (micros > 0).then(|| UNIX_EPOCH + Duration::from_micros(micros))
    }

    /// State, reasons and priority.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition {
            state: self.state(),
            reasons: self.reasons(),
            priority: self.priority(),
        }
    }

    /// Why the router cannot run.
    #[must_use]
    pub fn reasons(&self) -> Reasons {
        Reasons::from_bits(self.reasons.load(Ordering::Relaxed))
    }

    /// The effective priority.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.priority.load(Ordering::Relaxed)
    }
}

/// A change of state in one word, so that nobody reads one half of it: the numbers of both states,
/// the cause, counted from 1, and why the router could not run before.
fn packed(Transition { from, to, cause }: Transition, reasons: Reasons) -> u64 {
    let [high, low] = reasons.bits().to_be_bytes();
    u64::from_be_bytes([0, 0, 0, from as u8, to as u8, cause as u8 + 1, high, low])
}

/// What [`packed`] made; none of 0.
fn unpacked(word: u64) -> Option<(Transition, Reasons)> {
    let [.., from, to, cause, high, low] = word.to_be_bytes();
    let transition = Transition {
        from: *State::ALL.get(usize::from(from))?,
        to: *State::ALL.get(usize::from(to))?,
        cause: *Cause::ALL.get(usize::from(cause).checked_sub(1)?)?,
    };
    let reasons = Reasons::from_bits(u16::from_be_bytes([high, low]));
    Some((transition, reasons))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsm::Reason;

    #[test]
    fn a_change_of_state_reads_as_it_was_written() {
        assert_eq!(unpacked(0), None);
        for from in State::ALL {
            for to in State::ALL {
                for cause in Cause::ALL {
                    let transition = Transition { from, to, cause };
                    for reasons in [Reasons::default(), Reason::Stopping.into()] {
                        let word = packed(transition, reasons);
                        assert_eq!(unpacked(word), Some((transition, reasons)));
                    }
                }
            }
        }
    }
}
