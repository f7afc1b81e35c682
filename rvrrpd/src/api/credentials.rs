//! The lines of `rvrrpd-pw`, and whether a password is the one of a line.
//!
//! ```text
//!  {{SHA256}}USER:LEVEL:SALT:HASH     HASH = hex(SHA-256(password ‖ the ASCII text of SALT))
//!  {{ARGON2ID}}USER:LEVEL::PHC        PHC string format
//!  {{SCRYPT}}USER:LEVEL::PHC          the same, or `$rscrypt$0$…` of rVRRPd
//! ```

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use base64ct::{Base64, Encoding as _};
use scrypt::Scrypt;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::config::model::Secret;

/// log2 of N above which scrypt would take more memory than a router has to spare: 1 GiB with the
/// usual r = 8.
const MOST_LOG_N: u8 = 20;
/// Most r and p, and most passes and lanes of Argon2.
const MOST_COST: u32 = 64;
/// Most memory of Argon2 in KiB: 256 MiB.
const MOST_MEMORY: u32 = 256 * 1024;

/// What a user may do.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Level {
    /// Reads.
    Read,
    /// Reads and writes.
    Write,
}

impl Level {
    /// The number of `rvrrpd-pw`.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Read => 0,
            Self::Write => 1,
        }
    }
}

/// A user with the proof of who it is.
#[derive(Clone, Debug)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) level: Level,
    /// The whole line.
    pub(super) line: Secret,
    proof: Proof,
}

#[derive(Clone, Debug)]
enum Proof {
    Sha256 { salt: String, hash: String },
    Argon2id(String),
    Scrypt(String),
}

impl User {
    /// The user of a line; none where the line is none.
    pub(super) fn parse(line: &Secret) -> Option<Self> {
        let text = str::from_utf8(&line.0).ok()?;
        let (algorithm, rest) = text.strip_prefix("{{")?.split_once("}}")?;
        let mut fields = rest.splitn(4, ':');
        let (name, level) = (fields.next()?, fields.next()?);
        let (salt, hash) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        let proof = match algorithm {
            "SHA256" => Proof::Sha256 { salt, hash },
            "ARGON2ID" => Proof::Argon2id(hash),
            "SCRYPT" => Proof::Scrypt(hash),
            _ => return None,
        };
        Some(Self {
            name: name.to_owned(),
            // rVRRPd wrote 0 and looked at none; what is no level of ours may not write.
            level: if level == "1" {
                Level::Write
            } else {
                Level::Read
            },
            line: line.clone(),
            proof,
        })
    }

    /// Whether to look at a password would cost more than a router has to spare.
    pub(super) fn is_too_costly(&self) -> bool {
        match &self.proof {
            Proof::Sha256 { .. } => false,
            Proof::Argon2id(phc) => PasswordHash::new(phc)
                .ok()
                .and_then(|hash| argon2::Params::try_from(&hash).ok())
                .is_some_and(|it| {
                    it.m_cost() > MOST_MEMORY || it.t_cost() > MOST_COST || it.p_cost() > MOST_COST
                }),
            Proof::Scrypt(text) => match text.strip_prefix("$rscrypt$0$") {
                Some(rest) => {
                    rscrypt_cost(rest).is_some_and(|(log_n, r, p)| is_too_costly(log_n, r, p))
                }
                None => PasswordHash::new(text)
                    .ok()
                    .and_then(|hash| scrypt::Params::try_from(&hash).ok())
                    .is_some_and(|it| is_too_costly(it.log_n(), it.r(), it.p())),
            },
        }
    }

    /// Whether this is the password of the user. Takes as long as the line says.
    pub(super) fn verify(&self, password: &[u8]) -> bool {
        match &self.proof {
            Proof::Sha256 { salt, hash } => {
                let digest = Sha256::new()
                    .chain_update(password)
                    .chain_update(salt)
                    .finalize();
                let digest = Zeroizing::new(hex(&digest));
                let hash = Zeroizing::new(hash.to_ascii_lowercase());
                digest.as_bytes().ct_eq(hash.as_bytes()).into()
            }
            Proof::Argon2id(phc) => PasswordHash::new(phc)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Proof::Scrypt(text) => match text.strip_prefix("$rscrypt$0$") {
                Some(rest) => verify_rscrypt(rest, password).unwrap_or(false),
                None => PasswordHash::new(text)
                    .is_ok_and(|hash| Scrypt::default().verify_password(password, &hash).is_ok()),
            },
        }
    }
}

/// `<parameters>$<salt>$<hash>$` in base64, the parameters being log2 of N, r and p, each of one
/// byte (or r and p of four, little-endian).
fn verify_rscrypt(text: &str, password: &[u8]) -> Option<bool> {
    let (log_n, r, p) = rscrypt_cost(text)?;
    let mut parts = text.split('$').skip(1).map(Base64::decode_vec);
    let (salt, hash) = (parts.next()?.ok()?, parts.next()?.ok()?);
    if is_too_costly(log_n, r, p) || hash.len() < 16 {
        return None;
    }
    let parameters = scrypt::Params::new(log_n, r, p).ok()?;
    let mut computed = Zeroizing::new(vec![0; hash.len()]);
    scrypt::scrypt(password, &salt, &parameters, &mut computed).ok()?;
    Some(computed.ct_eq(&hash).into())
}

/// log2 of N, r and p.
fn rscrypt_cost(text: &str) -> Option<(u8, u32, u32)> {
    match *Base64::decode_vec(text.split('$').next()?).ok()? {
        [log_n, r, p] => Some((log_n, r.into(), p.into())),
        _ => None,
    }
}

const fn is_too_costly(log_n: u8, r: u32, p: u32) -> bool {
    log_n > MOST_LOG_N || r > MOST_COST || p > MOST_COST
}

/// Lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or('0');
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(line: &str) -> User {
        User::parse(&Secret(Zeroizing::new(line.as_bytes().to_vec()))).unwrap()
    }

    /// Lines of rVRRPd 0.1.3 and of rvrrpd-pw; all say `banana`.
    #[test]
    fn each_kind_of_line_knows_its_password() {
        for line in [
            "{{SHA256}}admin:0:a3e5b8d8b1f43248:9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa",
            "{{SCRYPT}}admin:0::$rscrypt$0$BAgB$jo8XNguMqeAhdequnqcoBA==$jPqFlklLyvUwmM8rZerfF7tzWsX0VlEc/x2XmWViZvM=$",
        ] {
            let user = user(line);
            assert_eq!((user.name.as_str(), user.level), ("admin", Level::Read));
            assert!(user.verify(b"banana"), "{line}");
            for wrong in ["Banana", "banana ", ""] {
                assert!(!user.verify(wrong.as_bytes()), "{line}: {wrong:?}");
            }
        }
    }

    #[test]
    fn phc_strings_know_their_password() {
        use argon2::password_hash::PasswordHasher as _;
        let cheap = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, cheap);
        let phc = argon2.hash_password_with_salt(b"banana", b"0123456789abcdef");
        let line = format!("{{{{ARGON2ID}}}}root:1::{}", phc.unwrap());
        assert_eq!(user(&line).level, Level::Write);
        assert!(user(&line).verify(b"banana"));
        assert!(!user(&line).verify(b"orange"));

        let cheap = scrypt::Params::new(4, 8, 1).unwrap();
        let phc: PasswordHash = Scrypt::new_with_params(cheap)
            .hash_password_with_salt(b"banana", b"0123456789abcdef")
            .unwrap();
        let line = format!("{{{{SCRYPT}}}}root:7::{phc}");
        assert_eq!(user(&line).level, Level::Read);
        assert!(user(&line).verify(b"banana"));
        assert!(!user(&line).verify(b"orange"));
    }

    #[test]
    fn what_costs_too_much_is_known() {
        const REST: &str = "$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";
        for (line, expected) in [
            ("{{ARGON2ID}}a:0::$argon2id$v=19$m=19456,t=2,p=1", false),
            ("{{ARGON2ID}}a:0::$argon2id$v=19$m=262144,t=64,p=4", false),
            ("{{ARGON2ID}}a:0::$argon2id$v=19$m=262145,t=1,p=1", true),
            ("{{ARGON2ID}}a:0::$argon2id$v=19$m=64,t=65,p=1", true),
            ("{{SCRYPT}}a:0::$scrypt$ln=17,r=8,p=1", false),
            ("{{SCRYPT}}a:0::$scrypt$ln=21,r=8,p=1", true),
            ("{{SCRYPT}}a:0::$scrypt$ln=4,r=8,p=65", true),
            ("{{SCRYPT}}a:0::$rscrypt$0$BAgB", false),
            ("{{SCRYPT}}a:0::$rscrypt$0$FQgB", true),
        ] {
            let line = format!("{line}{REST}");
            assert_eq!(user(&line).is_too_costly(), expected, "{line}");
        }
    }

    #[test]
    fn nonsense_knows_no_password() {
        for hash in [
            "$rscrypt$0$/wgB$jo8XNguMqeAhdequnqcoBA==$jPqFlklLyvUwmM8rZerfF7tzWsX0VlEc/x2XmWViZvM=$",
            "$rscrypt$0$BAgB$$$aaaaaaaaaaaaaaaa",
            "$rscrypt$0$AAAA$AAAA$jPqFlklLyvUwmM8rZerfF7tzWsX0VlEc/x2XmWViZvM=$",
            "$scrypt$ln=99,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo",
            "0123456789abcdef",
        ] {
            assert!(!user(&format!("{{{{SCRYPT}}}}a:0::{hash}")).verify(b"banana"));
            assert!(!user(&format!("{{{{ARGON2ID}}}}a:0::{hash}")).verify(b"banana"));
        }
    }
}
