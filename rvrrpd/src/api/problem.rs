//! Errors as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// Media type of an error.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// What RFC 7617 asks for.
const CHALLENGE: &str = "Basic realm=\"rVRRPd\", charset=\"UTF-8\"";

/// What went wrong (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// What the status code means.
    title: String,
    /// The status code.
    status: u16,
    /// What is wrong with this request, and what is allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Each error by itself, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
    #[serde(skip)]
    retry_after: Option<u64>,
    #[serde(skip)]
    challenge: bool,
}

impl Problem {
    /// A problem that its status code tells all about.
    pub(super) fn new(status: StatusCode) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: None,
            errors: Vec::new(),
            retry_after: None,
            challenge: false,
        }
    }

    /// The same, said in detail.
    pub(super) fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    /// The same with each error by itself.
    pub(super) fn errors(self, errors: Vec<String>) -> Self {
        Self { errors, ..self }
    }

    /// The same, to be tried again after so many seconds.
    pub(super) fn retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }

    /// The same, offering [basic](super::basic) authentication where it is a 401.
    pub(super) fn challenge(self) -> Self {
        Self {
            challenge: self.status == StatusCode::UNAUTHORIZED.as_u16(),
            ..self
        }
    }

    /// 400.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).detail(detail)
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND).detail(detail)
    }

    /// 503, to be tried again.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE)
            .detail(detail)
            .retry_after(1)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let (retry_after, challenge) = (self.retry_after, self.challenge);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if challenge {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        response
    }
}

/// Makes a problem of every other error, such as that of the router of requests.
pub(super) fn as_problem(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let kind = response.headers().get(CONTENT_TYPE);
    if !is_error || kind.is_some_and(|kind| kind == MEDIA_TYPE) {
        return response;
    }
    let problem = match status {
        StatusCode::NOT_FOUND => Problem::not_found("there is no such path; see /openapi.json"),
        status => Problem::new(status),
    };
    let mut answer = problem.into_response();
    if let Some(allow) = response.headers().get(ALLOW) {
        answer.headers_mut().insert(ALLOW, allow.clone());
    }
    answer
}
