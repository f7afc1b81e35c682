//! One virtual router with its frames.

use super::super::Setup;
use super::Host;
use super::packets::Packets;
use crate::fsm::Router;
use crate::wire::advert::{AdvertRepr, ChecksumForm};
use crate::wire::{PRIORITY_RESIGN, Version};

/// A virtual router of the engine. Its frames are made when they change, not when they are sent.
#[derive(Debug)]
pub(super) struct Slot<P> {
    pub(super) setup: Setup<P>,
    pub(super) router: Router,
    checksum_form: ChecksumForm,
    advert: Packets,
    resign: Packets,
}

impl<P> Slot<P> {
    pub(super) fn new(setup: Setup<P>) -> Self {
        let router = Router::new(setup.params);
        let checksum_form = setup.message.checksum_form.unwrap_or(ChecksumForm::Message);
        let mut slot = Self {
            setup,
            router,
            checksum_form,
            advert: Packets::Frame(Vec::new()),
            resign: Packets::Frame(Vec::new()),
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

    /// The packets of the advertisement, or of the one with priority 0.
    pub(super) fn packets(&self, resign: bool) -> &Packets {
        if resign { &self.resign } else { &self.advert }
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
        let Packets::Datagrams(datagrams) = self.packets(resign) else {
            return;
        };
        let family = self.setup.message.family;
        let packets = datagrams
            .iter()
            .map(|(peer, bytes)| (*peer, bytes.as_slice()));
        let failed = host.send_to_peers(port, family, packets);
        if failed < datagrams.len() {
            self.count_sent(true, resign);
        }
        if failed > 0 {
            self.count_sent(false, resign);
        }
    }

    fn make_frames(&mut self) {
        self.advert = self.make_packets(self.setup.params.priority);
        self.resign = self.make_packets(PRIORITY_RESIGN);
    }

    fn make_packets(&self, priority: u8) -> Packets {
        let message = &self.setup.message;
        let advert = AdvertRepr {
            version: message.version,
            vrid: message.vrid,
            priority,
            interval: self.setup.params.interval,
            addresses: &message.addresses,
            auth: &message.auth,
            checksum_form: self.checksum_form,
        };
        let source = self.setup.params.source;
        Packets::new(&advert, &message.peers, message.source_mac, source)
    }
}
