//! `/openapi.json`: made of what stands beside the handlers.

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::{Modify, OpenApi};

use super::{change, config, health, login, metrics, run, stream, yang};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "rVRRPd Client API",
        description = "Over TCP a session is needed, which POST /auth begins; over the Unix socket \
                       everybody reads, and root and the group rvrrpd write.",
        license(name = "GPL-3.0-or-later", identifier = "GPL-3.0-or-later"),
    ),
    paths(
        login::log_in,
        login::log_out,
        run::routers,
        run::routers_of_group,
        run::router,
        run::global,
        run::protocols,
        run::static_routes,
        change::create,
        change::modify,
        change::delete,
        change::enable,
        change::disable,
        change::reload,
        config::global,
        config::vrouters,
        config::vrouter,
        config::protocols,
        stream::events,
        metrics::metrics,
        yang::vrrp,
        health::health,
        document,
    ),
    components(schemas(stream::Everything, stream::Happened, stream::Lost)),
    security(("session" = [])),
    modifiers(&Sessions),
)]
struct Document;

/// How a request proves who sends it.
struct Sessions;

impl Modify for Sessions {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let cookie = ApiKeyValue::with_description(
            "token",
            "The cookies user, ts, nonce and token of POST /auth, all four",
        );
        if let Some(components) = openapi.components.as_mut() {
            components
                .add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)));
        }
    }
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "run", security(()),
    responses((status = 200, description = "OpenAPI", content_type = "application/json"))
)]
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Document::openapi())
}
