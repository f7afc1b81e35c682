//! HTTPS.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::scene::Scene;
use rvrrpd_tests::web::{ask, connect, curl, output};

use super::{socket, start, vrouter, with_api};

/// An authority, one below it, and a certificate of the latter for 10.0.0.1, by the name of its
/// subject.
pub(super) fn certify(scene: &Scene, directory: &Path, subject: &str) {
    let script = format!(
        "set -e; cd {0}
         req() {{ openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $1.key -subj /CN=$2 \"${{@:3}}\"; }}
         [ -e root.pem ] || req root root -x509 -days 9 -out root.pem
         req middle middle -out middle.csr
         printf 'basicConstraints=critical,CA:TRUE' > middle.ext
         openssl x509 -req -in middle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 9 -extfile middle.ext -out middle.pem
         req leaf {subject} -out leaf.csr
         printf 'subjectAltName=IP:10.0.0.1' > leaf.ext
         openssl x509 -req -in leaf.csr -CA middle.pem -CAkey middle.key -CAcreateserial -days 9 -extfile leaf.ext -out leaf.pem
         cat leaf.pem middle.pem > cert.pem; cp leaf.key key.pem",
        directory.display()
    );
    let _ = scene.r1.run("bash", &["-c", &script]);
}

pub(super) fn keys(directory: &Path) -> String {
    format!(
        "host = \"10.0.0.1:7080\"\ntls = true\ntls_key = {:?}\ntls_cert = {:?}",
        directory.join("key.pem"),
        directory.join("cert.pem")
    )
}

/// The commands of rVRRPd's documentation (3.3), from another host.
#[test]
fn the_documented_session_over_https() {
    let scene = Scene::new("the_documented_session_over_https");
    certify(&scene, scene.lab.dir(), "first");
    let _daemon = start(&scene, &keys(scene.lab.dir()));
    let jar = scene.lab.dir().join("jar");
    let jar = jar.to_str().unwrap();
    let run = |line: &str| {
        let mut command = scene.client.command("sh");
        command.args(["-c", &line.replace("/tmp/rvrrpd-api-cookie", jar)]);
        String::from_utf8(output(command)).unwrap()
    };
    run(
        "curl -k -c /tmp/rvrrpd-api-cookie -d \"user=admin passwd=banana\" -X POST \
         https://10.0.0.1:7080/auth",
    );
    let text = run("curl -k -s -b /tmp/rvrrpd-api-cookie -X GET https://10.0.0.1:7080/run/vrrp");
    assert!(
        text.starts_with(r#"[{"virtual_ip":"10.0.0.100","group":7,"#),
        "{text}"
    );
}

#[test]
fn tls_1_2_and_1_3_with_the_whole_chain_read_again_on_reload() {
    let scene = Scene::new("tls_1_2_and_1_3_with_the_whole_chain_read_again_on_reload");
    let directory = scene.lab.dir().to_owned();
    certify(&scene, &directory, "first");
    let daemon = start(&scene, &keys(&directory));
    let root = directory.join("root.pem");
    let (root, url) = (root.to_str().unwrap(), "https://10.0.0.1:7080/health");
    for version in [
        ["--tlsv1.2", "--tls-max", "1.2"],
        ["--tlsv1.3", "--tls-max", "1.3"],
    ] {
        let mut words = vec!["--cacert", root];
        words.extend(version);
        words.push(url);
        assert_eq!(curl(&scene.client, &words).status, 200, "{version:?}");
    }
    let old = ["-k", "--tlsv1.0", "--tls-max", "1.1", url];
    assert_eq!(curl(&scene.client, &old).status, 0);
    // In the clear there is nothing.
    assert_eq!(
        curl(&scene.client, &["http://10.0.0.1:7080/health"]).status,
        0
    );
    let login = [
        "-k",
        "-d",
        "user=admin passwd=banana",
        "https://10.0.0.1:7080/auth",
    ];
    let answer = curl(&scene.client, &login);
    let cookies = answer.field("set-cookie");
    assert!(
        cookies.iter().all(|cookie| cookie.ends_with("; Secure")),
        "{cookies:?}"
    );

    let subject = || {
        let mut command = scene.client.command("curl");
        command.args(["-s", "-v", "-k", url]);
        let output = command.output().unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(subject().contains("subject: CN=first"));
    certify(&scene, &directory, "second");
    daemon.reload(&with_api(&keys(&directory), &[vrouter()]));
    until("the new certificate is served", within(10.0), || {
        subject().contains("subject: CN=second").then_some(())
    });
    // A broken one is refused and the one of before stays.
    let mark = daemon.log().mark();
    std::fs::write(directory.join("cert.pem"), "nonsense").unwrap();
    daemon.reload(&with_api(&keys(&directory), &[vrouter()]));
    daemon
        .log()
        .wait_after(mark, "the certificate is refused", within(10.0), |line| {
            line.text
                .contains("the certificate of before stays")
                .then_some(())
        });
    assert!(subject().contains("subject: CN=second"));
    // Who orders a reload is told, as often as it is so.
    for _ in 0..2 {
        let answer = ask(&socket(&daemon), "POST", "/run/reload");
        let warnings = answer.json()["warnings"].to_string();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            warnings.contains("the certificate of before stays"),
            "{warnings}"
        );
    }
    certify(&scene, &directory, "third");
    let answer = ask(&socket(&daemon), "POST", "/run/reload");
    assert_eq!(answer.json()["warnings"], serde_json::json!([]));
    assert!(subject().contains("subject: CN=third"));
}

/// The address goes from one to the other at once.
#[test]
fn tls_is_turned_on_and_off_by_a_reload() {
    let scene = Scene::new("tls_is_turned_on_and_off_by_a_reload");
    certify(&scene, scene.lab.dir(), "first");
    let with = keys(scene.lab.dir());
    let daemon = start(&scene, &with);
    let without = "host = \"10.0.0.1:7080\"";
    for (keys, scheme) in [(without, "http"), (with.as_str(), "https")].repeat(3) {
        daemon.reload(&with_api(keys, &[vrouter()]));
        until(scheme, within(20.0), || {
            let url = format!("{scheme}://10.0.0.1:7080/health");
            (curl(&scene.client, &["-k", &url]).status == 200).then_some(())
        });
    }
    let lines = daemon.log().texts_after(0);
    let failed = lines.iter().any(|line| line.contains("in use"));
    assert!(!failed, "{lines:#?}");
}

#[test]
fn without_a_certificate_nothing_is_served_in_the_clear() {
    let scene = Scene::new("without_a_certificate_nothing_is_served_in_the_clear");
    let daemon = start(&scene, &keys(scene.lab.dir()));
    daemon
        .log()
        .wait_after(0, "there is no HTTPS", within(10.0), |line| {
            line.text.contains("no HTTPS").then_some(())
        });
    assert_eq!(scene.r1.run("ss", &["-Hltn"]), "");
    // Once it is there it is found, without a reload.
    certify(&scene, scene.lab.dir(), "late");
    until("HTTPS is served", within(20.0), || {
        let answer = curl(&scene.client, &["-k", "https://10.0.0.1:7080/health"]);
        (answer.status == 200).then_some(())
    });
}

#[test]
fn garbage_on_the_tls_port_is_dropped() {
    let scene = Scene::new("garbage_on_the_tls_port_is_dropped");
    certify(&scene, scene.lab.dir(), "first");
    let _daemon = start(&scene, &keys(scene.lab.dir()));
    let address = "10.0.0.1:7080".parse().unwrap();
    let hello = [0x16, 3, 1, 0xff, 0xff, 1, 0, 0xff, 0xff];
    let zeros = vec![0; 100_000];
    let get = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for garbage in [&get[..], &zeros, &hello, &[0xff; 4000], b"\n"] {
        let mut stream = connect(&scene.client, address);
        let _reset = stream.write_all(garbage);
        if garbage.len() > 100 {
            let mut bytes = Vec::new();
            let _reset = stream.read_to_end(&mut bytes);
            assert!(bytes.len() < 100, "{bytes:?}");
        }
    }
    // Half a handshake is not waited for for ever.
    let mut stream = connect(&scene.client, address);
    stream.write_all(&hello).unwrap();
    let mut bytes = Vec::new();
    let _reset = stream.read_to_end(&mut bytes);
    let answer = curl(&scene.client, &["-k", "https://10.0.0.1:7080/health"]);
    assert_eq!(answer.status, 200);
}

/// rvrrpadm from another host: with the authority that it is told, or any.
#[test]
fn rvrrpadm_over_https() {
    let scene = Scene::new("rvrrpadm_over_https");
    let directory = scene.lab.dir().to_owned();
    certify(&scene, &directory, "first");
    let daemon = start(&scene, &keys(&directory));
    let password = directory.join("password");
    std::fs::write(&password, "banana\n").unwrap();
    let run = |url: &str, line: &str| {
        let mut command = scene.client.command(rvrrpd_tests::rvrrpd::admin());
        command.args(["-H", url, "--password-file"]).arg(&password);
        let output = command.args(line.split(' ')).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8(text).unwrap();
        (output.status.code().unwrap(), text)
    };
    let url = "https://10.0.0.1:7080";
    let root = format!("--cacert {}", directory.join("root.pem").display());
    let shown = "eth0-7:MAST:10.0.0.100\n";
    let show = "show-router -p -o NAME,STATE,VIRTUAL_IPS";
    for trust in [root.as_str(), "-k"] {
        let (code, text) = run(url, &format!("{trust} --user admin {show}"));
        assert_eq!((code, text.as_str()), (0, shown), "{trust}");
    }
    // Nobody trusts by accident: not without an authority, not another one, no other name.
    let other = directory.join("other.pem");
    let script = format!(
        "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /dev/null -subj /CN=other -x509 -days 9 -out {}",
        other.display()
    );
    let _ = scene.r1.run("bash", &["-c", &script]);
    for trust in ["--json".to_owned(), format!("--cacert {}", other.display())] {
        let (code, text) = run(url, &format!("{trust} --user admin {show}"));
        assert_eq!(code, 2, "{text}");
        assert!(!text.contains("eth0-7"), "{text}");
    }
    let (code, text) = run("http://10.0.0.1:7080", &format!("--user admin {show}"));
    assert_eq!(code, 2, "{text}");
    let hint = "the port may be one of HTTPS: https://10.0.0.1:7080";
    assert!(text.contains(hint), "{text}");

    scene.r1.ip("addr add 10.0.0.66/24 dev eth0");
    let key = directory.join("key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    daemon.reload(&with_api(
        &keys(&directory).replace(
            "\"10.0.0.1:7080\"",
            "[\"10.0.0.1:7080\", \"10.0.0.66:7080\"]",
        ),
        &[vrouter()],
    ));
    until("it listens there, too", within(10.0), || {
        let (code, _) = run("https://10.0.0.66:7080", &format!("-k --user admin {show}"));
        (code == 0).then_some(())
    });
    let warning = "can be read by others than its owner (mode 0644)";
    let log = daemon.log();
    log.wait_after(0, "the warning", within(5.0), |line| {
        line.text.contains(warning).then_some(())
    });
    let (code, text) = run(
        "https://10.0.0.66:7080",
        &format!("{root} --user admin {show}"),
    );
    assert_eq!(code, 2, "{text}");

    // Level 0 reads, level 1 writes, nobody else does either.
    let (code, text) = run(url, "-k --user admin disable-router eth0-7");
    assert_eq!(code, 2, "{text}");
    let (code, text) = run(url, &format!("-k {show}"));
    assert_eq!(code, 2, "{text}");
    std::fs::write(&password, "wrong\n").unwrap();
    let (code, text) = run(url, &format!("-k --user root {show}"));
    assert_eq!(code, 2, "{text}");
    std::fs::write(&password, "banana\n").unwrap();
    let (code, text) = run(
        url,
        &format!("{root} --user root modify-router -p 77 eth0-7"),
    );
    assert_eq!(code, 0, "{text}");
    let (_, text) = run(
        url,
        &format!("{root} --user admin show-router -p -o PRIO eth0-7"),
    );
    assert_eq!(text, "77\n");
}
