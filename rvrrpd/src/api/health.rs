//! `/health`: for whoever has to know whether the daemon answers.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// The daemon answers
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`.
    status: &'static str,
}

/// Whether the daemon answers; nobody is asked for a session
#[utoipa::path(
    get, path = "/health", tag = "run", security(()),
    responses((status = 200, description = "It does", body = Health))
)]
pub(super) async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}
