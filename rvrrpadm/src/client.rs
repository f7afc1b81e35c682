//! The client.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body};
use zeroize::Zeroizing;

use crate::error::{Code, Error, code_of};
use crate::event::Subscription;
use crate::router::{Family, Router, Summary};
use crate::settings::Settings;
use crate::socket::{default_sockets, present};
use crate::unix::{UnixConnector, process_behind};

/// Host in requests over a Unix socket; an address, so that no name is looked up.
const UNIX_URL: &str = "http://127.0.0.1";
/// Most bytes of an answer: 65 536 virtual routers.
pub(crate) const LONGEST_ANSWER: u64 = 256 << 20;
/// How long an answer may take to begin: a reload may take half of it. And how long to come, as with
/// the daemon.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a connection, and what is sent over it, may take.
const CONNECTION: Duration = Duration::from_secs(30);
/// The path of the events, which have no end.
const EVENTS: &str = "/events";

/// A connection to a daemon; opened when it is needed.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    /// The Unix socket, of a client that uses one.
    socket: Option<PathBuf>,
    url: String,
    name: String,
    persist: bool,
    session: Mutex<Option<Zeroizing<String>>>,
}

/// How a daemon is reached over TCP.
#[derive(Clone, Debug, Default)]
pub struct ClientBuilder {
    url: String,
    authority: Option<Vec<u8>>,
    insecure: bool,
}

impl ClientBuilder {
    /// The daemon at `url`: `http://HOST:PORT` or `https://HOST:PORT`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            ..Self::default()
        }
    }

    /// Trusts the certificate authorities in this PEM text and no others.
    #[must_use]
    pub fn authority(self, pem: Vec<u8>) -> Self {
        Self {
            authority: Some(pem),
            ..self
        }
    }

    /// Trusts everybody. Passwords can be read on the way.
    #[must_use]
    pub fn insecure(self) -> Self {
        Self {
            insecure: true,
            ..self
        }
    }

    /// The client; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Request`] when the URL or the PEM text is none.
    pub fn build(self) -> Result<Client, Error> {
        let wrong = |message: String| Error::Request {
            code: Code::Invalid,
            message,
        };
        let known = ["http://", "https://"];
        if !known.iter().any(|scheme| self.url.starts_with(scheme)) {
            let message = format!(
                "{}: no URL, allowed: http://HOST:PORT, https://HOST:PORT",
                self.url
            );
            return Err(wrong(message));
        }
        let mut tls = TlsConfig::builder().disable_verification(self.insecure);
        if let Some(pem) = &self.authority {
            let certificates: Result<Vec<_>, _> = ureq::tls::parse_pem(pem)
                .filter_map(|item| match item {
                    Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
                    Ok(_) => None,
                    Err(error) => Some(Err(error)),
                })
                .collect();
            let certificates: Vec<Certificate<'static>> =
                certificates.map_err(|error| wrong(format!("no PEM certificate: {error}")))?;
            if certificates.is_empty() {
                return Err(wrong("no PEM certificate in it".to_owned()));
            }
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates));
        }
        let config = config().tls_config(tls.build()).build();
        Ok(Client {
            agent: config.new_agent(),
            socket: None,
            name: self.url.clone(),
            url: self.url,
            persist: true,
            session: Mutex::default(),
        })
    }
}

fn config() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent(concat!("rvrrpadm/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECTION))
        .timeout_send_request(Some(CONNECTION))
        .timeout_send_body(Some(CONNECTION))
        .timeout_recv_response(Some(PATIENCE))
        .timeout_recv_body(Some(PATIENCE))
}

fn unix_agent(socket: &Path, opened: &Arc<OnceLock<UnixStream>>) -> Agent {
    let connector = UnixConnector {
        path: socket.to_owned(),
        opened: Arc::clone(opened),
    };
    Agent::with_parts(config().build(), connector, DefaultResolver::default())
}

impl Client {
    /// The daemon behind a Unix socket.
    #[must_use]
    pub fn unix(socket: impl AsRef<Path>) -> Self {
        let socket = socket.as_ref();
        Self {
            agent: unix_agent(socket, &Arc::default()),
            socket: Some(socket.to_owned()),
            url: UNIX_URL.to_owned(),
            name: socket.display().to_string(),
            persist: true,
            session: Mutex::default(),
        }
    }

    /// The daemon of the network namespace of this process, by the first of
    /// [`default_sockets`] that is there. Errors name all of them where none is.
    #[must_use]
    pub fn local() -> Self {
        let sockets = default_sockets();
        let client = Self::unix(present(&sockets).unwrap_or_else(|| Path::new("")));
        if sockets.iter().any(|socket| socket.exists()) {
            return client;
        }
        let names: Vec<_> = sockets.iter().map(|it| it.display().to_string()).collect();
        Self {
            name: names.join(", "),
            ..client
        }
    }

    /// The same client, whose changes last until the next reload or the end of the daemon and are
    /// not written to its configuration file.
    #[must_use]
    pub fn temporary(self) -> Self {
        Self {
            persist: false,
            ..self
        }
    }

    /// Logs in. Not needed on the Unix socket.
    ///
    /// # Errors
    /// [`Code::NotPermitted`] when user or password is wrong; all of [`Error`].
    pub fn login(&self, user: &str, password: &str) -> Result<(), Error> {
        let body =
            Zeroizing::new(serde_json::json!({"user": user, "passwd": password}).to_string());
        let response = self.send("POST", "/auth", Some(&body))?;
        let cookies: Vec<&str> = response
            .headers()
            .get_all("set-cookie")
            .iter()
            .filter_map(|cookie| cookie.to_str().ok())
            .filter_map(|cookie| cookie.split(';').next())
            .collect();
        let session = Zeroizing::new(cookies.join("; "));
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
        Ok(())
    }

    /// Makes a virtual router.
    ///
    /// # Errors
    /// [`Code::RouterExists`] and [`Code::NameExists`] when there is one already,
    /// [`Code::Invalid`] with what is wrong and what is allowed; all of [`Error`].
    pub fn create(&self, name: &str, settings: &Settings) -> Result<Value, Error> {
        let keys = settings.clone().with("name", name);
        self.write("POST", "/config/vrouter", Some(&keys))
    }

    /// Deletes a virtual router.
    ///
    /// # Errors
    /// [`Code::NotFound`]; all of [`Error`].
    pub fn destroy(&self, name: &str) -> Result<(), Error> {
        let path = format!("/config/vrouter/{}", encoded(name)?);
        self.write("DELETE", &path, None).map(drop)
    }

    /// Changes what is set in `settings`.
    ///
    /// # Errors
    /// [`Code::NotFound`], [`Code::Invalid`]; all of [`Error`].
    pub fn modify(&self, name: &str, settings: &Settings) -> Result<Value, Error> {
        let path = format!("/config/vrouter/{}", encoded(name)?);
        self.write("PATCH", &path, Some(settings))
    }

    /// Lets a virtual router take part.
    ///
    /// # Errors
    /// [`Code::NotFound`]; all of [`Error`].
    pub fn startup(&self, name: &str) -> Result<Value, Error> {
        self.write(
            "POST",
            &format!("/run/vrrp/{}/enable", encoded(name)?),
            None,
        )
    }

    /// Keeps a virtual router in Init.
    ///
    /// # Errors
    /// [`Code::NotFound`]; all of [`Error`].
    pub fn shutdown(&self, name: &str) -> Result<Value, Error> {
        self.write(
            "POST",
            &format!("/run/vrrp/{}/disable", encoded(name)?),
            None,
        )
    }

    /// Lets the daemon read its configuration file again.
    ///
    /// # Errors
    /// [`Code::Invalid`] with what is wrong with the file; all of [`Error`].
    pub fn reload(&self) -> Result<Value, Error> {
        self.write("POST", "/run/reload", None)
    }

    /// All virtual routers.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn list(&self) -> Result<Vec<Summary>, Error> {
        self.read("/run/vrrp")
    }

    /// Names of the virtual routers of a group, an interface and a family; each may be any.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn lookup(
        &self,
        group: Option<u8>,
        interface: Option<&str>,
        family: Option<Family>,
    ) -> Result<Vec<String>, Error> {
        let all = self.list()?.into_iter().filter(|router| {
            group.is_none_or(|group| router.group == group)
                && interface.is_none_or(|it| router.link() == it || router.interface == it)
                && family.is_none_or(|family| router.family() == family)
        });
        Ok(all.map(|router| router.name).collect())
    }

    /// Everything about a virtual router.
    ///
    /// # Errors
    /// [`Code::NotFound`]; all of [`Error`].
    pub fn query(&self, name: &str) -> Result<Router, Error> {
        self.decode(self.details(name)?)
    }

    /// As [`Client::query`], with all that the daemon says.
    ///
    /// # Errors
    /// [`Code::NotFound`]; all of [`Error`].
    pub fn details(&self, name: &str) -> Result<Value, Error> {
        let all = self.list()?;
        let Some(found) = all.iter().find(|router| router.name == name) else {
            return Err(Error::Refused {
                code: Code::NotFound,
                status: 404,
                message: format!("there is no virtual router {name}"),
            });
        };
        self.details_of(found)
    }

    /// As [`Client::details`], of an entry of [`Client::list`].
    ///
    /// # Errors
    /// [`Code::NotFound`] when it is gone; all of [`Error`].
    pub fn details_of(&self, router: &Summary) -> Result<Value, Error> {
        // An interface may carry virtual routers of both families in one group.
        let path = format!(
            "/run/vrrp/{}/{}?name={}",
            router.group,
            encoded(&router.interface)?,
            encoded(&router.name)?
        );
        let value: Value = self.read(&path)?;
        match value.get("name").and_then(Value::as_str) {
            Some(name) if name == router.name => Ok(value),
            Some(other) => {
                Err(self.answer(format!("asked about {}, told of {other}", router.name)))
            }
            None => Err(Error::Refused {
                code: Code::NotFound,
                status: 404,
                message: format!("there is no virtual router {}", router.name),
            }),
        }
    }

    /// Process id of who listens at the Unix socket, as seen from here (SO_PEERCRED, unix(7)).
    ///
    /// # Errors
    /// [`Error::Unreachable`]: nobody listens, this client uses none, or the process cannot be seen.
    pub fn process(&self) -> Result<u32, Error> {
        let pid = match &self.socket {
            Some(socket) => process_behind(socket),
            None => Err(io::ErrorKind::Unsupported.into()),
        };
        pid.map_err(|source| Error::Unreachable {
            daemon: self.name.clone(),
            source,
        })
    }

    /// Events from now on, after what is now. The next one is waited for as long as it takes.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn subscribe(&self) -> Result<Subscription, Error> {
        let connection = Arc::default();
        let response = match &self.socket {
            Some(socket) => self.send_by(&unix_agent(socket, &connection), "GET", EVENTS, None),
            None => self.send("GET", EVENTS, None),
        }?;
        let body = Box::new(response.into_body().into_reader());
        Ok(Subscription::new(body, self.name.clone(), connection))
    }

    /// The answer to any request for reading.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let value = self.body(self.send("GET", path, None)?)?;
        self.decode(value)
    }

    fn write(&self, method: &str, path: &str, keys: Option<&Settings>) -> Result<Value, Error> {
        let body = keys.map(|keys| Zeroizing::new(Value::Object(keys.keys().clone()).to_string()));
        let path = if self.persist || path == "/run/reload" {
            path.to_owned()
        } else {
            format!("{path}?persist=false")
        };
        let response = self.send(method, &path, body.as_ref().map(|body| body.as_str()))?;
        self.body(response)
    }

    fn send(&self, method: &str, path: &str, body: Option<&str>) -> Result<Response<Body>, Error> {
        self.send_by(&self.agent, method, path, body)
    }

    /// Sends a request; a refusal is an error.
    fn send_by(
        &self,
        agent: &Agent,
        method: &str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Response<Body>, Error> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        if let Some(session) = &*self.session.lock().unwrap_or_else(PoisonError::into_inner) {
            request = request.header("cookie", session.as_str());
        }
        let unsendable = |error: ureq::http::Error| Error::Request {
            code: Code::Invalid,
            message: error.to_string(),
        };
        let sent = match body {
            Some(body) => {
                let request = request.header("content-type", "application/json");
                agent.run(request.body(body).map_err(unsendable)?)
            }
            // A POST has a body, if an empty one; without its length it would be a chunked one.
            None if method == "POST" => agent.run(request.body("").map_err(unsendable)?),
            None => {
                let request = request.body(()).map_err(unsendable)?;
                agent.run(if path == EVENTS {
                    let endless = agent.configure_request(request);
                    endless.timeout_recv_body(None).build()
                } else {
                    request
                })
            }
        };
        let response = sent.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(response))
        }
    }

    fn unreachable(&self, error: ureq::Error) -> Error {
        let source = match error {
            ureq::Error::Io(error) => error,
            // What a server of HTTPS says to who does not encrypt is no HTTP.
            ureq::Error::Protocol(error)
                if self.url.starts_with("http://") && self.socket.is_none() =>
            {
                let https = self.url.replacen("http", "https", 1);
                io::Error::other(format!("{error}; the port may be one of HTTPS: {https}"))
            }
            other => io::Error::other(other.to_string()),
        };
        Error::Unreachable {
            daemon: self.name.clone(),
            source,
        }
    }

    /// A refusal: `application/problem+json` (RFC 9457), or whatever there is.
    fn refusal(&self, response: Response<Body>) -> Error {
        let status = response.status();
        let reason = status.canonical_reason().unwrap_or("refused");
        let mut message = match self.body(response) {
            Ok(problem) => {
                let text = |key: &str| problem.get(key).and_then(Value::as_str).map(str::to_owned);
                let errors: Vec<&str> = problem
                    .get("errors")
                    .and_then(Value::as_array)
                    .map(|errors| errors.iter().filter_map(Value::as_str).collect())
                    .unwrap_or_default();
                if errors.is_empty() {
                    text("detail").or_else(|| text("title")).unwrap_or_default()
                } else {
                    errors.join("\n")
                }
            }
            Err(_) => String::new(),
        };
        if message.is_empty() {
            message = format!("{} {reason}", status.as_u16());
        }
        Error::Refused {
            code: code_of(status.as_u16(), &message),
            status: status.as_u16(),
            message,
        }
    }

    /// The body of an answer as JSON; `null` when it is empty.
    fn body(&self, response: Response<Body>) -> Result<Value, Error> {
        let mut text = Zeroizing::new(Vec::new());
        response
            .into_body()
            .into_reader()
            .take(LONGEST_ANSWER + 1)
            .read_to_end(&mut text)
            .map_err(|source| Error::Unreachable {
                daemon: self.name.clone(),
                source,
            })?;
        if text.len() as u64 > LONGEST_ANSWER {
            return Err(self.answer("the answer is too long".to_owned()));
        }
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&text)
            .map_err(|error| self.answer(format!("the answer is not JSON: {error}")))
    }

    fn decode<T: DeserializeOwned>(&self, value: Value) -> Result<T, Error> {
        serde_json::from_value(value)
            .map_err(|error| self.answer(format!("the answer is not that of rVRRPd: {error}")))
    }

    fn answer(&self, message: String) -> Error {
        Error::Answer {
            daemon: self.name.clone(),
            message,
        }
    }
}

/// A name as a part of a path or query (RFC 3986 §2.1).
fn encoded(name: &str) -> Result<String, Error> {
    if matches!(name, "" | "." | "..") {
        return Err(Error::Request {
            code: Code::NameInvalid,
            message: format!("{name:?} is no name, allowed: 1 to 31 of A-Z a-z 0-9 _ . -"),
        });
    }
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"_.-~:@".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    Ok(text)
}
