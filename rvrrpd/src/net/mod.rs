//! Sockets: one to receive per interface and family, one to send per interface.

pub mod sender;
pub mod sys;
