//! The sockets that are listened on, as the configuration wants them.

use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use axum::Router;
use rustls::ServerConfig;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

use super::access::Peer;
use super::connection::{self, HOSTS, USERS};
use super::credentials::Level;
use super::group;
use super::places::Places;
use super::unix::{self, Named};
use super::{Snapshot, tls};
use crate::net::sys::credentials;

/// Connections that the kernel keeps for us.
const BACKLOG: i32 = 128;
/// How long nothing is accepted when there are no descriptors left.
const RECOVERY: Duration = Duration::from_millis(200);

/// What is listened on.
#[derive(Debug)]
pub(super) struct Listeners {
    router: Router,
    run_dir: PathBuf,
    tcp: BTreeMap<SocketAddr, Listening>,
    unix: Option<(Named, Listening)>,
    hosts: Arc<Places>,
    users: Arc<Places>,
    /// Certificate and key; none without TLS.
    tls: Arc<ArcSwapOption<ServerConfig>>,
    /// What was complained of last, by what it is about.
    complaints: BTreeMap<String, String>,
}

/// A task that accepts; told to end when this is dropped.
#[derive(Debug)]
struct Listening {
    task: JoinHandle<()>,
    tls: bool,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    /// Ends the task, and with it the socket: once this is over the address is free.
    async fn close(mut self) {
        self.task.abort();
        // It was told to end, so that how it ended is no news.
        let _ended = (&mut self.task).await;
    }
}

impl Listeners {
    /// Listens on nothing yet. `run_dir` holds the Unix socket where the configuration names none.
    pub(super) fn new(router: Router, run_dir: &Path) -> Self {
        Self {
            router,
            run_dir: run_dir.to_owned(),
            tcp: BTreeMap::new(),
            unix: None,
            hosts: Places::new(HOSTS),
            users: Places::new(USERS),
            tls: Arc::default(),
            complaints: BTreeMap::new(),
        }
    }

    /// Where the Unix socket is wanted.
    pub(super) fn socket(snapshot: &Snapshot, run_dir: &Path) -> PathBuf {
        let api = snapshot.config.api.as_ref();
        let configured = api.and_then(|api| api.socket.clone());
        configured.unwrap_or_else(|| run_dir.join("rvrrpd.sock"))
    }

    /// Goes on with a Unix socket that is open already.
    ///
    /// # Errors
    /// The event loop does not take it.
    pub(super) fn adopt(&mut self, (listener, named): (StdListener, Named)) -> io::Result<()> {
        let listening = self.accept(listener)?;
        self.unix = Some((named, listening));
        Ok(())
    }

    /// Reads key and certificates again. Where they cannot be used those of before stay.
    pub(super) fn load_certificates(&mut self, snapshot: &Snapshot) {
        let Some(api) = snapshot.config.api.as_ref().filter(|api| api.tls) else {
            self.tls.store(None);
            self.satisfied("tls");
            return;
        };
        match tls::load(&api.tls_key, &api.tls_cert) {
            Ok(config) => {
                self.tls.store(Some(config));
                self.satisfied("tls");
            }
            Err(error) => {
                let what = if self.tls.load().is_some() {
                    "the certificate of before stays"
                } else {
                    "no HTTPS"
                };
                self.complain("tls", &format!("Client API: {error}; {what}"));
            }
        }
    }

    /// Opens what is wanted and is not open, and closes what is not wanted. False: something has
    /// to be tried again.
    pub(super) async fn apply(&mut self, snapshot: &Snapshot) -> bool {
        let api = snapshot.config.api.as_ref();
        let is_tls = api.is_some_and(|api| api.tls);
        let has_certificate = self.tls.load().is_some();
        // Never in the clear where TLS is wanted.
        let wanted: &[SocketAddr] = match api {
            Some(api) if !is_tls || has_certificate => &api.host,
            _ => &[],
        };
        let unwanted = self.tcp.extract_if(.., |address, listening| {
            !wanted.contains(address) || listening.tls != is_tls
        });
        // The same address may be opened again right now.
        for (_, listening) in unwanted.collect::<Vec<_>>() {
            listening.close().await;
        }
        let mut complete = is_tls == has_certificate;
        for &address in wanted {
            if self.tcp.contains_key(&address) {
                continue;
            }
            let about = address.to_string();
            match self.open_tcp(address, is_tls) {
                Ok(listening) => {
                    let scheme = if is_tls { "https" } else { "http" };
                    tracing::info!("Client API Server listening on {scheme}://{address}");
                    self.tcp.insert(address, listening);
                    self.satisfied(&about);
                }
                Err(error) => {
                    let hint = match error.kind() {
                        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
                            ", allowed: a port from 1024 on, or net.ipv4.ip_unprivileged_port_start"
                        }
                        _ => "",
                    };
                    self.complain(&about, &format!("Client API: {address}: {error}{hint}"));
                    complete = false;
                }
            }
        }
        complete & self.apply_unix(&Self::socket(snapshot, &self.run_dir))
    }

    fn apply_unix(&mut self, path: &Path) -> bool {
        if self
            .unix
            .as_ref()
            .is_some_and(|(named, _)| named.path() == path)
        {
            return true;
        }
        let about = path.display().to_string();
        match self.open_unix(path) {
            Ok(opened) => {
                self.unix = Some(opened);
                self.satisfied(&about);
                true
            }
            Err(error) => {
                self.complain(&about, &format!("Unix socket {about}: {error}"));
                false
            }
        }
    }

    fn open_tcp(&self, address: SocketAddr, is_tls: bool) -> io::Result<Listening> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM.nonblocking().cloexec(),
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // So that [::] and 0.0.0.0 go beside each other.
            socket.set_only_v6(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from_std(socket.into())?;
        let (router, connections) = (self.router.clone(), Arc::clone(&self.hosts));
        let tls = Arc::clone(&self.tls);
        let task = tokio::spawn(accept_tcp(listener, is_tls, tls, router, connections));
        Ok(Listening { task, tls: is_tls })
    }

    fn open_unix(&self, path: &Path) -> io::Result<(Named, Listening)> {
        let (listener, named) = unix::bind(path)?;
        Ok((named, self.accept(listener)?))
    }

    fn accept(&self, listener: StdListener) -> io::Result<Listening> {
        let listener = UnixListener::from_std(listener)?;
        let (router, connections) = (self.router.clone(), Arc::clone(&self.users));
        let task = tokio::spawn(accept_unix(listener, router, connections));
        Ok(Listening { task, tls: false })
    }

    /// What is wrong with what is listened on.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.complaints.values().cloned().collect()
    }

    /// Says what is wrong, once for each reason: it is tried again and again.
    fn complain(&mut self, about: &str, complaint: &str) {
        let known = self
            .complaints
            .insert(about.to_owned(), complaint.to_owned());
        if known.as_deref() != Some(complaint) {
            tracing::error!("{complaint}");
        }
    }

    fn satisfied(&mut self, about: &str) {
        self.complaints.remove(about);
    }
}

async fn accept_tcp(
    listener: TcpListener,
    is_tls: bool,
    tls: Arc<ArcSwapOption<ServerConfig>>,
    router: Router,
    connections: Arc<Places>,
) {
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                recover(&error).await;
                continue;
            }
        };
        let peer = Peer::Tcp {
            address,
            tls: is_tls,
        };
        let certificate = tls.load_full();
        // TLS may have been turned off just now; this listener is about to end.
        if is_tls != certificate.is_some() {
            continue;
        }
        let Some(place) = connections.admit(peer.source(), Level::Read, 1) else {
            connection::refused(&peer);
            continue;
        };
        let served = connection::serve(stream, certificate, peer, router.clone(), place);
        tokio::spawn(served);
    }
}

async fn accept_unix(listener: UnixListener, router: Router, connections: Arc<Places>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                recover(&error).await;
                continue;
            }
        };
        let Ok(credentials) = credentials::of_peer(stream.as_fd()) else {
            continue;
        };
        let level = group::level(&credentials);
        let peer = Peer::Unix(Arc::new(credentials));
        let Some(place) = connections.admit(peer.source(), level, 1) else {
            connection::refused(&peer);
            continue;
        };
        let served = connection::serve(stream, None, peer, router.clone(), place);
        tokio::spawn(served);
    }
}

/// Waits where there are too few resources; a connection that broke before it was accepted is no
/// reason to.
async fn recover(error: &io::Error) {
    let broken = matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    );
    if !broken {
        tracing::debug!("connections not accepted: {error}");
        tokio::time::sleep(RECOVERY).await;
    }
}
