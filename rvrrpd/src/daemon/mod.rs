//! The daemon: start order, signals, reload, orderly stop.

pub mod privilege;
pub mod realtime;
pub mod run_dir;
pub mod unix;
