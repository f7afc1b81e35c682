//! The log as a whole: from a macro to a file.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tracing::{debug, error, info, trace, warn};

use super::{CAPACITY, Destination, Error, Handle, Settings, init, start};
use crate::config::model::{LogFormat, LogTarget, TimeFormat, TimeZone};
use crate::reexec::{is_process_of, process};
use crate::scratch::Scratch;

/// Generous: a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(scratch: &Scratch, debug: u8) -> Settings {
    Settings {
        debug,
        time_zone: TimeZone::Utc,
        time_format: TimeFormat::Disabled,
        log_format: LogFormat::Text,
        target: LogTarget::File,
        main_log: scratch.path("main"),
        error_log: None,
    }
}

fn logged(settings: Settings, what: impl FnOnce(&Handle)) {
    let (subscriber, handle) = start(settings, Destination::Files).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        // Other tests may have registered these call sites with a subscriber of another level.
        tracing::callsite::rebuild_interest_cache();
        what(&handle);
        assert!(handle.flush(PATIENCE));
    });
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn one_of_each() {
    error!("e");
    warn!("w");
    info!("i");
    debug!("1");
    debug!(v = 2, "2");
    trace!("3");
    trace!(v = 4, "4");
    trace!(v = 5, "5");
}

#[test]
fn each_debug_level_shows_what_is_documented() {
    let all = [
        "error(tests): e",
        "warning(tests): w",
        "i",
        "debug(tests): 1",
        "debug(tests): 2",
        "debug(tests): 3",
        "debug(tests): 4",
        "debug(tests): 5",
    ];
    for debug in 0..=5 {
        let scratch = Scratch::new();
        logged(settings(&scratch, debug), |_| one_of_each());
        let expected = &all[..3 + usize::from(debug)];
        assert_eq!(lines(&scratch.path("main")), expected, "debug {debug}");
    }
}

#[test]
fn the_level_changes_while_it_runs() {
    let scratch = Scratch::new();
    logged(settings(&scratch, 0), |handle| {
        debug!("unseen");
        handle.set_level(1);
        debug!("seen");
        handle.set_level(0);
        debug!("unseen");
    });
    assert_eq!(lines(&scratch.path("main")), ["debug(tests): seen"]);
}

#[test]
fn source_and_fields_come_from_the_event() {
    let scratch = Scratch::new();
    logged(settings(&scratch, 2), |_| {
        debug!(v = 2, src = "vr", vrid = 7, peer = %"10.0.0.1", "stale");
        info!(up = true);
    });
    assert_eq!(
        lines(&scratch.path("main")),
        ["debug(vr): stale vrid=7 peer=10.0.0.1", "up=true"]
    );
}

#[test]
fn what_the_message_says_already_is_a_field_for_programs_alone() {
    let write = |format| {
        let scratch = Scratch::new();
        let mut settings = settings(&scratch, 0);
        settings.log_format = format;
        logged(settings, |_| {
            info!(
                said.name = "gateway",
                said.group = 7,
                up = true,
                "VR gateway is up"
            );
        });
        lines(&scratch.path("main")).remove(0)
    };
    assert_eq!(write(LogFormat::Text), "VR gateway is up up=true");
    let json: serde_json::Value = serde_json::from_str(&write(LogFormat::Json)).unwrap();
    let fields = serde_json::json!({"up": true, "name": "gateway", "group": 7});
    assert_eq!(json["fields"], fields);
}

#[test]
fn warnings_and_errors_go_to_the_error_log() {
    let scratch = Scratch::new();
    let mut settings = settings(&scratch, 1);
    settings.error_log = Some(scratch.path("error"));
    logged(settings, |_| one_of_each());
    assert_eq!(lines(&scratch.path("main")), ["i", "debug(tests): 1"]);
    assert_eq!(
        lines(&scratch.path("error")),
        ["error(tests): e", "warning(tests): w"]
    );
}

#[test]
fn reopen_follows_a_rotation() {
    let scratch = Scratch::new();
    let (main, rotated) = (scratch.path("main"), scratch.path("main.1"));
    logged(settings(&scratch, 0), |handle| {
        info!("before");
        assert!(handle.flush(PATIENCE));
        fs::rename(&main, &rotated).unwrap();
        handle.reopen();
        info!("after");
    });
    assert_eq!(lines(&rotated), ["before"]);
    assert_eq!(lines(&main), ["after"]);
}

#[test]
fn a_place_that_cannot_be_opened_leaves_the_old_one() {
    let scratch = Scratch::new();
    let mut bad = settings(&scratch, 1);
    bad.main_log = scratch.path("absent/main");
    assert!(start(bad.clone(), Destination::Files).is_err());
    logged(settings(&scratch, 0), |handle| {
        handle.apply(bad);
        debug!("still here, at the new level");
    });
    let lines = lines(&scratch.path("main"));
    assert!(lines[0].starts_with("error(log): the log stays where it is"));
    assert!(lines[0].contains("absent/main"));
    assert_eq!(lines[1], "debug(tests): still here, at the new level");
}

#[test]
fn a_log_that_does_not_read_never_blocks_and_the_loss_is_told() {
    let scratch = Scratch::new();
    let pipe = scratch.path("main");
    let made = Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut reader = fs::OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&pipe)
        .unwrap();
    let long = "x".repeat(1000);
    logged(settings(&scratch, 0), |handle| {
        for _ in 0..2 * CAPACITY {
            info!("{long}");
        }
        // Everything is either in the pipe or counted.
        assert!(handle.flush(PATIENCE));
        // The loss may be told as soon as there is room.
        let mut told = drain(&mut reader);
        assert!(handle.flush(PATIENCE));
        told += &drain(&mut reader);
        assert!(told.contains("log lines were lost"), "{told}");
        info!("and on");
        assert!(handle.flush(PATIENCE));
        assert_eq!(drain(&mut reader), "and on\n");
    });
}

fn drain(reader: &mut fs::File) -> String {
    let mut bytes = Vec::new();
    // The pipe stays open, so the end is "would block".
    let _would_block = reader.read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

const FULL: &str = "log::tests::process_whose_stdout_is_full";
const CLOSED: &str = "log::tests::process_whose_stdout_is_closed";

#[test]
fn a_full_stdout_never_blocks() {
    // Nobody reads the pipe.
    let mut child = process(FULL).stdout(Stdio::piped()).spawn().unwrap();
    assert!(child.wait().unwrap().success());
}

#[test]
#[ignore = "run in a process of its own by a_full_stdout_never_blocks"]
fn process_whose_stdout_is_full() {
    if !is_process_of(FULL) {
        return;
    }
    let scratch = Scratch::new();
    let (subscriber, handle) = start(settings(&scratch, 0), Destination::Standard).unwrap();
    let long = "x".repeat(1000);
    tracing::subscriber::with_default(subscriber, || {
        for _ in 0..2 * CAPACITY {
            info!("{long}");
        }
        assert!(!handle.flush(Duration::from_millis(50)));
    });
    drop(scratch);
    // The harness would write to stdout and wait.
    std::process::exit(0);
}

#[test]
fn a_closed_stdout_ends_nothing() {
    let mut child = process(CLOSED)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The harness writes to stdout too, and has finished when the test itself writes.
    let stdout = BufReader::new(child.stdout.take().unwrap());
    assert!(
        stdout
            .lines()
            .any(|line| line.unwrap().ends_with("close me"))
    );
    drop(child.stdin.take());
    let end = child.wait_with_output().unwrap();
    assert!(end.status.success());
    assert_eq!(end.stderr, b"error(tests): to stderr, which is open\n");
}

#[test]
#[ignore = "run in a process of its own by a_closed_stdout_ends_nothing"]
fn process_whose_stdout_is_closed() {
    if !is_process_of(CLOSED) {
        return;
    }
    println!("close me");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    let scratch = Scratch::new();
    let (subscriber, handle) = start(settings(&scratch, 0), Destination::Standard).unwrap();
    tracing::subscriber::with_default(subscriber, || {
        info!("to nobody");
        assert!(handle.flush(PATIENCE));
        error!("to stderr, which is open");
        assert!(handle.flush(PATIENCE));
    });
    drop(scratch);
    std::process::exit(0);
}

const PANIC: &str = "log::tests::process_whose_thread_panics";

#[test]
fn a_panic_is_a_line_of_the_log() {
    assert!(process(PANIC).status().unwrap().success());
}

#[test]
#[ignore = "run in a process of its own by a_panic_is_a_line_of_the_log"]
fn process_whose_thread_panics() {
    if !is_process_of(PANIC) {
        return;
    }
    let scratch = Scratch::new();
    let handle = init(settings(&scratch, 0), Destination::Files).unwrap();
    let worker = std::thread::Builder::new().name("worker-1".to_owned());
    let thread = worker.spawn(|| panic!("out of luck")).unwrap();
    thread.join().unwrap_err();
    assert!(handle.flush(PATIENCE));
    let lines = lines(&scratch.path("main"));
    assert!(lines[0].starts_with("error(worker-1): panicked at "));
    assert!(lines[0].ends_with("out of luck"), "{lines:?}");
    let again = init(settings(&scratch, 0), Destination::Files);
    assert!(matches!(again, Err(Error::Twice)));
}
