//! The Client API: what users and programs see of the daemon and may ask of it, over HTTP, HTTPS
//! and the Unix socket of `rvrrpadm`.
//!
//! ```text
//!  client ─▶ listen ─▶ [tls] ─▶ connection ─▶ routes ─▶ access ─▶ run, config, stream, metrics
//!            TCP, Unix          limits, HTTP            session or          │ reads
//!                                                       peer credentials    ▼
//!  supervisor ◀── order ◀──────────────────────── change          registry ◀── supervisor
//!                                                                 Status   ◀── workers
//!                                                                 history  ◀── events, errors
//! ```
//!
//! All of it runs in one thread of its own, under the usual scheduling. It reads what the others
//! publish and sends orders to the supervisor; it holds no lock that a worker, a listener or the
//! driver ever takes. Passwords are hashed in a further thread, one after the other.
#![forbid(unsafe_code)]

mod access;
mod advertising;
mod basic;
mod bounded;
mod change;
mod config;
mod connection;
mod credentials;
mod errors;
mod group;
mod health;
mod hidden;
mod history;
mod idle;
mod keys;
mod listen;
mod login;
mod metrics;
mod openapi;
mod order;
mod page;
mod patience;
mod places;
mod problem;
mod query;
mod refusals;
mod registry;
mod routes;
mod run;
mod secret_files;
mod session;
mod settings;
mod stream;
mod thread;
mod throttle;
mod tls;
mod unix;
mod view;
mod yang;

pub use order::{Applied, Done, Order, QUEUE, Refusal, Request};
pub use registry::{AtWork, Bound, Gauges, Published, Registry, Snapshot};
pub use thread::Handle;
