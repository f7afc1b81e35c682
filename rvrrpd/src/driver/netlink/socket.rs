//! A netlink socket that carries many requests in one system call and tells for each what became
//! of it.

use std::io;

use neli::consts::socket::{Msg, NlFamily};
use neli::socket::NlSocket;
use neli::utils::Groups;

use super::message::{HEADER, Message, Request, attributes, messages, number, text};
use super::uapi::{
    NLM_F_ACK_TLVS, NLM_F_CAPPED, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, NLMSGERR_ATTR_MSG,
};
use crate::net::sys;

/// Most bytes of requests in one system call; the default send buffer takes three times as much.
const LARGEST_SEND: usize = 64 << 10;
/// Most requests in one system call; were all refused, their answers would wait in the receive
/// buffer.
const MOST_REQUESTS: usize = 1000;
/// Receive buffer in bytes; an answer takes about 1 KiB of it.
const RECEIVE_BUFFER: i32 = 4 << 20;
/// Largest datagram that is read; the kernel's dumps use at most 32 KiB.
const LARGEST_RECEIVE: usize = 64 << 10;
/// How often a dump that was disturbed is begun anew.
const DUMP_ATTEMPTS: usize = 10;

/// Why the kernel refused one request.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    errno: i32,
    detail: Option<String>,
}

impl Refusal {
    /// The error with what the kernel said about it.
    pub(crate) fn into_error(self) -> io::Error {
        let error = io::Error::from_raw_os_error(self.errno);
        match self.detail {
            Some(detail) => io::Error::new(error.kind(), format!("{error}: {detail}")),
            None => error,
        }
    }
}

/// What became of a request that was not refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Done {
    /// The kernel changed something.
    Changed,
    /// It was so already.
    Already,
}

/// A socket for requests to rtnetlink.
pub(crate) struct Netlink {
    socket: NlSocket,
    sequence: u32,
}

impl Netlink {
    /// Opens the socket in the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = NlSocket::connect(NlFamily::Route, None, Groups::empty())?;
        // Both only make answers better: texts in errors, and dumps that the kernel filters.
        let _ = socket.enable_ext_ack(true);
        let _ = socket.enable_strict_checking(true);
        sys::socket::force_receive_buffer(&socket, RECEIVE_BUFFER)?;
        // Answers to requests are in the receive buffer when send returns, so an empty buffer
        // means that one was lost, and waiting for it would never end.
        socket.nonblock()?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Carries out all requests in order, each regardless of the others, and tells of each what
    /// became of it.
    pub(crate) fn batch(&mut self, requests: &[Request]) -> Vec<Result<Done, Refusal>> {
        let mut answers: Vec<Option<Result<Done, i32>>> = vec![None; requests.len()];
        let mut details: Vec<Option<String>> = vec![None; requests.len()];
        let mut failure = libc::ENOBUFS;
        // All requests say what shall be, so what lost its acknowledgement can be asked again.
        for _ in 0..2 {
            let open: Vec<usize> = (0..requests.len())
                .filter(|i| answers[*i].is_none())
                .collect();
            let mut rest = open.as_slice();
            while !rest.is_empty() {
                let mut bytes = 0;
                let fitting = rest
                    .iter()
                    .take(MOST_REQUESTS)
                    .take_while(|i| {
                        bytes += requests[**i].len();
                        bytes <= LARGEST_SEND
                    })
                    .count()
                    .max(1);
                let (now, later) = rest.split_at(fitting);
                rest = later;
                if let Err(error) = self.exchange(requests, now, &mut answers, &mut details) {
                    failure = error.raw_os_error().unwrap_or(libc::EIO);
                }
            }
            if answers.iter().all(Option::is_some) {
                break;
            }
        }
        answers
            .into_iter()
            .zip(details)
            .map(|(answer, detail)| match answer {
                Some(Ok(done)) => Ok(done),
                Some(Err(errno)) => Err(Refusal { errno, detail }),
                None => Err(Refusal {
                    errno: failure,
                    detail: Some("the kernel's answer was lost".to_owned()),
                }),
            })
            .collect()
    }

    /// Sends requests together and reads the answers. Only the last one is acknowledged, the others
    /// speak up if they are refused: a thousand acknowledgements would take longer than what they
    /// are about.
    fn exchange(
        &mut self,
        requests: &[Request],
        chosen: &[usize],
        answers: &mut [Option<Result<Done, i32>>],
        details: &mut [Option<String>],
    ) -> io::Result<()> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(LARGEST_SEND);
        let last = chosen.last().copied();
        for index in chosen {
            self.sequence = self.sequence.wrapping_add(1);
            requests[*index].write(self.sequence, last != Some(*index), &mut datagram);
        }
        self.send(&datagram)?;
        let mut lost = false;
        // Not kept: there is a socket for each network namespace.
        let mut buffer = vec![0; LARGEST_RECEIVE];
        while last.is_some_and(|last| answers[last].is_none()) {
            let length = match self.receive(&mut buffer) {
                Ok(length) => length,
                // Reported once, while what did arrive is still to be read.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    lost = true;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
                }
                Err(error) => return Err(error),
            };
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                let place = usize::try_from(message.sequence.wrapping_sub(first)).ok();
                let Some(index) = place.and_then(|place| chosen.get(place).copied()) else {
                    continue;
                };
                let Some((errno, detail)) = acknowledgement(&message) else {
                    continue;
                };
                answers[index] = Some(match errno {
                    0 => Ok(Done::Changed),
                    errno if requests[index].tolerates(errno) => Ok(Done::Already),
                    errno => Err(errno),
                });
                details[index] = detail;
            }
        }
        if lost {
            return Err(io::Error::from_raw_os_error(libc::ENOBUFS));
        }
        for index in chosen {
            answers[*index].get_or_insert(Ok(Done::Changed));
        }
        Ok(())
    }

    /// Asks for a list and hands each of its messages, type and body, to `each`. The list is begun
    /// anew when it was disturbed; then `begin` is called again before.
    ///
    /// # Errors
    /// What the kernel says; `Interrupted` if the list was disturbed every time.
    pub(super) fn dump<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> io::Result<Vec<T>> {
        for _ in 0..DUMP_ATTEMPTS {
            if let Some(list) = self.dump_once(request, &mut read)? {
                return Ok(list);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::Interrupted,
            "the kernel changed too fast to be listed",
        ))
    }

    fn dump_once<T>(
        &mut self,
        request: &Request,
        read: &mut impl FnMut(u16, &[u8]) -> Option<T>,
    ) -> io::Result<Option<Vec<T>>> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut datagram = Vec::new();
        request.write(self.sequence, false, &mut datagram);
        self.send(&datagram)?;
        let mut list = Vec::new();
        let mut disturbed = false;
        let mut buffer = vec![0; LARGEST_RECEIVE];
        loop {
            let length = match self.receive(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    disturbed = true;
                    continue;
                }
                // The end of the list was among what was lost.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            };
            for message in messages(buffer.get(..length).unwrap_or_default()) {
                if message.sequence != self.sequence {
                    continue;
                }
                disturbed |= message.flags & NLM_F_DUMP_INTR != 0;
                match message.kind {
                    NLMSG_DONE => return Ok((!disturbed).then_some(list)),
                    NLMSG_ERROR => {
                        return match acknowledgement(&message) {
                            Some((errno, _)) if errno != 0 => {
                                Err(io::Error::from_raw_os_error(errno))
                            }
                            _ => Ok(Some(list)),
                        };
                    }
                    kind => list.extend(read(kind, message.body)),
                }
            }
        }
    }

    fn send(&self, datagram: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send(datagram, Msg::empty()) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.socket.recv(&mut *buffer, Msg::empty()) {
                Ok((length, _)) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Error number (0: none) and text of an acknowledgement.
fn acknowledgement(message: &Message<'_>) -> Option<(i32, Option<String>)> {
    if message.kind != NLMSG_ERROR {
        return None;
    }
    let errno = i32::from_ne_bytes(message.body.get(..4)?.try_into().ok()?).saturating_neg();
    if message.flags & NLM_F_ACK_TLVS == 0 {
        return Some((errno, None));
    }
    // Between the number and the attributes: the request's header, and the rest of it where the
    // kernel did not cut it off.
    let echoed = if message.flags & NLM_F_CAPPED == 0 && errno != 0 {
        usize::try_from(number(message.body, 4)?).ok()?
    } else {
        HEADER
    };
    let extra = message
        .body
        .get(4usize.checked_add(echoed.next_multiple_of(4))?..)
        .unwrap_or(&[]);
    let detail = attributes(extra)
        .find(|(kind, _)| *kind == NLMSGERR_ATTR_MSG)
        .and_then(|(_, value)| text(value))
        .map(str::to_owned);
    Some((errno, detail))
}
