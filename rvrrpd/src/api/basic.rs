//! Name and password with each request (RFC 7617), for programs that read and keep no cookies, such
//! as Prometheus.
//!
//! The first time it is a login, with all that a login costs. That these two go together is kept
//! then, as a hash under a key that nobody else has, so that the next requests do not cost a
//! password hash each. Failures are not kept, and who has to wait because of them has to wait here,
//! too: otherwise what is kept would tell a guess from the password for nothing.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};

use super::access::{Access, Peer};
use super::credentials::User;
use super::login::{self, Login};
use super::problem::Problem;
use super::routes::App;
use super::session::{self, Key, Session};

/// How many are kept.
const MOST: usize = 64;
/// How long one is kept.
const LONGEST: Duration = Duration::from_secs(3600);

/// Which passwords were right.
#[derive(Debug, Default)]
pub(super) struct Remembered(VecDeque<(Digest, Instant)>);

/// What is kept of a password.
#[derive(Clone, Copy)]
struct Digest([u8; 32]);

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("\"***\"")
    }
}

impl Digest {
    /// Another line of the user, which is another password or level, makes another digest.
    fn of(user: &User, password: &[u8], key: &Key) -> Self {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.bytes()) else {
            // HMAC takes keys of any length.
            return Self([0; 32]);
        };
        for part in [&*user.line.0, password] {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        Self(mac.finalize().into_bytes().into())
    }
}

impl Remembered {
    fn contains(&mut self, digest: &Digest, now: Instant) -> bool {
        self.0
            .retain(|(_, since)| now.saturating_duration_since(*since) < LONGEST);
        let known = self.0.iter().map(|(known, _)| known.0.ct_eq(&digest.0));
        known.fold(Choice::from(0), |any, one| any | one).into()
    }

    fn insert(&mut self, digest: Digest, now: Instant) {
        if self.contains(&digest, now) {
            return;
        }
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back((digest, now));
    }
}

/// What a user with this name and password may do.
///
/// # Errors
/// They are wrong, or come too often; see [`login::verified`].
pub(super) async fn access(
    app: &Arc<App>,
    address: SocketAddr,
    given: Login,
) -> Result<Access, Problem> {
    let peer = Peer::Tcp {
        address,
        tls: false,
    };
    let settings = app.settings();
    let mut users = settings.users.iter();
    let known = users.find(|user| user.name == given.user);
    let digest = known.map(|user| Digest::of(user, given.passwd.as_bytes(), &app.key));
    let now = Instant::now();
    let wait = app.throttle.lock().peek(peer.source(), now);
    wait.map_err(login::too_many)?;
    let is_remembered = digest.is_some_and(|digest| app.remembered.lock().contains(&digest, now));
    let user = match known.filter(|_| is_remembered) {
        Some(user) => user.clone(),
        None => {
            let user = login::verified(app, &peer, given).await;
            let user = user.map_err(Problem::challenge)?;
            if let Some(digest) = digest {
                app.remembered.lock().insert(digest, now);
            }
            user
        }
    };
    // Not given to anybody; it says until when events may be followed.
    let session = Session::new(&user, session::now());
    let session = session.map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE))?;
    Ok(Access::with(session, &user, &settings.key, address))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::config::model::Secret;

    fn user(line: &str) -> User {
        User::parse(&Secret(Zeroizing::new(line.as_bytes().to_vec()))).unwrap()
    }

    #[test]
    fn what_is_kept_is_bounded_and_ends() {
        let (one, other) = (
            user("{{SHA256}}a:0:1:0123456789abcdef"),
            user("{{SHA256}}a:0:1:0123456789abcdee"),
        );
        let key = Key::new(b"key");
        let of = |user: &User, password: &str| Digest::of(user, password.as_bytes(), &key);
        let mut remembered = Remembered::default();
        let now = Instant::now();
        remembered.insert(of(&one, "banana"), now);
        assert!(remembered.contains(&of(&one, "banana"), now));
        assert!(!remembered.contains(&of(&one, "orange"), now));
        // Another password has been configured.
        assert!(!remembered.contains(&of(&other, "banana"), now));
        assert!(!remembered.contains(&Digest::of(&one, b"banana", &Key::new(b"other")), now));
        assert!(!remembered.contains(&of(&one, "banana"), now + LONGEST));
        for number in 0..MOST * 2 {
            remembered.insert(of(&one, &number.to_string()), now);
            assert!(remembered.0.len() <= MOST);
        }
        assert!(!remembered.contains(&of(&one, "0"), now));
        assert!(remembered.contains(&of(&one, "127"), now));
    }
}
