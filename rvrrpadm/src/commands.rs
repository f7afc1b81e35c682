//! What the commands do.

use std::fs;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::process::{Command as Process, ExitCode};

use rvrrpadm::{Client, ClientBuilder, Error, Event, Family, Router, Settings};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::{
    Af, Arguments, Command, Create, CreateRouter, Daemon, Mode, Modify, ModifyRouter, Show,
    ShowRouter,
};
use crate::show::{self, block, columns, parsable};
use crate::{REFUSED, doctor, import};

/// Longest name of an interface.
const LONGEST_INTERFACE: usize = 15;

/// Why a command did not do what it should.
pub(crate) enum Failure {
    /// Bad usage.
    Usage(String),
    /// Refused.
    Refused(String),
    /// Nobody reads the output any more.
    Pipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut message = error.to_string();
        if let Error::Unreachable { source, .. } = &error
            && matches!(
                source.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            )
        {
            message
                .push_str(" (does rvrrpd run in this network namespace? -s names another socket)");
        }
        Self::Refused(message)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Pipe
        } else {
            Self::Refused(format!("standard output: {error}"))
        }
    }
}

/// Does what is asked for.
///
/// # Errors
/// [`Failure`].
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments {
        daemon,
        json,
        command,
    } = arguments;
    match command {
        Command::Import(it) => return import::run(&it.file, it.id.as_deref(), json),
        Command::Doctor(it) => {
            return doctor::run(it.conf.as_deref(), daemon.socket.as_deref(), json);
        }
        _ => {}
    }
    let client = client(&daemon)?;
    let answer = match command {
        Command::CreateRouter(it) => {
            let settings = new(&it)?;
            if it.force {
                put_primary(&daemon, &it)?;
            }
            let created = client.create(&it.name, &settings);
            created.map_err(|error| with_force(error, it.force || it.iftype.is_some()))?
        }
        Command::Create(it) => client.create(&it.name, &old_new(&it))?,
        Command::ModifyRouter(it) => client.modify(&it.name, &changed(&it)?)?,
        Command::Modify(it) => client.modify(&it.name, &old_changed(&it)?)?,
        Command::DeleteRouter(it) | Command::Delete(it) => {
            client.destroy(&it.name)?;
            Value::Null
        }
        Command::EnableRouter(it) | Command::Startup(it) => client.startup(&it.name)?,
        Command::DisableRouter(it) | Command::Shutdown(it) => client.shutdown(&it.name)?,
        Command::Reload => client.reload()?,
        Command::ShowRouter(it) => return show_router(&client, &it, json),
        Command::Show(it) => return show_blocks(&client, &it, json),
        Command::Events(it) => return events(&client, it.name.as_deref(), json),
        Command::Import(_) | Command::Doctor(_) => Value::Null,
    };
    for warning in warnings(&answer) {
        eprintln!("rvrrpadm: warning: {warning}");
    }
    if json {
        print_json(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the daemon did, but wants the operator to know.
fn warnings(answer: &Value) -> impl Iterator<Item = &str> {
    let warnings = answer.get("warnings").and_then(Value::as_array);
    let warnings = warnings.map(Vec::as_slice).unwrap_or_default();
    warnings.iter().filter_map(Value::as_str)
}

fn client(daemon: &Daemon) -> Result<Client, Failure> {
    let client = match &daemon.url {
        None => match &daemon.socket {
            Some(socket) => Client::unix(socket),
            None => Client::local(),
        },
        Some(url) => {
            let mut builder = ClientBuilder::new(url);
            if let Some(file) = &daemon.cacert {
                let pem = fs::read(file)
                    .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
                builder = builder.authority(pem);
            }
            if daemon.insecure {
                builder = builder.insecure();
            }
            builder
                .build()
                .map_err(|error| Failure::Usage(error.to_string()))?
        }
    };
    if let Some(user) = &daemon.user {
        client.login(user, &password(daemon)?)?;
    }
    Ok(if daemon.no_persist {
        client.temporary()
    } else {
        client
    })
}

/// The first line of the file, or what is typed.
fn password(daemon: &Daemon) -> Result<Zeroizing<String>, Failure> {
    let unreadable = |error: io::Error| Failure::Usage(format!("password: {error}"));
    let mut text = match &daemon.password_file {
        None => Zeroizing::new(rpassword::prompt_password("Password: ").map_err(unreadable)?),
        Some(file) if file.as_os_str() == "-" => {
            let mut line = Zeroizing::new(String::new());
            io::stdin()
                .lock()
                .take(4096)
                .read_line(&mut line)
                .map_err(unreadable)?;
            line
        }
        Some(file) => Zeroizing::new(
            fs::read_to_string(file)
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?,
        ),
    };
    let end = text.find(['\r', '\n']).unwrap_or(text.len());
    text.truncate(end);
    Ok(text)
}

fn with_modes(mut settings: Settings, modes: impl IntoIterator<Item = Mode>) -> Settings {
    for mode in modes {
        settings = match mode {
            Mode::Preempt => settings.preempt(true),
            Mode::NoPreempt => settings.preempt(false),
            Mode::Accept => settings.accept(true),
            Mode::NoAccept => settings.accept(false),
        };
    }
    settings
}

/// A number where it is one; what is wrong with another one the daemon tells.
fn with_version(settings: Settings, version: Option<&str>) -> Settings {
    match version {
        None => settings,
        Some("2") => settings.with("version", 2),
        Some("3") => settings.with("version", 3),
        Some(other) => settings.with("version", other),
    }
}

fn bare(address: &str) -> &str {
    address.split('/').next().unwrap_or_default()
}

/// Keys of `create-router`: the router is enabled by a command of its own.
fn new(asked: &CreateRouter) -> Result<Settings, Failure> {
    let (family, digit) = match asked.family {
        Af::Inet => (Family::Ipv4, 4),
        Af::Inet6 => (Family::Ipv6, 6),
    };
    let of_family = |address: &String| address.contains(':') == (family == Family::Ipv6);
    let mut addresses = asked.addresses.clone();
    if addresses.is_empty() {
        match family {
            Family::Ipv4 => {
                let message = "-a is missing: an IPv4 router needs virtual addresses";
                return Err(Failure::Usage(message.to_owned()));
            }
            // The modified EUI-64 identifier of 00-00-5E-00-02-VRID (RFC 4291, appendix A).
            Family::Ipv6 => addresses.push(format!("fe80::200:5eff:fe00:2{:02x}", asked.vrid)),
        }
    }
    if let Some(other) = addresses
        .iter()
        .chain(&asked.primary)
        .find(|it| !of_family(it))
    {
        let message = format!("{other} is no address of the family of -A");
        return Err(Failure::Usage(message));
    }
    let mut settings = Settings::new()
        .group(asked.vrid)
        .interface(&asked.link)
        .addresses(&addresses)
        .preempt(true)
        .accept(true)
        .enabled(false);
    if let Some(primary) = &asked.primary {
        settings = settings.primary(bare(primary));
    }
    if let Some(priority) = asked.priority {
        settings = settings.priority(priority);
    }
    if let Some(interval) = asked.interval {
        settings = settings.advert_interval(interval);
        // Version 2 has whole seconds only; Sun's routers speak version 3.
        if !interval.is_multiple_of(1000) {
            settings = settings.with("version", 3);
        }
    }
    settings = with_version(settings, asked.vrrp_version.as_deref());
    if let Some(iftype) = asked.iftype {
        settings = settings.with("iftype", iftype.name());
    }
    if asked.force {
        settings = settings.with("iftype", "macvlan");
        let name = format!("v{}_{}_v{digit}", asked.vrid, asked.link);
        // A longer one is left to the daemon.
        if name.len() <= LONGEST_INTERFACE {
            settings = settings.with("vifname", name);
        }
    }
    Ok(with_modes(settings, asked.modes.iter().copied()))
}

/// Says of `-f` where it would help: the interface has no room for another virtual MAC. `chosen`:
/// something was asked for already.
fn with_force(error: Error, chosen: bool) -> Failure {
    let is_crowded = |message: &str| message.lines().any(|line| line.starts_with("iftype: "));
    match error {
        Error::Refused { message, .. } if !chosen && is_crowded(&message) => {
            Failure::Refused(format!(
                "{message}\n-f gives it a macvlan of its own, --iftype auto the best that runs"
            ))
        }
        other => other.into(),
    }
}

/// `-f -P ADDR/P`: the address is put on the interface, if it is not there.
fn put_primary(daemon: &Daemon, asked: &CreateRouter) -> Result<(), Failure> {
    let Some(primary) = &asked.primary else {
        return Ok(());
    };
    if daemon.url.is_some() {
        let message = "-f -P puts an address on an interface of this host, and -H is another one";
        return Err(Failure::Usage(message.to_owned()));
    }
    if !primary.contains('/') {
        let message = format!("-P {primary}: with -f a prefix is needed, allowed: ADDR/PREFIX");
        return Err(Failure::Usage(message));
    }
    let output = Process::new("ip")
        .args(["address", "replace", primary, "dev", &asked.link])
        .output()
        .map_err(|error| Failure::Refused(format!("ip: {error}")))?;
    if output.status.success() {
        Ok(())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        let message = format!("{primary} on {}: {}", asked.link, said.trim());
        Err(Failure::Refused(message))
    }
}

/// Keys of `create`: the router is started.
fn old_new(asked: &Create) -> Settings {
    let mut settings = Settings::new()
        .group(asked.vrid)
        .interface(&asked.link)
        // A VNIC for each VRID (revision 0.9.4, §5.5), unless something else is asked for.
        .with("iftype", asked.iftype.name())
        .addresses(&asked.addresses)
        .priority(asked.priority)
        .preempt(true)
        .accept(true);
    if let Some(primary) = &asked.primary {
        settings = settings.primary(bare(primary));
    }
    if let Some(interval) = asked.interval {
        settings = settings.advert_interval(interval.0);
        if !interval.0.is_multiple_of(1000) {
            settings = settings.with("version", 3);
        }
    }
    settings = with_version(settings, asked.vrrp_version.as_deref());
    if !asked.units.is_empty() {
        settings = settings.with("protects", asked.units.clone());
    }
    with_modes(settings, asked.modes.iter().map(|mode| (*mode).into()))
}

fn changed(asked: &ModifyRouter) -> Result<Settings, Failure> {
    let modes = asked.modes.iter().copied();
    change(asked.priority, asked.interval, modes, "-p, -i or -o")
}

fn old_changed(asked: &Modify) -> Result<Settings, Failure> {
    let interval = asked.interval.map(|interval| interval.0);
    let modes = asked.modes.iter().map(|mode| (*mode).into());
    change(asked.priority, interval, modes, "-p, -d or -o")
}

fn change(
    priority: Option<u8>,
    interval: Option<u32>,
    modes: impl Iterator<Item = Mode>,
    options: &str,
) -> Result<Settings, Failure> {
    let mut settings = with_modes(Settings::new(), modes);
    if let Some(priority) = priority {
        settings = settings.priority(priority);
    }
    if let Some(interval) = interval {
        settings = settings.advert_interval(interval);
    }
    if settings.keys().is_empty() {
        return Err(Failure::Usage(format!(
            "nothing to change, allowed: {options}"
        )));
    }
    Ok(settings)
}

/// Everything about one virtual router or all of them, in the order of the daemon.
fn details(client: &Client, name: Option<&str>) -> Result<Vec<Value>, Failure> {
    if let Some(name) = name {
        return Ok(vec![client.details(name)?]);
    }
    let mut all = Vec::new();
    for router in client.list()? {
        match client.details_of(&router) {
            Ok(details) => all.push(details),
            // Deleted since the list was made.
            Err(error) if error.code() == rvrrpadm::Code::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(all)
}

fn routers(details: Vec<Value>) -> Result<Vec<Router>, Failure> {
    details
        .into_iter()
        .map(serde_json::from_value)
        .collect::<Result<_, _>>()
        .map_err(|error| Failure::Refused(format!("the answer is not that of rVRRPd: {error}")))
}

/// One is an object, all are a list.
fn show_json(mut details: Vec<Value>, name: Option<&str>) -> Result<ExitCode, Failure> {
    match (name, details.pop()) {
        (Some(_), Some(one)) => print_json(&one)?,
        (_, last) => {
            details.extend(last);
            print_json(&Value::Array(details))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show_router(client: &Client, asked: &ShowRouter, json: bool) -> Result<ExitCode, Failure> {
    let names: Vec<String> = if asked.fields.is_empty() {
        let names = match (asked.extended, asked.peer) {
            (true, _) => columns::EXTENDED,
            (_, true) => columns::PEER,
            _ => columns::PLAIN,
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    } else {
        asked.fields.clone()
    };
    let fields =
        show::chosen(&names, columns::FIELDS, |field| field.name).map_err(Failure::Usage)?;
    let name = asked.name.as_deref();
    let details = details(client, name)?;
    if json {
        return show_json(details, name);
    }
    let routers = routers(details)?;
    if asked.parsable {
        print_lines(
            routers
                .iter()
                .map(|it| parsable(columns::values(it, &fields))),
        )?;
    } else {
        print_lines([columns::table(&routers, &fields).trim_end().to_owned()])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show_blocks(client: &Client, asked: &Show, json: bool) -> Result<ExitCode, Failure> {
    let all = ["all".to_owned()];
    let names = if asked.fields.is_empty() {
        &all[..]
    } else {
        &asked.fields
    };
    let fields = show::chosen(names, block::FIELDS, |field| field.name).map_err(Failure::Usage)?;
    let name = asked.name.as_deref();
    let details = details(client, name)?;
    if json {
        return show_json(details, name);
    }
    let routers = routers(details)?;
    if asked.parsable {
        print_lines(
            routers
                .iter()
                .map(|it| parsable(block::values(it, &fields))),
        )?;
    } else {
        let blocks = routers.iter().map(|it| block::block(it, &fields));
        print_lines(blocks.map(|block| block.trim_end().to_owned()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn events(client: &Client, name: Option<&str>, json: bool) -> Result<ExitCode, Failure> {
    let mut expected = None;
    for event in client.subscribe()? {
        let event = event?;
        // What the daemon says was lost, and what is missing though it did not say so.
        let lost = match (event.event.as_str(), expected, event.sequence) {
            ("lost", ..) => event.count.unwrap_or_default(),
            (_, Some(expected), Some(sequence)) => sequence.saturating_sub(expected),
            _ => 0,
        };
        if lost > 0 {
            eprintln!("rvrrpadm: {lost} events were lost");
        }
        expected = event.sequence.map(|it| it.saturating_add(1)).or(expected);
        if json {
            if name.is_some() && event.name.as_deref() != name {
                continue;
            }
            let mut line = json!({"event": event.event, "sequence": event.sequence});
            if let (Value::Object(line), Value::Object(data)) = (&mut line, &event.data) {
                line.extend(data.clone());
            } else {
                line["data"] = event.data;
            }
            print_lines([line.to_string()])?;
        } else if event.event != "lost" {
            let all = each_router(event);
            let wanted = all
                .iter()
                .filter(|it| name.is_none() || it.name.as_deref() == name);
            print_lines(wanted.map(sentence))?;
        }
    }
    eprintln!("rvrrpadm: the daemon ended the events");
    Ok(ExitCode::from(REFUSED))
}

/// A snapshot of several virtual routers as an event for each.
fn each_router(event: Event) -> Vec<Event> {
    match event.data.get("routers") {
        Some(Value::Array(routers)) => routers
            .iter()
            .filter_map(|router| serde_json::from_value(router.clone()).ok())
            .collect(),
        _ => vec![event],
    }
}

/// `2026-11-21T10:00:00Z vrrp1 BACK -> MAST priority 100: master-no-response`. What kind of event it
/// is stands before the state where nothing else tells it: `vrrp1 added INIT priority 100`.
fn sentence(event: &Event) -> String {
    let mut words: Vec<String> = Vec::new();
    words.extend(event.time.clone());
    words.push(event.name.clone().unwrap_or_else(|| "-".to_owned()));
    let tells_itself = ["", "snapshot", "state", "priority", "protocol-error"];
    if event.state.is_none() || !tells_itself.contains(&event.event.as_str()) {
        words.push(event.event.clone());
    }
    match (event.previous, event.state) {
        (Some(before), Some(now)) if before != now => {
            words.push(format!("{} -> {}", before.short(), now.short()));
        }
        (_, Some(now)) => words.push(now.short().to_owned()),
        _ => {}
    }
    if let Some(substate) = event.substate {
        words.push(format!("({})", substate.name()));
    }
    match (event.count, event.previous_priority, event.priority) {
        (Some(count), ..) if event.event == "protocol-error" => {
            words.push(format!("refused {count}"));
        }
        (Some(count), ..) => words.push(format!("({count})")),
        (None, Some(before), Some(now)) if event.event == "priority" => {
            words.push(format!("priority {before} -> {now}"));
        }
        (None, _, Some(priority)) => words.push(format!("priority {priority}")),
        (None, _, None) => {}
    }
    let text = words.join(" ");
    let is_ready = event.not_ready.is_empty();
    match &event.reason {
        Some(reason) => format!("{text}: {reason}"),
        None if is_ready && event.event == "readiness" => format!("{text}: ready"),
        None if is_ready || event.event == "removed" => text,
        None => format!("{text}: not ready: {}", event.not_ready.join(", ")),
    }
}

/// Writes lines; each is seen at once.
pub(crate) fn print_lines(lines: impl IntoIterator<Item = String>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in lines {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Writes a value for people and programs.
pub(crate) fn print_json(value: &Value) -> Result<(), Failure> {
    print_lines([format!("{value:#}")])
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn keys(line: &str) -> Result<Value, String> {
        let arguments = Arguments::try_parse_from(line.split(' ')).map_err(|it| it.to_string())?;
        let settings = match arguments.command {
            Command::CreateRouter(it) => new(&it),
            Command::Create(it) => Ok(old_new(&it)),
            Command::ModifyRouter(it) => changed(&it),
            Command::Modify(it) => old_changed(&it),
            _ => panic!("{line}"),
        };
        match settings {
            Ok(settings) => Ok(Value::Object(settings.keys().clone())),
            Err(Failure::Usage(message)) => Err(message),
            Err(_) => panic!("{line}"),
        }
    }

    /// Examples of the design document 1.0, §3.4.
    #[test]
    fn create_router() {
        assert_eq!(
            keys(
                "rvrrpadm create-router -V 12 -A inet -l gw0 -f -a 169.68.82.8/24 -P \
                 169.68.82.100/24 vrrp1"
            )
            .unwrap(),
            json!({
                "group": 12, "interface": "gw0", "vip": ["169.68.82.8/24"],
                "primary": "169.68.82.100", "preemption": true, "accept_mode": true,
                "enabled": false, "iftype": "macvlan", "vifname": "v12_gw0_v4",
            })
        );
        assert_eq!(
            keys("rvrrpadm create-router -V 12 -A inet6 -l gw0 -i 500 -o no_preempt,no_accept r")
                .unwrap(),
            json!({
                "group": 12, "interface": "gw0", "vip": ["fe80::200:5eff:fe00:20c"],
                "preemption": false, "accept_mode": false, "enabled": false, "version": 3,
                "timers": {"advert": 0.5},
            })
        );
        for wrong in [
            "rvrrpadm create-router -V 12 -A inet -l gw0 vrrp1",
            "rvrrpadm create-router -V 0 -A inet -l gw0 -a 192.0.2.1 vrrp1",
            "rvrrpadm create-router -V 1 -A inet -l gw0 -a fe80::1 vrrp1",
            "rvrrpadm create-router -V 1 -A inet -l gw0 -a 192.0.2.1 -o un_preempt vrrp1",
            "rvrrpadm create-router -V 1 -A inet -l gw0 -a 192.0.2.1 --iftype vlan vrrp1",
            "rvrrpadm create-router -V 1 -A inet -l gw0 -a 192.0.2.1 --iftype ebpf -f vrrp1",
        ] {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
    }

    /// The example of the design document 0.9.4, appendix B §3.1.
    #[test]
    fn create() {
        assert_eq!(
            keys(
                "rvrrpadm create -v 13 -i nge1 -j 11.12.13.90 -p 200 -A \
                 192.168.10.10,192.168.10.11 -P svc:/network/http:apache2 vinst13"
            )
            .unwrap(),
            json!({
                "group": 13, "interface": "nge1", "iftype": "macvlan", "vip": ["192.168.10.10", "192.168.10.11"],
                "primary": "11.12.13.90", "priority": 200, "preemption": true,
                "accept_mode": true, "protects": ["svc:/network/http:apache2"],
            })
        );
        let few = keys("rvrrpadm create -v 13 -i nge1 -A 192.0.2.1 -o preempt,not_accept -d 2 v");
        let few = few.unwrap();
        assert_eq!(few["priority"], 1);
        assert_eq!(few["accept_mode"], false);
        assert_eq!(few["timers"], json!({"advert": 2}));
        assert_eq!(few.get("version"), None);
        for iftype in ["ether", "macvlan", "ebpf", "auto"] {
            for line in ["create -v 13 -i", "create-router -V 13 -A inet -l"] {
                let option = if line.contains('V') { "-a" } else { "-A" };
                let line = format!("rvrrpadm {line} nge1 {option} 192.0.2.1 --iftype {iftype} v");
                assert_eq!(keys(&line).unwrap()["iftype"], iftype);
            }
        }
        for (version, value) in [("3", json!(3)), ("2+3", json!("2+3"))] {
            let line =
                format!("rvrrpadm create -v 13 -i nge1 -A 192.0.2.1 --vrrp-version {version} v");
            assert_eq!(keys(&line).unwrap()["version"], value);
        }
    }

    /// The same letters mean different things.
    #[test]
    fn modify_in_both_generations() {
        let new = keys("rvrrpadm modify-router -p 9 -i 1500 -o no_accept r").unwrap();
        let old = keys("rvrrpadm modify -p 9 -d 1.5 -o not_accept r").unwrap();
        assert_eq!(new, old);
        assert_eq!(
            new,
            json!({"priority": 9, "timers": {"advert": 1.5}, "accept_mode": false})
        );
        for wrong in [
            "modify-router r",
            "modify r",
            "modify -i 5 r",
            "modify-router -d 1 r",
        ] {
            assert!(keys(&format!("rvrrpadm {wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parsable_output_needs_fields() {
        for line in ["show -p", "show-router -p", "show-router -x -P"] {
            let words = format!("rvrrpadm {line}");
            assert!(
                Arguments::try_parse_from(words.split(' ')).is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn an_event_is_a_sentence() {
        let event: Event = serde_json::from_value(json!({
            "event": "state", "name": "vrrp1", "previous": "Backup", "state": "Master",
            "priority": 100, "reason": "no-response", "time": "2026-11-21T10:00:00Z",
        }))
        .unwrap();
        assert_eq!(
            sentence(&event),
            "2026-11-21T10:00:00Z vrrp1 BACK -> MAST priority 100: no-response"
        );
        let event: Event = serde_json::from_value(json!({
            "event": "protocol-error", "name": "vrrp1", "previous": "Backup", "state": "Backup",
            "priority": 100, "reason": "checksum", "count": 3,
        }))
        .unwrap();
        assert_eq!(sentence(&event), "vrrp1 BACK refused 3: checksum");
    }

    /// Each kind of event that the daemon sends has words of its own.
    #[test]
    fn an_event_says_what_kind_it_is() {
        let said = |kind: &str, not_ready: &[&str]| {
            let event = serde_json::from_value::<Event>(json!({
                "event": kind, "name": "a", "previous": "Init", "state": "Init", "substate": null,
                "previous_priority": 9, "priority": 7, "reason": null, "not_ready": not_ready,
            }));
            sentence(&event.unwrap())
        };
        assert_eq!(
            said("added", &["no-carrier"]),
            "a added INIT priority 7: not ready: no-carrier"
        );
        assert_eq!(said("configured", &[]), "a configured INIT priority 7");
        assert_eq!(said("removed", &["stopping"]), "a removed INIT priority 7");
        assert_eq!(
            said("readiness", &["no-carrier", "no-primary-address"]),
            "a readiness INIT priority 7: not ready: no-carrier, no-primary-address"
        );
        assert_eq!(said("readiness", &[]), "a readiness INIT priority 7: ready");
        assert_eq!(said("priority", &[]), "a INIT priority 9 -> 7");
        assert_eq!(said("snapshot", &[]), "a INIT priority 7");
    }
}
