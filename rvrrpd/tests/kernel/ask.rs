//! Questions to the gate, as frames from the host of the LAN, and what comes back.

use std::io::Read as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use rvrrpd::net::namespace::{Namespace, NamespaceId};
use rvrrpd::net::sender::Sender;
use rvrrpd::wire::Mac;
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::Lab;

/// Who asks: not the host itself, which thus does not mix in.
pub(crate) const ASKER: Mac = Mac([2, 0, 0, 0, 0, 0x51]);
pub(crate) const ASKER4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 51);
pub(crate) const ASKER6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51);
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::UNSPECIFIED;
pub(crate) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(crate) const ALL_NODES_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);
/// How long an answer may take.
const DEADLINE: Duration = Duration::from_secs(20);
const ETH_P_ALL: u16 = 3;

/// The host's end of the LAN.
pub(crate) struct Asker {
    sender: Sender,
    receiver: Socket,
    /// What is asked to know that all before it was answered.
    known: Ipv4Addr,
    rounds: u32,
}

impl Asker {
    /// `known` is an address that is answered throughout.
    pub(crate) fn new(lab: &Lab, known: Ipv4Addr) -> Self {
        let namespace = Namespace::open(NamespaceId(1), &lab.namespace('h')).unwrap();
        let index = lab.host("cat /sys/class/net/eth0/ifindex");
        let (sender, receiver) = namespace
            .enter(|| {
                let sender = Sender::open(index.trim().parse().unwrap()).unwrap();
                let protocol = Protocol::from(i32::from(ETH_P_ALL.to_be()));
                let receiver = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
                receiver.set_recv_buffer_size(16 << 20).unwrap();
                let patience = Some(Duration::from_millis(100));
                receiver.set_read_timeout(patience).unwrap();
                (sender, receiver)
            })
            .unwrap();
        Self {
            sender,
            receiver,
            known,
            rounds: 0,
        }
    }

    /// Sends frames and gathers what comes back for [`ASKER`], or for all nodes from a virtual MAC,
    /// until all of them have been judged.
    pub(crate) fn ask<F: AsRef<[u8]>>(&mut self, frames: &[F]) -> Vec<Vec<u8>> {
        // From another one each time, whose reply tells that this is the end.
        self.rounds += 1;
        let [_, a, b, c] = self.rounds.to_be_bytes();
        let last = Mac([2, 0, 0xff, a, b, c]);
        let end = Arp {
            source: last,
            ..Arp::request(self.known)
        };
        let frames: Vec<&[u8]> = frames.iter().map(AsRef::as_ref).collect();
        let failed = |_, error| panic!("not sent: {error}");
        for frames in frames.chunks(100) {
            self.sender.send(frames.iter().copied(), failed);
        }
        self.sender.send([&end.frame()[..]], failed);
        let start = Instant::now();
        let mut answers = Vec::new();
        let mut bytes = [0; 2048];
        loop {
            assert!(start.elapsed() < DEADLINE, "the last one is not answered");
            let Ok(length) = (&self.receiver).read(&mut bytes) else {
                continue;
            };
            let frame = &bytes[..length];
            if frame[..6] == last.0 {
                return answers;
            }
            let is_virtual = frame[6..10] == [0, 0, 0x5e, 0];
            if frame[..6] == ASKER.0 || is_virtual && frame[..6] == ALL_NODES_MAC.0 {
                answers.push(frame.to_vec());
            }
        }
    }

    /// The answer to a single question; none where there is none.
    pub(crate) fn ask_one(&mut self, frame: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        let mut answers = self.ask(&[frame]);
        assert!(answers.len() < 2, "more than one answer: {answers:x?}");
        answers.pop()
    }
}

/// An ARP message from [`ASKER`].
#[derive(Clone, Copy)]
pub(crate) struct Arp {
    pub(crate) to: Mac,
    pub(crate) source: Mac,
    pub(crate) tag: &'static [u8],
    pub(crate) operation: u16,
    pub(crate) sender_mac: Mac,
    pub(crate) sender: Ipv4Addr,
    pub(crate) target: Ipv4Addr,
}

impl Arp {
    pub(crate) fn request(target: Ipv4Addr) -> Self {
        Self {
            to: Mac::BROADCAST,
            source: ASKER,
            tag: &[],
            operation: 1,
            sender_mac: ASKER,
            sender: ASKER4,
            target,
        }
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        let sender_mac = if self.sender_mac == ASKER {
            self.source
        } else {
            self.sender_mac
        };
        let mut frame = [&self.to.0[..], &self.source.0, self.tag, &[8, 6]].concat();
        frame.extend([0, 1, 8, 0, 6, 4]);
        frame.extend(self.operation.to_be_bytes());
        frame.extend(sender_mac.0);
        frame.extend(self.sender.octets());
        frame.extend([0; 6]);
        frame.extend(self.target.octets());
        frame.resize(60, 0);
        frame
    }
}

/// The reply that an [`Arp`] request is to have.
pub(crate) fn arp_reply(request: &Arp, mac: Mac) -> Vec<u8> {
    Arp {
        to: request.source,
        source: mac,
        operation: 2,
        sender_mac: mac,
        sender: request.target,
        target: request.sender,
        // It is not in what a packet socket sees.
        tag: &[],
    }
    .frame()
    .iter()
    .enumerate()
    .map(|(at, byte)| {
        // The target hardware address, which a request leaves empty.
        match at.checked_sub(32) {
            Some(at @ 0..6) => request.source.0[at],
            _ => *byte,
        }
    })
    .collect()
}

/// A neighbour solicitation or advertisement from [`ASKER`].
#[derive(Clone)]
pub(crate) struct Nd {
    pub(crate) to: Mac,
    pub(crate) tag: &'static [u8],
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
    pub(crate) hop_limit: u8,
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) flags: u8,
    pub(crate) target: Ipv6Addr,
    pub(crate) options: Vec<u8>,
}

impl Nd {
    /// To the solicited-node group, with the link-layer address of the sender.
    pub(crate) fn solicitation(target: Ipv6Addr) -> Self {
        let [.., a, b, c] = target.octets();
        Self {
            to: Mac([0x33, 0x33, 0xff, a, b, c]),
            tag: &[],
            source: ASKER6,
            destination: [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c].into(),
            hop_limit: 255,
            kind: 135,
            code: 0,
            flags: 0,
            target,
            options: [&[1, 1][..], &ASKER.0].concat(),
        }
    }

    /// By which a host makes sure that nobody has the address yet (RFC 4862 §5.4.2).
    pub(crate) fn probe(target: Ipv6Addr) -> Self {
        Self {
            source: Ipv6Addr::UNSPECIFIED,
            options: Vec::new(),
            ..Self::solicitation(target)
        }
    }

    pub(crate) fn message(&self) -> Vec<u8> {
        let mut message = vec![self.kind, self.code, 0, 0, self.flags, 0, 0, 0];
        message.extend(self.target.octets());
        message.extend(&self.options);
        let sum = checksum(self.source, self.destination, &message);
        message[2..4].copy_from_slice(&sum.to_be_bytes());
        message
    }

    pub(crate) fn frame_from(&self, source: Mac) -> Vec<u8> {
        let message = self.message();
        let length = u16::try_from(message.len()).unwrap().to_be_bytes();
        let mut frame = [&self.to.0[..], &source.0, self.tag, &[0x86, 0xdd]].concat();
        frame.extend([0x60, 0, 0, 0, length[0], length[1], 58, self.hop_limit]);
        frame.extend(self.source.octets());
        frame.extend(self.destination.octets());
        frame.extend(message);
        frame
    }

    pub(crate) fn frame(&self) -> Vec<u8> {
        self.frame_from(ASKER)
    }
}

/// The advertisement that a solicitation is to have.
pub(crate) fn advertisement(question: &Nd, mac: Mac) -> Vec<u8> {
    let is_probe = question.source.is_unspecified();
    Nd {
        to: if is_probe { ALL_NODES_MAC } else { ASKER },
        tag: &[],
        source: question.target,
        destination: if is_probe { ALL_NODES } else { question.source },
        hop_limit: 255,
        kind: 136,
        code: 0,
        flags: if is_probe { 0xa0 } else { 0xe0 },
        target: question.target,
        options: [&[2, 1][..], &mac.0].concat(),
    }
    .frame_from(mac)
}

/// Internet checksum with the pseudo-header of IPv6 (RFC 8200 §8.1).
fn checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    let all = [
        &source.octets()[..],
        &destination.octets(),
        &length,
        &[0, 0, 0, 58],
        message,
    ]
    .concat();
    let mut sum: u32 = all
        .chunks(2)
        .map(|half| u32::from(u16::from_be_bytes([half[0], *half.get(1).unwrap_or(&0)])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
