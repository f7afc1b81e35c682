//! Sessions: what a login gives, in the four cookies of rVRRPd.
//!
//! A session is a signature over who, when and a random number; it needs no table and, where
//! `secret` is configured, is good on every router with the same users and secret, also after a
//! restart. What is kept is which sessions were ended before their time, and that is bounded: where
//! there are too many, the oldest makes all sessions of its user end that are as old.

use core::time::Duration;
use std::collections::{HashMap, VecDeque};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::http::header::{COOKIE, HeaderMap};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::credentials::{User, hex};
use crate::config;

/// Sessions that were ended and are remembered one by one.
const MOST_ENDED: usize = 4096;
/// How long a session may last at the most.
const LONGEST_SESSION: Duration = Duration::from_secs(config::LONGEST_SESSION as u64);
/// How far a clock that signed may be ahead of ours.
const CLOCK_AHEAD: u64 = 60;
/// What the signature is about.
const DOMAIN: &[u8] = b"rVRRPd Client API session, version 1";

/// Names of the cookies.
pub(super) const COOKIES: [&str; 4] = ["user", "ts", "nonce", "token"];

/// The key of the signatures.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<Vec<u8>>);

impl Key {
    /// A key of these bytes.
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// 128 random bits.
    ///
    /// # Errors
    /// The kernel has none.
    pub(super) fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new(vec![0; 16]);
        getrandom::fill(&mut bytes)?;
        Ok(Self(bytes))
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("\"***\"")
    }
}

/// A session.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Session {
    /// Name of the user.
    pub(super) user: String,
    /// When it began, in seconds since 1970.
    pub(super) begin: u64,
    nonce: u64,
}

/// The signature of a session.
#[derive(Clone, Eq, PartialEq)]
pub(super) struct Signature([u8; 32]);

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("\"***\"")
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

impl Session {
    /// A new session that begins `now`.
    ///
    /// # Errors
    /// The kernel has no random bits.
    pub(super) fn new(user: &User, now: u64) -> Result<Self, getrandom::Error> {
        Ok(Self {
            user: user.name.clone(),
            begin: now,
            nonce: getrandom::u64()?,
        })
    }

    /// The values of `Set-Cookie`.
    pub(super) fn cookies(
        &self,
        user: &User,
        key: &Key,
        lifetime: Duration,
        secure: bool,
    ) -> [String; 4] {
        let secure = if secure { "; Secure" } else { "" };
        let lifetime = lifetime.as_secs();
        let values = [
            ("user", self.user.clone()),
            ("ts", self.begin.to_string()),
            ("nonce", self.nonce.to_string()),
            ("token", hex(&self.sign(user, key))),
        ];
        values.map(|(name, value)| {
            format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={lifetime}{secure}")
        })
    }

    /// The values of `Set-Cookie` that make a client forget them.
    pub(super) fn forget() -> [String; 4] {
        COOKIES.map(|name| format!("{name}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0"))
    }

    /// Its signature; another password or level makes another one.
    pub(super) fn signature(&self, user: &User, key: &Key) -> Signature {
        Signature(self.sign(user, key))
    }

    /// When it ends.
    pub(super) fn end(&self, lifetime: Duration) -> u64 {
        self.begin.saturating_add(lifetime.as_secs())
    }

    /// The session that a request has the cookies of, if the signature is that of `key` and the
    /// session is neither too old nor from the future. Whether it was ended is for [`Ended`].
    pub(super) fn of<'a>(
        headers: &HeaderMap,
        users: &'a [User],
        key: &Key,
        lifetime: Duration,
        now: u64,
    ) -> Option<(Self, &'a User)> {
        let session = Self {
            user: cookie(headers, "user")?.to_owned(),
            begin: cookie(headers, "ts")?.parse().ok()?,
            nonce: cookie(headers, "nonce")?.parse().ok()?,
        };
        let token = cookie(headers, "token")?;
        let user = users.iter().find(|user| user.name == session.user)?;
        let expected = hex(&session.sign(user, key));
        let is_ours = bool::from(expected.as_bytes().ct_eq(token.as_bytes()));
        let is_current =
            session.begin <= now.saturating_add(CLOCK_AHEAD) && now < session.end(lifetime);
        (is_ours && is_current).then_some((session, user))
    }

    /// Another password or level makes another signature.
    fn sign(&self, user: &User, key: &Key) -> [u8; 32] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key.0) else {
            // HMAC takes keys of any length.
            return [0; 32];
        };
        for part in [DOMAIN, self.user.as_bytes(), &user.line.0] {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        mac.update(&self.begin.to_be_bytes());
        mac.update(&self.nonce.to_be_bytes());
        mac.finalize().into_bytes().into()
    }
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).into_iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find_map(|(known, value)| (known == name).then_some(value))
}

/// Which sessions were ended before their time.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// In the order in which they were ended.
    sessions: VecDeque<Session>,
    /// Sessions of these users that began until then are ended. Only users of the configuration
    /// can have sessions, so there are not more than those.
    until: HashMap<String, u64>,
}

impl Ended {
    /// Ends a session. It is remembered for as long as any session may last, because
    /// `session_lifetime` may become longer.
    pub(super) fn end(&mut self, session: &Session, now: u64) {
        self.sessions
            .retain(|known| now < known.end(LONGEST_SESSION));
        if self.contains(session) {
            return;
        }
        if self.sessions.len() >= MOST_ENDED
            && let Some(oldest) = self.sessions.pop_front()
        {
            let until = self.until.entry(oldest.user).or_default();
            *until = (*until).max(oldest.begin);
        }
        self.sessions.push_back(session.clone());
    }

    /// Whether a session was ended.
    pub(super) fn contains(&self, session: &Session) -> bool {
        let until = self.until.get(&session.user);
        until.is_some_and(|until| session.begin <= *until) || self.sessions.contains(session)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::config::model::Secret;

    const LIFETIME: Duration = Duration::from_secs(100);

    fn user(line: &str) -> User {
        User::parse(&Secret(Zeroizing::new(line.as_bytes().to_vec()))).unwrap()
    }

    fn headers(cookies: &[String]) -> HeaderMap {
        let pairs: Vec<&str> = cookies
            .iter()
            .map(|one| one.split(';').next().unwrap())
            .collect();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&pairs.join("; ")).unwrap());
        headers
    }

    #[test]
    fn a_session_is_good_for_its_time_and_under_its_key_and_password_alone() {
        let users = [user("{{SHA256}}a:0:1:0123456789abcdef")];
        let key = Key::new(b"key");
        let session = Session::new(&users[0], 1000).unwrap();
        let cookies = session.cookies(&users[0], &key, LIFETIME, true);
        assert!(cookies[3].ends_with("; HttpOnly; SameSite=Strict; Path=/; Max-Age=100; Secure"));
        let headers = headers(&cookies);
        fn of(headers: &HeaderMap, users: &[User], key: &Key, now: u64) -> Option<Session> {
            Session::of(headers, users, key, LIFETIME, now).map(|(session, _)| session)
        }
        assert_eq!(of(&headers, &users, &key, 1099), Some(session));
        assert!(of(&headers, &users, &key, 1100).is_none());
        assert!(of(&headers, &users, &key, 939).is_none());
        assert!(of(&headers, &users, &Key::new(b"other"), 1000).is_none());
        assert!(
            of(
                &headers,
                &[user("{{SHA256}}a:0:1:0123456789abcdee")],
                &key,
                1000
            )
            .is_none()
        );
        assert!(
            of(
                &headers,
                &[user("{{SHA256}}a:1:1:0123456789abcdef")],
                &key,
                1000
            )
            .is_none()
        );
        assert!(of(&headers, &[], &key, 1000).is_none());
    }

    #[test]
    fn cookies_that_were_changed_are_no_session() {
        let users = [user("{{SHA256}}a:0:1:0123456789abcdef")];
        let key = Key::new(b"key");
        let session = Session::new(&users[0], 1000).unwrap();
        let cookies = session.cookies(&users[0], &key, LIFETIME, false);
        for (place, value) in [
            (0, "user=b"),
            (1, "ts=1001"),
            (2, "nonce=1"),
            (3, "token=0"),
        ] {
            let mut changed = cookies.clone();
            changed[place] = value.to_owned();
            assert!(Session::of(&headers(&changed), &users, &key, LIFETIME, 1001).is_none());
            changed[place] = "ts=-1".to_owned();
            assert!(Session::of(&headers(&changed), &users, &key, LIFETIME, 1001).is_none());
        }
    }

    #[test]
    fn ended_sessions_stay_ended_however_many_there_are() {
        let mut ended = Ended::default();
        let session = |user: &str, nonce| Session {
            user: user.to_owned(),
            begin: 1000 + nonce,
            nonce,
        };
        let other = session("b", 0);
        let number = u64::try_from(MOST_ENDED).unwrap() + 10;
        for nonce in 0..number {
            ended.end(&session("a", nonce), 1000 + nonce);
        }
        assert!((0..number).all(|nonce| ended.contains(&session("a", nonce))));
        assert!(!ended.contains(&session("a", number)));
        assert!(!ended.contains(&other));
        assert_eq!(ended.sessions.len(), MOST_ENDED);
        // However short sessions are now, they may be longer later.
        let longest = LONGEST_SESSION.as_secs();
        ended.end(&other, 999 + longest);
        assert_eq!(ended.sessions.len(), MOST_ENDED);
        assert!(ended.contains(&session("a", number - 1)));
        ended.end(&session("b", number), 1000 + number + longest);
        assert_eq!(ended.sessions.len(), 1);
    }
}
