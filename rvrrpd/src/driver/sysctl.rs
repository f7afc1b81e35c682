//! Kernel settings below `/proc/sys`, of the network namespace of the calling thread.
//!
//! Paths are written with slashes (`net/ipv4/conf/eth0.5/arp_ignore`), so that the dot in the name
//! of a VLAN interface is no separator.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

const ROOT: &str = "/proc/sys";
/// Longest value that is read, in bytes; the kernel hands out at most one page.
const LONGEST: u64 = 4096;

/// The value of a setting, without the line end.
///
/// # Errors
/// `InvalidInput` for a path that is not below `/proc/sys`; else what the kernel says, with the
/// path: `NotFound` where the interface or the setting does not exist.
pub fn read(path: &str) -> io::Result<String> {
    let file = locate(path)?;
    let mut value = String::new();
    fs::File::open(&file)
        .and_then(|opened| opened.take(LONGEST).read_to_string(&mut value))
        .map_err(|error| explain(&file, &error))?;
    value.truncate(value.trim_end().len());
    Ok(value)
}

/// Changes a setting. The value goes to the kernel in one write, as it demands.
///
/// # Errors
/// As [`read`]; `InvalidInput` also where the kernel does not take the value, `PermissionDenied`
/// where `/proc/sys` is read-only or the namespace is not ours.
pub fn write(path: &str, value: &str) -> io::Result<()> {
    let file = locate(path)?;
    OpenOptions::new()
        .write(true)
        .open(&file)
        .and_then(|mut opened| opened.write_all(value.as_bytes()))
        .map_err(|error| {
            let error = explain(&file, &error);
            io::Error::new(error.kind(), format!("{error} (value `{value}`)"))
        })
}

/// The file of a setting. An interface may be called anything but `.`, `..` and names with a
/// slash, so what leaves the tree cannot be an interface.
fn locate(path: &str) -> io::Result<PathBuf> {
    let relative = Path::new(path);
    let inside = !path.is_empty()
        && relative
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
    if !inside {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("`{path}` is no path below {ROOT}"),
        ));
    }
    Ok(Path::new(ROOT).join(relative))
}

fn explain(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_without_its_line_end() {
        let host = read("kernel/ostype").unwrap();
        assert_eq!(host, "Linux");
    }

    #[test]
    fn only_paths_below_the_tree_are_taken() {
        for path in [
            "",
            "/etc/passwd",
            "../etc/passwd",
            "net/../../etc/passwd",
            "./net",
        ] {
            assert_eq!(
                read(path).unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{path}"
            );
            assert_eq!(
                write(path, "1").unwrap_err().kind(),
                io::ErrorKind::InvalidInput,
                "{path}"
            );
        }
    }

    #[test]
    fn an_error_names_the_file() {
        let error = read("net/ipv4/conf/no.such.link/arp_ignore").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(
            error
                .to_string()
                .contains("/proc/sys/net/ipv4/conf/no.such.link/arp_ignore")
        );
        assert!(write("net/ipv4/conf/no.such.link/arp_ignore", "1").is_err());
        assert!(!Path::new("/proc/sys/net/ipv4/conf/no.such.link").exists());
    }
}
