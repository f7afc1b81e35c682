//! What an engine asks of whoever runs it.

use core::time::Duration;
use std::net::IpAddr;

use super::super::{Delivery, Sample, Setup};
use crate::driver::Command;
use crate::fsm::{Cause, Time, Transition};
use crate::stats::Condition;
use crate::wire::{Family, Vrid};

/// The world around an [`Engine`](super::Engine). Nothing in it may wait.
pub trait Host {
    /// An interface.
    type Port;

    /// A number that no other interface has.
    fn index(port: &Self::Port) -> u32;

    /// The time.
    fn now(&self) -> Time;

    /// Wall clock, since 1970, which numbers messages where authentication does.
    fn wall_clock(&self) -> Duration;

    /// Any number, each as likely as any other.
    fn random(&mut self) -> u64;

    /// How many advertisements are in the queue.
    fn waiting(&self) -> usize;

    /// The oldest advertisement of the queue, which it leaves.
    fn delivery(&mut self) -> Option<Delivery>;

    /// Every advertisement that the kernel received on this interface before the time that is
    /// returned is in the queue or has left it. `now` where nothing is waiting in between.
    fn drained_until(&mut self, port: &Self::Port, now: Time) -> Time;

    /// No advertisement was lost for want of room that the kernel received on this interface later
    /// than the time that is returned.
    fn lost_until(&mut self, port: &Self::Port, now: Time) -> Time;

    /// The kernel is to keep repetitions of an advertisement to itself, and to note when the last
    /// one came. This one came at `received`. False where it cannot.
    fn absorb(
        &mut self,
        port: &Self::Port,
        router: (Family, Vrid),
        sample: &Sample,
        received: Time,
    ) -> bool;

    /// When the last one came that the kernel kept to itself.
    fn last_absorbed(&mut self, port: &Self::Port, router: (Family, Vrid)) -> Time;

    /// The kernel passes on all advertisements of this router again, and says when the last one
    /// came that it kept to itself. Whatever came later is delivered.
    fn end_absorption(&mut self, port: &Self::Port, router: (Family, Vrid)) -> Time;

    /// Sends all frames in order. `refused` is told the place of each that could not be sent, in
    /// order, too; the others left.
    fn send<'a>(
        &mut self,
        port: &Self::Port,
        frames: impl Iterator<Item = &'a [u8]>,
        refused: impl FnMut(usize),
    );

    /// Sends one advertisement as IP datagrams to unicast peers, and returns how many of them it
    /// could not be sent to.
    fn send_to_peers<'a>(
        &mut self,
        port: &Self::Port,
        family: Family,
        datagrams: impl Iterator<Item = (IpAddr, &'a [u8])>,
    ) -> usize;

    /// The first deadline that had come, at `now`, when the engine got to it. Not every world wants to
    /// know.
    fn reached(&mut self, _deadline: Time, _now: Time) {}

    /// A silence may be believed at once: the driver had better be awake.
    fn takeover_is_near(&mut self) {}

    /// Tells the driver.
    fn command(&mut self, command: Command);

    /// Hears that a router does not believe in the silence of its Master before this time, because
    /// advertisements may have been lost.
    fn postponed(&mut self, setup: &Setup<Self::Port>, until: Time);

    /// Hears that the end of a silence was noticed this late, and that the Master has more time therefore.
    /// Not every world wants to know.
    fn late(&mut self, _setup: &Setup<Self::Port>, _late: Duration) {}

    /// Hears that a router has changed its state.
    fn transition(&mut self, setup: &Setup<Self::Port>, transition: Transition);

    /// Hears that state, reasons or priority of a router are not those of `before` any more, and
    /// why the state is not. Not every world wants to know.
    fn changed(&mut self, _setup: &Setup<Self::Port>, _before: Condition, _cause: Option<Cause>) {}
}
