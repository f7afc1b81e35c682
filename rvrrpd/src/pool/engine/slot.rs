//! One virtual router with its frames.

use core::time::Duration;

use super::super::Setup;
use super::super::frames::Frames;
use super::Host;
use crate::fsm::{Advert, Router};
use crate::wire::Version;
use crate::wire::advert::ChecksumForm;

/// A virtual router of the engine.
#[derive(Debug)]
pub(super) struct Slot<P> {
    pub(super) setup: Setup<P>,
    pub(super) router: Router,
    checksum_form: ChecksumForm,
    pub(super) frames: Frames,
    /// The Master's advertisement, whose repetitions the kernel keeps to itself, received when the
    /// last one came that the router knows of.
    pub(super) absorbed: Option<Advert>,
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
    pub(super) fn follow_checksum_form(&mut self, form: ChecksumForm) {
        let follows =
            self.setup.message.version == Version::V3 && self.setup.message.checksum_form.is_none();
        if follows && form != self.checksum_form {
            self.checksum_form = form;
            self.make_frames();
        }
    }

    /// Makes a frame that is due ready to be sent at `now`; see [`Frames::seal`].
    pub(super) fn seal(&mut self, resign: bool, now: Duration) -> bool {
        let key = &self.setup.message.auth;
        self.frames.seal(key, resign, now)
    }

    pub(super) fn count_sent(&self, sent: bool, resign: bool) {
        let status = &self.setup.status;
        if !sent {
            status.send_errors.count();
            return;
        }
        status.advertisement_sent.count();
        if resign {
            status.priority_zero_pkts_sent.count();
        }
    }

    /// Sends the advertisement, or the one with priority 0, to the unicast peers, and counts it as
    /// sent if one of them could be sent it, and as an error if one could not.
    pub(super) fn send_to_peers<H: Host<Port = P>>(&self, port: &P, resign: bool, host: &mut H) {
        let family = self.setup.message.family;
        let failed = host.send_to_peers(port, family, self.frames.datagrams(resign));
        if failed < self.frames.datagrams(resign).count() {
            self.count_sent(true, resign);
        }
        if failed > 0 {
            self.count_sent(false, resign);
        }
    }

    fn make_frames(&mut self) {
        let Setup {
            message, params, ..
        } = &self.setup;
        self.frames.make(message, params, self.checksum_form);
    }
}
