//! `[api]` and `client_api`.

use std::time::Duration;

use rvrrpd::config::Format;

use crate::text::{accepted, only_error};

#[test]
fn the_client_api_is_validated() {
    let text = "client_api = \"http\"\n";
    let loaded = accepted(text, Format::Toml);
    let api = loaded.config.api.unwrap();
    assert_eq!(api.host, ["127.0.0.1:7080".parse().unwrap()]);
    assert_eq!(api.session_lifetime, Duration::from_secs(3600));
    assert_eq!(loaded.warnings, []);

    let loaded = accepted(
        "\n[api]\nhost = [\"127.0.0.1:1\", \"[::1]:2\"]\n",
        Format::Toml,
    );
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config.api.unwrap().host.len(), 2);

    let loaded = accepted("[api]\nhost = \"192.0.2.1:7080\"\n", Format::Toml);
    assert!(loaded.warnings[0].message.contains("in the clear"));
    let loaded = accepted(
        "[api]\nhost = \"192.0.2.1:7080\"\ntls = true\n",
        Format::Toml,
    );
    assert_eq!(loaded.warnings, []);

    for (host, word) in [
        ("\"7080\"", "ADDR:PORT"),
        ("\"127.0.0.1\"", "ADDR:PORT"),
        ("\"127.0.0.1:0\"", "ADDR:PORT"),
        ("\"127.0.0.1:65536\"", "ADDR:PORT"),
        ("\"localhost:7080\"", "ADDR:PORT"),
        ("[]", "1 to 64"),
        ("[\"127.0.0.1:1\", \"127.0.0.1:1\"]", "twice"),
    ] {
        let error = only_error(&format!("[api]\nhost = {host}\n"), Format::Toml);
        assert_eq!((error.line, error.key.as_str()), (2, "host"));
        assert!(error.message.contains(word), "{error}");
    }
    let error = only_error("[api]\nsecret = \"\"\n", Format::Toml);
    assert_eq!((error.line, error.key.as_str()), (2, "secret"));
}

#[test]
fn users_that_are_none_are_named_by_position_and_left_out() {
    let good = "{{SHA256}}a:0:1f:0123456789abcdef";
    let text = format!(
        "[api]\nusers = [\n\"{good}\",\n\"{{{{SHA256}}}}hidden:0:1f:short\",\n\"hidden\"]\n"
    );
    let loaded = accepted(&text, Format::Toml);
    let users = &loaded.config.api.as_ref().unwrap().users;
    assert_eq!(users.len(), 1);
    assert_eq!(users[0].0.as_slice(), good.as_bytes());
    let texts: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].starts_with("f:4: users: entry 2 "), "{texts:?}");
    assert!(texts[1].starts_with("f:5: users: entry 3 "), "{texts:?}");
    assert!(!format!("{loaded:?}").contains("hidden"));
}
