//! One connection, from its first byte to its last, and how many there may be.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::uri::{PathAndQuery, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::access::Peer;
use super::patience::Patient;
use super::places::{Bounds, Place};
use crate::log::Limiter;
use crate::net::sys::clock;

/// Connections over TCP. Who may write is not known before a request.
pub(super) const HOSTS: Bounds = Bounds {
    all: 512,
    kept: 0,
    writer: 256,
    reader: 256,
};
/// Connections over the Unix socket.
pub(super) const USERS: Bounds = Bounds {
    all: 512,
    kept: 32,
    writer: 256,
    reader: 32,
};
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long the head of a request may take; a connection without a request ends after it, too.
const HEAD: Duration = Duration::from_secs(10);
/// Most fields in the head of a request.
const MOST_FIELDS: usize = 64;
/// Most bytes in the head of a request.
const LONGEST_HEAD: usize = 16 * 1024;

/// Which connections that were refused are logged.
static REFUSED: Limiter = Limiter::new();
/// Which connections that were given up are logged.
static GIVEN_UP: Limiter = Limiter::new();

/// Serves a connection to its end; first the handshake, where there is TLS.
pub(super) async fn serve<S>(
    stream: S,
    tls: Option<Arc<ServerConfig>>,
    peer: Peer,
    router: Router,
    place: Place,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Patient::new(stream);
    match tls {
        None => talk(stream, peer, router).await,
        Some(config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            match timeout(HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => talk(stream, peer, router).await,
                Ok(Err(error)) => given_up(&peer, &format!("no TLS: {error}")),
                Err(_) => given_up(&peer, "no TLS handshake in time"),
            }
        }
    }
    drop(place);
}

/// Tells, now and then, that a connection of `peer` was given up.
fn given_up(peer: &Peer, reason: &str) {
    if let Some(suppressed) = GIVEN_UP.allow(clock::monotonic().as_micros()) {
        tracing::info!("Client API: connection of {peer} given up: {reason}{suppressed}");
    }
}

/// Tells, now and then, that a connection of `peer` was refused.
pub(super) fn refused(peer: &Peer) {
    if let Some(suppressed) = REFUSED.allow(clock::monotonic().as_micros()) {
        tracing::warn!("Client API: connection of {peer} refused, there are too many{suppressed}");
    }
}

async fn talk<S>(stream: S, peer: Peer, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let who = peer.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let mut router = router.clone();
        let mut request = request.map(Body::new);
        trim_slash(&mut request);
        request.extensions_mut().insert(peer.clone());
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(never)) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_headers(MOST_FIELDS)
        .max_buf_size(LONGEST_HEAD)
        // An answer stays what it is until it is written, and is not copied into a buffer.
        .writev(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    match served {
        Ok(()) => {}
        Err(error) if error.is_timeout() || error.is_parse() => {
            given_up(&who, &error.to_string());
        }
        // Who goes away in the middle is no news.
        Err(error) => tracing::trace!("connection: {error}"),
    }
}

fn never<T>(never: Infallible) -> T {
    match never {}
}

/// A path may end with a slash, as with rVRRPd.
fn trim_slash(request: &mut Request<Body>) {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() || trimmed.is_empty() {
        return;
    }
    let query = request.uri().query();
    let whole = query.map_or_else(|| trimmed.to_owned(), |query| format!("{trimmed}?{query}"));
    let mut parts = request.uri().clone().into_parts();
    if let Ok(path) = PathAndQuery::try_from(whole) {
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_at_the_end_means_nothing() {
        for (given, expected) in [
            ("/auth/", "/auth"),
            ("/run/vrrp//", "/run/vrrp"),
            (
                "/run/vrrp/1/eth0/?family=ipv4",
                "/run/vrrp/1/eth0?family=ipv4",
            ),
            ("/", "/"),
            ("/auth", "/auth"),
        ] {
            let mut request = Request::builder().uri(given).body(Body::empty()).unwrap();
            trim_slash(&mut request);
            assert_eq!(request.uri().to_string(), expected);
        }
    }
}
