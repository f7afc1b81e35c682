//! Times as the two generations write them.

use std::time::Duration;

use chrono::{DateTime, Local};

/// `0.313s`, `1m17s`, `2h5m`, `3d4h` (1.0, §3.3.6).
pub(crate) fn age(seconds: f64) -> String {
    let Ok(age) = Duration::try_from_secs_f64(seconds.max(0.0)) else {
        return super::ABSENT.to_owned();
    };
    let whole = age.as_secs();
    match whole {
        0..60 => format!("{}.{:03}s", whole, age.subsec_millis()),
        60..3600 => format!("{}m{}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h{}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d{}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Whole milliseconds of seconds.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.0}", seconds.max(0.0) * 1000.0)
}

/// `2008.03.12,16:34:08.323`, in the time zone of this host (0.9.4, appendix B §3.6).
pub(crate) fn stamp(rfc3339: &str) -> Option<String> {
    let time = DateTime::parse_from_rfc3339(rfc3339).ok()?;
    let local = time.with_timezone(&Local);
    Some(local.format("%Y.%m.%d,%H:%M:%S%.3f").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_of_all_lengths() {
        for (seconds, text) in [
            (0.313, "0.313s"),
            (59.999, "59.999s"),
            (77.4, "1m17s"),
            (146.0, "2m26s"),
            (7500.0, "2h5m"),
            (273_600.0, "3d4h"),
            (-1.0, "0.000s"),
            (f64::NAN, "0.000s"),
            (f64::INFINITY, "--"),
        ] {
            assert_eq!(age(seconds), text);
        }
        assert_eq!(milliseconds(3.609), "3609");
        assert_eq!(milliseconds(0.29), "290");
    }
}
