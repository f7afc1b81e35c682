//! `[api]` as the API uses it: users that were read, a key that is there.

use core::time::Duration;

use super::credentials::User;
use super::session::Key;
use crate::config::model::Api;

/// What a session depends on.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// The users.
    pub(super) users: Vec<User>,
    /// What signs sessions.
    pub(super) key: Key,
    /// How long a session lasts.
    pub(super) lifetime: Duration,
}

impl Settings {
    /// The settings of `[api]`; without one there are no users. `random` is the key of who
    /// configures none.
    pub(super) fn new(api: Option<&Api>, random: &Key) -> Self {
        let Some(api) = api else {
            return Self {
                users: Vec::new(),
                key: random.clone(),
                lifetime: Duration::ZERO,
            };
        };
        let secret = api.secret.as_ref();
        Self {
            users: api.users.iter().filter_map(User::parse).collect(),
            key: secret.map_or_else(|| random.clone(), |secret| Key::new(&secret.0)),
            lifetime: api.session_lifetime,
        }
    }
}
