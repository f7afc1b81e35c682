//! Wrong configurations: refused with file, line and key, and nothing is touched.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use rvrrpd_tests::deadline::within;
use rvrrpd_tests::frame::Frame;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config, run};
use rvrrpd_tests::scene::{NAME, Scene, VIP_TEXT, VRID, advert_from};
use rvrrpd_tests::snapshot::snapshot;
use rvrrpd_tests::sys::Stamp;

/// A configuration, and for each of its errors the line, the key and a word of the message.
type Case = (&'static str, &'static [(usize, &'static str, &'static str)]);

const CASES: [Case; 22] = [
    (
        "[[vrouter]]\ngroup = 0\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\n",
        &[(2, "group", "1")],
    ),
    (
        "[[vrouter]]\ngroup = 256\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\n",
        &[(2, "group", "255")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\n",
        &[(1, "vip", "")],
    ),
    (
        "[[vrouter]]\ngroup = 1\nvip = \"10.0.0.9\"\n",
        &[(1, "interface", "")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0\"\n",
        &[(4, "vip", "10.0.0")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = [\"10.0.0.9\", \"fe80::1\"]\n",
        &[(4, "vip", "family")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\npriority = 255\n",
        &[(5, "priority", "254")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\npriorty = 100\n",
        &[(5, "priorty", "priority")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\niftype = \"bridge\"\n",
        &[(5, "iftype", "macvlan")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\nversion = 4\n",
        &[(5, "version", "3")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\n\
         timers = { advert = 0.5 }\n",
        &[(5, "advert", "1")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\nversion = 3\n\
         timers = { advert = 40.96 }\n",
        &[(6, "advert", "40.95")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\nversion = 3\n\
         auth_type = \"rfc2338-simple\"\nauth_secret = \"hunter2\"\n",
        &[(6, "auth_type", "2")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\npreemption = 1\n",
        &[(5, "preemption", "")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\niftype = \"macvlan\"\n\
         [[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.8\"\niftype = \"macvlan\"\n",
        &[(7, "group", "")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\nname = \"a b\"\n",
        &[(5, "name", "")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"an-interface-name\"\nvip = \"10.0.0.9\"\n",
        &[(3, "interface", "15")],
    ),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\n\
         [[protocols.static]]\nroute = \"10.0.0.0\"\nmask = \"255.0.255.0\"\nnh = \"10.0.0.7\"\n",
        &[(7, "mask", "")],
    ),
    (
        "debug = 6\nworkers = 0\ncolour = 1\n",
        &[(1, "debug", "5"), (2, "workers", "64"), (3, "colour", "")],
    ),
    ("debug = \n", &[(1, "", "")]),
    ("debug = 1\ndebug = 2\n", &[(2, "", "")]),
    (
        "[[vrouter]]\ngroup = 1\ninterface = \"eth0\"\nvip = \"10.0.0.9\"\n\
         [[vrouter]]\ngroup = 300\ninterface = \"eth0\"\nvip = \"10.0.0.900\"\n",
        &[(6, "group", "255"), (8, "vip", "10.0.0.900")],
    ),
];

/// contract §1: exit code 1, one line per error with file, line and key and what is allowed, no
/// panic, and the kernel untouched; by `-t` and by a start.
#[test]
fn wrong_configurations() {
    let scene = Scene::new("wrong_configurations");
    let before = snapshot(&scene.r1);
    let path = scene.lab.dir().join("wrong.conf");
    let name = path.display().to_string();
    let mut failures = Vec::new();
    for (text, errors) in CASES {
        fs::write(&path, text).unwrap();
        for arguments in [vec!["-t", "-c", &name], vec!["-m", "1", "-c", &name]] {
            let (code, out, err) = run(&scene.r1, &arguments);
            let lines: Vec<&String> = out
                .iter()
                .chain(&err)
                .filter(|line| line.contains(&format!("{name}:")))
                .collect();
            let mut wrong = Vec::new();
            if code != Some(1) {
                wrong.push(format!("exit code {code:?}"));
            }
            if lines.len() != errors.len() {
                wrong.push(format!(
                    "{} error lines instead of {}",
                    lines.len(),
                    errors.len()
                ));
            }
            for (line, key, word) in errors {
                let place = format!("{name}:{line}: ");
                let tells = |text: &&&String| {
                    text.split_once(&place).is_some_and(|(_, rest)| {
                        let told = rest.split_once(':').map_or("", |(told, _)| told);
                        (key.is_empty() || told.ends_with(key)) && rest.contains(word)
                    })
                };
                if lines.iter().find(tells).is_none() {
                    wrong.push(format!("no line `{place}{key}: ...{word}...`"));
                }
            }
            if out
                .iter()
                .chain(&err)
                .any(|line| line.contains("panicked") || line.contains("hunter2"))
            {
                wrong.push("a panic or a secret".to_owned());
            }
            if !wrong.is_empty() {
                failures.push(format!(
                    "{arguments:?}\n{text}=> {wrong:?}\nsaid: {out:?} {err:?}\n"
                ));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n{}",
        failures.len(),
        failures.join("\n")
    );
    before.assert_same(&snapshot(&scene.r1), "after wrong configurations");
}

/// contract §2.2 `auth_secret_file`: one that others can read is refused, and the secret is not
/// told.
#[test]
fn a_secret_that_others_can_read_is_refused() {
    let scene = Scene::new("a_secret_that_others_can_read_is_refused");
    let secret = scene.lab.dir().join("secret");
    let path = scene.lab.dir().join("secret.conf");
    fs::write(&secret, "hunter2\n").unwrap();
    let vrouter = Vrouter::new(VRID, &[VIP_TEXT])
        .v2()
        .macvlan()
        .text("auth_type", "rfc2338-simple")
        .text("auth_secret_file", &secret.display().to_string());
    fs::write(&path, config(&[vrouter])).unwrap();
    let arguments = ["-t", "-c", &path.display().to_string()];
    for (mode, expected) in [(0o644, Some(1)), (0o600, Some(0))] {
        fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).unwrap();
        let (code, out, err) = run(&scene.r1, &arguments);
        let said = [out, err].concat().join("\n");
        assert_eq!(code, expected, "mode {mode:o}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(mode == 0o600 || said.contains("auth_secret_file"), "{said}");
    }
}

/// An interface that does not exist is no error: the others run, and it starts when the interface
/// appears, and again when it is deleted and made anew.
#[test]
fn an_interface_that_appears_later() {
    let scene = Scene::new("an_interface_that_appears_later");
    let lan = scene.lan.capture();
    let late_lan = scene.lab.lan("late");
    let text = config(&[
        Vrouter::new(VRID, &[VIP_TEXT]).macvlan(),
        Vrouter::new(9, &["10.9.0.100"])
            .macvlan()
            .text("interface", "eth9"),
    ]);
    let mut daemon = scene.start(&scene.r1, &text);
    daemon.wait_state(NAME, State::Master, within(10.0));
    assert!(matches!(daemon.state("eth9-9"), None | Some(State::Init)));
    let late = late_lan.capture();
    for round in ["appears", "is made anew"] {
        scene.lab.step(round);
        let (start, mark) = (Stamp::now(), daemon.log().mark());
        scene
            .lab
            .attach(&late_lan, &scene.r1, "eth9", &["10.9.0.1/24"]);
        late.wait_since(
            start,
            &format!("an advert when it {round}"),
            within(8.0),
            |frame| frame.is_advert_of(9),
        );
        daemon.wait_change(mark, "eth9-9", State::Master, within(10.0));
        scene.r1.ip("link del eth9");
        daemon.wait_change(mark, "eth9-9", State::Init, within(10.0));
    }
    assert!(daemon.runs());
    let resigned = |frame: &Frame| frame.advert().is_some_and(|advert| advert.priority == 0);
    assert!(
        !lan.frames().iter().any(resigned),
        "the other router is undisturbed"
    );
    let end = Stamp::now();
    lan.wait_count(
        end,
        3,
        "the other's adverts",
        within(5.0),
        advert_from(&scene.r1, VRID),
    );
    daemon.stop();
}
