//! Which path is answered by what, and what all answers have in common.

use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};

use super::basic::Remembered;
use super::history::History;
use super::places::{Bounds, Places};
use super::problem::{Problem, as_problem};
use super::session::{Ended, Key};
use super::settings::Settings;
use super::throttle::Throttle;
use super::{Registry, Request, Snapshot};
use super::{
    access, bounded, change, config, health, login, metrics, openapi, page, query, run, stream,
    yang,
};
use crate::log::Limiter;

/// Logins at a time.
const LOGINS: usize = 16;
/// Followers of events at a time.
const FOLLOWERS: Bounds = Bounds {
    all: 64,
    kept: 8,
    writer: 16,
    reader: 16,
};
/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);

/// What the handlers share. Only the thread of the API ever takes its locks.
#[derive(Debug)]
pub(super) struct App {
    pub(super) registry: Arc<Registry>,
    pub(super) history: History,
    pub(super) orders: crossbeam_channel::Sender<Request>,
    pub(super) settings: ArcSwap<Settings>,
    /// Number of the last reload after which everything is listened on again, and what is wrong
    /// with that.
    pub(super) listening: ArcSwap<(u64, Vec<String>)>,
    pub(super) ended: Mutex<Ended>,
    /// Rings when a session was ended before its time.
    pub(super) session_ended: Notify,
    pub(super) throttle: Mutex<Throttle>,
    pub(super) logins: Arc<Semaphore>,
    pub(super) followers: Arc<Places>,
    /// Bytes of large answers.
    pub(super) answers: Arc<Places>,
    pub(super) random: RandomState,
    /// What passwords that are remembered are hashed with.
    pub(super) key: Key,
    pub(super) remembered: Mutex<Remembered>,
    /// Which refused logins are logged.
    pub(super) refusals: Limiter,
}

impl App {
    /// What the handlers share at the start.
    pub(super) fn new(
        registry: Arc<Registry>,
        orders: crossbeam_channel::Sender<Request>,
        settings: Settings,
        key: Key,
    ) -> Self {
        Self {
            registry,
            history: History::default(),
            orders,
            settings: ArcSwap::from_pointee(settings),
            listening: ArcSwap::default(),
            ended: Mutex::default(),
            session_ended: Notify::new(),
            throttle: Mutex::default(),
            logins: Arc::new(Semaphore::new(LOGINS)),
            followers: Places::new(FOLLOWERS),
            answers: Places::new(bounded::ANSWERS),
            random: RandomState::new(),
            key,
            remembered: Mutex::default(),
            refusals: Limiter::new(),
        }
    }

    /// What there is to see now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.registry.snapshot()
    }

    /// Users and key.
    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }
}

/// The paths. What shows or changes anything is behind [`access::authorise`].
pub(super) fn router(app: Arc<App>) -> Router {
    let guarded = Router::new()
        .route("/run/vrrp", get(run::routers))
        .route("/run/vrrp/{router}", get(run::routers_of_group))
        .route("/run/vrrp/{router}/{interface}", get(run::router))
        .route("/run/vrrp/{router}/enable", post(change::enable))
        .route("/run/vrrp/{router}/disable", post(change::disable))
        .route("/run/global", get(run::global))
        .route("/run/protocols", get(run::protocols))
        .route("/run/protocols/static", get(run::static_routes))
        .route("/run/reload", post(change::reload))
        .route("/config/global", get(config::global))
        .route(
            "/config/vrouter",
            get(config::vrouters).post(change::create),
        )
        .route(
            "/config/vrouter/{name}",
            get(config::vrouter)
                .patch(change::modify)
                .delete(change::delete),
        )
        .route("/config/protocols", get(config::protocols))
        .route("/events", get(stream::events))
        .route("/metrics", get(metrics::metrics))
        .route("/yang/ietf-vrrp", get(yang::vrrp))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            bounded::bounded,
        ))
        .layer(middleware::from_fn(query::known))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            access::authorise,
        ));
    Router::new()
        .route("/auth", post(login::log_in).delete(login::log_out))
        .route("/health", get(health::health))
        .route("/", get(page::html))
        .route("/page.css", get(page::css))
        .route("/page.js", get(page::js))
        .route("/openapi.json", get(openapi::document))
        .merge(guarded)
        .layer(middleware::map_response(finish))
        .with_state(app)
}

/// What every answer has.
async fn finish(response: Response<Body>) -> Response<Body> {
    let mut response = as_problem(response);
    let headers = response.headers_mut();
    let no_store = HeaderValue::from_static("no-store");
    headers.entry(CACHE_CONTROL).or_insert(no_store);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The whole body of a request, of `longest` bytes at the most.
pub(super) async fn body(body: Body, longest: usize) -> Result<Bytes, Problem> {
    let read = Limited::new(body, longest).collect();
    match tokio::time::timeout(BODY, read).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let allowed = format!("the body is too large, allowed: {longest} bytes");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE).detail(allowed))
        }
        Ok(Err(_)) => Err(Problem::bad_request("the body cannot be read")),
        Err(_) => Err(Problem::new(StatusCode::REQUEST_TIMEOUT)),
    }
}
