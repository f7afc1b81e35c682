//! Many clients of the Client API at once, with and without a session.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::host::Host;
use crate::web::read_some;

/// What the clients ask for, in turn.
const PATHS: [&str; 5] = [
    "/run/vrrp",
    "/run/vrrp/7",
    "/run/global",
    "/metrics",
    "/config/vrouter",
];
/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What clients have seen.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Answers with data to who has a session.
    pub served: u64,
    /// Refusals to who has none.
    pub refused: u64,
    /// Answers that nobody may get: data without a session, a refusal with one, anything else.
    pub wrong: Vec<String>,
    /// Connections that broke or were refused.
    pub broken: u64,
    /// The longest that an answer took.
    pub longest: Duration,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.served += other.served;
        self.refused += other.refused;
        self.wrong.extend(other.wrong);
        self.broken += other.broken;
        self.longest = self.longest.max(other.longest);
    }
}

/// Lets `clients` ask from `host` for `span`, one request after the other each; every second of them
/// has the session of `cookies`. An answer without a session must be 401 and must not hold `secret`.
///
/// # Panics
/// Where a thread cannot be made.
#[must_use]
pub fn clients(
    host: &Host,
    address: SocketAddr,
    cookies: &str,
    secret: &str,
    clients: usize,
    span: Duration,
) -> Seen {
    let end = Instant::now() + span;
    let one = |number: usize| {
        let cookies = number.is_multiple_of(2).then_some(cookies);
        let mut seen = Seen::default();
        let mut place = number;
        host.inside(|| {
            while Instant::now() < end {
                if talk(address, cookies, secret, &mut place, end, &mut seen).is_err() {
                    seen.broken += 1;
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        seen
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|number| scope.spawn(move || one(number)))
            .collect();
        let mut all = Seen::default();
        for client in running {
            all.add(client.join().expect("client"));
        }
        all
    })
}

/// One connection, until it breaks or the time is over.
fn talk(
    address: SocketAddr,
    cookies: Option<&str>,
    secret: &str,
    place: &mut usize,
    end: Instant,
    seen: &mut Seen,
) -> io::Result<()> {
    let mut connection = Connection::new(address)?;
    while Instant::now() < end {
        let path = PATHS[*place % PATHS.len()];
        *place += 1;
        let (status, body, took) = connection.get(path, cookies)?;
        seen.longest = seen.longest.max(took);
        let shows = body
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        match (cookies, status) {
            (Some(_), 200) if shows || path == "/run/global" => seen.served += 1,
            (None, 401) if !shows => seen.refused += 1,
            _ => {
                let who = if cookies.is_some() { "a" } else { "no" };
                let length = body.len();
                seen.wrong.push(format!(
                    "{path} with {who} session: {status}, {length} bytes"
                ));
            }
        }
    }
    Ok(())
}

/// A connection that is kept from request to request.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl Connection {
    /// A connection from the network namespace of the calling thread.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn new(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            rest: Vec::new(),
        })
    }

    /// Status and body of the answer, and how long it took.
    ///
    /// # Errors
    /// The connection broke, or the answer has no length.
    pub fn get(
        &mut self,
        path: &str,
        cookies: Option<&str>,
    ) -> io::Result<(u16, Vec<u8>, Duration)> {
        let cookies = cookies.map_or_else(String::new, |all| format!("Cookie: {all}\r\n"));
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{cookies}\r\n");
        let began = Instant::now();
        self.stream.write_all(request.as_bytes())?;
        let end = loop {
            match self.rest.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more()?,
            }
        };
        let head = String::from_utf8_lossy(&self.rest[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let (Some(status), Some(length)) = (status, length) else {
            return Err(io::Error::other(head));
        };
        while self.rest.len() < end + length {
            self.more()?;
        }
        let took = began.elapsed();
        let body = self.rest[end..end + length].to_vec();
        self.rest.drain(..end + length);
        Ok((status, body, took))
    }

    fn more(&mut self) -> io::Result<()> {
        let mut bytes = [0; 65_536];
        match read_some(&mut self.stream, &mut bytes)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.rest.extend(&bytes[..count]);
                Ok(())
            }
        }
    }
}
