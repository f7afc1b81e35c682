//! rVRRPd: a VRRP daemon for Linux (RFC 3768, RFC 9568).
//!
//! The way of an advertisement, which is also the list of the modules:
//!
//! ```text
//!  LAN ─▶ net::socket ─▶ [socket filter] ─▶ net::listener ─▶ wire::advert ─▶ pool::dispatch
//!         one per interface   in the kernel    one thread         pure            │ crossbeam, bounded,
//!         and family                           per interface                      ▼ one per worker
//!  kernel ◀─ driver ◀──────── actions ◀── fsm::Router::handle(now, event) ◀── pool::worker
//!  LAN    ◀─ net::sender ◀──┘             pure                                     ▲ deadlines
//!                                                                                  │
//!                       config ─▶ daemon::supervisor ─ routers, readiness, stop ───┘
//! ```
//!
//! * [`wire`] and [`fsm`] are pure: bytes, time and events come in, verdicts and actions go out.
//! * [`net`] owns the sockets and, in `net::sys`, all unsafe code of the crate.
//! * [`pool`] owns the virtual routers; nothing else calls [`fsm`].
//! * [`driver`] owns the kernel: links, addresses, routes, the gate and the sysctls.
//! * [`config`] turns a file into a validated model and two models into a difference.
//! * [`daemon`] ties them together: start order, signals, reload, orderly stop.
//! * [`api`] tells users and programs what all of them publish, and passes their orders on.

pub mod api;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod driver;
pub mod events;
pub mod fsm;
mod hands;
pub mod log;
pub mod net;
pub mod pool;
#[cfg(test)]
mod reexec;
#[cfg(test)]
mod scratch;
pub mod sniffer;
pub mod stats;
pub mod wire;
