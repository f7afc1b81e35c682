//! Keys of the top level.

use super::model::{Global, LogFormat, LogTarget, TimeFormat, TimeZone};
use super::reader::Reader;

/// Highest debug level.
const MOST_DEBUG: u8 = 5;
/// Most worker threads.
const MOST_WORKERS: u8 = 64;

/// The keys of the top level that are no tables.
pub(super) fn global(reader: &mut Reader<'_, '_>) -> Global {
    Global {
        debug: reader.integer("debug", 0..=MOST_DEBUG).or(0),
        time_zone: reader
            .choice(
                "time_zone",
                &[("local", TimeZone::Local), ("utc", TimeZone::Utc)],
            )
            .or(TimeZone::Local),
        time_format: reader
            .choice(
                "time_format",
                &[
                    ("disabled", TimeFormat::Disabled),
                    ("short", TimeFormat::Short),
                    ("rfc2822", TimeFormat::Rfc2822),
                    ("rfc3339", TimeFormat::Rfc3339),
                ],
            )
            .or(TimeFormat::Disabled),
        log_format: reader
            .choice(
                "log_format",
                &[("text", LogFormat::Text), ("json", LogFormat::Json)],
            )
            .or(LogFormat::Text),
        log_target: reader
            .choice(
                "log_target",
                &[
                    ("file", LogTarget::File),
                    ("journald", LogTarget::Journald),
                    ("syslog", LogTarget::Syslog),
                ],
            )
            .or(LogTarget::File),
        pid: reader.path("pid").or("/var/run/rvrrpd.pid".into()),
        working_dir: reader.path("working_dir").or("/tmp".into()),
        run_dir: reader.path("run_dir").given(),
        main_log: reader.path("main_log").or("/var/log/rvrrpd.log".into()),
        error_log: reader.path("error_log").given(),
        workers: reader.integer("workers", 1..=MOST_WORKERS).given(),
        realtime: reader.boolean("realtime").or(true),
    }
}
