//! Large answers on their way: they are in memory until they are read, so that there may be only so
//! many bytes of them at a time.

use std::sync::Arc;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http_body_util::BodyExt as _;

use super::access::{Access, Peer};
use super::places::{Bounds, Place};
use super::problem::Problem;
use super::routes::App;

/// Answers up to so many bytes are not counted: connections bound how many there are.
const SMALL: usize = 64 * 1024;
/// Bytes of the others.
pub(super) const ANSWERS: Bounds = Bounds {
    all: 64 << 20,
    kept: 16 << 20,
    writer: 32 << 20,
    reader: 32 << 20,
};

/// An answer, and what it takes of [`ANSWERS`], until it is written.
#[derive(Debug)]
struct Counted {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Counts an answer if it is large, or refuses it. Those without a known end, as that of `/events`,
/// are let through.
pub(super) async fn bounded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    let source = extensions.get::<Peer>().map(Peer::source);
    let level = extensions.get::<Access>().map(|access| access.level);
    let response = next.run(request).await;
    let size = response.body().size_hint().exact();
    let size = size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    let (Some(size), Some(source), Some(level)) = (size, source, level) else {
        return response;
    };
    if size <= SMALL {
        return response;
    }
    let Some(place) = app.answers.admit(source, level, size) else {
        return Problem::unavailable("too many large answers are on their way").into_response();
    };
    let (parts, body) = response.into_parts();
    // It is all there, so that nothing is waited for.
    let Ok(whole) = body.collect().await else {
        return Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response();
    };
    let counted = Counted {
        bytes: whole.to_bytes(),
        _place: place,
    };
    Response::from_parts(parts, Body::from(Bytes::from_owner(counted)))
}
