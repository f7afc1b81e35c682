//! The sniffer of mode 0.
