//! Who asks, and whether that may be.
//!
//! One layer around every path that shows or changes anything: no handler can forget to ask.

use core::fmt;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, HOST, HeaderMap, ORIGIN};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::basic;
use super::credentials::{Level, User};
use super::group;
use super::login::Login;
use super::problem::Problem;
use super::routes::App;
use super::session::{self, Key, Session, Signature};
use super::throttle::Source;
use crate::net::sys::credentials::Credentials;

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) enum Peer {
    /// A host.
    Tcp {
        /// Its address.
        address: SocketAddr,
        /// Whether the connection is encrypted.
        tls: bool,
    },
    /// A user of this host.
    Unix(Arc<Credentials>),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.ip().fmt(f),
            Self::Unix(credentials) => write!(f, "user id {}", credentials.user),
        }
    }
}

impl Peer {
    /// What limits are counted by.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Tcp { address, .. } => address.ip().into(),
            Self::Unix(credentials) => Source::User(credentials.user),
        }
    }

    /// Whether the connection is encrypted.
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: true, .. })
    }
}

/// Somebody who may read at least.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// What may be done.
    pub(super) level: Level,
    /// Who it is, for the log.
    pub(super) who: String,
    /// The session that it follows from, and its signature; none on the Unix socket.
    pub(super) session: Option<(Session, Signature)>,
}

impl Access {
    /// Who sent a request; none for somebody unknown.
    pub(super) fn of(app: &App, peer: &Peer, headers: &HeaderMap) -> Option<Self> {
        match peer {
            Peer::Unix(credentials) => Some(Self {
                level: group::level(credentials),
                who: peer.to_string(),
                session: None,
            }),
            Peer::Tcp { address, .. } => {
                let settings = app.settings();
                let (key, lifetime) = (&settings.key, settings.lifetime);
                let now = session::now();
                let (session, user) = Session::of(headers, &settings.users, key, lifetime, now)?;
                let ended = app.ended.lock().contains(&session);
                (!ended).then(|| Self::with(session, user, key, *address))
            }
        }
    }

    /// Who has proved to be `user` from `address`.
    pub(super) fn with(session: Session, user: &User, key: &Key, address: SocketAddr) -> Self {
        let signature = session.signature(user, key);
        Self {
            level: user.level,
            who: format!("{} at {}", user.name, address.ip()),
            session: Some((session, signature)),
        }
    }

    /// How long it lasts at the most; none without an end. Zero when it has been ended.
    pub(super) fn left(&self, app: &App) -> Option<Duration> {
        let (session, signature) = self.session.as_ref()?;
        let settings = app.settings();
        let mut users = settings.users.iter();
        let user = users.find(|user| user.name == session.user);
        let is_good = user.is_some_and(|user| session.signature(user, &settings.key) == *signature);
        if !is_good || app.ended.lock().contains(session) {
            return Some(Duration::ZERO);
        }
        let left = session.end(settings.lifetime);
        Some(Duration::from_secs(left.saturating_sub(session::now())))
    }
}

/// Lets a request pass whose sender may do what it asks, with its [`Access`]. To read takes a
/// session, a password ([`basic`]) or the Unix socket; all else a session or the Unix socket, and
/// level 1.
pub(super) async fn authorise(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let peer = request.extensions().get::<Peer>();
    let mut access = peer.and_then(|peer| Access::of(&app, peer, request.headers()));
    if reads
        && access.is_none()
        && let Some(Peer::Tcp { address, .. }) = peer
        && let Some(given) = Login::basic(request.headers())
    {
        match basic::access(&app, *address, given).await {
            Ok(known) => access = Some(known),
            Err(problem) => return problem.into_response(),
        }
    }
    let Some(access) = access else {
        let problem = Problem::new(StatusCode::UNAUTHORIZED)
            .detail("no session, or one that has ended; POST /auth begins one");
        let problem = if reads && !is_script(request.headers()) {
            problem.challenge()
        } else {
            problem
        };
        return problem.into_response();
    };
    if !reads {
        if access.level < Level::Write {
            return Problem::new(StatusCode::FORBIDDEN)
                .detail("this user reads, allowed: users of level 1; on the Unix socket root and the group rvrrpd")
                .into_response();
        }
        if is_foreign(request.headers()) {
            return Problem::new(StatusCode::FORBIDDEN)
                .detail("the request comes from a page of another site")
                .into_response();
        }
    }
    request.extensions_mut().insert(access);
    next.run(request).await
}

/// Whether a browser says that a page of another site sent this: a cookie alone does not prove
/// that the user wants it.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(ORIGIN) else {
        return false;
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| {
        let (_, host) = origin.split_once("://")?;
        Some(host)
    });
    origin.is_none() || origin != host
}

/// Whether a script of a page sent this, as far as browsers say: one that is offered Basic
/// authentication asks for a password with a window of its own. Without encryption they do not say
/// it (Fetch Metadata), so our own page does, except where it follows events.
fn is_script(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode");
    let accepts = headers
        .get(ACCEPT)
        .and_then(|accepts| accepts.to_str().ok());
    mode.is_some_and(|mode| mode != "navigate")
        || headers.contains_key("x-requested-with")
        || accepts.is_some_and(|accepts| accepts.contains("text/event-stream"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn scripts_of_pages_are_known() {
        for (name, value, script) in [
            ("accept", "*/*", false),
            ("accept", "text/event-stream", true),
            ("sec-fetch-mode", "navigate", false),
            ("sec-fetch-mode", "cors", true),
            ("x-requested-with", "fetch", true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(is_script(&headers), script, "{name}: {value}");
        }
    }

    #[test]
    fn pages_of_other_sites_are_known() {
        for (origin, foreign) in [
            (None, false),
            (Some("https://10.0.0.1:7080"), false),
            (Some("https://10.0.0.1:7081"), true),
            (Some("https://evil.example"), true),
            (Some("null"), true),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("10.0.0.1:7080"));
            headers.extend(origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))));
            assert_eq!(is_foreign(&headers), foreign, "{origin:?}");
        }
    }
}
