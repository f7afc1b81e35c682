//! `show`: a block for each virtual router (design document 0.9.4, appendix B §3.6).

use rvrrpadm::{Peer, Router, State};

use super::columns::addresses;
use super::time;

/// A field of a block.
pub(crate) struct Field {
    /// Name.
    pub(crate) name: &'static str,
    /// Whether it belongs to the state and stands below it.
    inner: bool,
    /// What stands there; none: the line is left out.
    value: fn(&Router) -> Option<String>,
}

const fn field(name: &'static str, value: fn(&Router) -> Option<String>) -> Field {
    Field {
        name,
        inner: false,
        value,
    }
}

const fn inner(name: &'static str, value: fn(&Router) -> Option<String>) -> Field {
    Field {
        inner: true,
        ..field(name, value)
    }
}

/// All fields, in the order of a block. None of Sun's are `not_ready`, `netns`, the network
/// namespace of the interface, `data_plane`, what carries the virtual addresses, `data_plane_why`,
/// why no better one, `virtual_mac`, `socket_filter` and `gate`.
pub(crate) const FIELDS: &[Field] = &[
    field("name", |it| Some(it.name.clone())),
    field("vrid", |it| Some(it.group.to_string())),
    field("priority", |it| Some(it.priority.to_string())),
    field("adv_intval", |it| it.advert().map(|it| it.to_string())),
    field("preempt_mode", |it| Some(it.preempt.to_string())),
    field("accept_mode", |it| Some(it.accept_mode.to_string())),
    field("interface", |it| Some(it.link().to_owned())),
    field("netns", |it| it.netns.clone()),
    field("primary_ipaddr", |it| it.primary.clone()),
    field("assoc_ipaddrs", |it| Some(addresses(it))),
    field("data_plane", |it| it.data_plane.clone()),
    field("data_plane_why", |it| it.data_plane_why.clone()),
    field("virtual_mac", |it| it.virtual_mac.clone()),
    field("protected_service", |it| list(&it.protects)),
    field("socket_filter", |it| it.socket_filter.clone()),
    field("gate", |it| it.gate.clone()),
    field("prev_state", |it| {
        let last = it.last_transition.as_ref()?;
        last.from.map(|state| state.short().to_owned())
    }),
    field("time_last_state_trans", |it| {
        let last = it.last_transition.as_ref()?;
        moment(last.at.as_deref(), last.ago, "secs")
    }),
    field("state", |it| Some(it.state.short().to_owned())),
    inner("sub_state", |it| {
        let substate = it.substate.filter(|_| it.state == State::Init);
        substate.map(|substate| substate.name().to_owned())
    }),
    inner("not_ready", |it| list(&it.not_ready)),
    inner("master_priority", |it| priority(heard(it, State::Backup)?)),
    inner("master_src_addr", |it| source(heard(it, State::Backup)?)),
    inner("master_adv_intval", |it| {
        interval(heard(it, State::Backup)?)
    }),
    inner("master_adv_last", |it| last(heard(it, State::Backup)?)),
    inner("peer_priority", |it| priority(heard(it, State::Master)?)),
    inner("peer_src_addr", |it| source(heard(it, State::Master)?)),
    inner("peer_adv_intval", |it| interval(heard(it, State::Master)?)),
    inner("peer_adv_last", |it| last(heard(it, State::Master)?)),
    inner("skew_time", |it| thousandths(it, it.skew())),
    inner("master_down_intval", |it| thousandths(it, it.master_down())),
    inner("master_down_timer", |it| {
        thousandths(it, it.timers.master_down_left)
    }),
];

fn list(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join(","))
}

/// The peer, in a router of this state.
fn heard(router: &Router, state: State) -> Option<&Peer> {
    router.peer.as_ref().filter(|_| router.state == state)
}

fn priority(peer: &Peer) -> Option<String> {
    peer.priority.map(|priority| priority.to_string())
}

fn source(peer: &Peer) -> Option<String> {
    Some(peer.address.clone())
}

fn interval(peer: &Peer) -> Option<String> {
    peer.advert_interval
        .map(|interval| format!("{interval:.2}"))
}

fn last(peer: &Peer) -> Option<String> {
    moment(peer.last_advert.as_deref(), peer.last_advert_ago, "seconds")
}

/// Only a Backup waits for a Master.
fn thousandths(router: &Router, seconds: Option<f64>) -> Option<String> {
    let seconds = seconds.filter(|_| router.state == State::Backup);
    seconds.map(|seconds| format!("{seconds:.3}"))
}

fn moment(at: Option<&str>, ago: Option<f64>, unit: &str) -> Option<String> {
    let ago = ago.map(|ago| format!("{ago:.3} {unit} ago"));
    match (at.and_then(time::stamp), ago) {
        (Some(at), Some(ago)) => Some(format!("{at} ({ago})")),
        (at, ago) => at.or(ago),
    }
}

/// A block.
pub(crate) fn block(router: &Router, fields: &[&Field]) -> String {
    let mut text = format!("INSTANCE {}\n", router.name);
    for field in fields.iter().filter(|field| field.name != "name") {
        if let Some(value) = (field.value)(router) {
            let indent = if field.inner { "    " } else { "  " };
            text.push_str(&format!("{indent}{} = {value}\n", field.name));
        }
    }
    text
}

/// The values of a line for a program.
pub(crate) fn values(router: &Router, fields: &[&Field]) -> Vec<String> {
    let value = |field: &&Field| (field.value)(router).unwrap_or_default();
    fields.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::{chosen, parsable};
    use super::*;

    fn router(more: Value) -> Router {
        let mut all = json!({
            "name": "vinst4", "group": 4, "interface": "v4_bge2_v4", "parent": "bge2",
            "priority": 100, "preempt": true, "accept_mode": false, "state": "Backup",
            "primary": "10.100.77.77", "virtual_ips": ["10.100.77.88", "10.100.77.99/24"],
            "protects": ["svc:/network/http:apache2"],
            "timers": {"advert": 2, "skew": 0.391, "master_down": 3.391, "master_down_left": 3.068},
            "peer": {"address": "10.100.77.78", "priority": 255, "advert_interval": 1,
                     "last_advert_ago": 0.323},
            "last_transition": {"from": "Init", "to": "Backup", "ago": 10.323},
        });
        let (Value::Object(all_keys), Value::Object(more)) = (&mut all, more) else {
            panic!();
        };
        all_keys.extend(more);
        serde_json::from_value(all).unwrap()
    }

    fn shown(router: &Router) -> String {
        block(router, &FIELDS.iter().collect::<Vec<_>>())
    }

    /// The example of the document, but for the time stamps, which are those of a time zone.
    #[test]
    fn a_backup() {
        assert_eq!(
            shown(&router(json!({}))),
            "INSTANCE vinst4
  vrid = 4
  priority = 100
  adv_intval = 2
  preempt_mode = true
  accept_mode = false
  interface = bge2
  primary_ipaddr = 10.100.77.77
  assoc_ipaddrs = 10.100.77.88,10.100.77.99
  protected_service = svc:/network/http:apache2
  prev_state = INIT
  time_last_state_trans = 10.323 secs ago
  state = BACK
    master_priority = 255
    master_src_addr = 10.100.77.78
    master_adv_intval = 1.00
    master_adv_last = 0.323 seconds ago
    skew_time = 0.391
    master_down_intval = 3.391
    master_down_timer = 3.068
"
        );
    }

    #[test]
    fn a_time_stamp_has_the_form_of_the_document() {
        let at = json!({"last_transition": {"at": "2008-03-12T16:34:08.323Z", "ago": 10.323}});
        let text = shown(&router(at));
        let line = text.lines().find(|it| it.contains("time_last")).unwrap();
        let stamp = line
            .strip_prefix("  time_last_state_trans = 2008.03.1")
            .unwrap();
        let (day, rest) = stamp.split_at(1);
        assert!(matches!(day, "1" | "2" | "3"));
        assert_eq!(rest.len(), ",16:34:08.323 (10.323 secs ago)".len());
        assert!(rest.ends_with(":08.323 (10.323 secs ago)"), "{rest}");
    }

    #[test]
    fn below_master_stands_the_peer() {
        let text = shown(&router(json!({"state": "Master"})));
        let (_, state) = text.split_once("  state = ").unwrap();
        assert_eq!(
            state,
            "MAST\n    peer_priority = 255\n    peer_src_addr = 10.100.77.78\n    \
             peer_adv_intval = 1.00\n    peer_adv_last = 0.323 seconds ago\n"
        );
    }

    #[test]
    fn below_init_stands_why() {
        for substate in ["shutdown", "pending"] {
            let text = shown(&router(json!({"state": "Init", "substate": substate})));
            let (_, state) = text.split_once("  state = ").unwrap();
            assert_eq!(state, format!("INIT\n    sub_state = {substate}\n"));
        }
        let text = shown(&router(
            json!({"state": "Init", "not_ready": ["no-carrier"]}),
        ));
        assert!(
            text.ends_with("  state = INIT\n    not_ready = no-carrier\n"),
            "{text}"
        );
    }

    #[test]
    fn chosen_fields_for_people_and_for_programs() {
        let names = |list: &str| -> Vec<&Field> {
            let names: Vec<String> = list.split(',').map(str::to_owned).collect();
            chosen(&names, FIELDS, |it| it.name).unwrap()
        };
        let router = router(json!({}));
        assert_eq!(
            block(&router, &names("vrid,interface,primary_ipaddr,state")),
            "INSTANCE vinst4\n  vrid = 4\n  interface = bge2\n  primary_ipaddr = 10.100.77.77\n  \
             state = BACK\n"
        );
        let fields = names("name,vrid,interface,primary_ipaddr,state");
        assert_eq!(
            parsable(values(&router, &fields)),
            "vinst4:4:bge2:10.100.77.77:BACK"
        );
    }
}
