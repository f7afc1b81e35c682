//! Advertisements, the only messages of VRRP, in the order of their life:
//!
//! ```text
//!  bytes ─▶ Datagram::from_ipv4 │ from_ipv6 ─▶ Advert::check ─▶ Expect::verify ─▶ Accepted
//!           IP header               message        what holds       what this
//!                                                  for everybody    router wants
//!  AdvertRepr::emit │ frame ─▶ bytes
//! ```
//!
//! Every arrow that can fail gives one [`Reject`](super::verdict::Reject).

mod check;
mod datagram;
mod expect;
mod peers;
mod repr;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod ladder;
#[cfg(test)]
mod properties;

pub use check::Advert;
pub use datagram::{Datagram, peek_vrid};
pub use expect::{Accepted, Expect};
pub use peers::Peers;
pub use repr::AdvertRepr;

pub use super::message::ChecksumForm;
