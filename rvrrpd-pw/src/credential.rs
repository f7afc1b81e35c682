//! The credential line:
//!
//! ```text
//!  {{SHA256}}USER:LEVEL:SALT:HASH     HASH = hex(SHA-256(password ‖ the ASCII text of SALT))
//!  {{ARGON2ID}}USER:LEVEL::PHC        PHC = $argon2id$v=19$m=19456,t=2,p=1$salt$hash
//!  {{SCRYPT}}USER:LEVEL::PHC          PHC = $scrypt$ln=15,r=8,p=3$salt$hash
//! ```
//!
//! The first form is rVRRPd's own. One round of SHA-256 is tried billions of times a second by
//! who gets hold of the file; the other two cost memory and time for each try.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::PasswordHasher;
use argon2::password_hash::phc::PasswordHash;
use clap::ValueEnum;
use scrypt::Scrypt;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroize as _;

/// Longest name of a user, in characters.
pub(crate) const MAX_USER: usize = 64;

/// Name of a user: 1 to 64 ASCII letters and digits.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct User(String);

impl FromStr for User {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let alphanumeric = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if alphanumeric && (1..=MAX_USER).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "a user name is 1 to {MAX_USER} ASCII letters and digits"
            ))
        }
    }
}

/// What a user may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Level {
    /// Reads.
    #[value(name = "0")]
    Read,
    /// Reads and writes.
    #[value(name = "1")]
    Write,
}

/// How the password is hashed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Algorithm {
    /// Salted SHA-256, rVRRPd's own format
    #[default]
    Sha256,
    /// Argon2id (RFC 9106), 19 MiB, 2 passes
    Argon2id,
    /// scrypt (RFC 7914), N = 2^15, r = 8, p = 3: 32 MiB
    Scrypt,
}

/// Why a line cannot be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("no random bytes from the kernel: {0}")]
    Random(getrandom::Error),
    #[error("cannot hash the password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("cannot hash the password: {0}")]
    Cost(scrypt::errors::InvalidParams),
}

/// log2 of N, r and p of scrypt: as hard as the usual 2^17, 8, 1 but with a quarter of its memory
/// (OWASP Password Storage Cheat Sheet), because the daemon on a small router computes it, too.
const SCRYPT_COST: (u8, u32, u32) = (15, 8, 3);

/// Makes the line, with a fresh random salt.
pub(crate) fn line(
    user: &User,
    level: Level,
    algorithm: Algorithm,
    password: &[u8],
) -> Result<String, Error> {
    let User(user) = user;
    match algorithm {
        Algorithm::Sha256 => {
            let mut random = [0; 8];
            getrandom::fill(&mut random).map_err(Error::Random)?;
            let salt = Hex(&random).to_string();
            let hash = salted_sha256(password, &salt);
            Ok(format!("{{{{SHA256}}}}{user}:{level}:{salt}:{hash}"))
        }
        Algorithm::Argon2id => {
            let phc = phc(&Argon2::default(), password)?;
            Ok(format!("{{{{ARGON2ID}}}}{user}:{level}::{phc}"))
        }
        Algorithm::Scrypt => {
            let (log_n, r, p) = SCRYPT_COST;
            let cost = scrypt::Params::new(log_n, r, p).map_err(Error::Cost)?;
            let phc = phc(&Scrypt::new_with_params(cost), password)?;
            Ok(format!("{{{{SCRYPT}}}}{user}:{level}::{phc}"))
        }
    }
}

/// Hash in PHC string format with 16 random bytes of salt.
fn phc(hasher: &impl PasswordHasher<PasswordHash>, password: &[u8]) -> Result<PasswordHash, Error> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(Error::Random)?;
    hasher
        .hash_password_with_salt(password, &salt)
        .map_err(Error::Hash)
}

/// hex(SHA-256(password ‖ text of the salt)): the salt is not decoded from hex.
fn salted_sha256(password: &[u8], salt: &str) -> String {
    let mut digest: [u8; 32] = Sha256::new()
        .chain_update(password)
        .chain_update(salt)
        .finalize()
        .into();
    let text = Hex(&digest).to_string();
    digest.zeroize();
    text
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char(match self {
            Self::Read => '0',
            Self::Write => '1',
        })
    }
}

/// Bytes in lower-case hexadecimal, two digits each.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use argon2::password_hash::PasswordVerifier as _;

    use super::*;

    fn user(name: &str) -> User {
        name.parse().unwrap()
    }

    /// A line that rVRRPd 0.1.3's own tool made for the password `banana`.
    #[test]
    fn sha256_is_the_format_of_rvrrpd_0_1_3() {
        assert_eq!(
            salted_sha256(b"banana", "a3e5b8d8b1f43248"),
            "9074cd007e17abd2618e0e40b2a4466ac566418e0d97766a00003ab8504e71fa"
        );
    }

    #[test]
    fn sha256_salt_is_always_16_digits_and_never_the_same() {
        let mut salts: Vec<String> = (0..64)
            .map(|_| {
                let line = line(&user("admin"), Level::Write, Algorithm::Sha256, b"x").unwrap();
                let fields: Vec<&str> = line.split(':').collect();
                assert_eq!(fields[..2], ["{{SHA256}}admin", "1"]);
                fields[2].to_owned()
            })
            .collect();
        assert!(salts.iter().all(|salt| salt.len() == 16));
        salts.sort();
        salts.dedup();
        assert_eq!(salts.len(), 64);
    }

    #[test]
    fn leading_zeros_of_a_byte_stay() {
        assert_eq!(Hex(&[0x00, 0x0a, 0xf0]).to_string(), "000af0");
    }

    #[test]
    fn argon2id_line_verifies_against_its_password_only() {
        let line = line(&user("admin"), Level::Read, Algorithm::Argon2id, b"secret").unwrap();
        let phc = line.strip_prefix("{{ARGON2ID}}admin:0::").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let hash = PasswordHash::new(phc).unwrap();
        assert!(Argon2::default().verify_password(b"secret", &hash).is_ok());
        assert!(Argon2::default().verify_password(b"Secret", &hash).is_err());
    }

    #[test]
    fn scrypt_line_verifies_against_its_password_only() {
        let line = line(&user("admin"), Level::Write, Algorithm::Scrypt, b"secret").unwrap();
        let phc = line.strip_prefix("{{SCRYPT}}admin:1::").unwrap();
        assert!(phc.starts_with("$scrypt$ln=15,r=8,p=3$"), "{phc}");
        let hash = PasswordHash::new(phc).unwrap();
        assert!(Scrypt::default().verify_password(b"secret", &hash).is_ok());
        assert!(Scrypt::default().verify_password(b"Secret", &hash).is_err());
    }

    #[test]
    fn user_names_are_ascii_letters_and_digits() {
        let longest = "a".repeat(MAX_USER);
        for good in ["a", "Admin1", longest.as_str()] {
            assert_eq!(user(good), User(good.to_owned()));
        }
        let longer = "a".repeat(MAX_USER + 1);
        for bad in ["", "a:b", "a b", "a-b", "jürg", "a\n", longer.as_str()] {
            assert!(bad.parse::<User>().is_err(), "{bad:?}");
        }
    }
}
