//! Events of the daemon: server-sent events (WHATWG HTML §9.2).

use std::io::{BufRead, BufReader, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::LONGEST_ANSWER;
use crate::error::Error;
use crate::router::{State, Substate};

/// Something that happened to a virtual router, or what it is when the subscription begins.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Event {
    /// What kind of event it is; `snapshot` for what is at the beginning.
    pub event: String,
    /// Number; one that is missing was lost.
    pub sequence: Option<u64>,
    /// When, RFC 3339.
    pub time: Option<String>,
    /// Name of the virtual router.
    pub name: Option<String>,
    /// State before.
    pub previous: Option<State>,
    /// State.
    pub state: Option<State>,
    /// Sub-state before.
    pub previous_substate: Option<Substate>,
    /// Sub-state.
    pub substate: Option<Substate>,
    /// Priority before.
    pub previous_priority: Option<u8>,
    /// Priority.
    pub priority: Option<u8>,
    /// How many events were lost, or how many packets were refused.
    pub count: Option<u64>,
    /// Why.
    pub reason: Option<String>,
    /// Why it cannot run, by name.
    pub not_ready: Vec<String>,
    /// All that the daemon said, with the fields above.
    #[serde(skip)]
    pub data: Value,
}

/// Events, one after the other. Ends when the daemon does.
pub struct Subscription {
    lines: BufReader<Box<dyn Read + Send>>,
    /// Most bytes of an event.
    longest: u64,
    daemon: String,
    connection: Arc<OnceLock<UnixStream>>,
}

/// Ends a [`Subscription`] that another thread waits in.
#[derive(Clone, Debug)]
pub struct Stopper(Arc<OnceLock<UnixStream>>);

impl Stopper {
    /// Ends it: no further event comes.
    pub fn stop(&self) {
        if let Some(connection) = self.0.get() {
            // One that has ended already is as good.
            let _gone = connection.shutdown(Shutdown::Both);
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription")
            .field("daemon", &self.daemon)
            .finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn new(
        body: Box<dyn Read + Send>,
        daemon: String,
        connection: Arc<OnceLock<UnixStream>>,
    ) -> Self {
        Self {
            lines: BufReader::new(body),
            longest: LONGEST_ANSWER,
            daemon,
            connection,
        }
    }

    /// What ends it from another thread; none for one that came over TCP.
    #[must_use]
    pub fn stopper(&self) -> Option<Stopper> {
        self.connection
            .get()
            .map(|_| Stopper(Arc::clone(&self.connection)))
    }

    /// A line without its end; none at the end of the stream.
    fn line(&mut self) -> Result<Option<String>, Error> {
        let mut bytes = Vec::new();
        let mut bounded = (&mut self.lines).take(self.longest);
        let read = bounded.read_until(b'\n', &mut bytes);
        read.map_err(|source| Error::Unreachable {
            daemon: self.daemon.clone(),
            source,
        })?;
        if bytes.last() != Some(&b'\n') {
            if bytes.len() as u64 >= self.longest {
                return Err(self.too_long());
            }
            // What is cut off is no event.
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    fn too_long(&self) -> Error {
        Error::Answer {
            daemon: self.daemon.clone(),
            message: format!("an event is too long, allowed: {} bytes", self.longest),
        }
    }

    fn read(&mut self) -> Result<Option<Event>, Error> {
        let (mut kind, mut id, mut data) = (String::new(), None, String::new());
        while let Some(line) = self.line()? {
            if line.is_empty() {
                if data.is_empty() {
                    (kind, id) = (String::new(), None);
                    continue;
                }
                return self.event(&kind, id, &data).map(Some);
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut kind),
                "id" => id = value.parse().ok(),
                "data" => {
                    if !data.is_empty() {
                        data.push('\n');
                    }
                    data.push_str(value);
                    if data.len() as u64 > self.longest {
                        return Err(self.too_long());
                    }
                }
                // Comments, `retry`, and what there may be one day.
                _ => {}
            }
        }
        Ok(None)
    }

    fn event(&self, kind: &str, id: Option<u64>, text: &str) -> Result<Event, Error> {
        let wrong = |error: serde_json::Error| Error::Answer {
            daemon: self.daemon.clone(),
            message: format!("an event is not that of rVRRPd: {error}"),
        };
        let data: Value = serde_json::from_str(text).map_err(wrong)?;
        // A snapshot may be a list.
        let mut event = if data.is_object() {
            serde_json::from_value(data.clone()).map_err(wrong)?
        } else {
            Event::default()
        };
        if !kind.is_empty() {
            kind.clone_into(&mut event.event);
        }
        event.sequence = event.sequence.or(id);
        event.data = data;
        Ok(event)
    }
}

impl Iterator for Subscription {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &'static str) -> Vec<Event> {
        let body = Box::new(text.as_bytes());
        Subscription::new(body, "test".to_owned(), Arc::default())
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn fields_comments_and_line_ends() {
        let found = events(
            ": hello\n\nid: 7\r\nevent: state\r\ndata: {\"name\":\"a\",\ndata:\"state\":\"Master\"}\n\n\
             retry: 5\n\ndata: [1]\n\ndata: {\"name\":\"cut off\"}\n",
        );
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].event, "state");
        assert_eq!(found[0].sequence, Some(7));
        assert_eq!(found[0].name.as_deref(), Some("a"));
        assert_eq!(found[0].state, Some(State::Master));
        assert_eq!(found[1].data, serde_json::json!([1]));
    }

    #[test]
    fn what_is_too_long_is_an_error_and_no_end() {
        for text in [
            "data: 123456789012345",
            "data: 123456\ndata: 123456\ndata: 123456\n\n",
        ] {
            let body = Box::new(text.as_bytes());
            let mut events = Subscription::new(body, "test".to_owned(), Arc::default());
            events.longest = 16;
            assert!(
                matches!(events.next(), Some(Err(Error::Answer { .. }))),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let body = Box::new(&b"data: nonsense\n\n"[..]);
        let first = Subscription::new(body, "test".to_owned(), Arc::default()).next();
        assert!(matches!(first, Some(Err(Error::Answer { .. }))));
    }
}
