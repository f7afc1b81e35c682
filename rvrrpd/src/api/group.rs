//! Who may write over the Unix socket: root, and the members of the group `rvrrpd`.

use std::fs::File;
use std::io::Read as _;

use super::credentials::Level;
use crate::net::sys::credentials::Credentials;

/// The group.
const GROUP: &str = "rvrrpd";
/// group(5). Groups of a directory service count only where a user has them as a number, too.
const FILE: &str = "/etc/group";
/// Largest file that is read.
const LARGEST: u64 = 1 << 20;

/// What this user may do.
pub(super) fn level(credentials: &Credentials) -> Level {
    if credentials.user == 0 || id().is_some_and(|id| credentials.groups.contains(&id)) {
        Level::Write
    } else {
        Level::Read
    }
}

/// The number of the group, read anew each time: it may be made while the daemon runs.
fn id() -> Option<u32> {
    let mut text = String::new();
    File::open(FILE)
        .ok()?
        .take(LARGEST)
        .read_to_string(&mut text)
        .ok()?;
    find(&text)
}

fn find(text: &str) -> Option<u32> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (name == GROUP).then(|| fields.nth(1)?.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn the_group_is_found_by_its_whole_name() {
        let text = "root:x:0:\nrvrrpd2:x:1:\nrvrrpd:x:996:alice,bob\n";
        assert_eq!(find(text), Some(996));
        for text in ["", "rvrrpd", "rvrrpd:x:", "rvrrpd:x:many:", "a:x:1:rvrrpd"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
