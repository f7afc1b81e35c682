//! The Client API as its clients use it: `curl`, and bare connections for what no client does.

use std::io::{self, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::host::Host;

/// How long a bare connection waits for an answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// The answer to a request.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Status code; 0 where there was no answer.
    pub status: u16,
    /// Fields of the head, names in lower case.
    pub head: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The answer in the bytes of a connection; informational ones before it are passed over.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut rest = &*text;
        loop {
            let Some((head, body)) = rest.split_once("\r\n\r\n") else {
                return Self::default();
            };
            let mut lines = head.lines();
            let first = lines.next().unwrap_or_default();
            let status = first.split(' ').nth(1).and_then(|word| word.parse().ok());
            if status.is_some_and(|status: u16| status < 200) {
                rest = body;
                continue;
            }
            let fields = lines.filter_map(|line| line.split_once(": "));
            return Self {
                status: status.unwrap_or(0),
                head: fields
                    .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    .collect(),
                body: body.to_owned(),
            };
        }
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// Where it is none.
    #[must_use]
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The values of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Vec<&str> {
        let fields = self.head.iter().filter(|(known, _)| known == name);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The cookies that it sets, as a client sends them back.
    #[must_use]
    pub fn cookies(&self) -> String {
        let cookies = self.field("set-cookie").into_iter();
        let pairs: Vec<&str> = cookies.filter_map(|one| one.split(';').next()).collect();
        pairs.join("; ")
    }
}

/// `curl -s -i` with the words of `arguments` on `host`.
#[must_use]
pub fn curl(host: &Host, arguments: &[&str]) -> Answer {
    let mut command = host.command("curl");
    command.args(["-s", "-i", "-m", "40"]).args(arguments);
    Answer::parse(&output(command))
}

/// What `command` writes to stdout.
///
/// # Panics
/// Where it cannot be started.
#[must_use]
pub fn output(mut command: Command) -> Vec<u8> {
    let output = command.output();
    output
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
        .stdout
}

/// A connection from `host` to `address`.
///
/// # Panics
/// Where nobody listens there.
#[must_use]
#[track_caller]
pub fn connect(host: &Host, address: SocketAddr) -> TcpStream {
    let stream = host.inside(|| TcpStream::connect_timeout(&address, PATIENCE));
    let stream = stream.unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    stream
}

/// Sends `request` over a connection and reads until the other side closes it. A side that closes
/// before it has read everything makes both fail, which is an answer, too.
#[must_use]
pub fn exchange(mut stream: TcpStream, request: &[u8]) -> Answer {
    let _refused = stream.write_all(request);
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

/// A request over a Unix socket, the other side of which closes the connection.
///
/// # Panics
/// Where nobody listens there.
#[track_caller]
pub fn ask(socket: &Path, method: &str, path: &str) -> Answer {
    let stream = UnixStream::connect(socket);
    let mut stream = stream.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("request");
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

/// The same with a body of JSON.
///
/// # Panics
/// Where nobody listens there.
#[track_caller]
pub fn send(socket: &Path, method: &str, path: &str, body: &Value) -> Answer {
    let stream = UnixStream::connect(socket);
    let mut stream = stream.unwrap_or_else(|error| panic!("{}: {error}", socket.display()));
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let body = body.to_string();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).expect("request");
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    Answer::parse(&bytes)
}

/// What has come, at least a byte of it; 0 at the end.
///
/// # Errors
/// Those of read(2), `EINTR` excepted, which a socket with a timeout answers also where the process
/// was stopped or frozen (signal(7)).
pub fn read_some(stream: &mut impl Read, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// A server-sent event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its heading.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its data.
    pub data: Value,
}

/// One who follows `/events` over a Unix socket.
#[derive(Debug)]
pub struct Follower {
    stream: UnixStream,
    /// What was read and holds no whole event yet.
    rest: Vec<u8>,
    is_head_read: bool,
}

impl Follower {
    /// Follows; `last` is the id of the event that was seen last.
    ///
    /// # Panics
    /// Where nobody listens there.
    #[must_use]
    #[track_caller]
    pub fn new(socket: &Path, last: Option<&str>) -> Self {
        let mut stream = UnixStream::connect(socket).expect("socket of the daemon");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!("GET /events HTTP/1.1\r\nHost: x\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).expect("request");
        Self {
            stream,
            rest: Vec::new(),
            is_head_read: false,
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// Where there is none for long.
    #[track_caller]
    pub fn read(&mut self) -> Event {
        loop {
            if let Some(event) = self.take() {
                return event;
            }
            let mut bytes = [0; 65_536];
            let count = read_some(&mut self.stream, &mut bytes).expect("events");
            assert!(count > 0, "the events ended");
            self.rest.extend(&bytes[..count]);
        }
    }

    /// The next event with this heading.
    #[track_caller]
    pub fn read_until(&mut self, name: &str) -> Event {
        loop {
            let event = self.read();
            if event.name == name {
                return event;
            }
        }
    }

    /// A whole event of what was read; comments are passed over. Chunks of HTTP are recognised by
    /// their form: no line of an event looks like one.
    fn take(&mut self) -> Option<Event> {
        if !self.is_head_read {
            let end = self.rest.windows(4).position(|four| four == b"\r\n\r\n")?;
            self.rest.drain(..end + 4);
            self.is_head_read = true;
        }
        loop {
            let end = self.rest.windows(2).position(|two| two == b"\n\n")?;
            let block: Vec<u8> = self.rest.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block).replace("\r\n", "\n");
            let of = |field: &str| {
                let mut lines = block.lines();
                lines.find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
            };
            if let (Some(name), Some(id), Some(data)) = (of("event"), of("id"), of("data")) {
                return Some(Event {
                    name: name.to_owned(),
                    id: id.to_owned(),
                    data: serde_json::from_str(data).expect("data of an event"),
                });
            }
        }
    }
}
