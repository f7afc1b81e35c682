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
            users: api
                .users
                .iter()
                .filter_map(User::parse)
                .filter(is_affordable)
                .collect(),
            key: secret.map_or_else(|| random.clone(), |secret| Key::new(&secret.0)),
            lifetime: api.session_lifetime,
        }
    }
}

/// Whether it can be told if a password is that of this user; where not, that is told.
fn is_affordable(user: &User) -> bool {
    let is_too_costly = user.is_too_costly();
    if is_too_costly {
        tracing::warn!(
            "Client API: {} cannot log in, the hash of the password costs too much, allowed: Argon2 \
             with 256 MiB (m), 64 passes and 64 lanes, scrypt with ln = 20, r = 64 and p = 64 at the \
             most",
            user.name
        );
    }
    !is_too_costly
}
