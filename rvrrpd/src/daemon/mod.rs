//! The daemon: start order, signals, reload, orderly stop.
