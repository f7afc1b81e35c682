//! Files: configuration files and files of secrets, languages and their syntax.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use rvrrpd::config::model::Auth;
use rvrrpd::config::{Format, LARGEST_FILE, MOST_VROUTERS, load, parse};

use crate::text::{accepted, only_error};

/// A directory of this test alone, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!(
            "rvrrpd-config-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(crate) fn file(&self, name: &str, content: &[u8], mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn with_secret_file(path: &Path) -> String {
    format!(
        "[[vrouter]]\ngroup = 1\ninterface = \"e\"\nvip = \"192.0.2.1\"\n\
         auth_type = \"p0-t8-sha256\"\nauth_secret_file = \"{}\"\n",
        path.display()
    )
}

fn secret_of(path: &Path) -> Vec<u8> {
    let loaded = accepted(&with_secret_file(path), Format::Toml);
    match &loaded.config.vrouters[0].auth {
        Auth::P0Sha256(secret) => secret.0.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_secret_file_belongs_to_its_owner_alone() {
    let directory = Directory::new();
    for mode in [0o600, 0o400] {
        let path = directory.file(&format!("good-{mode:o}"), b"abc\n", mode);
        assert_eq!(secret_of(&path), b"abc");
    }
    for mode in [0o640, 0o604, 0o660, 0o644, 0o610, 0o601] {
        let path = directory.file(&format!("bad-{mode:o}"), b"abc\n", mode);
        let error = only_error(&with_secret_file(&path), Format::Toml);
        assert_eq!((error.line, error.key.as_str()), (6, "auth_secret_file"));
        assert!(error.message.contains(&format!("{mode:04o}")), "{error}");
        assert!(error.message.contains("allowed: 0600"), "{error}");
    }
}

#[test]
fn a_secret_file_ends_with_at_most_one_line_feed() {
    let directory = Directory::new();
    for (name, content, secret) in [
        ("none", &b"abc"[..], &b"abc"[..]),
        ("unix", b"abc\n", b"abc"),
        ("two", b"abc\n\n", b"abc\n"),
        ("dos", b"abc\r\n", b"abc"),
        ("binary", b"\x00\xff\n", b"\x00\xff"),
    ] {
        assert_eq!(secret_of(&directory.file(name, content, 0o600)), secret);
    }
    let longest = directory.file("longest", &[b's'; 1024], 0o600);
    assert_eq!(secret_of(&longest).len(), 1024);
}

#[test]
fn what_is_no_secret_file_is_refused() {
    let directory = Directory::new();
    let link = directory.0.join("link");
    symlink("/dev/zero", &link).unwrap();
    for (path, word) in [
        (PathBuf::from("relative"), "allowed: an absolute path"),
        (directory.0.join("absent"), "cannot be read"),
        (directory.0.clone(), "no regular file"),
        (link, "no regular file"),
        (directory.file("empty", b"\n", 0o600), "is empty"),
        (directory.file("long", &[b's'; 1025], 0o600), "is too long"),
        (
            directory.file("huge", &[b's'; 1 << 20], 0o600),
            "is too long",
        ),
    ] {
        let error = only_error(&with_secret_file(&path), Format::Toml);
        assert_eq!((error.line, error.key.as_str()), (6, "auth_secret_file"));
        assert!(error.message.contains(word), "{error}, without {word}");
    }
}

#[test]
fn an_unreadable_file_is_one_diagnostic_without_a_line() {
    let directory = Directory::new();
    for path in [directory.0.join("absent"), directory.0.clone()] {
        let errors = load(&path, Format::Toml).unwrap_err();
        assert_eq!(errors.errors.len(), 1);
        let prefix = format!("{}: cannot be read: ", path.display());
        assert!(errors.to_string().starts_with(&prefix), "{errors}");
    }
    let path = directory.file("latin1", b"debug = 1\n# caf\xe9\n", 0o600);
    let errors = load(&path, Format::Toml).unwrap_err();
    assert_eq!(
        errors.to_string(),
        format!("{}:2: is not UTF-8, allowed: UTF-8", path.display())
    );
}

#[test]
fn the_size_of_a_file_is_bounded() {
    let directory = Directory::new();
    let text = format!("#{}", " ".repeat(LARGEST_FILE - 1));
    load(
        &directory.file("largest", text.as_bytes(), 0o600),
        Format::Toml,
    )
    .unwrap();
    let text = text + " ";
    let error = load(
        &directory.file("beyond", text.as_bytes(), 0o600),
        Format::Toml,
    )
    .unwrap_err();
    assert!(
        error.to_string().contains("is too large, allowed: at most"),
        "{error}"
    );
    assert!(parse(&text, "f", Format::Toml).is_err());
    // A device has no size and no end.
    let error = load(Path::new("/dev/zero"), Format::Toml).unwrap_err();
    assert!(error.to_string().contains("is too large"), "{error}");
}

#[test]
fn the_number_of_virtual_routers_is_bounded() {
    let text = "[[vrouter]]\n".repeat(MOST_VROUTERS + 1);
    let errors = parse(&text, "f", Format::Toml).unwrap_err().errors;
    assert!(
        errors
            .iter()
            .any(|error| error.key == "vrouter" && error.message.contains("65536"))
    );
    assert!(errors.len() <= 1001);
}

#[test]
fn nesting_is_bounded() {
    for depth in [34, 100, 1000, 100_000] {
        let arrays = "[".repeat(depth) + &"]".repeat(depth);
        let dotted = vec!["a"; depth].join(".");
        for text in [
            format!("a = {arrays}\n"),
            format!("{dotted} = 1\n"),
            format!("[{dotted}]\n"),
        ] {
            assert!(parse(&text, "f", Format::Toml).is_err());
        }
        let objects = "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        for text in [arrays, objects] {
            let error = only_error_of_any_kind(&text);
            assert!(error.contains("nest"), "{error}");
        }
    }
}

fn only_error_of_any_kind(text: &str) -> String {
    let errors = parse(text, "f", Format::Json).unwrap_err().errors;
    assert_eq!(errors.len(), 1);
    errors[0].to_string()
}

#[test]
fn json_is_json_and_nothing_else() {
    for (text, line) in [
        ("", 1),
        ("\n\n", 3),
        ("{\n\"debug\": 1,\n}", 2),
        ("{\n// no\n}", 2),
        ("{\n\"debug\": 01}", 2),
        ("{\n\"debug\": 0x1}", 2),
        ("{\n\"debug\": +1}", 2),
        ("{\n\"debug\": .5}", 2),
        ("{\n\"debug\": NaN}", 2),
        ("{\n'debug': 1}", 2),
        ("{\ndebug: 1}", 2),
        ("{\n\"debug\": 1 \"pid\": \"x\"}", 2),
        ("{\n\"pid\": \"\\x41\"}", 2),
        ("{\n\"pid\": \"\\ud800\"}", 2),
        ("{\n\"pid\": \"\u{1}\"}", 2),
        ("{\n\"debug\":\u{a0}1}", 2),
        ("{}\n{}", 2),
        ("{\n\"vrouter\": [1 [2]]}", 2),
    ] {
        let errors = parse(text, "f", Format::Json).unwrap_err().errors;
        assert_eq!(errors.len(), 1, "{text:?}");
        assert_eq!(errors[0].line, line, "{text:?}: {}", errors[0]);
        assert!(errors[0].message.starts_with("not JSON: "), "{}", errors[0]);
    }
    for text in ["null", "[]", "7"] {
        assert!(
            only_error(text, Format::Json)
                .message
                .contains("allowed: a table")
        );
    }
}

/// One line instead of one for each of its own.
#[test]
fn json_that_is_read_as_toml_is_called_so() {
    let text = "\n{\n  \"debug\": 1,\n  \"vrouter\": [\n  ]\n}\n";
    let errors = parse(text, "f", Format::Toml).unwrap_err();
    assert_eq!(errors.errors.len(), 1, "{errors}");
    assert!(errors.to_string().contains("-g json"), "{errors}");
    assert!(parse(text, "f", Format::Json).is_ok());
}

#[test]
fn null_in_json_is_an_absent_key() {
    let absent = accepted("{}", Format::Json);
    let null = accepted(
        "{\"debug\": null, \"vrouter\": null, \"api\": null}",
        Format::Json,
    );
    assert_eq!(absent, null);
    // It does not hide an unknown key of another name, nor a second one.
    assert_eq!(
        only_error("{\"debug\": null,\n\"debug\": 1}", Format::Json).line,
        2
    );
}

#[test]
fn errors_of_toml_syntax_are_named_by_line() {
    for (text, lines) in [
        ("debug = \npid = \"x\"\n", &[1][..]),
        ("debug = 1\npid = x\n", &[2]),
        (
            "debug = 1\n\npid = \"x\nmain_log = \"y\"\nworkers = 08\n",
            &[3, 5],
        ),
        ("[api\ntls = true\n", &[1]),
        // The parser finds three errors in this line.
        ("debug = 1\n\"\"\"x", &[2]),
    ] {
        let errors = parse(text, "f", Format::Toml).unwrap_err().errors;
        let found: Vec<u32> = errors.iter().map(|error| error.line).collect();
        assert_eq!(found, lines, "{errors:?}");
        assert!(
            errors
                .iter()
                .all(|error| error.message.starts_with("not TOML: "))
        );
    }
}

/// Otherwise 16 MiB of garbage would need gigabytes of memory.
#[test]
fn of_a_large_text_the_first_error_of_syntax_is_reported_alone() {
    let small: String = (0..500).map(|at| format!("k{at} =\n")).collect();
    assert_eq!(
        parse(&small, "f", Format::Toml).unwrap_err().errors.len(),
        500
    );
    for garbage in ["=\n", "debug = 1\n"] {
        let large = garbage.repeat((2 << 20) / garbage.len());
        let errors = parse(&large, "f", Format::Toml).unwrap_err().errors;
        assert_eq!(errors.len(), 1, "{garbage}");
    }
    let filler = "#\n".repeat(1 << 20);
    accepted(&format!("{filler}debug = 1\n"), Format::Toml);
}

#[test]
fn the_language_is_asked_for_or_told_by_the_ending() {
    let of = |path: &str, asked| Format::of(Path::new(path), asked);
    assert_eq!(of("/etc/rvrrpd.conf", None), Ok(Format::Toml));
    assert_eq!(of("/etc/rvrrpd.json", None), Ok(Format::Json));
    assert_eq!(of("/etc/rvrrpd.json.conf", None), Ok(Format::Toml));
    assert_eq!(of("/etc/rvrrpd.json", Some("toml")), Ok(Format::Toml));
    assert_eq!(of("/etc/rvrrpd.conf", Some("json")), Ok(Format::Json));
    let error = of("/etc/rvrrpd.conf", Some("yaml")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown configuration format \"yaml\", allowed: toml, json"
    );
}
