//! The parameters of what reads: an unknown one is a slip that would otherwise go unnoticed, and what
//! is answered would be about something else than what was asked.

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// Parameters of `/run/vrrp/GROUP/INTERFACE`; the other paths have none.
const OF_ROUTER: [&str; 3] = ["name", "family", "netns"];

/// Lets a request pass that reads and whose query has no other parameters than the path knows.
/// Those of the others are looked at where they are used.
pub(super) async fn known(request: Request, next: Next) -> Response<Body> {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    match request.uri().query() {
        Some(query) if reads && !is_order(path) => match check(path, query) {
            Ok(()) => next.run(request).await,
            Err(problem) => problem.into_response(),
        },
        _ => next.run(request).await,
    }
}

/// Whether there is nothing to read at a path.
fn is_order(path: &str) -> bool {
    let last = path.rsplit('/').next();
    matches!(last, Some("enable" | "disable" | "reload"))
}

fn check(path: &str, query: &str) -> Result<(), Problem> {
    let router = path.strip_prefix("/run/vrrp/");
    let allowed = match router.is_some_and(|router| router.contains('/')) {
        true => &OF_ROUTER[..],
        false => &[],
    };
    let mut given = form_urlencoded::parse(query.as_bytes());
    if given.all(|(name, _)| allowed.contains(&&*name)) {
        return Ok(());
    }
    let allowed = match allowed {
        [] => "none".to_owned(),
        names => names.join(", "),
    };
    Err(Problem::bad_request(format!(
        "the query has a parameter that is not known here, allowed: {allowed}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_refused() {
        let one = "/run/vrrp/7/eth0";
        for (path, query, right) in [
            (one, "name=a&family=ipv4&netns=", true),
            (one, "", true),
            (one, "nam=a", false),
            (one, "name=a&x", false),
            ("/run/vrrp", "", true),
            ("/run/vrrp", "name=a", false),
            ("/run/vrrp/7", "name=a", false),
        ] {
            assert_eq!(check(path, query).is_ok(), right, "{path}?{query}");
        }
    }
}
