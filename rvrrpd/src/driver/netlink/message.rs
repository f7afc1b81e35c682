//! Messages as bytes: how requests are written and what comes back is read.
//!
//! In host byte order, aligned to four bytes (linux/netlink.h). Reading trusts no length.

use super::uapi::{NLA_TYPE_MASK, NLM_F_ACK, NLM_F_REQUEST};

/// Length of `struct nlmsghdr` in bytes.
pub(super) const HEADER: usize = 16;
/// Length of `struct nlattr` in bytes.
const ATTRIBUTE: usize = 4;

/// One request, complete but for its sequence number.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    tolerated: &'static [i32],
}

impl Request {
    /// A request of this type with the fixed header of its family; `flags` besides
    /// `NLM_F_REQUEST` and `NLM_F_ACK`.
    pub(super) fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(128);
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(NLM_F_REQUEST | NLM_F_ACK | flags).to_ne_bytes());
        bytes.extend_from_slice(&[0; 8]);
        bytes.extend_from_slice(header);
        pad(&mut bytes);
        Self {
            bytes,
            tolerated: &[],
        }
    }

    /// These answers mean that what was asked for is so already.
    pub(super) fn tolerate(mut self, errors: &'static [i32]) -> Self {
        self.tolerated = errors;
        self
    }

    pub(super) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        put(&mut self.bytes, kind, value);
        self
    }

    pub(super) fn number(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_ne_bytes())
    }

    pub(super) fn text(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.bytes(kind, &bytes)
    }

    pub(super) fn nest(mut self, kind: u16, inside: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        put(&mut self.bytes, kind, &[]);
        let mut nested = inside(self);
        let length = u16::try_from(nested.bytes.len() - start).unwrap_or(u16::MAX);
        nested.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        nested
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn tolerates(&self, error: i32) -> bool {
        self.tolerated.contains(&error)
    }

    /// Appends the message with this sequence number. `silent`: only if it is refused there is an
    /// answer.
    pub(super) fn write(&self, sequence: u32, silent: bool, buffer: &mut Vec<u8>) {
        let start = buffer.len();
        buffer.extend_from_slice(&self.bytes);
        let length = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
        buffer[start + 8..start + 12].copy_from_slice(&sequence.to_ne_bytes());
        if silent {
            let flags = short(&self.bytes, 6).unwrap_or(0) & !NLM_F_ACK;
            buffer[start + 6..start + 8].copy_from_slice(&flags.to_ne_bytes());
        }
    }
}

fn put(bytes: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(ATTRIBUTE + value.len()).unwrap_or(u16::MAX);
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(value);
    pad(bytes);
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// One message of an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    pub(super) body: &'a [u8],
}

/// The messages of one datagram; ends at the first that is cut off.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = Message<'_>> {
    let mut rest = datagram;
    core::iter::from_fn(move || {
        let length = usize::try_from(number(rest, 0)?).ok()?;
        let body = rest.get(HEADER..length)?;
        let message = Message {
            kind: short(rest, 4)?,
            flags: short(rest, 6)?,
            sequence: number(rest, 8)?,
            body,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some(message)
    })
}

/// The attributes of a message or of a nest; ends at the first that is cut off.
pub(super) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        let length = usize::from(short(rest, 0)?);
        let kind = short(rest, 2)? & NLA_TYPE_MASK;
        let value = rest.get(ATTRIBUTE..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    })
}

/// The 32-bit number at this offset.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let value = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(value.try_into().ok()?))
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let value = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_ne_bytes(value.try_into().ok()?))
}

/// Text that ends at its first NUL, if it has one.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let end = value
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(value.len());
    core::str::from_utf8(&value[..end]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read_back() {
        let request = Request::new(16, 0x600, &[7; 5])
            .text(3, "eth0")
            .nest(18, |nest| nest.text(1, "macvlan").number(2, 4))
            .bytes(1, &[1, 2, 3, 4, 5, 6]);
        let mut buffer = Vec::new();
        request.write(77, false, &mut buffer);
        request.write(78, true, &mut buffer);
        let read: Vec<_> = messages(&buffer).collect();
        assert_eq!(read.len(), 2);
        assert_eq!((read[0].kind, read[0].sequence), (16, 77));
        assert_eq!(read[1].sequence, 78);
        assert_eq!((read[0].flags, read[1].flags), (0x605, 0x601));
        let body = &read[1].body[8..];
        let parts: Vec<_> = attributes(body).collect();
        assert_eq!(
            parts.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(),
            [3, 18, 1]
        );
        assert_eq!(text(parts[0].1), Some("eth0"));
        let nested: Vec<_> = attributes(parts[1].1).collect();
        assert_eq!(text(nested[0].1), Some("macvlan"));
        assert_eq!(number(nested[1].1, 0), Some(4));
        assert_eq!(parts[2].1, [1, 2, 3, 4, 5, 6]);
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_bad_to_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                prop_assert!(attributes(message.body).count() <= bytes.len());
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
