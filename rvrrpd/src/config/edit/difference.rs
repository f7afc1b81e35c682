//! What was changed in a file by hand, for the one who is told to reload it first.

use std::time::Duration;

use similar::{Algorithm, TextDiff};

use super::super::Format;
use super::mask;

/// Lines around a difference.
const CONTEXT: usize = 2;
/// Most lines that are shown.
const MOST_LINES: usize = 60;
/// Most characters of a line that are shown.
const LONGEST_LINE: usize = 200;
/// How long the shortest difference is looked for; after that any will do.
const PATIENCE: Duration = Duration::from_millis(200);

/// The unified difference from `before` to `now`, without secrets; a sentence when there is none
/// that could be shown.
pub(super) fn difference(before: &str, now: &str, format: Format) -> String {
    let (Some(before), Some(now)) = (mask::lines(before, format), mask::lines(now, format)) else {
        return "(what is there now cannot be read: check it with rvrrpd -t)".to_owned();
    };
    let (before, now) = (before.join("\n") + "\n", now.join("\n") + "\n");
    if before == now {
        return "(only secrets or line ends differ)".to_owned();
    }
    let found = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .timeout(PATIENCE)
        .diff_lines(&before, &now);
    let mut unified = found.unified_diff();
    let text = unified
        .context_radius(CONTEXT)
        .header("as read", "as it is now")
        .to_string();
    let mut shown: Vec<String> = text
        .lines()
        .take(MOST_LINES)
        .map(|line| line.chars().take(LONGEST_LINE).collect())
        .collect();
    let more = text.lines().count().saturating_sub(MOST_LINES);
    if more > 0 {
        shown.push(format!("({more} more lines)"));
    }
    shown.join("\n")
}
