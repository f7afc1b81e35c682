//! The OpenAPI document and the daemon say the same: schemathesis makes requests of the document,
//! right and wrong ones, and judges the answers by it.

use std::fs;
use std::process::Command;

use rvrrpd_tests::python;
use rvrrpd_tests::scene::Scene;
use rvrrpd_tests::web::curl;
use serde_json::Value;

use super::{URL, log_in, start};

const CONFIG: &str = include_str!("../../../schemathesis.toml");

/// Runs `command` and shows what it says where it finds something.
#[track_caller]
fn run(mut command: Command) {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    let summary = text.lines().filter(|line| line.contains(" generated, "));
    println!("{}", summary.collect::<String>());
}

#[test]
fn requests_made_of_the_document_are_answered_as_it_says() {
    let Some(schemathesis) = python::program("schemathesis") else {
        return;
    };
    let scene = Scene::new("requests_made_of_the_document_are_answered_as_it_says");
    let daemon = start(&scene, "");
    let directory = scene.lab.dir();
    fs::write(directory.join("schemathesis.toml"), CONFIG).unwrap();
    let document = curl(&scene.r1, &[&format!("{URL}/openapi.json")]).json();

    // A client with wrong passwords is told to wait, which would be all that the checks see.
    let mut sessions_alone = document.clone();
    let paths = sessions_alone["paths"].as_object_mut().unwrap();
    for operation in paths
        .values_mut()
        .flat_map(|item| item.as_object_mut())
        .flat_map(|item| item.values_mut())
    {
        if let Some(security) = operation.get_mut("security").and_then(Value::as_array_mut) {
            security.retain(|one| one.get("basic").is_none());
        }
    }
    let path = directory.join("openapi.json");
    fs::write(&path, sessions_alone.to_string()).unwrap();
    let all = directory.join("everything.json");
    fs::write(&all, document.to_string()).unwrap();

    let with_session = |words: &[&str]| {
        let cookies = log_in(&scene.r1, URL, "root");
        let mut command = scene.r1.command(&schemathesis);
        command.current_dir(directory).env("HOME", directory);
        for (name, value) in cookies.split("; ").filter_map(|pair| pair.split_once('=')) {
            command.env(format!("SESSION_{}", name.to_uppercase()), value);
        }
        command
            .arg("run")
            .args(words)
            .args(["--url", URL, "--checks", "all"]);
        command
    };
    scene.lab.step("everything but the end of the session");
    run(with_session(&[
        "openapi.json",
        "--exclude-operation-id",
        "log_out",
    ]));
    scene.lab.step("the end of the session");
    run(with_session(&[
        "openapi.json",
        "--include-operation-id",
        "log_out",
    ]));
    scene.lab.step("name and password with each request");
    let mut command = scene.r1.command(&schemathesis);
    command.current_dir(directory).env("HOME", directory);
    for name in ["USER", "TS", "NONCE", "TOKEN"] {
        command.env(format!("SESSION_{name}"), "0");
    }
    command.args([
        "run",
        "everything.json",
        "--url",
        URL,
        "--auth",
        "admin:banana",
    ]);
    command.args(["--include-method", "GET", "--checks", "all"]);
    command.args(["--exclude-checks", "ignored_auth", "--phases", "coverage"]);
    run(command);

    let panics = daemon.log().texts_after(0);
    assert!(
        !panics.iter().any(|line| line.contains("panic")),
        "{panics:#?}"
    );
    daemon.stop();
}
