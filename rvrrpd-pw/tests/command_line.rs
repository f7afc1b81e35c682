//! `rvrrpd-pw` as a user runs it: exit code, stdout and stderr of the real program.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test fails the test"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_rvrrpd-pw");

/// Runs the program in a session of its own, so that it has no terminal to ask on.
fn run(arguments: &[&str], stdin: &[u8]) -> Output {
    let mut child = Command::new("setsid")
        .arg("--wait")
        .arg(PROGRAM)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The program may end without reading: a broken pipe is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

/// The one line on stdout of a run that must succeed.
fn line(arguments: &[&str], stdin: &[u8]) -> String {
    let output = run(arguments, stdin);
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        stderr(&output)
    );
    let line = stdout(&output)
        .strip_suffix('\n')
        .expect("ends with a newline");
    assert!(!line.contains('\n'), "one line: {line:?}");
    line.to_owned()
}

/// stderr of a run that must exit 1 with nothing on stdout.
fn refusal(arguments: &[&str], stdin: &[u8]) -> String {
    let output = run(arguments, stdin);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    assert_eq!(stdout(&output), "", "{arguments:?}");
    stderr(&output).to_owned()
}

/// `printf '%s%s' PASSWORD SALT | sha256sum`, the definition of the format.
fn sha256sum(password: &str, salt: &str) -> String {
    let output = Command::new("sh")
        .args([
            "-c",
            r#"printf '%s%s' "$1" "$2" | sha256sum"#,
            "sh",
            password,
            salt,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().next().unwrap().to_owned()
}

/// Checks a `{{SHA256}}` line against `sha256sum`.
fn assert_sha256(line: &str, user: &str, level: &str, password: &str) {
    let rest = line.strip_prefix("{{SHA256}}").expect(line);
    let fields: Vec<&str> = rest.split(':').collect();
    let [found_user, found_level, salt, hash] = fields[..] else {
        panic!("four fields: {line}");
    };
    assert_eq!((found_user, found_level), (user, level));
    assert_eq!(salt.len(), 16, "{salt}");
    assert!(salt.bytes().all(|byte| byte.is_ascii_hexdigit()), "{salt}");
    assert_eq!(hash, sha256sum(password, salt));
}

#[test]
fn sha256_by_default_agrees_with_sha256sum() {
    assert_sha256(&line(&["admin", "banana"], b""), "admin", "0", "banana");
    assert_sha256(
        &line(&["admin", "banana", "sha256"], b""),
        "admin",
        "0",
        "banana",
    );
}

#[test]
fn options_mean_the_same_as_positions() {
    for arguments in [
        &["-u", "Admin1", "-p", "a b", "-a", "sha256", "-l", "1"][..],
        &[
            "--user=Admin1",
            "--password=a b",
            "--hash-alg=sha256",
            "--level=1",
        ],
        &["-l1", "Admin1", "-p", "a b"],
        &["Admin1", "a b", "-a", "sha256", "-l", "1"],
    ] {
        assert_sha256(&line(arguments, b""), "Admin1", "1", "a b");
    }
}

#[test]
fn the_other_algorithms_make_phc_strings() {
    let argon2id = line(&["admin", "-", "argon2id"], b"secret\n");
    assert!(
        argon2id.starts_with("{{ARGON2ID}}admin:0::$argon2id$v=19$"),
        "{argon2id}"
    );
    let scrypt = line(
        &["-l", "1", "-a", "scrypt", "-p", "-", "admin"],
        b"secret\n",
    );
    assert!(
        scrypt.starts_with("{{SCRYPT}}admin:1::$scrypt$ln=15,r=8,p=3$"),
        "{scrypt}"
    );
}

#[test]
fn a_password_from_standard_input_needs_no_warning() {
    let output = run(&["admin", "-p", "-"], b"banana\n");
    assert_eq!(stderr(&output), "");
    assert_sha256(stdout(&output).trim_end(), "admin", "0", "banana");
}

#[test]
fn a_password_on_the_command_line_is_warned_about_and_not_repeated() {
    let output = run(&["admin", "banana"], b"");
    assert!(
        stderr(&output).starts_with("warning: "),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains("banana"));
    assert!(!stdout(&output).contains("banana"));
}

#[test]
fn a_password_may_start_with_a_hyphen() {
    assert_sha256(&line(&["admin", "-p", "-x"], b""), "admin", "0", "-x");
    assert_sha256(
        &line(&["admin", "--", "--help"], b""),
        "admin",
        "0",
        "--help",
    );
}

#[test]
fn what_is_wrong_exits_1_and_says_what_is_allowed() {
    for (arguments, stdin, expected) in [
        (&[][..], "", "no USER given"),
        (&["-u"], "", "--user"),
        (&["a:b", "x"], "", "1 to 64 ASCII letters and digits"),
        (&["", "x"], "", "1 to 64 ASCII letters and digits"),
        (&["admin", "x", "md5"], "", "sha256, argon2id, scrypt"),
        (&["admin", "x", "-l", "2"], "", "0, 1"),
        (&["admin", "x", "sha256", "more"], "", "more"),
        (&["admin", "-u", "other"], "", "cannot be used with"),
        (&["admin", "x", "-p", "y"], "", "cannot be used with"),
        (
            &["admin", "x", "sha256", "-a", "scrypt"],
            "",
            "cannot be used with",
        ),
        (&["admin", ""], "", "empty"),
        (&["admin", "-"], "\n", "empty"),
        (&["admin", "-"], "one\ntwo\n", "more than one line"),
        (&["--what"], "", "--what"),
    ] {
        let message = refusal(arguments, stdin.as_bytes());
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
}

#[test]
fn without_a_terminal_the_way_out_is_named() {
    let message = refusal(&["admin"], b"banana\nbanana\n");
    assert!(message.contains("`-p -`"), "{message}");
}

#[test]
fn help_and_version_exit_0() {
    for argument in ["-h", "--help"] {
        let help = run(&[argument], b"");
        assert!(help.status.success());
        for word in ["USER", "--password", "--hash-alg", "--level", "argon2id"] {
            assert!(stdout(&help).contains(word), "{argument} lacks {word}");
        }
    }
    for argument in ["-V", "--version"] {
        let version = run(&[argument], b"");
        assert!(version.status.success());
        let expected = concat!("rvrrpd-pw ", env!("CARGO_PKG_VERSION"), "\n");
        assert_eq!(stdout(&version), expected);
    }
}

/// The program on a terminal of its own, made by script(1).
struct Terminal {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    device: String,
    seen: Vec<u8>,
}

impl Terminal {
    fn open() -> Self {
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command"])
            .arg(format!("tty; exec '{PROGRAM}' admin"))
            .arg("/dev/null")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut device = String::new();
        output.read_line(&mut device).unwrap();
        Self {
            child,
            output,
            device: device.trim().to_owned(),
            seen: Vec::new(),
        }
    }

    /// Waits for the prompt and for the echo to be off, then types.
    fn answer(&mut self, prompt: &str, text: &str) {
        while !self.seen.ends_with(prompt.as_bytes()) {
            let mut byte = [0];
            self.output.read_exact(&mut byte).unwrap();
            self.seen.push(byte[0]);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while !self.echo_is_off() {
            assert!(Instant::now() < deadline, "the terminal still echoes");
            std::thread::yield_now();
        }
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    fn echo_is_off(&self) -> bool {
        let settings = Command::new("stty")
            .args(["-F", &self.device, "-a"])
            .output()
            .unwrap();
        String::from_utf8(settings.stdout)
            .unwrap()
            .split_whitespace()
            .any(|word| word == "-echo")
    }

    /// Exit code and everything the terminal showed.
    fn close(mut self) -> (Option<i32>, String) {
        self.output.read_to_end(&mut self.seen).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, String::from_utf8(self.seen).unwrap())
    }
}

#[test]
fn on_a_terminal_the_password_is_asked_twice_and_not_shown() {
    let mut terminal = Terminal::open();
    terminal.answer("Password: ", "banana\n");
    terminal.answer("Password again: ", "banana\n");
    let (code, shown) = terminal.close();
    assert_eq!(code, Some(0), "{shown}");
    assert!(!shown.contains("banana"), "{shown}");
    let start = shown.find("{{").expect(&shown);
    assert_sha256(shown[start..].trim_end(), "admin", "0", "banana");
}

#[test]
fn on_a_terminal_two_different_passwords_are_refused() {
    let mut terminal = Terminal::open();
    terminal.answer("Password: ", "banana\n");
    terminal.answer("Password again: ", "bananas\n");
    let (code, shown) = terminal.close();
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("the two passwords differ"), "{shown}");
    assert!(!shown.contains("{{"), "{shown}");
}
