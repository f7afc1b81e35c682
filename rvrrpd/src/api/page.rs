//! The page at `/`: what a browser shows of all virtual routers. It asks the same paths as every
//! other client; the files themselves hold nothing and are given to anybody.

use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::IntoResponse;

/// Nothing but what this daemon itself serves, and nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// `/`
pub(super) async fn html() -> impl IntoResponse {
    file("text/html; charset=utf-8", include_str!("page/index.html"))
}

/// `/page.css`
pub(super) async fn css() -> impl IntoResponse {
    file("text/css; charset=utf-8", include_str!("page/page.css"))
}

/// `/page.js`
pub(super) async fn js() -> impl IntoResponse {
    file(
        "text/javascript; charset=utf-8",
        include_str!("page/page.js"),
    )
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let head = [
        (CONTENT_TYPE, kind),
        // After an update of the daemon nobody is to see an old one.
        (CACHE_CONTROL, "no-cache"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
    ];
    (head, text)
}
