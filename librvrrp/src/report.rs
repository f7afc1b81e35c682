//! From what the daemon says to `vrrp_inst_t`, `vrrp_status_t` and `vrrp_adv_info_t`.

use core::ffi::{c_int, c_void};
use core::mem::size_of;
use core::net::IpAddr;
use core::ptr;

use libc::{in_addr, in6_addr};
use rvrrpadm::{Family, Router, State, Substate};

use crate::failure::{Failure, system};
use crate::text;
use crate::types::{
    B_FALSE, B_TRUE, VRRP_STATE_BACK, VRRP_STATE_INIT, VRRP_STATE_MAST, VRRP_STATE_NONE,
    VRRP_SUBSTATE_PENDING, VRRP_SUBSTATE_SHUTDOWN, boolean_t, vrrp_adv_info_t, vrrp_inst_t,
    vrrp_state_t, vrrp_status_t,
};

pub(crate) const fn state(state: Option<State>) -> vrrp_state_t {
    match state {
        None => VRRP_STATE_NONE,
        Some(State::Init) => VRRP_STATE_INIT,
        Some(State::Master) => VRRP_STATE_MAST,
        Some(State::Backup) => VRRP_STATE_BACK,
    }
}

pub(crate) const fn substate(substate: Option<Substate>) -> vrrp_state_t {
    match substate {
        None => VRRP_STATE_NONE,
        Some(Substate::Shutdown) => VRRP_SUBSTATE_SHUTDOWN,
        Some(Substate::Pending) => VRRP_SUBSTATE_PENDING,
    }
}

const fn flag(is_set: bool) -> boolean_t {
    if is_set { B_TRUE } else { B_FALSE }
}

/// The configuration. `vi_ip` is made by malloc(3).
pub(crate) fn properties(router: &Router) -> Result<vrrp_inst_t, Failure> {
    let addresses: Vec<IpAddr> = router
        .addresses()
        .into_iter()
        .filter_map(text::bare)
        .take(usize::from(u8::MAX))
        .collect();
    let family = router.family();
    let interval = text::seconds(router.advert());
    let milliseconds = interval.tv_sec * 1000 + (interval.tv_usec + 500) / 1000;
    let whole = |value: i64| c_int::try_from(value).unwrap_or_default();
    Ok(vrrp_inst_t {
        vi_name: text::array(&router.name),
        vi_active: flag(router.enabled),
        vi_id: router.group,
        vi_af: match family {
            Family::Ipv4 => libc::AF_INET,
            Family::Ipv6 => libc::AF_INET6,
        },
        vi_pip: text::address(router.primary.as_deref().unwrap_or_default()),
        vi_ipnum: u8::try_from(addresses.len()).unwrap_or(u8::MAX),
        vi_ip: match family {
            Family::Ipv4 => block(addresses.iter().filter_map(|it| match it {
                IpAddr::V4(it) => Some(text::in4(*it)),
                IpAddr::V6(_) => None,
            })),
            Family::Ipv6 => block(addresses.iter().filter_map(|it| match it {
                IpAddr::V6(it) => Some(text::in6(*it)),
                IpAddr::V4(_) => None,
            })),
        }?,
        vi_ifname: text::array(router.link()),
        vi_prio: router.configured_priority.unwrap_or(router.priority),
        vi_adv_intv: whole(milliseconds / 1000),
        vi_preempt_mode: flag(router.preempt),
        vi_accept_mode: flag(router.accept_mode),
        vi_prot_fmri: text::array(&router.protects.join(",")),
        vi_adv_msec: whole(milliseconds % 1000),
    })
}

/// The items, in memory of malloc(3), one after the other.
fn block<T: Plain>(items: impl Iterator<Item = T>) -> Result<*mut c_void, Failure> {
    let items: Vec<T> = items.collect();
    // SAFETY: malloc may be called with any size; one byte more, so that it is never none.
    let room = unsafe { libc::malloc(items.len() * size_of::<T>() + 1) };
    if room.is_null() {
        return Err(system("out of memory"));
    }
    // SAFETY: there is room for the items, aligned for every type, and it is no part of `items`.
    unsafe { ptr::copy_nonoverlapping(items.as_ptr(), room.cast::<T>(), items.len()) };
    Ok(room)
}

/// Addresses of C, which are numbers alone.
trait Plain: Copy {}
impl Plain for in_addr {}
impl Plain for in6_addr {}

/// State, and what was before.
pub(crate) fn status(router: &Router) -> vrrp_status_t {
    let last = router.last_transition.as_ref();
    vrrp_status_t {
        vs_cur_state: state(Some(router.state)),
        vs_cur_substate: substate(router.substate),
        vs_prev_state: state(last.and_then(|last| last.from)),
        vs_prev_substate: substate(last.and_then(|last| last.from_substate)),
        vs_st_time: text::time(last.and_then(|last| last.at.as_deref())),
    }
}

/// Who was heard last.
pub(crate) fn advertisement(router: &Router) -> vrrp_adv_info_t {
    let backup = |value: Option<f64>| {
        text::seconds(value.filter(|_| router.peer.is_some() && router.state == State::Backup))
    };
    let peer = router.peer.clone().unwrap_or_default();
    vrrp_adv_info_t {
        vai_addr: text::address(&peer.address),
        vai_prio: peer.priority.unwrap_or_default(),
        vai_time: text::time(peer.last_advert.as_deref()),
        vai_age: text::seconds(peer.last_advert_ago),
        vai_intv: text::seconds(peer.advert_interval),
        vai_skew_time: backup(router.skew()),
        vai_down_intv: backup(router.master_down()),
        vai_down_timer: backup(router.timers.master_down_left),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn router(change: &Value) -> Router {
        let mut router = json!({
            "name": "vrrp1", "group": 9, "interface": "vnic1", "parent": "bge1",
            "state": "Backup", "priority": 255, "configured_priority": 120, "preempt": true,
            "accept_mode": false, "primary": "10.0.0.100",
            "virtual_ips": ["10.0.0.1", "10.0.0.2"],
            "timers": {"advert": 0.1, "skew": 0.25, "master_down": 0.55, "master_down_left": 0.5},
            "peer": {"address": "10.0.0.123", "priority": 7, "advert_interval": 1.0,
                     "last_advert": "1970-01-01T00:01:00Z", "last_advert_ago": 0.25},
            "last_transition": {"from": "Init", "from_substate": "shutdown", "to": "Backup", "at": "1970-01-01T00:00:30Z"},
        });
        for (key, value) in change.as_object().unwrap() {
            router[key] = value.clone();
        }
        serde_json::from_value(router).unwrap()
    }

    #[test]
    fn everything_of_a_backup() {
        let router = router(&json!({}));
        let inst = properties(&router).unwrap();
        // SAFETY: there are as many addresses of this family as `vi_ipnum` says.
        let vips = unsafe { core::slice::from_raw_parts(inst.vi_ip.cast::<in_addr>(), 2) };
        assert_eq!(inst.vi_ipnum, 2);
        assert_eq!(text::ipv4(vips[1]).to_string(), "10.0.0.2");
        // SAFETY: it was made by malloc.
        unsafe { libc::free(inst.vi_ip) };
        assert_eq!(text::of_array(&inst.vi_ifname, "").unwrap(), "bge1");
        assert_eq!((inst.vi_adv_intv, inst.vi_adv_msec), (0, 100));
        assert_eq!((inst.vi_prio, inst.vi_id), (120, 9));
        assert_eq!((inst.vi_preempt_mode, inst.vi_accept_mode), (1, 0));
        let status = status(&router);
        assert_eq!(
            (status.vs_cur_state, status.vs_prev_state),
            (VRRP_STATE_BACK, VRRP_STATE_INIT)
        );
        assert_eq!(status.vs_prev_substate, VRRP_SUBSTATE_SHUTDOWN);
        assert_eq!(status.vs_st_time.tv_sec, 30);
        let heard = advertisement(&router);
        assert_eq!(
            text::of_address(&heard.vai_addr).unwrap(),
            Some([10, 0, 0, 123].into())
        );
        assert_eq!((heard.vai_prio, heard.vai_time.tv_sec), (7, 60));
        assert_eq!(heard.vai_down_timer.tv_usec, 500_000);
    }

    #[test]
    fn a_master_has_no_down_timer_and_who_heard_nobody_has_zeros() {
        let heard = advertisement(&router(&json!({"state": "Master"})));
        assert_eq!(heard.vai_down_intv.tv_usec, 0);
        assert_eq!(heard.vai_age.tv_usec, 250_000);
        let heard = advertisement(&router(&json!({"peer": null})));
        assert_eq!((heard.vai_addr.af, heard.vai_skew_time.tv_usec), (0, 0));
    }

    #[test]
    fn a_router_of_ipv6_that_is_shut_down() {
        let router = router(&json!({
            "virtual_ips": ["fe80::1"], "state": "Init", "substate": "shutdown",
            "enabled": false, "last_transition": null, "primary": null, "family": "ipv6",
        }));
        let inst = properties(&router).unwrap();
        // SAFETY: there is one address of this family.
        let vip = unsafe { inst.vi_ip.cast::<in6_addr>().read() };
        assert_eq!(text::ipv6(vip).to_string(), "fe80::1");
        // SAFETY: it was made by malloc.
        unsafe { libc::free(inst.vi_ip) };
        assert_eq!((inst.vi_af, inst.vi_pip.af), (libc::AF_INET6, 0));
        let status = status(&router);
        assert_eq!(status.vs_cur_substate, VRRP_SUBSTATE_SHUTDOWN);
        assert_eq!(status.vs_prev_state, VRRP_STATE_NONE);
    }
}
