//! Client library of rVRRPd: the libvrrp of Linux.
//!
//! ```no_run
//! use rvrrpadm::{Client, Settings};
//!
//! let client = Client::local();
//! for name in client.lookup(None, Some("eth0"), None)? {
//!     let router = client.query(&name)?;
//!     println!("{name} is {} with priority {}", router.state, router.priority);
//! }
//! client.modify("eth0-1", &Settings::new().priority(200).preempt(true))?;
//! # Ok::<(), rvrrpadm::Error>(())
//! ```
//!
//! | function | of Sun's libvrrp (design document 0.9.4, appendix A) |
//! |---|---|
//! | [`Client::create`] | `vrrp_create` |
//! | [`Client::destroy`] | `vrrp_destroy` |
//! | [`Client::modify`] | `vrrp_setprop` |
//! | [`Client::startup`], [`Client::shutdown`] | `vrrp_startup`, `vrrp_shutdown` |
//! | [`Client::query`] | `vrrp_query` |
//! | [`Client::lookup`] | `vrrp_lookup` |
//! | [`Client::subscribe`] | system events of the class `ES_vrrp` |
//!
//! Everything blocks. A [`Client`] can be used by several threads at once. It speaks HTTP/1.1 over
//! the Unix socket of the daemon, where the kernel says who asks, or over TCP with a login.
#![forbid(unsafe_code)]

mod client;
mod error;
mod event;
mod router;
mod settings;
mod socket;
mod unix;

pub use client::{Client, ClientBuilder};
pub use error::{Code, Error};
pub use event::{Event, Stopper, Subscription};
pub use router::{Family, Peer, Router, State, Substate, Summary, Timers, Transition};
pub use settings::Settings;
pub use socket::default_sockets;

/// Version of this interface; it grows when something in it changes incompatibly
/// (`LIBVRRP_VERSION`).
pub const VERSION: u32 = 1;
