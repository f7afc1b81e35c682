//! A daemon's Client API, as far as the client needs it: two virtual routers, in memory.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// What was asked: method, path, cookie, body.
pub(crate) type Asked = (String, String, String, String);

#[derive(Default)]
struct Shared {
    asked: Vec<Asked>,
    routers: Vec<Value>,
}

/// The server; its threads end with the process.
pub(crate) struct StandIn {
    shared: Arc<Mutex<Shared>>,
    directory: PathBuf,
    /// Where it listens for HTTP.
    pub(crate) url: String,
}

fn routers() -> Vec<Value> {
    vec![
        json!({
            "virtual_ip": "10.0.0.1", "group": 1, "interface": "vnic1", "priority": 100,
            "preempt": true, "state": "Backup", "name": "vrrp1", "parent": "bge1",
            "vif": "vnic1", "accept_mode": true, "enabled": true, "primary": "10.0.0.100",
            "timers": {"advert": 1.0, "skew": 0.609, "master_down": 3.609},
            "peer": {"address": "10.0.0.123", "priority": 120, "advert_interval": 1.0,
                     "last_advert_ago": 0.313, "a field of tomorrow": []},
            "last_transition": {"from": "Master", "to": "Backup", "ago": 77.0},
            "a field of tomorrow": {"x": 1},
        }),
        json!({
            "virtual_ip": "fe80::1", "group": 1, "interface": "vnic1", "priority": 255,
            "preempt": false, "state": "Init", "substate": "shutdown", "name": "vrrp1-6",
            "parent": "bge1", "enabled": false, "not_ready": ["disabled"],
        }),
    ]
}

impl StandIn {
    /// Starts one on a Unix socket and on a port of the loopback interface.
    pub(crate) fn start() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("rvrrpadm-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let unix = UnixListener::bind(directory.join("s")).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", tcp.local_addr().unwrap());
        let shared = Arc::new(Mutex::new(Shared {
            routers: routers(),
            ..Shared::default()
        }));
        let (for_unix, for_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in unix.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&for_unix));
                let writer = stream.try_clone().unwrap();
                thread::spawn(move || serve(stream, writer, &shared, true));
            }
        });
        thread::spawn(move || {
            for stream in tcp.incoming() {
                let (stream, shared) = (stream.unwrap(), Arc::clone(&for_tcp));
                let writer = stream.try_clone().unwrap();
                thread::spawn(move || serve(stream, writer, &shared, false));
            }
        });
        Self {
            shared,
            directory,
            url,
        }
    }

    /// Its socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("s")
    }

    /// A directory that is removed with it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What was asked since the last call.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.shared.lock().unwrap().asked)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn serve(stream: impl Read, mut writer: impl Write, shared: &Mutex<Shared>, trusted: bool) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let mut words = first.split_whitespace();
        let method = words.next().unwrap().to_owned();
        let path = words.next().unwrap().to_owned();
        let (mut length, mut cookie) = (0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            match name.to_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "cookie" => value.clone_into(&mut cookie),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body = String::from_utf8(body).unwrap();
        let mut shared = shared.lock().unwrap();
        let asked = (method.clone(), path.clone(), cookie.clone(), body.clone());
        shared.asked.push(asked);
        if path == "/events" {
            write!(
                writer,
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
                 event: snapshot\nid: 1\ndata: {{\"name\":\"vrrp1\",\"state\":\"Backup\"}}\n\n\
                 : still here\n\n\
                 event: state\nid: 4\ndata: {{\"name\":\"vrrp1\",\"previous\":\"Backup\",\
                 \"state\":\"Master\",\"priority\":100,\"reason\":\"no-response\"}}\n\n\
                 event: state\nid: 5\ndata: {{\"name\":\"vrrp1-6\",\"state\":\"Init\"}}\n\n"
            )
            .unwrap();
            return;
        }
        let allowed = trusted || path == "/auth" || cookie == "user=admin; token=abc";
        let (status, answer) = if allowed {
            answer(&mut shared, &method, &path, &body)
        } else {
            (401, json!({"title": "Unauthorized", "status": 401}))
        };
        let text = if answer.is_null() && status == 204 {
            String::new()
        } else {
            answer.to_string()
        };
        let cookies = if path == "/auth" && status == 200 {
            "set-cookie: user=admin; HttpOnly\r\nset-cookie: token=abc; HttpOnly\r\n"
        } else {
            ""
        };
        write!(
            writer,
            "HTTP/1.1 {status} X\r\n{cookies}content-length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
    }
}

fn answer(shared: &mut Shared, method: &str, path: &str, body: &str) -> (u16, Value) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let body: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    let problem = |status: u16, detail: &str| {
        (
            status,
            json!({"title": "T", "status": status, "detail": detail}),
        )
    };
    let routers = &mut shared.routers;
    let at = |name: &str, routers: &[Value]| routers.iter().position(|it| it["name"] == name);
    match (method, parts.as_slice()) {
        ("POST", ["auth"]) if body["user"] == "admin" && body["passwd"] == "pä:ss\"" => {
            (200, Value::Null)
        }
        ("POST", ["auth"]) => problem(401, "user or password is wrong"),
        ("GET", ["run", "vrrp"]) => (200, routers.clone().into()),
        ("GET", ["run", "vrrp", group, interface]) => {
            let found = routers.iter().find(|it| {
                it["group"].as_u64() == group.parse().ok()
                    && it["interface"] == *interface
                    && query == format!("name={}", it["name"].as_str().unwrap())
            });
            (200, found.cloned().unwrap_or(Value::Null))
        }
        ("POST", ["config", "vrouter"]) => {
            if at(body["name"].as_str().unwrap(), routers).is_some() {
                return problem(409, "name: vrrp1 is taken, allowed: a unique one");
            }
            if body["group"] == 1 {
                return problem(409, "group: group 1 of bge1 (IPv4) is virtual router vrrp1");
            }
            if body["priority"] == 255 {
                let errors = ["priority: 255, allowed: 1..254", "vip: 1.2.3 is no address"];
                return (
                    422,
                    json!({"title": "T", "detail": "two errors", "errors": errors}),
                );
            }
            routers.push(body.clone());
            (201, body)
        }
        ("PATCH" | "DELETE", ["config", "vrouter", name]) => match at(name, routers) {
            None => problem(404, &format!("there is no virtual router {name}")),
            Some(at) if method == "DELETE" => {
                routers.remove(at);
                (204, Value::Null)
            }
            Some(at) => {
                for (key, value) in body.as_object().unwrap() {
                    routers[at][key] = value.clone();
                }
                (200, routers[at].clone())
            }
        },
        ("POST", ["run", "vrrp", name, verb @ ("enable" | "disable")]) => match at(name, routers) {
            None => problem(404, &format!("there is no virtual router {name}")),
            Some(_) if *name == "vrrp1-6" => problem(403, "only root and group rvrrpd may write"),
            Some(at) => {
                routers[at]["enabled"] = (*verb == "enable").into();
                (200, routers[at].clone())
            }
        },
        ("POST", ["run", "reload"]) => (200, json!({"changed": 1, "warnings": ["no HTTPS"]})),
        _ => problem(404, "there is no such page"),
    }
}
