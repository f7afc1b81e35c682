//! The configuration as an operator meets it: what is accepted, what is refused, and with which
//! words, in TOML and in JSON alike.

#![allow(
    clippy::unwrap_used,
    reason = "a test fails by a panic, in its helpers too"
)]

#[path = "config/api.rs"]
mod api;
#[path = "config/auth.rs"]
mod auth;
#[path = "config/difference.rs"]
mod difference;
#[path = "config/documents.rs"]
mod documents;
#[path = "config/edit/mod.rs"]
mod edit;
#[path = "config/files.rs"]
mod files;
#[path = "config/keys.rs"]
mod keys;
#[path = "config/neighbours.rs"]
mod neighbours;
#[path = "config/properties.rs"]
mod properties;
#[path = "config/router_advertisement.rs"]
mod router_advertisement;
#[path = "config/rules.rs"]
mod rules;
#[path = "config/text.rs"]
mod text;
#[path = "config/unicast.rs"]
mod unicast;
