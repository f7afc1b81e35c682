//! What changes the running daemon.

use core::time::Duration;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Serialize;
use tokio::sync::oneshot;
use utoipa::ToSchema;

use super::access::Access;
use super::problem::Problem;
use super::routes::App;
use super::view::Router;
use super::{Done, Order, Refusal, Request};
use crate::fsm::Reason;

/// How long the supervisor may take: a reload waits for the last advertisements of who leaves.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer waits for the worker to have obeyed, too; it says what is then.
const OBEDIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(1);

/// What a reload did
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// Virtual routers that are new.
    added: usize,
    /// Virtual routers that left.
    removed: usize,
    /// Virtual routers that left and came back on another kind of interface.
    replaced: usize,
    /// Virtual routers that got new values.
    changed: usize,
    /// Virtual routers that did not notice.
    untouched: usize,
}

/// Read the configuration file again
#[utoipa::path(
    post, path = "/run/reload", tag = "change",
    responses(
        (status = 200, description = "What differed was applied", body = Reloaded),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not of level 1", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file has errors; nothing was changed", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The daemon is busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> Result<Json<Reloaded>, Problem> {
    tracing::info!("reload ordered by {}", access.who);
    match order(&app, Order::Reload).await? {
        Done::Reloaded {
            added,
            removed,
            replaced,
            changed,
            untouched,
        } => Ok(Json(Reloaded {
            added,
            removed,
            replaced,
            changed,
            untouched,
        })),
        Done::Enabled => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// Let a virtual router run
///
/// Until the next reload or restart: the configuration file is not changed.
#[utoipa::path(
    post, path = "/run/vrrp/{name}/enable", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "Only `false` is there"),
    ),
    responses(
        (status = 200, description = "The virtual router", body = Router),
        (status = 400, description = "The query is none", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not of level 1", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The daemon is busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn enable(
    app: &App,
    access: &Access,
    name: String,
) -> Result<Json<Router>, Problem> {
    set_enabled(app, access, name, true).await
}

/// Keep a virtual router in Init, sub-state `shutdown`
///
/// Until the next reload or restart: the configuration file is not changed.
#[utoipa::path(
    post, path = "/run/vrrp/{name}/disable", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "Only `false` is there"),
    ),
    responses(
        (status = 200, description = "The virtual router", body = Router),
        (status = 400, description = "The query is none", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not of level 1", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The daemon is busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn disable(
    app: &App,
    access: &Access,
    name: String,
) -> Result<Json<Router>, Problem> {
    set_enabled(app, access, name, false).await
}

/// `enable` and `disable` stand where a GET has the name of an interface.
pub(super) async fn switch(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Path((name, verb)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Result<Json<Router>, Problem> {
    let switch = match verb.as_str() {
        "enable" => true,
        "disable" => false,
        _ => {
            return Err(Problem::not_found(
                "there is nothing to be done under this name, allowed: enable, disable",
            ));
        }
    };
    not_persistent(query.as_deref().unwrap_or_default())?;
    if switch {
        enable(&app, &access, name).await
    } else {
        disable(&app, &access, name).await
    }
}

/// Refuses a query that asks for more than there is.
fn not_persistent(query: &str) -> Result<(), Problem> {
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if (&*name, &*value) != ("persist", "false") {
            return Err(Problem::bad_request(
                "the query asks for something else, allowed: persist=false; the configuration \
                 file is not changed",
            ));
        }
    }
    Ok(())
}

async fn set_enabled(
    app: &App,
    access: &Access,
    name: String,
    enabled: bool,
) -> Result<Json<Router>, Problem> {
    let verb = if enabled { "enabled" } else { "disabled" };
    tracing::info!("{verb} by {}: {name:?}", access.who);
    order(
        app,
        Order::Enable {
            name: name.clone(),
            enabled,
        },
    )
    .await?;
    let snapshot = app.snapshot();
    let mut routers = snapshot.routers.iter();
    let router = routers.find(|router| router.config.name == name);
    // It may have been removed since.
    let router = router.ok_or_else(unknown)?;
    let obeyed = || router.status.reasons().contains(Reason::Disabled) != enabled;
    let begin = Instant::now();
    while !obeyed() && begin.elapsed() < OBEDIENCE {
        tokio::time::sleep(LOOK).await;
    }
    Ok(Json(Router::of(router)))
}

async fn order(app: &App, order: Order) -> Result<Done, Problem> {
    let (reply, result) = oneshot::channel();
    let busy = || Problem::unavailable("the daemon is busy or stops");
    app.orders
        .try_send(Request { order, reply })
        .map_err(|_| busy())?;
    let result = tokio::time::timeout(PATIENCE, result)
        .await
        .map_err(|_| busy())?
        .map_err(|_| busy())?;
    result.map_err(|refusal| match refusal {
        Refusal::Unknown => unknown(),
        Refusal::Invalid(errors) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
            .detail("the configuration file has errors; nothing was changed")
            .errors(errors.errors.iter().map(ToString::to_string).collect()),
    })
}

fn unknown() -> Problem {
    Problem::not_found("there is no virtual router with this name")
}
