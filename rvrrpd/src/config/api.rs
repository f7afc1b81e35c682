//! `[api]` and `client_api`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use zeroize::Zeroizing;

use super::diagnostic::quoted;
use super::model::{Api, Secret};
use super::reader::{Field, Reader};
use super::schema;

/// Most addresses that are listened on.
const MOST_HOSTS: usize = 64;
/// Longest session in seconds: 30 days.
pub const LONGEST_SESSION: u32 = 30 * 24 * 3600;
/// Life of a session in seconds when none is given.
const SESSION: u32 = 3600;

/// The Client API; none when neither `client_api` nor `[api]` is there.
pub(super) fn api(top: &mut Reader<'_, '_>) -> Option<Api> {
    let client_api = top.choice("client_api", &[("http", ())]);
    let table = top.table("api");
    if client_api.is_absent() && table.is_absent() {
        return None;
    }
    let (entries, line) = match table {
        Field::Given { value, line } => (value, line),
        Field::Absent | Field::Wrong => (&[][..], 0),
    };
    let mut reader = Reader::new(&schema::API, "", line, entries, top.findings());
    Some(settings(&mut reader))
}

fn settings(reader: &mut Reader<'_, '_>) -> Api {
    let users = users(reader);
    let secret = secret(reader);
    let host = host(reader);
    let tls = reader.boolean("tls").or(false);
    let remote = host.iter().find(|(address, _)| !address.ip().is_loopback());
    if let Some((address, line)) = remote
        && !tls
    {
        reader.warn(
            *line,
            "host",
            format!(
                "{address} can be reached from other hosts and tls is false, so passwords and \
                 sessions cross the network in the clear"
            ),
        );
    }
    let tls_key = reader.path("tls_key");
    let tls_cert = reader.path("tls_cert");
    let lifetime = reader
        .integer("session_lifetime", 1..=LONGEST_SESSION)
        .or(SESSION);
    Api {
        users,
        secret,
        host: host.into_iter().map(|(address, _)| address).collect(),
        tls,
        tls_key: tls_key.or("/etc/rvrrpd/ssl/key.pem".into()),
        tls_cert: tls_cert.or("/etc/rvrrpd/ssl/cert.pem".into()),
        session_lifetime: Duration::from_secs(lifetime.into()),
        socket: reader.path("socket").given(),
    }
}

/// The lines of `rvrrpd-pw`. A line that is none gives access to nobody, and rVRRPd passed over
/// it in silence; here a warning says which one it is, but not what it says.
fn users(reader: &mut Reader<'_, '_>) -> Vec<Secret> {
    let lines = reader.strings("users").or(Vec::new());
    let mut users = Vec::with_capacity(lines.len());
    for (position, (line, text)) in lines.into_iter().enumerate() {
        if is_credential(text) {
            users.push(Secret(Zeroizing::new(text.as_bytes().to_vec())));
        } else {
            reader.warn(
                line,
                "users",
                format!(
                    "entry {} is no line of rvrrpd-pw and is left out, allowed: \
                     {{{{ALG}}}}USER:LEVEL:SALT:HASH",
                    position + 1
                ),
            );
        }
    }
    users
}

/// `{{ALG}}USER:LEVEL:SALT:HASH`, with the bounds of rVRRPd 0.1.3.
fn is_credential(text: &str) -> bool {
    let Some((algorithm, rest)) = text
        .strip_prefix("{{")
        .and_then(|rest| rest.split_once("}}"))
    else {
        return false;
    };
    let mut fields = rest.splitn(4, ':');
    let (Some(user), Some(level), Some(salt), Some(hash)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return false;
    };
    matches!(algorithm, "SHA256" | "SCRYPT" | "ARGON2ID")
        && (1..=256).contains(&user.len())
        && user.bytes().all(|byte| byte.is_ascii_graphic())
        && level.len() == 1
        && level.bytes().all(|byte| byte.is_ascii_digit())
        && salt.len() <= 64
        && salt.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (16..=256).contains(&hash.len())
        && hash.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn secret(reader: &mut Reader<'_, '_>) -> Option<Secret> {
    let Field::Given { value, line } = reader.string("secret") else {
        return None;
    };
    if value.is_empty() {
        reader.error(line, "secret", "is empty, allowed: 1 byte or more");
        return None;
    }
    Some(Secret(Zeroizing::new(value.as_bytes().to_vec())))
}

fn host(reader: &mut Reader<'_, '_>) -> Vec<(SocketAddr, u32)> {
    let (texts, line) = match reader.strings("host") {
        Field::Given { value, line } => (value, line),
        Field::Absent => return vec![(Api::DEFAULT_HOST, 0)],
        Field::Wrong => return Vec::new(),
    };
    if texts.is_empty() || texts.len() > MOST_HOSTS {
        let message = format!("{} addresses, allowed: 1 to {MOST_HOSTS}", texts.len());
        reader.error(line, "host", message);
        return Vec::new();
    }
    let mut seen = HashSet::new();
    let mut hosts = Vec::with_capacity(texts.len());
    for (line, text) in texts {
        let address = text
            .parse::<SocketAddr>()
            .ok()
            .filter(|address| address.port() != 0);
        match address {
            Some(address) if seen.insert(address) => hosts.push((address, line)),
            Some(address) => {
                reader.error(
                    line,
                    "host",
                    format!("{address} stands twice, allowed: once"),
                );
            }
            None => reader.error(
                line,
                "host",
                format!(
                    "{} is no address with a port, allowed: ADDR:PORT such as 127.0.0.1:7080 or \
                     [::1]:7080",
                    quoted(text)
                ),
            ),
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_rvrrpd_pw_are_known() {
        for line in [
            "{{SHA256}}admin:0:a3e5b8d8b1f43248:9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa",
            "{{SCRYPT}}admin:0::$rscrypt$0$BAgB$jo8XNguMqeAhdequnqcoBA==$jPqFlklLyvUwmM8rZerfF7tzWsX0VlEc/x2XmWViZvM=$",
            "{{ARGON2ID}}a:1::$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA",
        ] {
            assert!(is_credential(line), "{line}");
        }
        for line in [
            "",
            "admin",
            "{{SHA256}}admin:0:1eb7ac761a1201f9:095820af...",
            "{{MD5}}a:0::0123456789abcdef",
            "{{SHA256}}:0::0123456789abcdef",
            "{{SHA256}}a:x::0123456789abcdef",
            "{{SHA256}}a:0:g:0123456789abcdef",
            "{{SHA256}}a:0:0123456789abcdef",
        ] {
            assert!(!is_credential(line), "{line}");
        }
    }
}
