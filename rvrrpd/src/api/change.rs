//! What changes the running daemon, and its configuration file.

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, RawQuery, Request as HttpRequest, State};
use axum::http::header::{CONTENT_TYPE, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use super::access::Access;
use super::config::ChangedVrouter;
use super::problem::Problem;
use super::routes::{self, App};
use super::view::Router;
use super::{Applied, Done, Order, Published, Refusal, Request, hidden, refusals, secret_files};
use crate::config::edit::{Change, EditError};

/// How long the supervisor may take: a reload waits for the last advertisements of who leaves.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long an answer waits for the listeners to have obeyed, too; it says what is then.
const OBEDIENCE: Duration = Duration::from_secs(1);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(1);
/// Longest body in bytes: hundreds of addresses and routes.
const LONGEST: usize = 64 * 1024;

/// Read the configuration file again
///
/// What was changed with `persist=false` is as the file says again.
#[utoipa::path(
    post, path = "/run/reload", tag = "change",
    responses(
        (status = 200, description = "What differed was applied", body = Applied),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Not of level 1", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The file has errors; nothing was changed", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "The daemon is busy", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reload(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
) -> Result<Json<Applied>, Problem> {
    tracing::info!("reload ordered by {}", access.who);
    match order(&app, Order::Reload).await? {
        Done::Reloaded(mut applied) => {
            let reloads = app.snapshot().reloads;
            wait_until(|| app.listening.load().0 >= reloads).await;
            applied.warnings.extend_from_slice(&app.listening.load().1);
            Ok(Json(applied))
        }
        Done::Changed { .. } => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

/// Make a virtual router
///
/// The keys are those of `[[vrouter]]`.
#[utoipa::path(
    post, path = "/config/vrouter", tag = "change",
    params(
        ("persist" = Option<bool>, Query, description = "`false`: until the next reload or restart, not in the file"),
    ),
    request_body(content = ref("#/components/schemas/VrouterKeys"), content_type = "application/json", description = "`group`, `interface`, `vip` and what is to differ from the defaults",
        example = json!({"group": 8, "interface": "eth0", "vip": ["10.0.0.8"], "iftype": "macvlan", "name": "eight"})),
    responses(
        (status = 201, description = "The new virtual router", body = ChangedVrouter),
        refusals::Change,
        refusals::Keys,
    )
)]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let persist = persist(query.as_deref())?;
    let keys = keys(request).await?;
    hidden::check(&keys)?;
    secret_files::check(&keys, &app.snapshot().gauges.conf)?;
    let (router, warnings) = changed(&app, &access, Change::Create(keys), persist).await?;
    let location = [(LOCATION, format!("/config/vrouter/{}", router.config.name))];
    let body = Json(ChangedVrouter::of(&router.config, warnings));
    Ok((StatusCode::CREATED, location, body).into_response())
}

/// Change keys of a virtual router
///
/// By JSON Merge Patch (RFC 7396): what is given is set, `null` goes back to the default, lists are
/// replaced.
#[utoipa::path(
    patch, path = "/config/vrouter/{name}", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "`false`: until the next reload or restart, not in the file"),
    ),
    request_body(content(
        (ref("#/components/schemas/VrouterPatch") = "application/json"),
        (ref("#/components/schemas/VrouterPatch") = "application/merge-patch+json"),
    )),
    responses(
        (status = 200, description = "The virtual router", body = ChangedVrouter),
        refusals::Change,
        refusals::Keys,
        refusals::Name,
    )
)]
pub(super) async fn modify(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    request: HttpRequest,
) -> Result<Json<ChangedVrouter>, Problem> {
    let persist = persist(query.as_deref())?;
    let keys = keys(request).await?;
    hidden::check(&keys)?;
    secret_files::check(&keys, &app.snapshot().gauges.conf)?;
    let change = Change::Modify { name, keys };
    let (router, warnings) = changed(&app, &access, change, persist).await?;
    Ok(Json(ChangedVrouter::of(&router.config, warnings)))
}

/// Delete a virtual router
#[utoipa::path(
    delete, path = "/config/vrouter/{name}", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "`false`: until the next reload or restart, not in the file"),
    ),
    responses(
        (status = 204, description = "It is gone"),
        refusals::Change,
        refusals::Name,
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<StatusCode, Problem> {
    let persist = persist(query.as_deref())?;
    change(&app, &access, Change::Delete { name }, persist).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Let a virtual router run
#[utoipa::path(
    post, path = "/run/vrrp/{name}/enable", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "`false`: until the next reload or restart, not in the file"),
    ),
    responses(
        (status = 200, description = "The virtual router", body = Router),
        refusals::Change,
        refusals::Name,
    )
)]
pub(super) async fn enable(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Router>, Problem> {
    let persist = persist(query.as_deref())?;
    set_enabled(&app, &access, name, true, persist).await
}

/// Keep a virtual router in Init, sub-state `shutdown`
#[utoipa::path(
    post, path = "/run/vrrp/{name}/disable", tag = "change",
    params(
        ("name" = String, Path, description = "Name of the virtual router"),
        ("persist" = Option<bool>, Query, description = "`false`: until the next reload or restart, not in the file"),
    ),
    responses(
        (status = 200, description = "The virtual router", body = Router),
        refusals::Change,
        refusals::Name,
    )
)]
pub(super) async fn disable(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Router>, Problem> {
    let persist = persist(query.as_deref())?;
    set_enabled(&app, &access, name, false, persist).await
}

/// Whether the file is to be changed, too.
fn persist(query: Option<&str>) -> Result<bool, Problem> {
    let mut persist = true;
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        persist = match (&*name, &*value) {
            ("persist", "true") => true,
            ("persist", "false") => false,
            _ => {
                return Err(Problem::bad_request(
                    "the query asks for something else, allowed: persist=true, persist=false",
                ));
            }
        };
    }
    Ok(persist)
}

/// The keys in the body of a request.
async fn keys(request: HttpRequest) -> Result<Map<String, Value>, Problem> {
    let (parts, body) = request.into_parts();
    if !is_json(&parts.headers) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).detail(
            "the body is of another type, allowed: application/json, application/merge-patch+json",
        ));
    }
    let body = routes::body(body, LONGEST).await?;
    match serde_json::from_slice(&body) {
        Ok(Value::Object(keys)) => Ok(keys),
        // Its text may be a secret, so that only the place is told.
        Ok(_) => Err(Problem::bad_request("the body is no JSON object")),
        Err(error) => Err(Problem::bad_request(format!(
            "the body is no JSON: line {}, column {}",
            error.line(),
            error.column()
        ))),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next());
    let kind = kind.map(|kind| kind.trim().to_ascii_lowercase());
    matches!(
        kind.as_deref(),
        Some("application/json" | "application/merge-patch+json")
    )
}

/// Waits for what follows from an order, a little while.
async fn wait_until(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() && begin.elapsed() < OBEDIENCE {
        tokio::time::sleep(LOOK).await;
    }
}

async fn set_enabled(
    app: &App,
    access: &Access,
    name: String,
    enabled: bool,
    persist: bool,
) -> Result<Json<Router>, Problem> {
    let change = Change::SetEnabled { name, enabled };
    let (router, _) = changed(app, access, change, persist).await?;
    Ok(Json(Router::of(&router)))
}

/// Carries out a change; the virtual router that it was about, and warnings.
async fn changed(
    app: &App,
    access: &Access,
    change: Change,
    persist: bool,
) -> Result<(Arc<Published>, Vec<String>), Problem> {
    let (name, warnings) = self::change(app, access, change, persist).await?;
    let snapshot = app.snapshot();
    let mut routers = snapshot.routers.iter();
    let router = routers.find(|router| Some(&router.config.name) == name.as_ref());
    // It may have been removed since.
    router
        .map(|router| (Arc::clone(router), warnings))
        .ok_or_else(|| Problem::not_found("the virtual router is gone again"))
}

/// Carries out a change; the name of the virtual router that it was about, and warnings.
async fn change(
    app: &App,
    access: &Access,
    change: Change,
    persist: bool,
) -> Result<(Option<String>, Vec<String>), Problem> {
    let (verb, name) = match &change {
        Change::Create(_) => ("created", None),
        Change::Modify { name, .. } => ("modified", Some(name.clone())),
        Change::Delete { name } => ("deleted", Some(name.clone())),
        Change::SetEnabled {
            name,
            enabled: true,
        } => ("enabled", Some(name.clone())),
        Change::SetEnabled { name, .. } => ("disabled", Some(name.clone())),
    };
    match order(app, Order::Change { change, persist }).await? {
        Done::Changed { subject, warnings } => {
            let name = subject.clone().or(name).unwrap_or_default();
            let kept = if persist {
                ""
            } else {
                " until the next reload"
            };
            tracing::info!("virtual router {name} {verb} by {}{kept}", access.who);
            Ok((subject, warnings))
        }
        Done::Reloaded(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR)),
    }
}

async fn order(app: &App, order: Order) -> Result<Done, Problem> {
    let (reply, result) = oneshot::channel();
    let busy = || Problem::unavailable("the daemon is busy or stops");
    app.orders
        .try_send(Request { order, reply })
        .map_err(|_| busy())?;
    let late = "the daemon is busy; what was asked for is left out unless it has begun: look before \
                it is asked for again";
    let result = tokio::time::timeout(PATIENCE, result)
        .await
        .map_err(|_| Problem::unavailable(late))?
        .map_err(|_| busy())?;
    result.map_err(|refusal| match refusal {
        Refusal::Change(error) => refused(&error),
        Refusal::Invalid(errors) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
            .detail("the configuration file has errors; nothing was changed")
            .errors(errors.errors.iter().map(ToString::to_string).collect()),
    })
}

/// A change that was refused.
fn refused(error: &EditError) -> Problem {
    let status = match error {
        EditError::NotFound { .. } => StatusCode::NOT_FOUND,
        EditError::Conflict(_) | EditError::Stale { .. } => StatusCode::CONFLICT,
        EditError::Invalid(problems) => {
            return Problem::new(StatusCode::UNPROCESSABLE_ENTITY)
                .detail("nothing was changed")
                .errors(problems.iter().map(ToString::to_string).collect());
        }
        EditError::Io { source, .. } => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        },
    };
    let problem = Problem::new(status);
    match error {
        EditError::Io { .. } => {
            tracing::error!("the change was refused: {error}");
            problem.detail(format!("{error}; nothing was changed"))
        }
        _ => problem.detail(error.to_string()),
    }
}
