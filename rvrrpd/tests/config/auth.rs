//! Keys of the authentication types that number messages.

use std::time::Duration;

use rvrrpd::config::model::Auth;
use rvrrpd::wire::auth::HmacKeys;

use crate::files::Directory;
use crate::rules::{one, refused, warnings};
use crate::text::{FORMATS, one_table, only_error, router};

const HMAC: (&str, &str) = ("auth_type", "\"hmac-sha256\"");
const GOOD_KEY: &str = "\"0123456789abcdef0123456789abcdef\"";

fn hmac_keys(keys: &[(&str, &str)]) -> HmacKeys {
    match one(keys).auth {
        Auth::HmacSha256(keys) => keys,
        other => panic!("{other:?}"),
    }
}

/// V2-RX-8: a secret alone is key 1; of several one is sent with; they are for both versions.
#[test]
fn keys_of_hmac_sha256() {
    for version in ["2", "3"] {
        let keys = hmac_keys(&[("version", version), HMAC, ("auth_secret", GOOD_KEY)]);
        assert_eq!(keys.active.id.get(), 1);
        assert_eq!(**keys.active.secret, *b"0123456789abcdef0123456789abcdef");
        assert!(keys.others.is_empty());
        assert_eq!(keys.clock_skew, Duration::from_secs(30));
    }
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
    let list =
        format!("[{{\"id\": 1, \"secret\": {GOOD_KEY}}}, {{\"id\": 9, \"hex\": \"{hex}\"}}]");
    let keys = hmac_keys(&[
        HMAC,
        ("auth_keys", &list),
        ("auth_active_key", "9"),
        ("auth_clock_skew", "5"),
    ]);
    assert_eq!(keys.active.id.get(), 9);
    assert_eq!(**keys.active.secret, (0..32).collect::<Vec<u8>>());
    let others: Vec<u8> = keys.others.iter().map(|key| key.id.get()).collect();
    assert_eq!(others, [1]);
    assert_eq!(keys.clock_skew, Duration::from_secs(5));
}

#[test]
fn keys_of_hmac_sha256_that_are_wrong() {
    let secret = ("auth_secret", GOOD_KEY);
    let first = format!("{{\"id\": 1, \"secret\": {GOOD_KEY}}}");
    let one_key = format!("[{first}]");
    let two_keys = format!("[{first}, {{\"id\": 2, \"secret\": {GOOD_KEY}}}]");
    let twice = format!("[{first}, {first}]");
    let many: Vec<String> = (1..=17)
        .map(|id| format!("{{\"id\": {id}, \"hex\": \"00\"}}"))
        .collect();
    let many = format!("[{}]", many.join(", "));
    refused(&[HMAC], "auth_type", "there is no secret");
    refused(&[HMAC, ("auth_keys", "[]")], "auth_keys", "is empty");
    refused(
        &[HMAC, secret, ("auth_keys", &one_key)],
        "auth_keys",
        "auth_secret stands in line 6",
    );
    refused(
        &[HMAC, ("auth_keys", &twice)],
        "auth_keys.id",
        "1 stands in",
    );
    for format in FORMATS {
        let pairs = router(&[HMAC, ("auth_keys", &two_keys)]);
        let error = only_error(&one_table(format, "vrouter", &pairs), format);
        assert_eq!(error.key, "auth_active_key");
        assert!(
            error.message.contains("missing, allowed: one of the ids"),
            "{error}"
        );
    }
    refused(
        &[HMAC, ("auth_keys", &two_keys), ("auth_active_key", "3")],
        "auth_active_key",
        "there is no key 3, allowed: 1, 2",
    );
    refused(
        &[HMAC, secret, ("auth_active_key", "2")],
        "auth_active_key",
        "there is no key 2, allowed: 1",
    );
    refused(
        &[HMAC, ("auth_keys", &many), ("auth_active_key", "1")],
        "auth_keys",
        "17 tables, allowed: at most 16",
    );
    for (key, word) in [
        ("{\"id\": 1}", "secret, secret_file or hex"),
        ("{\"id\": 1, \"secret\": \"\"}", "is empty"),
        ("{\"id\": 1, \"hex\": \"\"}", "is not hexadecimal"),
        ("{\"id\": 1, \"hex\": \"abc\"}", "is not hexadecimal"),
        ("{\"id\": 1, \"hex\": \"0x12\"}", "is not hexadecimal"),
        ("{\"id\": 1, \"hex\": \"+1\"}", "is not hexadecimal"),
        (
            "{\"id\": 1, \"secret\": \"s\", \"hex\": \"00\"}",
            "secret is there too",
        ),
        (
            "{\"id\": 1, \"secret\": \"s\", \"secret_file\": \"/s\"}",
            "secret stands in line",
        ),
    ] {
        let list = format!("[{key}]");
        for format in FORMATS {
            let pairs = router(&[HMAC, ("auth_keys", &list)]);
            let error = only_error(&one_table(format, "vrouter", &pairs), format);
            assert!(error.key.starts_with("auth_keys."), "{error}");
            assert!(error.message.contains(word), "{error}, without {word}");
        }
    }
    refused(
        &[("auth_keys", &one_key)],
        "auth_keys",
        "only with auth_type",
    );
    let simple = ("auth_type", "\"rfc2338-simple\"");
    refused(
        &[simple, ("auth_secret", "\"s\""), ("auth_keys", &one_key)],
        "auth_keys",
        "only with auth_type",
    );
    let ah = ("auth_type", "\"rfc2338-ah\"");
    refused(
        &[("version", "3"), ah, ("auth_secret", "\"s\"")],
        "auth_type",
        "allowed: hmac-sha256",
    );
}

/// Accepted, with a warning that says what would be better.
#[test]
fn keys_of_hmac_sha256_that_are_poor() {
    for (secret, len) in [
        ("\"short\"".to_owned(), 5),
        (format!("\"{}\"", "s".repeat(65)), 65),
    ] {
        let (loaded, texts) = warnings(&[HMAC, ("auth_secret", &secret)]);
        assert!(matches!(
            &loaded.config.vrouters[0].auth,
            Auth::HmacSha256(_)
        ));
        assert!(
            texts[0].contains(&format!("has {len} bytes; 32 to 64")),
            "{texts:?}"
        );
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(!texts[0].contains("short"), "{texts:?}");
    }
    let (_, texts) = warnings(&[("auth_clock_skew", "9"), ("auth_active_key", "3")]);
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts[0].contains("has no effect without auth_type"),
        "{texts:?}"
    );
}

/// Password of 8 bytes, as keepalived cuts it.
#[test]
fn authentication_header_has_a_password() {
    let ah = ("auth_type", "\"rfc2338-ah\"");
    let auth = one(&[ah, ("auth_secret", "\"s3cr3t12\"")]).auth;
    assert!(matches!(auth, Auth::Ah(secret) if **secret.0 == *b"s3cr3t12"));
    let (loaded, texts) = warnings(&[ah, ("auth_secret", "\"s3cr3t123\"")]);
    assert!(
        matches!(&loaded.config.vrouters[0].auth, Auth::Ah(secret) if **secret.0 == *b"s3cr3t12")
    );
    assert!(texts[0].contains("first 8 bytes"), "{texts:?}");
}

/// A file of keepalived: digits behind `hex:`. Without, the text itself is the secret.
#[test]
fn keys_in_files() {
    let directory = Directory::new();
    let digits: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    let good = directory.file("good", format!("hex:{digits}\n").as_bytes(), 0o600);
    let raw = directory.file("raw", digits.as_bytes(), 0o600);
    let bad = directory.file("bad", b"hex:0", 0o600);
    let file = |path: &std::path::Path| format!("\"{}\"", path.display());
    let keys = hmac_keys(&[HMAC, ("auth_secret_file", &file(&good))]);
    assert_eq!(**keys.active.secret, (0..32).collect::<Vec<u8>>());
    let list = format!("[{{\"id\": 4, \"secret_file\": {}}}]", file(&raw));
    let keys = hmac_keys(&[HMAC, ("auth_keys", &list)]);
    assert_eq!(keys.active.id.get(), 4);
    assert_eq!(**keys.active.secret, *digits.as_bytes());
    refused(
        &[HMAC, ("auth_secret_file", &file(&bad))],
        "auth_secret_file",
        "is not hexadecimal",
    );
}
