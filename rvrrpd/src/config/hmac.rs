//! `auth_type = "hmac-sha256"`: the keys, and which of them is sent with.

use core::num::NonZeroU8;
use core::ops::RangeInclusive;
use core::time::Duration;

use zeroize::Zeroizing;

use super::model::{Auth, Secret};
use super::reader::{Field, Reader};
use super::{schema, secret};
use crate::wire::auth::{HmacKey, HmacKeys};

/// Most keys of a virtual router: a rotation needs two.
const MOST_KEYS: usize = 16;
/// Lengths in bytes that keepalived takes; a shorter one can be guessed from a recorded message.
const GOOD_LENGTHS: RangeInclusive<usize> = 32..=64;
/// `auth_clock_skew` in seconds.
const CLOCK_SKEW: RangeInclusive<u16> = 1..=300;
const DEFAULT_CLOCK_SKEW: u16 = 30;
/// What a file begins with whose secret is in hexadecimal digits, as keepalived has it.
const HEX_PREFIX: &[u8] = b"hex:";

/// A key and the line that it stands on.
type Placed = (HmacKey, u32);

/// What is set beside the keys.
#[derive(Debug)]
pub(super) struct Settings {
    active: Field<u8>,
    clock_skew: Field<u16>,
}

impl Settings {
    /// Reads `auth_active_key` and `auth_clock_skew`.
    pub(super) fn read(reader: &mut Reader<'_, '_>) -> Self {
        Self {
            active: reader.integer("auth_active_key", 1..=u8::MAX),
            clock_skew: reader.integer("auth_clock_skew", CLOCK_SKEW),
        }
    }

    /// Says that they have no effect.
    pub(super) fn warn(&self, reader: &mut Reader<'_, '_>) {
        for (key, line) in [
            ("auth_active_key", self.active.line()),
            ("auth_clock_skew", self.clock_skew.line()),
        ] {
            if let Some(line) = line {
                let message = "has no effect without auth_type = \"hmac-sha256\"";
                reader.warn(line, key, message);
            }
        }
    }

    /// The keys of a virtual router whose `auth_type` stands on `line`.
    pub(super) fn auth(self, reader: &mut Reader<'_, '_>, line: u32) -> Auth {
        let active_line = self.active.line();
        let Some(keys) = keys(reader, line) else {
            return Auth::None;
        };
        let wanted = match (self.active, keys.as_slice()) {
            (Field::Given { value, .. }, _) => value,
            (Field::Absent, [(only, _)]) => only.id.get(),
            (Field::Absent, _) => {
                let allowed = "allowed: one of the ids of auth_keys, as there are several";
                reader.error(line, "auth_active_key", format!("missing, {allowed}"));
                return Auth::None;
            }
            (Field::Wrong, _) => return Auth::None,
        };
        let (active, others): (Vec<_>, Vec<_>) = keys
            .into_iter()
            .map(|(key, _)| key)
            .partition(|key| key.id.get() == wanted);
        let Some(active) = active.into_iter().next() else {
            let ids: Vec<String> = others.iter().map(|key| key.id.to_string()).collect();
            let message = format!("there is no key {wanted}, allowed: {}", ids.join(", "));
            reader.error(active_line.unwrap_or(line), "auth_active_key", message);
            return Auth::None;
        };
        Auth::HmacSha256(HmacKeys {
            active,
            others,
            clock_skew: Duration::from_secs(self.clock_skew.or(DEFAULT_CLOCK_SKEW).into()),
        })
    }
}

/// All keys, if there are any and all of them are right.
fn keys(reader: &mut Reader<'_, '_>, line: u32) -> Option<Vec<Placed>> {
    let (name, alone) = secret::secret(reader, "auth_secret", "auth_secret_file");
    let list = reader.line_of("auth_keys");
    match (alone, list) {
        (Field::Given { line, .. }, Some(list)) => {
            let message = format!(
                "{name} stands in {}, allowed: one of the two",
                reader.place(line)
            );
            reader.error(list, "auth_keys", message);
            None
        }
        (Field::Given { value, line }, None) => {
            let from_file = name == "auth_secret_file";
            let secret = decoded(reader, name, value, from_file, line)?;
            let id = NonZeroU8::MIN;
            Some(vec![(HmacKey { id, secret }, line)])
        }
        (Field::Wrong, _) => None,
        (Field::Absent, Some(list)) => key_list(reader, list),
        (Field::Absent, None) => {
            let allowed = "allowed: auth_secret, auth_secret_file or auth_keys";
            reader.error(line, "auth_type", format!("there is no secret, {allowed}"));
            None
        }
    }
}

fn key_list(reader: &mut Reader<'_, '_>, line: u32) -> Option<Vec<Placed>> {
    let tables = reader.tables("auth_keys", MOST_KEYS);
    if tables.is_empty() {
        reader.error(line, "auth_keys", "is empty, allowed: 1 key or more");
        return None;
    }
    let mut keys: Vec<Placed> = Vec::with_capacity(tables.len());
    let mut right = true;
    for (line, entries) in tables {
        let findings = reader.findings();
        let table = &mut Reader::new(&schema::AUTH_KEYS, "auth_keys.", line, entries, findings);
        let Some(key) = key(table, line) else {
            right = false;
            continue;
        };
        if let Some((_, first)) = keys.iter().find(|(other, _)| other.id == key.id) {
            let place = table.place(*first);
            let message = format!("{} stands in {place} too, allowed: once", key.id);
            table.error(line, "id", message);
            right = false;
        }
        keys.push((key, line));
    }
    right.then_some(keys)
}

fn key(table: &mut Reader<'_, '_>, line: u32) -> Option<HmacKey> {
    let id = match table.integer("id", 1..=u8::MAX) {
        Field::Given { value, .. } => NonZeroU8::new(value),
        Field::Wrong => None,
        Field::Absent => {
            table.missing("id");
            None
        }
    };
    let (name, secret) = secret::secret(table, "secret", "secret_file");
    let hex = table.string("hex");
    let secret = match (secret, hex) {
        (Field::Given { .. }, Field::Given { line, .. }) => {
            let message = format!("{name} is there too, allowed: one of the two");
            table.error(line, "hex", message);
            None
        }
        (Field::Given { value, line }, Field::Absent) => {
            decoded(table, name, value, name == "secret_file", line)
        }
        (Field::Absent, Field::Given { value, line }) => {
            hexadecimal(table, "hex", value.as_bytes(), line)
        }
        (Field::Absent, Field::Absent) => {
            let message = "there is no secret, allowed: secret, secret_file or hex";
            table.error(line, "secret", message);
            None
        }
        _ => None,
    };
    Some(HmacKey {
        id: id?,
        secret: secret?,
    })
}

/// A secret as it stands there; in a file it may be written in hexadecimal digits.
fn decoded(
    reader: &mut Reader<'_, '_>,
    name: &str,
    secret: Secret,
    from_file: bool,
    line: u32,
) -> Option<Zeroizing<Vec<u8>>> {
    if from_file && let Some(digits) = secret.0.strip_prefix(HEX_PREFIX) {
        return hexadecimal(reader, name, digits, line);
    }
    warn_of_length(reader, name, secret.0.len(), line);
    Some(secret.0)
}

fn hexadecimal(
    reader: &mut Reader<'_, '_>,
    name: &str,
    digits: &[u8],
    line: u32,
) -> Option<Zeroizing<Vec<u8>>> {
    let (pairs, rest) = digits.as_chunks::<2>();
    let mut secret = Zeroizing::new(Vec::with_capacity(pairs.len()));
    for [high, low] in pairs {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let byte = digit(*high).zip(digit(*low));
        secret.extend(byte.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()));
    }
    let right = rest.is_empty() && secret.len() == pairs.len();
    if !right || !(1..=secret::LONGEST_SECRET).contains(&secret.len()) {
        let most = secret::LONGEST_SECRET;
        let message = format!("allowed: 1 to {most} bytes, two hexadecimal digits each");
        reader.error(line, name, format!("is not hexadecimal, {message}"));
        return None;
    }
    warn_of_length(reader, name, secret.len(), line);
    Some(secret)
}

fn warn_of_length(reader: &mut Reader<'_, '_>, name: &str, len: usize, line: u32) {
    if !GOOD_LENGTHS.contains(&len) {
        let (least, most) = (GOOD_LENGTHS.start(), GOOD_LENGTHS.end());
        let message = format!(
            "has {len} bytes; {least} to {most} random ones are hard to guess, and keepalived \
             takes no others (openssl rand -hex {least})"
        );
        reader.warn(line, name, message);
    }
}
