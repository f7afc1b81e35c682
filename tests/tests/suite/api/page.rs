//! The page at `/`, in a headless Chromium that is driven by WebDriver.

use std::path::Path;
use std::process::{Command, Stdio};

use rvrrpd_tests::deadline::{until, within};
use rvrrpd_tests::host::Host;
use rvrrpd_tests::process::Process;
use rvrrpd_tests::rvrrpd::{State, Vrouter, config};
use rvrrpd_tests::scene::{NAME, Scene};
use rvrrpd_tests::web::curl;
use serde_json::{Value, json};

use super::{URL, start, vrouter, with_api};

/// Where chromedriver listens.
const DRIVER: &str = "http://127.0.0.1:9515";
/// The key of an element in an answer (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// The Enter key (WebDriver §17.4.2).
const ENTER: &str = "\u{e007}";

#[test]
fn the_page_is_given_to_anybody_and_runs_nothing_but_itself() {
    let scene = Scene::new("the_page_is_given_to_anybody_and_runs_nothing_but_itself");
    let _daemon = start(&scene, "");
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
    ] {
        let answer = curl(&scene.r1, &[&format!("{URL}{path}")]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.field("content-type")[0].starts_with(kind));
        assert_eq!(answer.field("cache-control"), ["no-cache"]);
        let policy = answer.field("content-security-policy")[0];
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert!(!answer.body.contains("10.0.0.100"), "{answer:?}");
    }
}

/// A browser on a host.
struct Browser {
    host: Host,
    session: String,
    _driver: Process,
}

impl Browser {
    /// Starts one; its files are in `directory`.
    fn start(host: &Host, directory: &Path) -> Self {
        let mut command = host.command("chromedriver");
        command.arg("--port=9515");
        command.stdin(Stdio::null());
        let driver = Process::start("chromedriver", command);
        until("chromedriver answers", within(30.0), || {
            (curl(host, &[&format!("{DRIVER}/status")]).status == 200).then_some(())
        });
        let profile = format!("--user-data-dir={}", directory.join("chromium").display());
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1200,900",
            profile,
        ]);
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:chromeOptions": {"args": arguments},
        }}});
        let mut browser = Self {
            host: host.clone(),
            session: String::new(),
            _driver: driver,
        };
        let made = browser.ask("POST", "", &wanted);
        browser.session = format!("/{}", made["sessionId"].as_str().unwrap());
        browser
    }

    /// A command of WebDriver.
    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let url = format!("{DRIVER}/session{}{path}", self.session);
        let body = body.to_string();
        let mut words = vec!["-X", method, "-H", "Content-Type: application/json"];
        if method == "POST" {
            words.extend(["-d", &body]);
        }
        words.push(&url);
        let answer = curl(&self.host, &words);
        assert_eq!(answer.status, 200, "{method} {path} {body}: {answer:?}");
        answer.json()["value"].clone()
    }

    /// What a function body in the page returns.
    #[track_caller]
    fn run(&self, script: &str) -> Value {
        self.ask(
            "POST",
            "/execute/sync",
            &json!({"script": script, "args": []}),
        )
    }

    /// Types into the first element that a selector finds.
    #[track_caller]
    fn press(&self, selector: &str, keys: &str) {
        let found = json!({"using": "css selector", "value": selector});
        let found = self.ask("POST", "/element", &found);
        let path = format!("/element/{}/value", found[ELEMENT].as_str().unwrap());
        self.ask("POST", &path, &json!({"text": keys}));
    }

    /// Waits until an expression of the page has this value.
    #[track_caller]
    fn wait(&self, expression: &str, expected: &Value) {
        let deadline = within(30.0);
        loop {
            let now = self.run(&format!("return {expression};"));
            if now == *expected {
                return;
            }
            assert!(!deadline.passed(), "{expression} is {now}, not {expected}");
        }
    }

    /// Keeps a picture where somebody wants to look at it.
    fn picture(&self, name: &str) {
        let Some(directory) = std::env::var_os("RVRRPD_TESTS_PICTURES") else {
            return;
        };
        let picture = self.ask("GET", "/screenshot", &Value::Null);
        let text = Path::new(&directory).join(format!("{name}.base64"));
        std::fs::write(&text, picture.as_str().unwrap()).unwrap();
        let file = std::fs::File::create(Path::new(&directory).join(format!("{name}.png")));
        let mut decode = Command::new("base64");
        decode.arg("-d").arg(&text).stdout(file.unwrap());
        assert!(decode.status().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its session; without one there is none.
        if !self.session.is_empty() {
            let url = format!("{DRIVER}/session{}", self.session);
            let _gone = curl(&self.host, &["-X", "DELETE", &url]);
        }
    }
}

/// A thousand virtual routers, one of which is real.
fn many() -> Vec<Vrouter> {
    let stray = |number: u16| {
        let vrid = u8::try_from(number % 250 + 1).unwrap();
        let vip = format!("10.1.{}.{vrid}", number / 250);
        Vrouter::new(vrid, &[&vip])
            .text("interface", &format!("eth{}", 2 + number / 250))
            .key("virtual_mac", false)
    };
    [vrouter().interval(1.0)]
        .into_iter()
        .chain((0..999).map(stray))
        .collect()
}

#[test]
fn the_page_shows_and_changes_what_there_is() {
    if Command::new("chromedriver")
        .arg("--version")
        .output()
        .is_err()
    {
        println!("skipped: no chromedriver; apt-get install chromium chromium-driver");
        return;
    }
    let scene = Scene::new("the_page_shows_and_changes_what_there_is");
    let mut master = scene.start(&scene.r2, &config(&[vrouter().interval(1.0).priority(200)]));
    master.wait_state(NAME, State::Master, within(20.0));
    let daemon = scene.start(&scene.r1, &with_api("", &many()));
    daemon.wait_state(NAME, State::Backup, within(20.0));
    super::wait_until_up(&scene.r1);
    let browser = Browser::start(&scene.r1, scene.lab.dir());
    browser.ask("POST", "/url", &json!({"url": URL}));

    // Nobody sees anything before the login.
    browser.wait("document.querySelector('#login').hidden", &false.into());
    assert_eq!(
        browser.run("return document.querySelector('#main').hidden;"),
        true
    );
    browser.press("#login [name=user]", "root");
    browser.press("#login [name=passwd]", &format!("wrong{ENTER}"));
    browser.wait(
        "document.querySelector('#login-error').textContent",
        &"wrong user or password".into(),
    );
    browser.press("#login [name=passwd]", &format!("banana{ENTER}"));
    let rows = "document.querySelectorAll('#routers tbody tr').length";
    browser.wait(rows, &1000.into());
    browser.wait(
        "document.querySelector('#connection').textContent",
        &"Live".into(),
    );
    browser.picture("page");

    // Filter, and why something does not run.
    browser.press("#filter", "eth0-7");
    browser.wait(rows, &1.into());
    let row = "document.querySelector('[data-name=\"eth0-7\"]')";
    browser.wait(
        &format!("{row}.children[1].textContent"),
        &"Backup of 10.0.0.2".into(),
    );
    // What `ip` may not show.
    browser.wait(
        &format!("{row}.querySelector('.plane').textContent"),
        &"macvlan 00:00:5E:00:01:07".into(),
    );
    browser.run("const it = document.querySelector('#filter'); it.value = '00:00:5e:00:01:07'; it.dispatchEvent(new Event('input'));");
    browser.wait(rows, &1.into());
    browser.run("const it = document.querySelector('#filter'); it.value = 'eth2 no-interface'; it.dispatchEvent(new Event('input'));");
    browser.wait(rows, &250.into());
    let why = "document.querySelector('#routers tbody tr .why').textContent";
    browser.wait(why, &"no-interface".into());

    // Sort by keyboard.
    let first = "document.querySelector('#routers tbody tr').dataset.name";
    browser.wait(first, &"eth2-1".into());
    browser.press("th[data-key=group] button", ENTER);
    browser.press("th[data-key=group] button", ENTER);
    browser.wait(first, &"eth2-250".into());
    let sorted = "document.querySelector('th[data-key=group]').getAttribute('aria-sort')";
    browser.wait(sorted, &"descending".into());

    // A failover, live.
    browser.run("const it = document.querySelector('#filter'); it.value = '10.0.0.100'; it.dispatchEvent(new Event('input'));");
    browser.wait(rows, &1.into());
    master.sigterm();
    let state = format!("{row}.querySelector('.state').textContent");
    browser.wait(&state, &"Master".into());
    let told = "document.querySelector('#timeline li').textContent.replace(/^.*?(?=eth0)/, '')";
    browser.wait(told, &"eth0-7: Backup → Master (master-resigned)".into());

    // Disable and enable, which the file says, too.
    let button = "[data-name=\"eth0-7\"] button";
    browser.press(button, ENTER);
    browser.wait(&state, &"Init".into());
    browser.wait(
        &format!("{row}.querySelector('.why').textContent"),
        &"shutdown".into(),
    );
    daemon.wait_state(NAME, State::Init, within(10.0));
    let text = std::fs::read_to_string(&daemon.files().config).unwrap();
    assert!(text.contains("enabled = false"), "{text}");
    browser.wait(
        &format!("{row}.querySelector('button').textContent"),
        &"Enable".into(),
    );
    browser.picture("disabled");
    browser.press(button, ENTER);
    browser.wait(&state, &"Master".into());

    // On a phone nothing is wider than the screen.
    let phone = json!({"cmd": "Emulation.setDeviceMetricsOverride", "params": {
        "width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true,
    }});
    browser.ask("POST", "/goog/cdp/execute", &phone);
    browser.wait("innerWidth", &360.into());
    browser.run("const it = document.querySelector('#filter'); it.value = ''; it.dispatchEvent(new Event('input'));");
    browser.wait(rows, &1000.into());
    browser.wait("document.documentElement.scrollWidth", &360.into());
    browser.picture("phone");

    // The session ends, and with it what is shown.
    browser.press("#logout", ENTER);
    browser.wait("document.querySelector('#main').hidden", &true.into());
    browser.wait(rows, &0.into());
    drop(browser);
    daemon.stop();
}
