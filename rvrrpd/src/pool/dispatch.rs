//! From the wire to the worker: every receive rule is applied here, in the listener's thread, so
//! that garbage costs the workers nothing.

use core::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use super::mixed::Mixed;
use super::replay::Replay;
use super::steady::Steady;
use super::{Control, Delivery, Entry, Mailbox, Sample, Table};
use crate::fsm::{self, Time};
use crate::log::Limiter;
use crate::net::listener::Sink;
use crate::net::sys::clock;
use crate::stats::{Global, Status};
use crate::wire::advert::{Accepted, Advert, Datagram, peek_vrid};
use crate::wire::verdict::Reject;
use crate::wire::{Family, PRIORITY_RESIGN, Version, Versions, ra};

/// Intervals without an advertisement after which a Master counts as gone (RFC 3768 §6.1,
/// Master_Down_Interval without the skew).
const ADVERTS_MISSED: u32 = 3;

/// The sink of one interface's listener.
#[derive(Debug)]
pub struct Dispatcher {
    interface: String,
    table: Arc<Table>,
    workers: Vec<Mailbox>,
    global: Arc<Global>,
    complaints: [Limiter; Reject::ALL.len()],
    notices: [Limiter; Notice::NUMBER],
    losses: Limiter,
    /// Only the listener's thread calls, and never from inside a call.
    replay: RefCell<Replay>,
    steady: RefCell<Steady>,
    mixed: RefCell<Mixed>,
}

/// What is worth a line in the log although the state machine goes on.
#[derive(Clone, Copy, Debug)]
enum Notice {
    /// V3-RX-8.
    Interval,
    /// V2-RX-9, V3-RX-9.
    AddressList,
    /// V3-RX-15.
    FirstAddress,
    /// V3-RX-16.
    Source,
    /// V3-RX-17.
    RivalOwner,
    /// MIX-1.
    V3Alone,
}

impl Notice {
    const NUMBER: usize = 6;

    const fn text(self) -> &'static str {
        match self {
            Self::Interval => "another interval than configured here",
            Self::AddressList => "another address list than configured here",
            Self::FirstAddress => "a first address that is not link-local",
            Self::Source => "a source that is not link-local",
            Self::V3Alone => {
                "version 3 alone, which routers of version 2 do not hear: set version = \"2+3\" \
                 there too, or version = 3 here if none of version 2 is left"
            }
            Self::RivalOwner => "priority 255: another router claims to own the addresses, too",
        }
    }
}

impl Dispatcher {
    /// A dispatcher for the listener of `interface`.
    #[must_use]
    pub fn new(
        interface: &str,
        table: Arc<Table>,
        workers: Vec<Mailbox>,
        global: Arc<Global>,
    ) -> Self {
        Self {
            interface: interface.to_owned(),
            table,
            workers,
            global,
            complaints: core::array::from_fn(|_| Limiter::new()),
            notices: core::array::from_fn(|_| Limiter::new()),
            losses: Limiter::new(),
            replay: RefCell::default(),
            steady: RefCell::default(),
            mixed: RefCell::default(),
        }
    }

    /// Whether the packet was accepted, and then whether its worker has room for it.
    fn dispatch(&self, datagram: &Datagram<'_>, received: Time) -> Result<bool, Reject> {
        let vrid = peek_vrid(datagram);
        let found = vrid.and_then(|vrid| {
            self.table.with(datagram.family, vrid, |entry| {
                let checked = Advert::check_from(datagram, entry.expect.peers.least_ttl());
                let verified = checked
                    .as_ref()
                    .map_err(|reject| *reject)
                    .and_then(|advert| {
                        let verified = entry.expect.verify(datagram, advert);
                        verified.and_then(|accepted| self.admit(entry, accepted, received))
                    });
                if let Ok(advert) = &checked {
                    if self.is_double(entry, datagram, advert, verified, received) {
                        entry.status.v2_ignored.count();
                        return Ok(true);
                    }
                    self.notice(entry, datagram, advert, verified.as_ref(), received);
                }
                match verified {
                    Ok(accepted) => {
                        count(&entry.status, &accepted);
                        Ok(self.pass_on(entry, datagram, &accepted, received))
                    }
                    Err(reject) => {
                        entry.status.rejects.of(reject).count();
                        if reject == Reject::Owner
                            && let Ok(advert) = checked.as_ref()
                            && let Some(lesson) = entry.expect.teaches_owner(datagram, advert)
                            && let Ok(lesson) = self.admit(entry, lesson, received)
                        {
                            self.pass_on(entry, datagram, &lesson, received);
                        }
                        Err(reject)
                    }
                }
            })
        });
        found.unwrap_or_else(|| Err(Advert::check(datagram).err().unwrap_or(Reject::Vrid)))
    }

    /// Refuses what is repeated (AUTH-RX-4, AUTH-RX-5).
    fn admit(&self, entry: &Entry, accepted: Accepted, received: Time) -> Result<Accepted, Reject> {
        let Some(stamp) = accepted.stamp else {
            return Ok(accepted);
        };
        let expect = &entry.expect;
        let family = match accepted.source {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        };
        // What waited in the socket is judged by the time at which it came.
        let waited = clock::monotonic().since(received);
        let wall = clock::realtime().saturating_sub(waited);
        self.replay.borrow_mut().admit(
            (family, expect.vrid),
            accepted.source,
            stamp,
            expect.interval * ADVERTS_MISSED,
            (received, wall),
        )?;
        Ok(accepted)
    }

    /// What an accepted advertisement looks like, if the kernel may keep repetitions of it to
    /// itself. What is numbered is never repeated, and what is counted as different has to be seen;
    /// so has everything where both versions are heard, for one decides about the other (MIX-1).
    fn sample(
        &self,
        entry: &Entry,
        datagram: &Datagram<'_>,
        accepted: &Accepted,
    ) -> Option<(u64, Box<Sample>)> {
        let is_plain = accepted.stamp.is_none()
            && !accepted.interval_differs
            && !accepted.address_list_differs
            && accepted.priority != PRIORITY_RESIGN
            && entry.expect.versions != Versions::Both;
        let generation = entry.absorb.filter(|_| is_plain)?;
        let router = (datagram.family, entry.expect.vrid);
        let sample = self.steady.borrow_mut().note(router, datagram)?;
        Some((generation, sample))
    }

    /// MIX-1: whether an advertisement of version 2 says what its sender says in version 3, so that
    /// it is ignored. A configuration that differs is reported of the latter alone.
    fn is_double(
        &self,
        entry: &Entry,
        datagram: &Datagram<'_>,
        advert: &Advert<'_>,
        verified: Result<Accepted, Reject>,
        received: Time,
    ) -> bool {
        if entry.expect.versions != Versions::Both {
            return false;
        }
        let (vrid, source) = (entry.expect.vrid, datagram.source);
        let mut mixed = self.mixed.borrow_mut();
        match (advert.version(), verified) {
            (Version::V3, Ok(Accepted { interval, .. })) => {
                if mixed.hear_v3(vrid, source, interval, received) {
                    entry.status.v3_alone.count();
                    self.tell(Notice::V3Alone, entry, source, received);
                }
                false
            }
            (Version::V2, Ok(_) | Err(Reject::Interval | Reject::AddressList)) => {
                mixed.hear_v2(vrid, source, received)
            }
            (Version::V2 | Version::V3, _) => false,
        }
    }

    /// Gives an advertisement to the worker of its router. False if its queue is full.
    fn pass_on(
        &self,
        entry: &Entry,
        datagram: &Datagram<'_>,
        accepted: &Accepted,
        received: Time,
    ) -> bool {
        let delivery = Delivery {
            id: entry.id,
            advert: fsm::Advert {
                priority: accepted.priority,
                source: accepted.source,
                interval: accepted.interval,
                received,
            },
            checksum_form: match accepted.version {
                Version::V2 => None,
                Version::V3 => Some(accepted.checksum_form),
            },
            stamp: accepted.stamp,
            sample: self.sample(entry, datagram, accepted),
        };
        let worker = self.workers.get(entry.worker);
        let is_lost = worker.is_some_and(|worker| !worker.deliver(delivery));
        if is_lost {
            self.global.queue_overflows.count();
            self.tell_loss(
                "an advertisement for which its worker has no room",
                received,
            );
        }
        !is_lost
    }

    /// Logs, each at a limited rate, what an operator should look into.
    fn notice(
        &self,
        entry: &Entry,
        datagram: &Datagram<'_>,
        advert: &Advert<'_>,
        verified: Result<&Accepted, &Reject>,
        received: Time,
    ) {
        let notices = match verified {
            Ok(accepted) => [
                accepted.interval_differs.then_some(Notice::Interval),
                accepted.address_list_differs.then_some(Notice::AddressList),
                advert
                    .first_not_link_local()
                    .then_some(Notice::FirstAddress),
                accepted.source_not_link_local().then_some(Notice::Source),
            ],
            Err(Reject::Owner) if entry.expect.rival_owner(advert) => {
                [Some(Notice::RivalOwner), None, None, None]
            }
            Err(_) => return,
        };
        for notice in notices.into_iter().flatten() {
            self.tell(notice, entry, datagram.source, received);
        }
    }

    fn tell(&self, notice: Notice, entry: &Entry, source: IpAddr, received: Time) {
        if let Some(suppressed) = self.notices[notice as usize].allow(received.as_micros()) {
            tracing::warn!(
                "{}: advertisement of {source} for group {} has {}{suppressed}",
                self.interface,
                entry.expect.vrid,
                notice.text(),
            );
        }
    }

    /// Logs that packets were lost, at a limited rate.
    fn tell_loss(&self, what: impl core::fmt::Display, now: Time) {
        if let Some(suppressed) = self.losses.allow(now.as_micros()) {
            tracing::warn!("{}: lost {what}{suppressed}", self.interface);
        }
    }

    fn complain(&self, reject: Reject, datagram: Option<&Datagram<'_>>, received: Time) {
        self.global.rejects.of(reject).count();
        let Some(suppressed) = self.complaints[reject.index()].allow(received.as_micros()) else {
            return;
        };
        match datagram {
            Some(datagram) => tracing::warn!(
                "{}: packet from {} refused: {reject}{suppressed}",
                self.interface,
                datagram.source,
            ),
            None => tracing::warn!("{}: packet refused: {reject}{suppressed}", self.interface,),
        }
    }
}

fn count(status: &Status, accepted: &Accepted) {
    status.advertisement_rcvd.count();
    if accepted.priority == PRIORITY_RESIGN {
        status.priority_zero_pkts_rcvd.count();
    }
    if accepted.interval_differs {
        status.interval_mismatches.count();
    }
    if accepted.address_list_differs {
        status.address_list_mismatches.count();
    }
}

impl Sink for Dispatcher {
    fn packet(&mut self, datagram: Result<Datagram<'_>, Reject>, received: Time) -> bool {
        let verdict = match &datagram {
            Ok(datagram) => self.dispatch(datagram, received),
            Err(reject) => Err(*reject),
        };
        verdict.unwrap_or_else(|reject| {
            self.complain(reject, datagram.as_ref().ok(), received);
            true
        })
    }

    fn overflowed(&mut self, packets: u32, now: Time) {
        self.global.receive_overflows.add(packets.into());
        let what = format_args!("{packets} packets of protocol 112: the receive buffer was full");
        self.tell_loss(what, now);
    }

    fn solicitation(&mut self, datagram: &Datagram<'_>, received: Time) {
        if let Err(invalid) = ra::check_solicitation(datagram) {
            self.global.solicitations_refused.count();
            let source = datagram.source;
            tracing::trace!(
                "{}: solicitation of {source} refused: {invalid}",
                self.interface
            );
            return;
        }
        self.table.advertising(|entry, doorbell| {
            entry.status.router_solicitation_rcvd.count();
            if doorbell.ring()
                && let Some(worker) = self.workers.get(entry.worker)
            {
                worker.tell(Control::Solicited(entry.id, received));
            }
        });
    }
}
