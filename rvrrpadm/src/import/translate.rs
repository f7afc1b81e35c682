//! Blocks of keepalived to tables of rVRRPd.

use toml_edit::{Array, InlineTable, Value};

use super::Note;
use super::lexer::Block;

/// Keywords of an instance that say what rVRRPd does anyway, or what only concerns the way in which
/// keepalived works.
const NOT_NEEDED: &[&str] = &[
    "state",
    "vmac_xmit_base",
    "native_ipv6",
    "debug",
    "accept",
    "dont_track_primary",
    "track_src_ip",
    "garp_master_delay",
    "garp_master_repeat",
    "garp_master_refresh",
    "garp_master_refresh_repeat",
    "garp_lower_prio_delay",
    "garp_lower_prio_repeat",
    "higher_prio_send_advert",
];

/// Keywords at the top or in `global_defs` that need no counterpart.
const NOT_NEEDED_GLOBALLY: &[&str] = &[
    "router_id",
    "dynamic_interfaces",
    "vrrp_priority",
    "vrrp_rt_priority",
    "vrrp_rlimit_rttime",
    "vrrp_no_swap",
    "vrrp_cpu_affinity",
    "vrrp_garp_master_delay",
    "vrrp_garp_master_repeat",
    "vrrp_garp_master_refresh",
    "vrrp_garp_master_refresh_repeat",
    "vrrp_garp_lower_prio_delay",
    "vrrp_garp_lower_prio_repeat",
    "vrrp_garp_interval",
    "vrrp_gna_interval",
    "vrrp_higher_prio_send_advert",
    "vrrp_netlink_cmd_rcv_bufs",
    "vrrp_netlink_cmd_rcv_bufs_force",
    "vrrp_netlink_monitor_rcv_bufs",
    "vrrp_netlink_monitor_rcv_bufs_force",
    "vrrp_rx_bufs_policy",
];

/// Keywords at the top of a configuration of keepalived, by their beginnings (keepalived.conf(5)).
const TOP: &[&str] = &[
    "global_defs",
    "vrrp_",
    "virtual_server",
    "static_",
    "track_",
    "bfd_instance",
    "interface_up_down_delays",
    "net_namespace",
    "linkbeat_",
];

/// What instances take from `global_defs`.
#[derive(Debug, Default)]
struct Defaults {
    version: Option<String>,
    skip_check: bool,
    startup_delay: Option<f64>,
}

/// Whether there is anything of keepalived in it.
pub(super) fn is_keepalived(blocks: &[Block]) -> bool {
    let known = |block: &Block| TOP.iter().any(|it| block.keyword().starts_with(it));
    blocks.iter().any(known)
}

/// A configuration of rVRRPd, and what is not in it.
pub(super) fn configuration(blocks: &[Block]) -> (String, Vec<Note>) {
    let mut notes = Vec::new();
    let mut defaults = Defaults::default();
    for block in blocks.iter().filter(|it| it.keyword() == "global_defs") {
        global(block, &mut defaults, &mut notes);
    }
    let mut text = String::from("# Translated from keepalived.conf by rvrrpadm import.\n");
    for block in blocks {
        match block.keyword() {
            "global_defs" => {}
            "vrrp_instance" => {
                if let Some(table) = Instance::translate(block, &defaults, &mut notes) {
                    text.push_str(&table);
                }
            }
            other => note(&mut notes, block, top(other)),
        }
    }
    notes.sort_by_key(|it| it.line);
    (text, notes)
}

fn note(notes: &mut Vec<Note>, block: &Block, message: impl Into<String>) {
    notes.push(Note {
        line: block.line,
        message: format!("{}: {}", block.keyword(), message.into()),
    });
}

/// Why a block at the top is left out.
fn top(keyword: &str) -> &'static str {
    match keyword {
        "vrrp_sync_group" => "groups that change state together are not in this version",
        "vrrp_script" | "vrrp_track_process" | "vrrp_track_file" | "track_group"
        | "bfd_instance" => "trackers are not in this version",
        "static_ipaddress" | "static_routes" | "static_rules" => {
            "is not of VRRP, allowed: in the network configuration of the host"
        }
        "virtual_server" | "virtual_server_group" | "real_server" | "SSL" => {
            "IPVS is no part of rVRRPd"
        }
        _ if keyword.starts_with('$') => "there is no such definition before this line",
        _ => "has no counterpart",
    }
}

fn global(block: &Block, defaults: &mut Defaults, notes: &mut Vec<Note>) {
    for line in block.inner() {
        match line.keyword() {
            "vrrp_version" => defaults.version = line.value().map(str::to_owned),
            "vrrp_skip_check_adv_addr" => defaults.skip_check = is_on(line),
            "vrrp_startup_delay" => {
                defaults.startup_delay = line.value().and_then(|it| it.parse().ok());
            }
            other if NOT_NEEDED_GLOBALLY.contains(&other) => {}
            "vrrp_strict" => note(
                notes,
                line,
                "has no counterpart, the rules of the RFC hold anyway",
            ),
            "script_user" | "enable_script_security" => {
                note(notes, line, "scripts are not in this version");
            }
            "net_namespace" => note(notes, line, "start rvrrpd in that namespace"),
            other => note(notes, line, top(other)),
        }
    }
}

/// Whether a switch is on; `off` and `false` may follow it.
fn is_on(line: &Block) -> bool {
    !matches!(line.value(), Some("off" | "false" | "no"))
}

/// A virtual router on its way.
#[derive(Debug, Default)]
struct Instance {
    name: Option<String>,
    group: Option<u8>,
    interface: Option<String>,
    version: Option<String>,
    vips: Vec<String>,
    interval: Option<(f64, Block)>,
    auth: Option<(String, Option<String>, usize)>,
    preempt: bool,
    skip_check: bool,
    vmac: Option<Option<String>>,
    routes: Vec<InlineTable>,
    /// Keys that need no more thought, in the order of the file.
    plain: Vec<(&'static str, Value)>,
}

impl Instance {
    /// The table of an instance; none, with a note, when it lacks what a virtual router is.
    fn translate(block: &Block, defaults: &Defaults, notes: &mut Vec<Note>) -> Option<String> {
        let mut instance = Self {
            name: block.value().map(str::to_owned),
            version: defaults.version.clone(),
            skip_check: defaults.skip_check,
            preempt: true,
            ..Self::default()
        };
        if let Some(delay) = defaults.startup_delay.filter(|it| *it > 0.0) {
            instance.plain.push(("startup_delay", number(delay)));
        }
        for line in block.inner() {
            instance.line(line, notes);
        }
        instance.table(block, notes)
    }

    fn line(&mut self, line: &Block, notes: &mut Vec<Note>) {
        let value = line.value();
        match line.keyword() {
            "interface" => self.interface = value.map(str::to_owned),
            "virtual_router_id" => self.group = value.and_then(|it| it.parse().ok()),
            "version" | "vrrp_version" => self.version = value.map(str::to_owned),
            "priority" => match value.and_then(|it| it.parse::<u8>().ok()) {
                Some(priority @ 1..=254) => {
                    self.plain.push(("priority", i64::from(priority).into()));
                }
                Some(255) => note(
                    notes,
                    line,
                    "255 comes by itself when a vip is an address of the interface",
                ),
                _ => note(notes, line, "allowed: 1 to 254"),
            },
            "advert_int" => match value.and_then(|it| it.parse().ok()) {
                Some(seconds) => self.interval = Some((seconds, line.clone())),
                None => note(notes, line, "allowed: seconds"),
            },
            "nopreempt" => self.preempt = !is_on(line),
            "preempt" => self.preempt = is_on(line),
            "preempt_delay" => match seconds(value) {
                Some(seconds) => self.plain.push(("preempt_delay", seconds)),
                None => note(notes, line, "allowed: seconds"),
            },
            "no_accept" => self.plain.push(("accept_mode", false.into())),
            "mcast_src_ip" => self.address("primary", line),
            "unicast_src_ip" => self.address("unicast_src", line),
            "unicast_peer" => self.peers(line, notes),
            "use_vmac" => {
                self.vmac = Some(value.map(str::to_owned));
                if line.words.len() > 2 {
                    note(notes, line, "only the name of the interface is taken over");
                }
            }
            "virtual_ipaddress" => self.addresses(line, notes),
            "virtual_ipaddress_excluded" => {
                for address in line.inner() {
                    note(
                        notes,
                        address,
                        "an address that is not advertised has no counterpart; put it into vip on \
                         all routers of the group, one of the other family into a virtual router \
                         of its own",
                    );
                }
            }
            "virtual_routes" => {
                for route in line.inner() {
                    match route_of(route) {
                        Ok((table, left_out)) => {
                            self.routes.push(table);
                            if !left_out.is_empty() {
                                let all = left_out.join(" ");
                                note(notes, route, format!("left out: {all}"));
                            }
                        }
                        Err(message) => note(notes, route, message),
                    }
                }
            }
            "authentication" => self.authentication(line, notes),
            "skip_check_adv_addr" => self.skip_check = is_on(line),
            "v3_checksum_as_v2" => self.plain.push(("v3_checksum", "rfc9568".into())),
            other if NOT_NEEDED.contains(&other) => {}
            "auth_hmac" => note(
                notes,
                line,
                "write it by hand: auth_type = \"hmac-sha256\" with auth_keys",
            ),
            "virtual_rules" => note(notes, line, "rules have no counterpart"),
            "track_interface" | "track_script" | "track_process" | "track_file" | "track_bfd" => {
                note(notes, line, "trackers are not in this version");
            }
            other if other.starts_with("notify") || other.starts_with("smtp_alert") => {
                note(notes, line, "commands and mails are not in this version");
            }
            other => note(notes, line, top(other)),
        }
    }

    fn address(&mut self, key: &'static str, line: &Block) {
        if let Some(address) = line.value() {
            self.plain.push((key, address.into()));
        }
    }

    fn peers(&mut self, line: &Block, notes: &mut Vec<Note>) {
        let mut peers = Array::new();
        for peer in line.inner() {
            peers.push(peer.keyword());
            if peer.words.len() > 1 {
                note(
                    notes,
                    peer,
                    "options of a peer are left out, see unicast_min_ttl",
                );
            }
        }
        self.plain.push(("unicast_peers", peers.into()));
    }

    /// keepalived gives an address without a mask /32 or /128, and does not advertise those of
    /// another family than the first.
    fn addresses(&mut self, line: &Block, notes: &mut Vec<Note>) {
        for address in line.inner() {
            let text = address.keyword();
            let first = self.vips.first().map(String::as_str).unwrap_or(text);
            if first.contains(':') != text.contains(':') {
                let message = "is of another family than the first address, allowed: in a virtual \
                               router of its own";
                note(notes, address, message);
                continue;
            }
            self.vips.push(match text {
                _ if text.contains('/') => text.to_owned(),
                _ if text.contains(':') => format!("{text}/128"),
                _ => format!("{text}/32"),
            });
            let options: Vec<&str> = address.words.iter().skip(1).map(String::as_str).collect();
            if !options.is_empty() {
                let message = format!("left out: {}", options.join(" "));
                note(notes, address, message);
            }
        }
    }

    /// The interval, in whole seconds where the version has no others, as keepalived rounds it.
    fn timers(interval: Option<(f64, Block)>, is_v2: bool, notes: &mut Vec<Note>) -> Option<Value> {
        let (mut seconds, line) = interval?;
        if is_v2 && seconds.fract() != 0.0 {
            seconds = seconds.round().max(1.0);
            let message = format!("version 2 has whole seconds: {seconds} now, as in keepalived");
            note(notes, &line, message);
        }
        let allowed = if is_v2 { 1.0..=255.0 } else { 0.01..=40.95 };
        if !allowed.contains(&seconds) {
            let (least, most) = (allowed.start(), allowed.end());
            note(
                notes,
                &line,
                format!("left out, allowed: {least} to {most} s"),
            );
            return None;
        }
        let mut timers = InlineTable::new();
        timers.insert("advert", number(seconds));
        Some(timers.into())
    }

    fn authentication(&mut self, block: &Block, notes: &mut Vec<Note>) {
        let mut kind = None;
        let mut secret = None;
        for line in block.inner() {
            match (line.keyword(), line.value()) {
                ("auth_type", Some("PASS")) => kind = Some("rfc2338-simple"),
                ("auth_type", Some("AH")) => kind = Some("rfc2338-ah"),
                ("auth_type", _) => note(notes, line, "unknown, allowed: PASS, AH"),
                ("auth_pass", Some(value)) => secret = Some(value.to_owned()),
                _ => note(notes, line, "has no counterpart"),
            }
        }
        self.auth = kind.map(|kind| (kind.to_owned(), secret, block.line));
    }

    fn table(self, block: &Block, notes: &mut Vec<Note>) -> Option<String> {
        let lacking = [
            (
                "virtual_router_id",
                self.group.is_none_or(|group| group == 0),
            ),
            ("interface", self.interface.is_none()),
            ("virtual_ipaddress", self.vips.is_empty()),
        ];
        let lacking: Vec<&str> = lacking
            .iter()
            .filter_map(|(key, lacks)| lacks.then_some(*key))
            .collect();
        if !lacking.is_empty() {
            let message = format!("left out, there is no {}", lacking.join(", no "));
            note(notes, block, message);
            return None;
        }
        let v6 = self.vips.first().is_some_and(|vip| vip.contains(':'));
        let mut keys: Vec<(&str, Value)> = vec![
            ("group", i64::from(self.group?).into()),
            ("interface", self.interface?.into()),
        ];
        if let Some(name) = self.name {
            keys.push(("name", valid_name(&name, block, notes).into()));
        }
        let version = if v6 {
            "3"
        } else {
            self.version.as_deref().unwrap_or("2")
        };
        if !v6 {
            keys.push(("version", if version == "3" { 3 } else { 2 }.into()));
        }
        keys.push(("vip", self.vips.into_iter().collect::<Array>().into()));
        keys.push(("preemption", self.preempt.into()));
        if let Some(timers) = Self::timers(self.interval, version != "3", notes) {
            keys.push(("timers", timers));
        }
        keys.extend(self.plain);
        match self.vmac {
            Some(name) => {
                keys.push(("iftype", "macvlan".into()));
                if let Some(name) = name {
                    keys.push(("vifname", name.into()));
                }
            }
            None => keys.push(("virtual_mac", false.into())),
        }
        if self.skip_check {
            keys.push(("address_list_check", "off".into()));
        }
        match self.auth {
            Some((kind, Some(secret), _)) if version == "2" => {
                keys.push(("auth_type", kind.into()));
                keys.push(("auth_secret", secret.into()));
            }
            Some((_, secret, line)) => notes.push(Note {
                line,
                message: if secret.is_none() {
                    "authentication: there is no auth_pass".to_owned()
                } else {
                    "authentication: version 3 has none of these types, and keepalived ignores it; \
                     see auth_type = \"hmac-sha256\""
                        .to_owned()
                },
            }),
            None => {}
        }
        if !self.routes.is_empty() {
            keys.push(("routes", self.routes.into_iter().collect::<Array>().into()));
        }
        let mut text = String::from("\n[[vrouter]]\n");
        for (key, value) in keys {
            text.push_str(&format!("{key} = {}\n", value.to_string().trim()));
        }
        Some(text)
    }
}

/// A name that rVRRPd takes.
fn valid_name(name: &str, block: &Block, notes: &mut Vec<Note>) -> String {
    let valid: String = name
        .chars()
        .take(31)
        .map(|it| {
            let fits = it.is_ascii_alphanumeric() || matches!(it, '_' | '.' | '-');
            if fits { it } else { '_' }
        })
        .collect();
    if valid != name {
        let message = format!("the name is {valid} now, allowed: 1 to 31 of A-Z a-z 0-9 _ . -");
        note(notes, block, message);
    }
    valid
}

fn seconds(text: Option<&str>) -> Option<Value> {
    let seconds: f64 = text?.parse().ok()?;
    (0.0..=3600.0).contains(&seconds).then(|| number(seconds))
}

/// A whole number where it is one.
fn number(number: f64) -> Value {
    let text = number.to_string();
    text.parse::<i64>()
        .map_or_else(|_| number.into(), Value::from)
}

/// Options of a route with a value that have no counterpart. The route without them leads to the
/// same place.
const ROUTE_OPTIONS: &[&str] = &[
    "dev",
    "oif",
    "src",
    "scope",
    "proto",
    "protocol",
    "realms",
    "pref",
    "window",
    "rtt",
    "rttvar",
    "rto_min",
    "cwnd",
    "initcwnd",
    "initrwnd",
    "ssthresh",
    "advmss",
    "hoplimit",
    "quickack",
    "features",
    "congctl",
    "track_group",
];

/// Those without a value.
const ROUTE_FLAGS: &[&str] = &["onlink", "no_track", "noprefixroute"];

/// `[src A] [to] NET [via] GW [dev D] [table T] [metric M] [mtu M]`: the route, and which words of
/// it have no counterpart.
fn route_of(route: &Block) -> Result<(InlineTable, Vec<&str>), String> {
    let mut table = InlineTable::new();
    let mut words = route.words.iter().map(String::as_str);
    let (mut left_out, mut unknown) = (Vec::new(), Vec::new());
    while let Some(word) = words.next() {
        match word {
            "to" => {}
            "via" | "gw" => {
                table.insert("nh", words.next().unwrap_or_default().into());
            }
            "table" | "metric" | "mtu" => match words.next().map(str::parse::<i64>) {
                Some(Ok(number)) => {
                    table.insert(word, number.into());
                }
                _ => unknown.push(word),
            },
            _ if ROUTE_OPTIONS.contains(&word) => {
                left_out.push(word);
                left_out.extend(words.next());
            }
            _ if ROUTE_FLAGS.contains(&word) => left_out.push(word),
            _ if table.get("route").is_none() => {
                let destination = match word {
                    "default" => "0.0.0.0/0".to_owned(),
                    "default6" => "::/0".to_owned(),
                    _ if word.contains('/') => word.to_owned(),
                    _ if word.contains(':') => format!("{word}/128"),
                    _ => format!("{word}/32"),
                };
                table.insert("route", destination.into());
            }
            _ => unknown.push(word),
        }
    }
    if table.get("route").is_none() || table.get("nh").is_none() {
        return Err("the route is left out, allowed: NETWORK via GATEWAY".to_owned());
    }
    if !unknown.is_empty() {
        let unknown = unknown.join(", ");
        return Err(format!("the route is left out because of {unknown}"));
    }
    Ok((table, left_out))
}

#[cfg(test)]
mod tests {
    use rvrrpd::config::model::{Auth, InterfaceType, Protocol};
    use rvrrpd::config::{Format, parse};

    use super::super::lexer;
    use super::*;

    const FILE: &str = r#"! a comment
global_defs {
   router_id LVS
   smtp_server 127.0.0.1
   vrrp_version 2
}
vrrp_script chk { script "/bin/true" }
vrrp_instance VI_1 {
    state MASTER
    interface eth0
    virtual_router_id 51
    priority 150
    advert_int 2
    authentication {
        auth_type PASS
        auth_pass s3cret
    }
    virtual_ipaddress {
        192.0.2.10/24 dev eth0 label eth0:1
        192.0.2.11
    }
    virtual_routes {
        198.51.100.0/24 via 192.0.2.254 table 100
        blackhole 203.0.113.0/24
    }
    track_script { chk }
    notify_master "/bin/x"
}
vrrp_instance "VI 6"
{
    interface eth1
    virtual_router_id 52
    version 3
    advert_int 0.5
    nopreempt
    use_vmac vrrp.52
    virtual_ipaddress { fe80::52/64
      2001:db8::52 }
    unicast_peer { fe80::1 }
    bogus
}
vrrp_instance empty {
}
virtual_server 192.0.2.10 80 {
}
"#;

    #[test]
    fn what_is_made_is_a_configuration_of_rvrrpd() {
        let (text, notes) = configuration(&lexer::blocks(FILE).unwrap());
        let loaded = parse(&text, "f", Format::Toml).unwrap_or_else(|it| panic!("{it}\n{text}"));
        let [v4, v6] = &loaded.config.vrouters[..] else {
            panic!("{text}");
        };
        assert_eq!(
            (v4.name.as_str(), v4.vrid.to_string(), v4.priority),
            ("VI_1", "51".to_owned(), 150)
        );
        assert_eq!(v4.protocol, Protocol::V2);
        assert!(v4.preemption && !v4.virtual_mac);
        assert_eq!(v4.interval.as_secs(), 2);
        assert!(matches!(v4.auth, Auth::Simple(_)));
        let prefixes: Vec<_> = v4.vips.iter().map(|vip| vip.prefix).collect();
        assert_eq!(prefixes, [Some(24), Some(32)]);
        assert_eq!(v4.routes.len(), 1);
        assert_eq!(v4.routes[0].table, 100);
        assert_eq!((v6.name.as_str(), v6.vifname.as_str()), ("VI_6", "vrrp.52"));
        assert_eq!(v6.iftype, InterfaceType::Macvlan);
        assert!(!v6.preemption && v6.unicast.is_some());
        assert_eq!(v6.interval.as_millis(), 500);
        let lines: Vec<usize> = notes.iter().map(|note| note.line).collect();
        assert_eq!(lines, [4, 7, 19, 24, 26, 27, 29, 40, 42, 44], "{notes:#?}");
    }

    /// What keepalived rounds or does not advertise is no error in what is made.
    #[test]
    fn what_version_2_or_a_family_cannot_have_is_told() {
        let file = "vrrp_instance a {
            interface eth0\n virtual_router_id 9\n advert_int 1.5
            virtual_ipaddress { 10.0.0.9/24\n 2001:db8::9/64 }\n}
            vrrp_instance b {
            interface eth0\n virtual_router_id 10\n advert_int 0.2
            virtual_ipaddress { 10.0.0.10/24 }\n}
            vrrp_instance c {
            interface eth0\n virtual_router_id 11\n advert_int 41\n version 3
            virtual_ipaddress { 10.0.0.11/24 }\n}";
        let (text, notes) = configuration(&lexer::blocks(file).unwrap());
        let loaded = parse(&text, "f", Format::Toml).unwrap_or_else(|it| panic!("{it}\n{text}"));
        let routers = &loaded.config.vrouters;
        let seconds: Vec<u64> = routers.iter().map(|it| it.interval.as_secs()).collect();
        assert_eq!(seconds, [2, 1, 1]);
        assert_eq!(routers[0].vips.len(), 1);
        let lines: Vec<usize> = notes.iter().map(|note| note.line).collect();
        assert_eq!(lines, [4, 6, 11, 17], "{notes:#?}");
    }

    #[test]
    fn what_a_route_loses_is_told() {
        let file = "vrrp_instance a {
            interface eth0\n virtual_router_id 9\n virtual_ipaddress { 10.0.0.9/24 }
            virtual_routes {
            src 10.0.0.9 to 198.51.100.0/24 via 10.0.0.1 dev eth1 scope link proto 5 metric 7
            203.0.113.0/24 via 10.0.0.1 onlink
            192.0.2.0/24 via 10.0.0.1
            192.0.2.0/25 via 10.0.0.1 tos 4
            }\n}";
        let (text, notes) = configuration(&lexer::blocks(file).unwrap());
        let loaded = parse(&text, "f", Format::Toml).unwrap_or_else(|it| panic!("{it}\n{text}"));
        assert_eq!(loaded.config.vrouters[0].routes.len(), 3);
        let notes: Vec<_> = notes.iter().map(|it| it.message.as_str()).collect();
        assert_eq!(
            notes,
            [
                "src: left out: src 10.0.0.9 dev eth1 scope link proto 5",
                "203.0.113.0/24: left out: onlink",
                "192.0.2.0/25: the route is left out because of tos, 4",
            ]
        );
    }

    #[test]
    fn what_is_something_else_is_seen() {
        let is = |text: &str| is_keepalived(&lexer::blocks(text).unwrap());
        assert!(is("bogus\nvrrp_instance a {\n}") && is("global_defs {\n}"));
        assert!(!is("") && !is("server {\n listen 80;\n}\nroot:x:0:0"));
    }

    #[test]
    fn secrets_are_in_no_note() {
        let file = FILE.replace("vrrp_version 2", "vrrp_version 3");
        let (text, notes) = configuration(&lexer::blocks(&file).unwrap());
        assert!(!text.contains("s3cret"));
        assert!(notes.iter().all(|note| !note.message.contains("s3cret")));
        assert!(notes.iter().any(|note| note.line == 14));
    }
}
