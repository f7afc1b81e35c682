//! nfnetlink: messages with attributes, and batches of them, each a transaction
//! (linux/netfilter/nfnetlink.h).

use std::io;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use super::ruleset::{self, Object, Table};
use crate::net::sys::socket::force_send_buffer;

/// `NFNL_SUBSYS_NFTABLES`.
const SUBSYSTEM: u16 = 10;
/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END`.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
/// `NLA_F_NESTED` of linux/netlink.h.
const NESTED: u16 = 1 << 15;
const HEADER: usize = 16;
/// A whole transaction goes out in one datagram; this is enough for 300000 elements. The memory is
/// taken only while a datagram of that size is on its way.
const SEND_BUFFER: i32 = 8 << 20;

/// What a message is about, for the report of an error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Target {
    pub(super) table: Table,
    pub(super) object: Object,
}

/// The messages of one transaction.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Start of the last message.
    last: usize,
    /// By position: the message after the begin of the batch is the first.
    targets: Vec<Target>,
}

impl Batch {
    pub(super) fn new() -> Self {
        let mut batch = Self {
            bytes: Vec::with_capacity(4096),
            last: 0,
            targets: Vec::new(),
        };
        batch.frame(BATCH_BEGIN, 0, 0, SUBSYSTEM, |_| ());
        batch
    }

    /// Adds a message: `NFT_MSG_*`, `NLM_F_*`, and what it is about.
    pub(super) fn message(
        &mut self,
        kind: u8,
        flags: i32,
        target: Target,
        body: impl FnOnce(&mut Attributes<'_>),
    ) {
        let family = target.table.family();
        self.targets.push(target);
        let flags = u16::try_from(flags).unwrap_or_default();
        self.frame(SUBSYSTEM << 8 | u16::from(kind), flags, family, 0, body);
    }

    /// `struct nlmsghdr`, `struct nfgenmsg`, attributes. Sequence numbers are filled in when the
    /// batch is sent.
    fn frame(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        body: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.bytes.len();
        let flags = flags | u16::try_from(libc::NLM_F_REQUEST).unwrap_or_default();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        body(&mut Attributes(&mut self.bytes));
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        self.last = start;
    }

    /// The datagram, its messages numbered from `first`, an acknowledgement asked for the last of
    /// them (not for the end of the batch, which kernels before 6.10 do not acknowledge).
    fn finish(mut self, first: u32) -> (Vec<u8>, Vec<Target>) {
        let flags = &mut self.bytes[self.last + 6..self.last + 8];
        let acknowledged = u16::from_ne_bytes([flags[0], flags[1]])
            | u16::try_from(libc::NLM_F_ACK).unwrap_or_default();
        flags.copy_from_slice(&acknowledged.to_ne_bytes());
        self.frame(BATCH_END, 0, 0, SUBSYSTEM, |_| ());
        let mut at = 0;
        let mut sequence = first;
        while at + HEADER <= self.bytes.len() {
            let length = u32::from_ne_bytes(word(&self.bytes[at..]));
            self.bytes[at + 8..at + 12].copy_from_slice(&sequence.to_ne_bytes());
            sequence = sequence.wrapping_add(1);
            at += length as usize;
        }
        (self.bytes, self.targets)
    }
}

/// Where attributes are written.
#[derive(Debug)]
pub(super) struct Attributes<'a>(&'a mut Vec<u8>);

impl Attributes<'_> {
    pub(super) fn bytes(&mut self, kind: u16, value: &[u8]) {
        self.write(kind, |to| to.extend_from_slice(value));
    }

    /// Numbers of nf_tables are in network order.
    pub(super) fn number(&mut self, kind: u16, value: u32) {
        self.bytes(kind, &value.to_be_bytes());
    }

    /// With the NUL that the kernel wants.
    pub(super) fn string(&mut self, kind: u16, value: &str) {
        self.write(kind, |to| {
            to.extend_from_slice(value.as_bytes());
            to.push(0);
        });
    }

    pub(super) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Attributes<'_>)) {
        self.write(kind | NESTED, |to| body(&mut Attributes(to)));
    }

    /// `struct nlattr`, the value, padding to four bytes. Callers keep values below 64 KiB; a
    /// longer one would get a length that the kernel refuses.
    fn write(&mut self, kind: u16, value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&kind.to_ne_bytes());
        value(self.0);
        let length = u16::try_from(self.0.len() - start).unwrap_or(u16::MAX);
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        let padded = self.0.len().next_multiple_of(4);
        self.0.resize(padded, 0);
    }
}

/// Why a transaction did not happen.
#[derive(Debug)]
pub(super) struct Refusal {
    error: io::Error,
    /// The message that was refused; none: the whole batch.
    pub(super) target: Option<Target>,
}

impl Refusal {
    pub(super) fn new(number: i32, target: Option<Target>) -> Self {
        Self {
            error: io::Error::from_raw_os_error(number),
            target,
        }
    }

    pub(super) fn is(&self, numbers: &[i32]) -> bool {
        self.error
            .raw_os_error()
            .is_some_and(|number| numbers.contains(&number))
    }

    /// Something is there that should not be, or the other way round.
    pub(super) fn out_of_step(&self) -> bool {
        self.target.is_some() && self.is(&[libc::ENOENT, libc::EEXIST, libc::EBUSY])
    }

    /// The parent that cannot be hooked because there is no such interface.
    pub(super) fn missing_parent(&self) -> Option<u32> {
        match &self.target {
            Some(Target {
                object: Object::Ingress { index, .. },
                ..
            }) if self.is(&[libc::ENOENT, libc::ENODEV]) => Some(*index),
            _ => None,
        }
    }

    /// The error for people, with the kind that programs look at.
    pub(super) fn explain(self, name: &str) -> io::Error {
        let error = &self.error;
        let Some(target) = &self.target else {
            return match error.raw_os_error() {
                Some(libc::EOPNOTSUPP) => {
                    unsupported("the kernel has no nf_tables (CONFIG_NF_TABLES)".to_owned())
                }
                Some(libc::EMSGSIZE) => io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "nftables: too many changes for one transaction",
                ),
                _ => io::Error::new(error.kind(), format!("nftables: {error}")),
            };
        };
        let Target { table, object } = target;
        let lacking = match object {
            Object::Chain => self.is(&[libc::ENOENT, libc::EOPNOTSUPP, libc::EAFNOSUPPORT]),
            _ => self.is(&[libc::EAFNOSUPPORT]),
        };
        if lacking {
            return unsupported(format!(
                "the kernel has no nf_tables for family {table} ({})",
                table.kernel_option()
            ));
        }
        let hint = match object {
            Object::Ingress { parent, .. } if self.missing_parent().is_some() => {
                format!(" (there is no interface `{parent}`)")
            }
            _ if self.is(&[libc::EPERM]) => {
                " (CAP_NET_ADMIN is missing, or another process owns the table)".to_owned()
            }
            _ => String::new(),
        };
        let text = format!("nftables table {table} {name}: {object}: {error}{hint}");
        io::Error::new(error.kind(), text)
    }
}

fn unsupported(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// A netlink socket to nfnetlink.
pub(super) struct Socket {
    socket: NlSocket,
    /// Of the next message.
    sequence: u32,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// `Unsupported` if the kernel has no nfnetlink.
    pub(super) fn open() -> io::Result<Self> {
        let socket =
            NlSocket::connect(NlFamily::Netfilter, None, Groups::empty()).map_err(|error| {
                match error.raw_os_error() {
                    Some(libc::EPROTONOSUPPORT) => unsupported(
                        "the kernel has no nfnetlink (CONFIG_NETFILTER_NETLINK)".to_owned(),
                    ),
                    _ => error,
                }
            })?;
        // In a container with a user namespace it is forbidden; what the host allows by default is
        // enough for 7000 elements there, and more are refused as a whole.
        let _ = force_send_buffer(&socket, SEND_BUFFER);
        Ok(Self {
            socket,
            sequence: 1,
        })
    }

    /// Whether there may be such a table; false where the kernel says that there is none. To ask first
    /// is cheap: for a transaction about a table that is not there the kernel waits until no processor
    /// can see what it has not changed, 15 ms.
    pub(super) fn may_have(&mut self, table: Table, name: &str) -> bool {
        let mut question = Batch {
            bytes: Vec::new(),
            last: 0,
            targets: Vec::new(),
        };
        ruleset::ask_for_table(&mut question, table, name);
        question.bytes[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        self.sequence = self.sequence.wrapping_add(1);
        if self.socket.send(&question.bytes, Msg::empty()).is_err() {
            return true;
        }
        let mut is_absent = false;
        let mut answer = [0; HEADER + 4];
        while let Ok((length, _)) = self.socket.recv(&mut answer[..], Msg::DONTWAIT) {
            let kind = u16::from_ne_bytes([answer[4], answer[5]]);
            let number = i32::from_ne_bytes(word(&answer[HEADER..]));
            is_absent |= length >= answer.len()
                && i32::from(kind) == libc::NLMSG_ERROR
                && number == -libc::ENOENT;
        }
        !is_absent
    }

    /// Carries out a batch: all of it or nothing. nfnetlink works within the system call that sends,
    /// so all answers are there when it returns.
    pub(super) fn transact(&mut self, batch: Batch) -> Result<(), Refusal> {
        let first = self.sequence;
        let (bytes, mut targets) = batch.finish(first);
        let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        // Begin and end have numbers of their own.
        self.sequence = first.wrapping_add(count).wrapping_add(2);
        let whole = |error| Refusal {
            error,
            target: None,
        };
        self.socket.send(&bytes, Msg::empty()).map_err(whole)?;

        let mut acknowledged = false;
        let mut refused: Option<(u32, i32)> = None;
        loop {
            // The head of `struct nlmsgerr` is enough; the kernel drops the rest of the datagram.
            let mut answer = [0; HEADER + 4];
            let length = match self.socket.recv(&mut answer[..], Msg::DONTWAIT) {
                Ok((length, _)) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // More errors than the receive buffer holds: the first ones are in it.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => continue,
                Err(error) => return Err(whole(error)),
            };
            let kind = u16::from_ne_bytes([answer[4], answer[5]]);
            if length < answer.len() || i32::from(kind) != libc::NLMSG_ERROR {
                continue;
            }
            let position = u32::from_ne_bytes(word(&answer[8..])).wrapping_sub(first);
            match i32::from_ne_bytes(word(&answer[HEADER..])) {
                _ if position > count + 1 => {}
                0 => acknowledged = true,
                number if refused.is_none_or(|(before, _)| position < before) => {
                    refused = Some((position, -number));
                }
                _ => {}
            }
        }
        match refused {
            None if acknowledged => Ok(()),
            None => Err(whole(io::Error::other("the kernel has not answered"))),
            Some((position, number)) => {
                let at = position.wrapping_sub(1) as usize;
                let target = (at < targets.len()).then(|| targets.swap_remove(at));
                Err(Refusal::new(number, target))
            }
        }
    }

    /// Grows with every transaction.
    #[cfg(test)]
    pub(super) fn asked(&self) -> u32 {
        self.sequence
    }
}

/// The first four bytes.
fn word(bytes: &[u8]) -> [u8; 4] {
    let mut word = [0; 4];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    word
}
