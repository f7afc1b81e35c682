//! Tests that change or end their process run in one of their own: the test binary once more, with
//! one ignored test.

use std::process::Command;

const MARK: &str = "RVRRPD_TEST_PROCESS";

/// The command that runs one ignored test, named by its full path, in a process of its own.
pub(crate) fn process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
            test,
        ])
        .env(MARK, test);
    command
}

/// Whether this is the process that [`process`] started for `test`. False in a run of all ignored
/// tests, which such a test would end or spoil.
pub(crate) fn is_process_of(test: &str) -> bool {
    std::env::var(MARK).is_ok_and(|mark| mark == test)
}
