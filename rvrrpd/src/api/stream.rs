//! `/events`: server-sent events. First everything there is, then each change.

use core::convert::Infallible;
use core::time::Duration;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Sse;
use axum::response::sse::Event as Message;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Serialize;
use tokio::time::{sleep, timeout};
use utoipa::ToSchema;

use super::access::{Access, Peer};
use super::history::{Next, Numbered};
use super::places::Place;
use super::problem::Problem;
use super::routes::App;
use super::view::{Router, datetime, names, state_name, substate};
use crate::events::Change;
use crate::fsm::Cause;

/// How often a reader hears that the daemon is there.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// An event on its way
#[derive(ToSchema)]
#[allow(dead_code, reason = "for the document")]
struct Sent {
    /// The heading: `snapshot`, `lost`, `state`, `readiness`, `priority`, `added`, `configured` or
    /// `removed`.
    event: String,
    /// What `Last-Event-ID` is to say.
    id: String,
    /// One line of JSON: `Everything`, `Lost` or `Happened`.
    data: String,
}

/// What follows a heading of `snapshot`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Everything {
    /// Number of the last event before.
    sequence: u64,
    /// All virtual routers.
    routers: Vec<Router>,
}

/// What follows a heading of `lost`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Lost {
    /// Number of the last event that was lost.
    sequence: u64,
    /// How many were.
    count: u64,
}

/// What follows a heading of `state`, `readiness`, `priority`, `added`, `configured`, `removed` or
/// `protocol-error`
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Happened {
    /// Number of the event.
    sequence: u64,
    /// When, RFC 3339.
    time: String,
    /// What: the heading once more.
    event: &'static str,
    /// Name of the virtual router.
    name: String,
    /// VRID.
    group: u8,
    /// The interface that carries the virtual addresses.
    interface: String,
    /// The interface that it runs on.
    parent: String,
    /// First virtual address.
    virtual_ip: String,
    /// State before.
    previous: &'static str,
    /// State after.
    state: &'static str,
    /// Sub-state before.
    previous_substate: Option<&'static str>,
    /// Sub-state after.
    substate: Option<&'static str>,
    /// Effective priority before.
    previous_priority: u8,
    /// Effective priority after.
    priority: u8,
    /// Why the state changed, or why packets were refused; null for other events.
    reason: Option<&'static str>,
    /// How many packets were refused since the last event of this kind; null for other events.
    count: Option<u64>,
    /// Why it cannot run.
    not_ready: Vec<&'static str>,
}

/// Follow what happens
///
/// Server-sent events, each with one line of JSON: `snapshot` first, or, after a reconnection with
/// `Last-Event-ID`, what was missed; `lost` where events were lost.
#[utoipa::path(
    get, path = "/events", tag = "run",
    params(("Last-Event-ID" = Option<String>, Header, description = "Id of the last event that was seen")),
    responses(
        (status = 200, description = "Events without an end", body = Sent, content_type = "text/event-stream"),
        (status = 401, description = "No session", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too many follow already", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(access): Extension<Access>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Message, Infallible>>>, Problem> {
    let counted = app.followers.admit(peer.source(), access.level, 1);
    let counted =
        counted.ok_or_else(|| Problem::unavailable("too many follow the events already"))?;
    let boot = boot(&app);
    let resumed = headers
        .get("Last-Event-ID")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| id.split_once('.'))
        .filter(|(known, _)| *known == boot)
        .and_then(|(_, sequence)| sequence.parse().ok())
        .filter(|sequence| app.history.has_all_after(*sequence));
    let reader = Reader {
        app,
        access,
        boot,
        place: resumed,
        _counted: counted,
    };
    Ok(Sse::new(unfold(reader, next)))
}

/// What tells the events of one run of the daemon from those of another.
fn boot(app: &App) -> String {
    let started = app.snapshot().gauges.started.duration_since(UNIX_EPOCH);
    format!("{:x}", started.map_or(0, |since| since.as_micros()))
}

/// One who follows.
struct Reader {
    app: Arc<App>,
    access: Access,
    boot: String,
    /// Number of the last event that was sent; none before the snapshot.
    place: Option<u64>,
    _counted: Place,
}

/// The next message to a reader, when there is one; none when its session has ended.
async fn next(mut reader: Reader) -> Option<(Result<Message, Infallible>, Reader)> {
    loop {
        let left = reader.access.left(&reader.app);
        if left == Some(Duration::ZERO) {
            return None;
        }
        let Some(place) = reader.place else {
            let message = reader.snapshot();
            return Some((Ok(message), reader));
        };
        // Before looking: what comes after the look must wake.
        let app = Arc::clone(&reader.app);
        let grown = app.history.grown();
        let ended = app.session_ended.notified();
        tokio::pin!(grown, ended);
        match reader.app.history.after(place) {
            Next::Event(event) => {
                reader.place = Some(event.sequence);
                let happened = happened(&event);
                let message = reader.message(happened.event, event.sequence, &happened);
                return Some((Ok(message), reader));
            }
            Next::Lost(count, sequence) => {
                reader.place = Some(sequence);
                let message = reader.message("lost", sequence, &Lost { sequence, count });
                return Some((Ok(message), reader));
            }
            Next::Nothing => {}
        }
        let wait = async {
            tokio::select! {
                () = grown => {}
                () = ended => {}
                () = sleep(left.unwrap_or(Duration::MAX)), if left.is_some() => {}
            }
        };
        if timeout(HEARTBEAT, wait).await.is_err() {
            return Some((Ok(Message::default().comment("")), reader));
        }
    }
}

impl Reader {
    fn snapshot(&mut self) -> Message {
        // The number first: what happens meanwhile comes once more, and nothing is missed.
        let sequence = self.app.history.last();
        let snapshot = self.app.snapshot();
        let routers = snapshot.routers.iter().map(|router| Router::of(router));
        let everything = Everything {
            sequence,
            routers: routers.collect(),
        };
        self.place = Some(sequence);
        self.message("snapshot", sequence, &everything)
    }

    fn message(&self, name: &str, sequence: u64, data: &impl Serialize) -> Message {
        let heading = Message::default()
            .event(name)
            .id(format!("{}.{sequence}", self.boot));
        // Plain values always have a JSON form; without one the heading still counts.
        match serde_json::to_string(data) {
            Ok(data) => heading.data(data),
            Err(_) => heading,
        }
    }
}

fn happened(numbered: &Numbered) -> Happened {
    let event = &numbered.event;
    let (before, after) = (event.before, event.after);
    let identity = numbered.identity.as_deref();
    Happened {
        sequence: numbered.sequence,
        time: datetime(event.at),
        event: match event.change {
            Change::Condition(_) if before.state != after.state => "state",
            Change::Condition(_) if before.reasons != after.reasons => "readiness",
            Change::Condition(_) => "priority",
            Change::Added => "added",
            Change::Configured => "configured",
            Change::Removed => "removed",
            Change::Error(..) => "protocol-error",
        },
        name: identity.map_or_else(String::new, |identity| identity.name.clone()),
        group: identity.map_or(0, |identity| identity.group),
        interface: identity.map_or_else(String::new, |identity| identity.interface.clone()),
        parent: identity.map_or_else(String::new, |identity| identity.parent.clone()),
        virtual_ip: identity.map_or_else(String::new, |identity| identity.virtual_ip.to_string()),
        previous: state_name(before.state),
        state: state_name(after.state),
        previous_substate: substate(before.state, before.reasons),
        substate: substate(after.state, after.reasons),
        previous_priority: before.priority,
        priority: after.priority,
        reason: match event.change {
            Change::Condition(cause) => cause.map(Cause::name),
            Change::Error(reason, _) => Some(reason),
            Change::Added | Change::Configured | Change::Removed => None,
        },
        count: match event.change {
            Change::Error(_, count) => Some(count),
            _ => None,
        },
        not_ready: names(after.reasons),
    }
}
