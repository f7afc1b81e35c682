//! Authentication of a virtual router and where its secret comes from.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::model::{Auth, Protocol, Secret};
use super::reader::{Field, Reader};

/// Longest secret in bytes.
const LONGEST_SECRET: usize = 1024;
/// Bytes of a simple password that are on the wire, RFC 2338 §5.3.6.
const SIMPLE_SECRET: usize = 8;
/// Mode bits of everybody but the owner.
const NOT_OWNER: u32 = 0o077;

/// Kinds of authentication.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Simple,
    P0,
    P1,
}

const KINDS: &[(&str, Kind)] = &[
    ("rfc2338-simple", Kind::Simple),
    ("p0-t8-sha256", Kind::P0),
    ("p1-t8-shake256", Kind::P1),
    ("p1-b8-shake256", Kind::P1),
];

/// `auth_type` with its secret. `protocol` is none when `version` was wrong.
pub(super) fn auth(reader: &mut Reader<'_, '_>, protocol: Option<Protocol>) -> Auth {
    let kind = reader.choice("auth_type", KINDS);
    let (key, secret) = secret(reader);
    let (kind, line) = match (kind, &secret) {
        (Field::Given { value, line }, _) => (value, line),
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
    if protocol == Some(Protocol::V3) {
        reader.error(
            line,
            "auth_type",
            "version 3 has no authentication, allowed: only with version = 2",
        );
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
    match kind {
        Kind::Simple => {
            if secret.0.len() > SIMPLE_SECRET {
                reader.warn(
                    line,
                    key,
                    format!(
                        "is longer than the {SIMPLE_SECRET} bytes of a simple password, only the \
                         first {SIMPLE_SECRET} bytes count"
                    ),
                );
                secret.0.truncate(SIMPLE_SECRET);
            }
            Auth::Simple(secret)
        }
        Kind::P0 => Auth::P0Sha256(secret),
        Kind::P1 => Auth::P1Shake256(secret),
    }
}

/// The secret, and the key that it came from.
fn secret(reader: &mut Reader<'_, '_>) -> (&'static str, Field<Secret>) {
    let inline = reader.string("auth_secret");
    let file = reader.path("auth_secret_file");
    if let (Some(first), Some(line)) = (inline.line(), file.line()) {
        reader.error(
            line,
            "auth_secret_file",
            format!("auth_secret stands in line {first}, allowed: one of the two"),
        );
        return ("auth_secret_file", Field::Wrong);
    }
    match (inline, file) {
        (Field::Given { value, line }, Field::Absent) => {
            let secret = Zeroizing::new(value.as_bytes().to_vec());
            ("auth_secret", bounded(reader, "auth_secret", secret, line))
        }
        (Field::Absent, Field::Given { value, line }) => {
            let key = "auth_secret_file";
            let secret = match read(&value) {
                Ok(secret) => bounded(reader, key, secret, line),
                Err(message) => {
                    reader.error(line, key, message);
                    Field::Wrong
                }
            };
            (key, secret)
        }
        (Field::Absent, Field::Absent) => ("auth_secret", Field::Absent),
        _ => ("auth_secret", Field::Wrong),
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
