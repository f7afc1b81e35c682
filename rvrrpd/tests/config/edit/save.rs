//! The file: replaced as a whole, or not touched.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rvrrpd::config::Format;
use rvrrpd::config::edit::{Document, EditError};
use serde_json::json;

use super::{document, modify};
use crate::files::Directory;

const FILE: &str = "# mine\n[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"192.0.2.1\"\n";

/// What is in a directory: names, contents, modes, inodes.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>, u32, u64)> {
    let mut all: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let bytes = fs::read(&path).unwrap_or_default();
            (path, bytes, metadata.mode(), metadata.ino())
        })
        .collect();
    all.sort();
    all
}

/// The file as read and as it is to become.
fn change() -> (Document, Document) {
    let base = document(FILE, Format::Toml);
    let new = base
        .apply(&modify("eth0-1", json!({"priority": 9})))
        .unwrap();
    (base, new)
}

/// Saves where that must fail: the error names `culprit`, and nothing is different afterwards.
fn refused(path: &Path, culprit: &Path) -> EditError {
    let (base, new) = change();
    let directory = path.parent().unwrap();
    let before = contents(directory);
    let error = new.save(path, &base).unwrap_err();
    assert_eq!(contents(directory), before, "{error}");
    let text = error.to_string();
    assert!(text.contains(&culprit.display().to_string()), "{text}");
    error
}

#[test]
fn the_file_is_replaced_with_its_owner_and_mode() {
    let directory = Directory::new();
    let path = directory.file("rvrrpd.conf", FILE.as_bytes(), 0o640);
    let root = fs::metadata(&path).unwrap().uid() == 0;
    if root {
        chown(&path, Some(1), Some(2)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    }
    let old = fs::metadata(&path).unwrap();
    let (base, new) = change();
    new.save(&path, &base).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), new.text());
    let now = fs::metadata(&path).unwrap();
    assert_eq!(
        (now.uid(), now.gid(), now.mode()),
        (old.uid(), old.gid(), old.mode())
    );
    assert_ne!(now.ino(), old.ino());
    assert_eq!(contents(path.parent().unwrap()).len(), 1);
    let read = Document::load(&path, Format::Toml).unwrap();
    assert_eq!((read.hash(), read.config()), (new.hash(), new.config()));
    // What was saved is the base of the next change.
    let next = new
        .apply(&modify("eth0-1", json!({"priority": 8})))
        .unwrap();
    assert_eq!(new.hash().to_string().len(), 64);
    next.save(&path, &new).unwrap();
}

#[test]
fn of_a_symbolic_link_the_target_is_replaced() {
    let [here, there] = [Directory::new(), Directory::new()];
    let target = there.file("real", FILE.as_bytes(), 0o600);
    let link = here.file("x", b"", 0o600).with_file_name("rvrrpd.conf");
    symlink(&target, &link).unwrap();
    let (base, new) = change();
    new.save(&link, &base).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&target).unwrap(), new.text());
}

#[test]
fn a_change_by_hand_is_refused_with_what_differs() {
    let directory = Directory::new();
    let secret =
        "auth_type = \"rfc2338-simple\"\nauth_secret = \"hunter2\"\n# old secret: hunter1\n";
    let by_hand = format!(
        "{}{secret}auth_secrt = \"hunter3\"\n",
        FILE.replace("mine", "yours")
    );
    let path = directory.file("rvrrpd.conf", by_hand.as_bytes(), 0o600);
    let Err(EditError::Stale { difference, .. }) = change().1.save(&path, &change().0) else {
        panic!();
    };
    assert_eq!(
        difference,
        "--- as read\n+++ as it is now\n@@ -1,5 +1,9 @@\n-# mine\n+# yours\n [[vrouter]]\n \
         group = 1\n interface = \"eth0\"\n vip = \"192.0.2.1\"\n+auth_type = \
         \"rfc2338-simple\"\n+auth_secret = ***\n+***\n+auth_secrt = ***"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), by_hand);
    for (now, said) in [
        ("[[vrouter]\nauth_secret = \"hunter2\"", "cannot be read"),
        (&*FILE.replace('\n', "\r\n"), "line ends"),
    ] {
        fs::write(&path, now).unwrap();
        let error = refused(&path, &path);
        assert!(matches!(error, EditError::Stale { .. }));
        assert!(error.to_string().contains(said), "{error}");
        assert!(!error.to_string().contains("hunter"), "{error}");
    }
    fs::write(&path, b"\xff").unwrap();
    refused(&path, &path);
}

#[test]
fn secrets_of_any_form_are_masked() {
    let directory = Directory::new();
    for (format, now) in [
        (
            Format::Toml,
            "[api]\nusers = [\n  \"hunter2\", \"\"\"\nhunter3\n\\\n  hunter4\"\"\"]\n",
        ),
        (
            Format::Toml,
            "vrouter = [{ group = 1, auth_keys = [{ id = 1, hex = \"hunter2\" }] }]\n",
        ),
        (
            Format::Toml,
            "api.secret = \"\"\"\nhunter2\nhunter3\"\"\"\ndebug = 3\n",
        ),
        (Format::Toml, "\"\"= \"hunter2\"\n"),
        (
            Format::Json,
            "{\"vrouter\":[{\"auth_secret\":\"hunter2\"}]}",
        ),
        (Format::Json, "{\"x\": {\n\"debug\":\n\"hunter2\"\n}}"),
    ] {
        let path = directory.file("rvrrpd.conf", now.as_bytes(), 0o600);
        let base = document(if format == Format::Json { "{}" } else { "" }, format);
        let error = base.save(&path, &base).unwrap_err().to_string();
        assert!(
            error.contains("***") && !error.contains("hunter"),
            "{error}"
        );
    }
}

#[test]
fn a_file_that_is_gone_or_no_file_is_named() {
    let directory = Directory::new();
    let path = directory.file("rvrrpd.conf", FILE.as_bytes(), 0o600);
    fs::remove_file(&path).unwrap();
    refused(&path, &path);
    fs::create_dir(&path).unwrap();
    refused(&path, &path);
}

#[test]
fn a_read_only_file_is_named() {
    let directory = Directory::new();
    let path = directory.file("rvrrpd.conf", FILE.as_bytes(), 0o444);
    let error = refused(&path, &path);
    assert!(
        error.to_string().contains("read-only (mode 0444)"),
        "{error}"
    );
}

#[test]
fn what_a_crash_left_behind_is_in_nobodys_way() {
    let directory = Directory::new();
    let path = directory.file("rvrrpd.conf", FILE.as_bytes(), 0o600);
    directory.file(".rvrrpd.conf.rvrrpd-new", b"half", 0o600);
    let (base, new) = change();
    new.save(&path, &base).unwrap();
    assert_eq!(contents(path.parent().unwrap()).len(), 1);
}

/// Runs a test again, alone, in a mount namespace of its own in which `script` was run.
fn in_mount_namespace(test: &str, directory: &Path, script: &str) {
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-ec"])
        .arg(format!("cd \"$D\"; {script}; exec \"$@\""))
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("D", directory)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "{test}: {text}");
}

/// The directory that [`in_mount_namespace`] prepared, inside of it.
fn prepared() -> Option<PathBuf> {
    std::env::var_os("D").map(PathBuf::from)
}

#[test]
fn a_full_disk_is_named() {
    if let Some(directory) = prepared() {
        refused(
            &directory.join("full/rvrrpd.conf"),
            &directory.join("full/.rvrrpd.conf.rvrrpd-new"),
        );
        return;
    }
    let directory = Directory::new();
    let path = directory.file("from", FILE.as_bytes(), 0o600);
    in_mount_namespace(
        "edit::save::a_full_disk_is_named",
        path.parent().unwrap(),
        "mkdir full; mount -t tmpfs -o size=16k tmpfs full; cp from full/rvrrpd.conf; \
         dd if=/dev/zero of=full/zero bs=4k 2>/dev/null || true",
    );
}

#[test]
fn a_read_only_file_system_is_named() {
    if let Some(directory) = prepared() {
        let path = directory.join("ro/rvrrpd.conf");
        let error = refused(&path, &path);
        assert!(
            error.to_string().contains("Read-only file system"),
            "{error}"
        );
        return;
    }
    let directory = Directory::new();
    let path = directory.file("from", FILE.as_bytes(), 0o600);
    in_mount_namespace(
        "edit::save::a_read_only_file_system_is_named",
        path.parent().unwrap(),
        "mkdir ro; mount -t tmpfs tmpfs ro; cp from ro/rvrrpd.conf; mount -o remount,ro ro",
    );
}

#[test]
fn a_file_that_is_mounted_by_itself_is_named() {
    if let Some(directory) = prepared() {
        let path = directory.join("rvrrpd.conf");
        refused(&path, &path);
        return;
    }
    let directory = Directory::new();
    let path = directory.file("from", FILE.as_bytes(), 0o600);
    in_mount_namespace(
        "edit::save::a_file_that_is_mounted_by_itself_is_named",
        path.parent().unwrap(),
        "cp from rvrrpd.conf; mount --bind from rvrrpd.conf",
    );
}

/// Of a user that may write the file, but not its directory.
#[test]
fn a_directory_without_permission_is_named() {
    if let Some(directory) = prepared() {
        let directory = directory.join("closed");
        refused(&directory.join("rvrrpd.conf"), &directory);
        return;
    }
    let directory = Directory::new();
    let path = directory.file("from", FILE.as_bytes(), 0o600);
    if fs::metadata(&path).unwrap().uid() != 0 {
        println!("skipped: needs root");
        return;
    }
    in_mount_namespace(
        "edit::save::a_directory_without_permission_is_named",
        path.parent().unwrap(),
        "mkdir closed; cp from closed/rvrrpd.conf; chmod 666 closed/rvrrpd.conf; \
         chmod 555 closed; set -- setpriv --bounding-set=-all --inh-caps=-all \"$@\"",
    );
}
