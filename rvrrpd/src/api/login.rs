//! `/auth`: logins and their end.
//!
//! A password costs its hash: memory and time of a thread that does nothing else, one password
//! after the other. Few may wait for it, a failure is answered late, and sources that fail again
//! and again wait longer, so that guessing costs who guesses.

use core::time::Duration;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::access::{Access, Peer, is_foreign};
use super::credentials::User;
use super::problem::Problem;
use super::routes::{self, App};
use super::session::{self, Session};
use super::view::datetime;
use crate::net::sys::clock;

/// Longest body of a login in bytes.
const LONGEST: usize = 8192;
/// Longest name and longest password in characters; twice as many, each written as `\u1234\u1234`,
/// go into [`LONGEST`].
const LONGEST_TEXT: usize = 256;
/// How long a failure is thought over, whatever its reason. It keeps its place in the queue
/// meanwhile, so that all sources together cannot guess fast.
const FAILURE: Duration = Duration::from_millis(500);

/// A login as JSON.
#[derive(Deserialize, ToSchema)]
pub(super) struct Login {
    /// Name of the user.
    #[schema(min_length = 1, max_length = 256)]
    pub(super) user: String,
    /// The password.
    #[serde(alias = "password")]
    #[schema(value_type = String, max_length = 256)]
    pub(super) passwd: Zeroizing<String>,
}

/// A session that has begun; its proof is in the cookies.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LoggedIn {
    /// Name of the user.
    user: String,
    /// 0 reads, 1 writes.
    level: u8,
    /// When the session ends, RFC 3339.
    expires: String,
}

/// Begin a session
///
/// The body is `user=NAME passwd=PASSWORD` as in rVRRPd (one space, nothing decoded), a form
/// (`user=NAME&passwd=PASSWORD`) or JSON.
#[utoipa::path(
    post, path = "/auth", tag = "session", security(()),
    request_body(content(
        (Login = "application/x-www-form-urlencoded"),
        (Login = "application/json"),
    )),
    responses(
        (status = 200, description = "The session is in the cookies", body = LoggedIn),
        (status = 400, description = "The body is no login", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "From a page of another site", body = Problem, content_type = "application/problem+json"),
        (status = 408, description = "The body does not come", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Wrong user or password", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 429, description = "Too many failures", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many logins at a time", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn log_in(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let peer = parts.extensions.get::<Peer>().cloned();
    let peer = peer.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR))?;
    if is_foreign(&parts.headers) {
        let foreign = "the request comes from a page of another site";
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(foreign));
    }
    let body = routes::body(body, LONGEST).await?;
    let login = parse(&parts.headers, &body)?;

    let user = verified(&app, &peer, login).await?;
    tracing::debug!("login of {} from {peer}", user.name);
    begin(&app, &peer, &user)
}

/// The user whose name and password these are.
///
/// Who hangs up gets nothing for it: the place in the queue stays taken for as long as it would have
/// been.
///
/// # Errors
/// It is none, which is said late, or this source has to wait (429), or too many wait (503).
pub(super) async fn verified(app: &Arc<App>, peer: &Peer, login: Login) -> Result<User, Problem> {
    let Ok(place) = Arc::clone(&app.logins).try_acquire_owned() else {
        return Err(Problem::unavailable("too many logins at a time"));
    };
    let source = peer.source();
    let admitted = app.throttle.lock().admit(source, Instant::now());
    let turn = admitted.map_err(too_many)?;
    let (user, is_known) = candidate(app, &login.user);
    // Goes with whoever waits.
    let waiting = Arc::new(());
    let waits = Arc::downgrade(&waiting);
    let (app, peer) = (Arc::clone(app), peer.clone());
    let attempt = tokio::spawn(async move {
        let verified = match user.clone() {
            Some(user) => tokio::task::spawn_blocking(move || {
                waits.strong_count() > 0 && user.verify(login.passwd.as_bytes())
            })
            .await
            .unwrap_or(false),
            None => false,
        };
        let user = user.filter(|_| verified && is_known);
        if user.is_some() {
            app.throttle.lock().succeeded(source, turn);
        } else {
            if let Some(suppressed) = app.refusals.allow(clock::monotonic().as_micros()) {
                tracing::warn!("login refused to {peer}{suppressed}");
            }
            tokio::time::sleep(FAILURE).await;
        }
        drop(place);
        user
    });
    let user = attempt.await.ok().flatten();
    drop(waiting);
    user.ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED).detail("wrong user or password"))
}

/// 429.
pub(super) fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs() + 1;
    Problem::new(StatusCode::TOO_MANY_REQUESTS)
        .detail(format!(
            "too many logins from here failed; the next one may come in {seconds} s"
        ))
        .retry_after(seconds)
}

/// The user of this name, and whether there is one: in the place of one who is unknown somebody
/// else's password is tried, so that both take the same time.
fn candidate(app: &App, name: &str) -> (Option<User>, bool) {
    let settings = app.settings();
    let users = &settings.users;
    if let Some(user) = users.iter().find(|user| user.name == name) {
        return (Some(user.clone()), true);
    }
    // The same name meets the same user each time, as one that is known does.
    let number = app.random.hash_one(name);
    let place = usize::try_from(number % (users.len().max(1) as u64)).unwrap_or(0);
    (users.get(place).cloned(), false)
}

fn begin(app: &App, peer: &Peer, user: &User) -> Result<Response, Problem> {
    let no_random = |_| Problem::unavailable("the kernel has no random bits");
    let settings = app.settings();
    let session = Session::new(user, session::now()).map_err(no_random)?;
    let lifetime = settings.lifetime;
    let end = std::time::UNIX_EPOCH + Duration::from_secs(session.end(lifetime));
    let body = Json(LoggedIn {
        user: user.name.clone(),
        level: user.level.number(),
        expires: datetime(end),
    });
    let cookies = session.cookies(user, &settings.key, lifetime, peer.is_tls());
    Ok(with_cookies(body.into_response(), cookies))
}

/// End the session
#[utoipa::path(
    delete, path = "/auth", tag = "session",
    responses(
        (status = 204, description = "The session has ended"),
        (status = 401, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "From a page of another site", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn log_out(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let peer = request.extensions().get::<Peer>();
    let access = peer.and_then(|peer| Access::of(&app, peer, request.headers()));
    let session = access.and_then(|access| access.session);
    let Some((session, _)) = session else {
        return Err(Problem::new(StatusCode::UNAUTHORIZED).detail("there is no session"));
    };
    if is_foreign(request.headers()) {
        let foreign = "the request comes from a page of another site";
        return Err(Problem::new(StatusCode::FORBIDDEN).detail(foreign));
    }
    app.ended.lock().end(&session, session::now());
    app.session_ended.notify_waiters();
    Ok(with_cookies(
        StatusCode::NO_CONTENT.into_response(),
        Session::forget(),
    ))
}

fn with_cookies(mut response: Response, cookies: [String; 4]) -> Response {
    for cookie in cookies {
        // Names of users are graphic ASCII, so this cannot fail.
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(SET_COOKIE, value);
        }
    }
    response
}

fn parse(headers: &HeaderMap, body: &[u8]) -> Result<Login, Problem> {
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/json"));
    let login = if is_json {
        serde_json::from_slice(body).ok()
    } else {
        str::from_utf8(body)
            .ok()
            .and_then(|text| original(text).or_else(|| form(text)))
    };
    login.filter(Login::is_short).ok_or_else(|| {
        Problem::bad_request(
            "no login, allowed: user=NAME passwd=PASSWORD with one space, the same as a form, or \
             JSON; at most 256 characters each",
        )
    })
}

impl Login {
    /// Name and password of `Authorization: Basic` (RFC 7617), if there are any.
    pub(super) fn basic(headers: &HeaderMap) -> Option<Self> {
        let text = headers.get(AUTHORIZATION)?.to_str().ok()?;
        let (scheme, encoded) = text.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let bytes = Zeroizing::new(Base64::decode_vec(encoded.trim()).ok()?);
        let (user, passwd) = str::from_utf8(&bytes).ok()?.split_once(':')?;
        let login = Self {
            user: user.to_owned(),
            passwd: Zeroizing::new(passwd.to_owned()),
        };
        Some(login).filter(Self::is_short)
    }

    fn is_short(&self) -> bool {
        !self.user.is_empty()
            && self.user.chars().count() <= LONGEST_TEXT
            && self.passwd.chars().count() <= LONGEST_TEXT
    }
}

/// `user=NAME passwd=PASSWORD`: one space, nothing decoded.
fn original(text: &str) -> Option<Login> {
    let (user, passwd) = text.strip_prefix("user=")?.split_once(" passwd=")?;
    let is_name = user.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_printable = passwd.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    (is_name && is_printable).then(|| Login {
        user: user.to_owned(),
        passwd: Zeroizing::new(passwd.to_owned()),
    })
}

fn form(text: &str) -> Option<Login> {
    let (mut user, mut passwd) = (None, None);
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        match &*name {
            "user" => user = Some(value.into_owned()),
            "passwd" | "password" => passwd = Some(Zeroizing::new(value.into_owned())),
            _ => {}
        }
    }
    Some(Login {
        user: user?,
        passwd: passwd?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Registry;
    use super::super::credentials::Level;
    use super::super::session::Key;
    use super::super::settings::Settings;
    use super::super::yang::tests::snapshot;
    use super::*;
    use crate::config::model::Secret;

    /// Hanging up is no way to guess faster, or to make room for more guesses.
    #[test]
    fn who_hangs_up_keeps_the_place_in_the_queue() {
        let line = b"{{SHA256}}a:0:1:0123456789abcdef".to_vec();
        let key = Key::new(b"key");
        let settings = Settings {
            users: vec![User::parse(&Secret(Zeroizing::new(line))).unwrap()],
            key: key.clone(),
            lifetime: Duration::from_secs(1),
        };
        let registry = Arc::new(Registry::new(snapshot()));
        let orders = crossbeam_channel::bounded(1).0;
        let app = Arc::new(App::new(registry, orders, settings, key));
        let peer = Peer::Tcp {
            address: "10.0.0.1:1".parse().unwrap(),
            tls: false,
        };
        let login = Login {
            user: "a".to_owned(),
            passwd: Zeroizing::new("orange".to_owned()),
        };
        let free = || app.logins.available_permits();
        let all = free();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let begin = Instant::now();
            let asked = verified(&app, &peer, login);
            // It is dropped then, as with its connection.
            assert!(tokio::time::timeout(Duration::ZERO, asked).await.is_err());
            assert_eq!(free(), all - 1);
            while free() < all {
                assert!(begin.elapsed() < Duration::from_secs(60));
                tokio::task::yield_now().await;
            }
            assert!(begin.elapsed() >= FAILURE);
        });
    }

    fn parsed(kind: &'static str, body: &str) -> Option<(String, String)> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        let login = parse(&headers, body.as_bytes()).ok()?;
        Some((login.user, login.passwd.to_string()))
    }

    #[test]
    fn a_login_has_three_forms() {
        const FORM: &str = "application/x-www-form-urlencoded";
        for (kind, body, passwd) in [
            (FORM, "user=admin passwd=banana", "banana"),
            (FORM, "user=admin passwd=a b&c=%41+", "a b&c=%41+"),
            (FORM, "user=admin&passwd=banana", "banana"),
            (FORM, "passwd=a+b%26%41&user=admin", "a b&A"),
            (
                "application/json",
                r#"{"user":"admin","passwd":"ba\"na"}"#,
                "ba\"na",
            ),
            (
                "application/json; charset=utf-8",
                r#"{"user":"admin","password":"x"}"#,
                "x",
            ),
        ] {
            let expected = Some(("admin".to_owned(), passwd.to_owned()));
            assert_eq!(parsed(kind, body), expected, "{body}");
        }
        for (kind, body) in [
            (FORM, ""),
            (FORM, "user=admin"),
            (FORM, "user= passwd=x"),
            (FORM, "admin banana"),
            ("application/json", "{}"),
            ("application/json", "user=admin passwd=banana"),
        ] {
            assert_eq!(parsed(kind, body), None, "{body}");
        }
        let long = format!("user=admin passwd={}", "x".repeat(257));
        assert_eq!(parsed(FORM, &long), None);
    }

    #[test]
    fn levels_have_the_numbers_of_rvrrpd_pw() {
        assert_eq!((Level::Read.number(), Level::Write.number()), (0, 1));
    }
}
