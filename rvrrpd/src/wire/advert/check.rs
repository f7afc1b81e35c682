//! The checks that do not depend on who receives the advertisement.

use core::ops::Deref;

use super::Datagram;
use crate::wire::message::{ChecksumForm, HEADER_LEN, Message};
use crate::wire::verdict::Reject;
use crate::wire::{TTL, Vrid};

/// View of one advertisement for which TTL, version, type, count, length, checksum and VRID
/// hold. Its fields are those of [`Message`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Advert<'a> {
    message: Message<'a>,
    vrid: Vrid,
    checksum_form: ChecksumForm,
}

impl<'a> Advert<'a> {
    /// Checks what RFC 9568 §7.1 asks for, in its order, which matters because the first failure
    /// is the one that is counted:
    ///
    /// 1. [`Reject::Truncated`], there is nothing to look at;
    /// 2. [`Reject::Ttl`], not 255;
    /// 3. [`Reject::Version`], neither 2 nor 3, or 2 over IPv6;
    /// 4. [`Reject::Type`];
    /// 5. [`Reject::CountZero`] (§5.2.5), before the length, which a count of 0 could satisfy;
    /// 6. [`Reject::Length`], not exactly what the count asks for;
    /// 7. [`Reject::Checksum`], after the length, because it covers no more than the message;
    /// 8. [`Reject::Vrid`], which is 0.
    ///
    /// # Errors
    /// The first of these that applies.
    pub fn check(datagram: &Datagram<'a>) -> Result<Self, Reject> {
        Self::check_from(datagram, TTL)
    }

    /// The same with a lower limit for TTL or hop limit, for peers that are several hops away or
    /// send less than 255; see [`Peers::least_ttl`](super::Peers::least_ttl).
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub fn check_from(datagram: &Datagram<'a>, least_ttl: u8) -> Result<Self, Reject> {
        if datagram.payload.len() < HEADER_LEN {
            return Err(Reject::Truncated);
        }
        if datagram.ttl < least_ttl {
            return Err(Reject::Ttl);
        }
        let message = Message::parse(datagram.family, datagram.payload)?;
        let checksum_form = message
            .verify_checksum(datagram.source, datagram.destination)
            .ok_or(Reject::Checksum)?;
        let vrid = Vrid::new(message.vrid_field()).ok_or(Reject::Vrid)?;
        Ok(Self {
            message,
            vrid,
            checksum_form,
        })
    }

    /// VRID.
    #[must_use]
    pub const fn vrid(&self) -> Vrid {
        self.vrid
    }

    /// What the checksum covers.
    #[must_use]
    pub const fn checksum_form(&self) -> ChecksumForm {
        self.checksum_form
    }
}

impl<'a> Deref for Advert<'a> {
    type Target = Message<'a>;

    fn deref(&self) -> &Message<'a> {
        &self.message
    }
}
