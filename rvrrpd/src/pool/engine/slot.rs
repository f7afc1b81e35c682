//! One virtual router with its frames.

use core::time::Duration;

use super::super::Setup;
use super::super::frames::Frames;
use super::Host;
use crate::fsm::Router;
use crate::wire::advert::ChecksumForm;

/// A virtual router of the engine.
#[derive(Debug)]
pub(super) struct Slot<P> {
    pub(super) setup: Setup<P>,
    pub(super) router: Router,
    checksum_form: ChecksumForm,
    pub(super) frames: Frames,
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
        };
        slot.make_frames();
        slot
    }

    /// New values for the frames; the state machine is told apart.
    pub(super) fn replace(&mut self, setup: Setup<P>) {
        self.setup = setup;
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

    /// Makes a frame that is due ready to be sent at `now`; see [`Frames::seal`].
    pub(super) fn seal(&mut self, resign: bool, now: Duration) -> bool {
        let key = &self.setup.message.auth;
        self.frames.seal(key, resign, now)
    }

    /// Counts an advertisement, which is a packet for each version and receiver, as sent if one of
    /// the packets was, and as an error if one was not.
    pub(super) fn count(&self, packets: usize, failed: usize, resign: bool) {
        let status = &self.setup.status;
        if failed < packets {
            status.advertisement_sent.count();
            if resign {
                status.priority_zero_pkts_sent.count();
            }
        }
        if failed > 0 {
            status.send_errors.count();
        }
    }

    /// Sends the advertisement, or the one with priority 0, to the unicast peers.
    pub(super) fn send_to_peers<H: Host<Port = P>>(&self, port: &P, resign: bool, host: &mut H) {
        let family = self.setup.message.family;
        let failed = host.send_to_peers(port, family, self.frames.datagrams(resign));
        self.count(self.frames.datagrams(resign).count(), failed, resign);
    }

    fn make_frames(&mut self) {
        let Setup {
            message, params, ..
        } = &self.setup;
        self.frames.make(message, params, self.checksum_form);
    }
}
