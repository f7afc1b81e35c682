//! Authentication of a virtual router and where its secret comes from.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::hmac;
use super::model::{Auth, Protocol, Secret};
use super::reader::{Field, Reader};

/// Longest secret in bytes.
pub(super) const LONGEST_SECRET: usize = 1024;
/// Bytes of a password that count: those on the wire (RFC 2338 §5.3.6), and as many that keepalived
/// makes its Authentication Header with.
const SIMPLE_SECRET: usize = 8;
/// Mode bits of everybody but the owner.
const NOT_OWNER: u32 = 0o077;

/// Kinds of authentication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// Keys with numbers.
    Hmac,
    /// One secret, version 2 alone.
    Secret(Proof),
}

/// What the one secret proves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Proof {
    Ah,
    Simple,
    P0,
    P1,
}

const KINDS: &[(&str, Kind)] = &[
    ("hmac-sha256", Kind::Hmac),
    ("rfc2338-ah", Kind::Secret(Proof::Ah)),
    ("rfc2338-simple", Kind::Secret(Proof::Simple)),
    ("p0-t8-sha256", Kind::Secret(Proof::P0)),
    ("p1-t8-shake256", Kind::Secret(Proof::P1)),
    ("p1-b8-shake256", Kind::Secret(Proof::P1)),
];

/// `auth_type` with its secret. `protocol` is none when `version` was wrong.
pub(super) fn auth(reader: &mut Reader<'_, '_>, protocol: Option<Protocol>) -> Auth {
    let kind = reader.choice("auth_type", KINDS);
    let settings = hmac::Settings::read(reader);
    if let Field::Given {
        value: Kind::Hmac,
        line,
    } = kind
    {
        return settings.auth(reader, line);
    }
    if !matches!(kind, Field::Wrong) {
        settings.warn(reader);
        if let Some(line) = reader.line_of("auth_keys") {
            let message = "the keys are not used, allowed: only with auth_type = \"hmac-sha256\"";
            reader.error(line, "auth_keys", message);
        }
    }
    let (key, secret) = secret(reader, "auth_secret", "auth_secret_file");
    let (proof, line) = match (kind, &secret) {
        (
            Field::Given {
                value: Kind::Secret(proof),
                line,
            },
            _,
        ) => (proof, line),
        (Field::Absent, Field::Given { line, .. }) => {
            reader.error(
                *line,
                key,
                "there is no auth_type, allowed: only together with auth_type",
            );
            return Auth::None;
        }
        _ => return Auth::None,
    };
    let message = match protocol {
        Some(Protocol::V3) => {
            Some("version 3 knows one type, allowed: hmac-sha256; others only with version = 2")
        }
        // Anybody could become Master with a message of version 3, which needs no secret.
        Some(Protocol::Both) => Some(
            "authenticates version 2 alone and leaves version 3 open, allowed: hmac-sha256; others \
             only with version = 2",
        ),
        Some(Protocol::V2) | None => None,
    };
    if let Some(message) = message {
        reader.error(line, "auth_type", message);
    }
    let mut secret = match secret {
        Field::Given { value, .. } => value,
        Field::Wrong => return Auth::None,
        Field::Absent => {
            reader.error(
                line,
                "auth_type",
                "there is no secret, allowed: only together with auth_secret or auth_secret_file",
            );
            return Auth::None;
        }
    };
    match proof {
        Proof::Simple | Proof::Ah => {
            if secret.0.len() > SIMPLE_SECRET {
                reader.warn(
                    line,
                    key,
                    format!(
                        "is longer than the {SIMPLE_SECRET} bytes of a password of this type, only \
                         the first {SIMPLE_SECRET} bytes count"
                    ),
                );
                secret.0.truncate(SIMPLE_SECRET);
            }
            if proof == Proof::Ah {
                Auth::Ah(secret)
            } else {
                Auth::Simple(secret)
            }
        }
        Proof::P0 => Auth::P0Sha256(secret),
        Proof::P1 => Auth::P1Shake256(secret),
    }
}

/// The secret, and which of the two keys it came from.
pub(super) fn secret(
    reader: &mut Reader<'_, '_>,
    inline_key: &'static str,
    file_key: &'static str,
) -> (&'static str, Field<Secret>) {
    let inline = reader.string(inline_key);
    let file = reader.path(file_key);
    if let (Some(first), Some(line)) = (inline.line(), file.line()) {
        let place = reader.place(first);
        let message = format!("{inline_key} stands in {place}, allowed: one of the two");
        reader.error(line, file_key, message);
        return (file_key, Field::Wrong);
    }
    match (inline, file) {
        (Field::Given { value, line }, Field::Absent) => {
            let secret = Zeroizing::new(value.as_bytes().to_vec());
            (inline_key, bounded(reader, inline_key, secret, line))
        }
        (Field::Absent, Field::Given { value, line }) => {
            let secret = match read(&value) {
                Ok(secret) => bounded(reader, file_key, secret, line),
                Err(message) => {
                    reader.error(line, file_key, message);
                    Field::Wrong
                }
            };
            (file_key, secret)
        }
        (Field::Absent, Field::Absent) => (inline_key, Field::Absent),
        _ => (inline_key, Field::Wrong),
    }
}

fn bounded(
    reader: &mut Reader<'_, '_>,
    key: &str,
    secret: Zeroizing<Vec<u8>>,
    line: u32,
) -> Field<Secret> {
    let what = if secret.is_empty() {
        "is empty"
    } else if secret.len() > LONGEST_SECRET {
        "is too long"
    } else {
        return Field::Given {
            value: Secret(secret),
            line,
        };
    };
    reader.error(
        line,
        key,
        format!("{what}, allowed: 1 to {LONGEST_SECRET} bytes"),
    );
    Field::Wrong
}

/// The secret of a file, without the line feed at its end.
///
/// The path is absolute because a daemon changes its working directory, by default to one where
/// everybody can write. No message repeats it: it may be a secret that was put in its place.
fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let unreadable = |error: std::io::Error| {
        format!("the file cannot be read: {error}, allowed: a readable file with mode 0600")
    };
    if !path.is_absolute() {
        return Err("the path is relative, allowed: an absolute path".to_owned());
    }
    // Without O_NONBLOCK the opening of a FIFO would wait for its writer.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !metadata.is_file() {
        return Err("is no regular file, allowed: a regular file with mode 0600".to_owned());
    }
    let mode = metadata.mode() & 0o7777;
    if mode & NOT_OWNER != 0 {
        return Err(format!(
            "the file has mode {mode:04o}, allowed: 0600 or stricter (the owner alone)"
        ));
    }
    let room = LONGEST_SECRET + 2;
    let mut secret = Zeroizing::new(Vec::with_capacity(room));
    let bound = u64::try_from(room).unwrap_or(u64::MAX);
    file.take(bound)
        .read_to_end(&mut secret)
        .map_err(unreadable)?;
    if secret.last() == Some(&b'\n') {
        secret.pop();
        if secret.last() == Some(&b'\r') {
            secret.pop();
        }
    }
    Ok(secret)
}
