//! Sockets: one to receive per interface and family, one to send per interface.
//!
//! Receiving sockets are raw IP sockets, so they never see what the host forwards; the sending one
//! is a packet socket, so that an advertisement leaves with the virtual MAC without any interface
//! that carries it. What is for unicast peers leaves by a raw IP socket, because the kernel knows
//! the way and the neighbours.

pub mod backlog;
pub mod filter;
pub mod kernel;
pub mod listener;
pub mod membership;
pub mod namespace;
pub mod sender;
pub mod socket;
pub mod solicitation;
pub mod station;
pub mod sys;
pub mod unicast;
