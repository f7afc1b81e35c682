//! One virtual router with its frames.

use core::time::Duration;

use super::super::advertising::Schedule;
use super::super::frames::Frames;
use super::super::{RouterAdvertisements, Setup};
use super::{Host, Outgoing, Packet};
use crate::fsm::{Advert, Deadline, Router, State, Time};
use crate::wire::advert::ChecksumForm;

/// A virtual router of the engine. In this order what an advertisement takes lies together, from the
/// end of the setup to the beginning of the frames: between two of them the memory of a thousand
/// routers is cold, and what costs is the number of its lines.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Slot<P> {
    /// The Master's advertisement, whose repetitions the kernel keeps to itself, received when the
    /// last one came that the router knows of.
    pub(super) absorbed: Option<Advert>,
    schedule: Schedule,
    pub(super) setup: Setup<P>,
    pub(super) router: Router,
    /// The number of the chorus that it advertises with; until it steps out `router` stands still.
    pub(super) chorus: Option<usize>,
    /// Silence that is not believed at once.
    doubt: Option<Doubt>,
    pub(super) frames: Frames,
    checksum_form: ChecksumForm,
    /// What the Master needs is in the kernel.
    activated: bool,
    /// Silence whose end was noticed late.
    grace: Option<Grace>,
}

/// A deadline that waits for silence, and was moved because advertisements may have been lost.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    generation: u64,
    until: Time,
}

/// More time for the Master because the worker was late, once since it was heard.
#[derive(Clone, Copy, Debug)]
struct Grace {
    silent_since: Time,
    until: Time,
}

impl<P> Slot<P> {
    pub(super) fn new(setup: Setup<P>) -> Self {
        let router = Router::new(setup.params);
        let checksum_form = setup.message.checksum_form.unwrap_or(ChecksumForm::Message);
        let mut slot = Self {
            setup,
            router,
            checksum_form,
            frames: Frames::default(),
            absorbed: None,
            chorus: None,
            doubt: None,
            activated: false,
            grace: None,
            schedule: Schedule::default(),
        };
        slot.make_frames();
        slot
    }

    /// Reads a little of everything that an advertisement takes. In a loop over many routers the
    /// processor waits for the memory of several at once; later, one advertisement after the
    /// other, it would wait for each piece of each.
    pub(super) fn fetch(&self) -> u64 {
        u64::from(self.setup.port.is_some())
            ^ u64::from(self.router.reasons().bits())
            ^ u64::from(self.router.params().priority)
            ^ self.setup.status.fetch()
            ^ self.frames.fetch()
    }

    /// What leaves when this packet is due; none while there is no interface.
    pub(super) fn outgoing<H: Host<Port = P>>(
        &self,
        place: usize,
        packet: Packet,
    ) -> Option<Outgoing> {
        let port = self.setup.port.as_ref().map(H::index)?;
        let is_advert = matches!(packet, Packet::Advert | Packet::Resign);
        Some(Outgoing {
            port,
            to_peers: is_advert && self.frames.are_to_peers(),
            slot: place,
            packet,
        })
    }

    /// When the router wants to be called.
    pub(super) fn deadline(&self) -> Option<Deadline> {
        let Deadline { at, generation } = self.router.deadline()?;
        let doubt = self.doubt.filter(|doubt| doubt.generation == generation);
        let doubted = doubt.map(|doubt| doubt.until);
        let graced = self.grace().map(|grace| grace.until);
        Some(Deadline {
            at: [doubted, graced].into_iter().flatten().fold(at, Time::max),
            generation,
        })
    }

    /// The grace of this silence. A Master's deadline does not touch that memory.
    fn grace(&self) -> Option<Grace> {
        let since = self.router.silent_since()?;
        self.grace.filter(|grace| grace.silent_since == since)
    }

    /// The deadline has come, and no advertisement was lost that came later than `lost`. Whether
    /// the silence is believed. Where something was lost since it began it has to last as long once
    /// more, counted from the loss; then it is believed whatever was lost.
    pub(super) fn believes(&mut self, lost: Time) -> bool {
        let (Some(since), Some(Deadline { at, generation })) =
            (self.router.silent_since(), self.router.deadline())
        else {
            return true;
        };
        let is_given = |doubt: Doubt| doubt.generation == generation;
        if lost <= since || self.doubt.is_some_and(is_given) {
            return true;
        }
        let until = lost + at.since(since);
        self.doubt = Some(Doubt { generation, until });
        false
    }

    /// Gives the Master this long from now on, and no longer than one that lives needs to say so. False
    /// where this silence has had its grace, and where none is waited for.
    pub(super) fn give_grace(&mut self, now: Time, span: Duration) -> bool {
        let since = self.router.silent_since();
        let Some(silent_since) = since.filter(|_| self.grace().is_none()) else {
            return false;
        };
        self.grace = Some(Grace {
            silent_since,
            until: now + span.min(self.router.master_interval()),
        });
        true
    }

    /// New values for the frames; the state machine is told apart.
    pub(super) fn replace(&mut self, setup: Setup<P>, now: Time) {
        let before = core::mem::replace(&mut self.setup, setup);
        let new = self.setup.router_advertisements.as_ref();
        match (before.router_advertisements, new) {
            (_, None) => self.schedule.end(),
            (Some(old), Some(new)) if old.says_the_same(new) => {}
            (_, Some(_)) => self.begin_advertising(now),
        }
        if let Some(form) = self.setup.message.checksum_form {
            self.checksum_form = form;
        }
        self.make_frames();
    }

    /// V3-CK-1, V3-CK-2: where nothing else is configured, speak as the peer does.
    pub(super) fn follow_checksum_form(&mut self, form: Option<ChecksumForm>) {
        let follows = self.setup.message.checksum_form.is_none();
        if let Some(form) = form
            && follows
            && form != self.checksum_form
        {
            self.checksum_form = form;
            self.make_frames();
        }
    }

    /// What the Master needs is in the kernel: router advertisements begin, which wait for the
    /// addresses and the virtual MAC (RA-1, RFC 9568 §8.2.3).
    pub(super) fn activated(&mut self, now: Time) {
        if self.router.state() == State::Master && !self.activated {
            self.activated = true;
            self.begin_advertising(now);
        }
    }

    fn begin_advertising(&mut self, now: Time) {
        if self.activated && self.setup.router_advertisements.is_some() {
            self.schedule.begin(now);
        }
    }

    /// RA-1, RA-5: who is not Master any more falls silent at once, without a word to hosts: their
    /// default router is the virtual one, which lives on.
    pub(super) fn follow_state(&mut self) {
        if self.router.state() != State::Master {
            self.activated = false;
            self.schedule.end();
        }
    }

    /// A host asked for a router advertisement.
    pub(super) fn solicited(&mut self, received: Time, random: u64) {
        self.schedule.solicited(received, random);
    }

    /// When the next router advertisement is due.
    pub(super) const fn next_router_advertisement(&self) -> Option<Time> {
        self.schedule.next()
    }

    /// A router advertisement leaves.
    pub(super) fn advertised(&mut self, now: Time, random: u64) {
        if let Some(ra) = &self.setup.router_advertisements {
            ra.doorbell.answer();
            let (least, most) = (ra.min_interval, ra.max_interval);
            self.schedule.sent(now, least, most, random);
        }
    }

    /// Whether hosts have to be told that the address that router advertisements came from until
    /// now is no default router any more: the configuration ends them (RFC 4861 §6.2.5) or has
    /// another address send them (§6.2.8).
    pub(super) fn ends_advertising(&self, new: &Setup<P>) -> bool {
        let source = |ra: &RouterAdvertisements| ra.source;
        let before = self.setup.router_advertisements.as_deref().map(source);
        self.schedule.next().is_some() && before != new.router_advertisements.as_deref().map(source)
    }

    /// Makes a packet that is due ready to be sent at `now`; see [`Frames::seal`].
    pub(super) fn seal(&mut self, packet: Packet, now: Duration) -> bool {
        match packet {
            Packet::Advert | Packet::Resign => {
                let key = &self.setup.message.auth;
                self.frames.seal(key, packet == Packet::Resign, now)
            }
            Packet::RouterAdvertisement | Packet::Farewell => true,
        }
    }

    /// The whole frames of a packet; none for an advertisement to unicast peers.
    pub(super) fn packets(&self, packet: Packet) -> impl Iterator<Item = &[u8]> {
        let ra = || self.setup.router_advertisements.as_ref();
        let (resign, ra) = match packet {
            Packet::Advert => (Some(false), None),
            Packet::Resign => (Some(true), None),
            Packet::RouterAdvertisement => (None, ra().map(|ra| ra.frame.as_slice())),
            Packet::Farewell => (None, ra().map(|ra| ra.farewell.as_slice())),
        };
        let adverts = resign.into_iter();
        adverts
            .flat_map(|resign| self.frames.frames(resign))
            .chain(ra)
    }

    /// Counts what is one packet for each version and receiver as sent if one of them was, and as an
    /// error if one was not.
    pub(super) fn count(&self, packets: usize, failed: usize, packet: Packet) {
        let status = &self.setup.status;
        if failed < packets {
            match packet {
                Packet::Advert => status.advertisement_sent.count(),
                Packet::Resign => {
                    status.advertisement_sent.count();
                    status.priority_zero_pkts_sent.count();
                }
                Packet::RouterAdvertisement | Packet::Farewell => {
                    status.router_advertisement_sent.count();
                }
            }
        }
        if failed > 0 {
            status.send_errors.count();
        }
    }

    /// Sends the advertisement, or the one with priority 0, to the unicast peers.
    pub(super) fn send_to_peers<H: Host<Port = P>>(&self, port: &P, packet: Packet, host: &mut H) {
        let resign = packet == Packet::Resign;
        let family = self.setup.message.family;
        let failed = host.send_to_peers(port, family, self.frames.datagrams(resign));
        self.count(self.frames.datagrams(resign).count(), failed, packet);
    }

    fn make_frames(&mut self) {
        let Setup {
            message, params, ..
        } = &self.setup;
        self.frames.make(message, params, self.checksum_form);
    }
}
