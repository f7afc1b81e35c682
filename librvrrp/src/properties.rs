//! From `vrrp_inst_t` to what the daemon is asked for.

use core::ffi::c_int;
use core::net::IpAddr;
use core::slice;

use libc::{in_addr, in6_addr};
use rvrrpadm::Settings;

use crate::failure::{Failure, invalid};
use crate::interfaces::{self, Local};
use crate::text;
use crate::types::{vrrp_inst_t, vrrp_ret_t};

/// Longest interval in seconds, that of version 2.
const LONGEST: c_int = 255;

/// Name and keys of a new virtual router on a host with these addresses.
///
/// # Safety
/// `vi_ip` is NULL or to `vi_ipnum` addresses of the family `vi_af`.
pub(crate) unsafe fn asked(
    inst: &vrrp_inst_t,
    known: &[Local],
) -> Result<(String, Settings), Failure> {
    let bad_name = |failure: Failure| Failure {
        code: vrrp_ret_t::VRRP_ENAMEINVAL,
        ..failure
    };
    let name = text::of_array(&inst.vi_name, "vi_name").map_err(bad_name)?;
    if name.is_empty() {
        return Err(bad_name(invalid("vi_name is empty")));
    }
    // SAFETY: the caller says so.
    let addresses = unsafe { addresses(inst) }?;
    let primary = text::of_address(&inst.vi_pip)?;
    if primary.is_some_and(|primary| family(primary) != inst.vi_af) {
        return Err(invalid("vi_pip is not of the family vi_af"));
    }
    let interface = text::of_array(&inst.vi_ifname, "vi_ifname")?;
    let interface = interface_of(known, &interface, primary, &addresses)?;
    let seconds = inst.vi_adv_intv;
    if !(0..=LONGEST).contains(&seconds) || !(0..=999).contains(&inst.vi_adv_msec) {
        let (intv, msec) = (inst.vi_adv_intv, inst.vi_adv_msec);
        return Err(invalid(format!(
            "vi_adv_intv {intv}, vi_adv_msec {msec}, allowed: 0 to {LONGEST}, 0 to 999"
        )));
    }
    let texts: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
    let mut settings = Settings::new()
        .group(inst.vi_id)
        .interface(&interface)
        // As Sun's VNIC for each VRID (§5.5): several routers may be on one interface.
        .with("iftype", "macvlan")
        .addresses(&texts)
        .priority(inst.vi_prio)
        .preempt(text::is_set(inst.vi_preempt_mode))
        .accept(text::is_set(inst.vi_accept_mode))
        .enabled(text::is_set(inst.vi_active));
    settings = with_interval(settings, seconds * 1000 + inst.vi_adv_msec);
    if inst.vi_adv_msec != 0 {
        // Version 2 has whole seconds only.
        settings = settings.with("version", 3);
    }
    if let Some(primary) = primary {
        settings = settings.primary(&primary.to_string());
    }
    let services = text::of_array(&inst.vi_prot_fmri, "vi_prot_fmri")?;
    if !services.is_empty() {
        let list: Vec<&str> = services.split(',').map(str::trim).collect();
        settings = settings.with("protects", list);
    }
    Ok((name, settings))
}

/// Sets the interval; the daemon says what is wrong with one that is too short or too long.
pub(crate) fn with_interval(settings: Settings, milliseconds: c_int) -> Settings {
    settings.advert_interval(u32::try_from(milliseconds).unwrap_or_default())
}

/// # Safety
/// `vi_ip` is NULL or to `vi_ipnum` addresses of the family `vi_af`.
unsafe fn addresses(inst: &vrrp_inst_t) -> Result<Vec<IpAddr>, Failure> {
    let length = usize::from(inst.vi_ipnum);
    if inst.vi_ip.is_null() || length == 0 {
        return Err(invalid("no virtual addresses, allowed: 1 to 255"));
    }
    match inst.vi_af {
        libc::AF_INET => {
            // SAFETY: the caller says so.
            let list = unsafe { slice::from_raw_parts(inst.vi_ip.cast::<in_addr>(), length) };
            Ok(list.iter().map(|it| text::ipv4(*it).into()).collect())
        }
        libc::AF_INET6 => {
            // SAFETY: the caller says so.
            let list = unsafe { slice::from_raw_parts(inst.vi_ip.cast::<in6_addr>(), length) };
            Ok(list.iter().map(|it| text::ipv6(*it).into()).collect())
        }
        other => Err(invalid(format!(
            "vi_af {other}, allowed: AF_INET, AF_INET6"
        ))),
    }
}

const fn family(address: IpAddr) -> c_int {
    match address {
        IpAddr::V4(_) => libc::AF_INET,
        IpAddr::V6(_) => libc::AF_INET6,
    }
}

/// The interface that is named, has the primary address, or has the subnet of the first virtual
/// one. None of the virtual addresses is one of another interface.
fn interface_of(
    known: &[Local],
    named: &str,
    primary: Option<IpAddr>,
    addresses: &[IpAddr],
) -> Result<String, Failure> {
    let no_route = |message: String| Failure {
        code: vrrp_ret_t::VRRP_ENOROUTE,
        message,
    };
    let interface = if !named.is_empty() {
        named
    } else if let Some(primary) = primary {
        match interfaces::having(known, primary) {
            Some(local) => &local.interface,
            None => return Err(no_route(format!("no interface has {primary}"))),
        }
    } else {
        let first = addresses.first().copied();
        match first.and_then(|first| interfaces::towards(known, first)) {
            Some(interface) => interface,
            None => {
                let first = first.map_or_else(String::new, |first| first.to_string());
                return Err(no_route(format!(
                    "there is not one interface with the subnet of {first}: name it in vi_ifname"
                )));
            }
        }
    };
    for address in addresses {
        let elsewhere = interfaces::having(known, *address);
        if let Some(local) = elsewhere.filter(|local| local.interface != interface) {
            return Err(Failure {
                code: vrrp_ret_t::VRRP_EVRIP,
                message: format!("{address} is an address of {}", local.interface),
            });
        }
    }
    Ok(interface.to_owned())
}

#[cfg(test)]
mod tests {
    use core::ffi::c_void;
    use core::mem::zeroed;

    use serde_json::{Value, json};

    use super::*;

    fn inst() -> vrrp_inst_t {
        // SAFETY: all of it is numbers and a pointer, which may be zero.
        let mut inst: vrrp_inst_t = unsafe { zeroed() };
        inst.vi_name = text::array("vrrp1");
        inst.vi_ifname = text::array("nosuch0");
        inst.vi_id = 7;
        inst.vi_af = libc::AF_INET;
        inst.vi_prio = 120;
        inst.vi_adv_intv = 2;
        inst.vi_accept_mode = 5;
        inst
    }

    fn with(
        change: impl FnOnce(&mut vrrp_inst_t),
    ) -> Result<(String, Value), (vrrp_ret_t, String)> {
        let mut list = [
            text::in4([192, 0, 2, 1].into()),
            text::in4([192, 0, 2, 2].into()),
        ];
        let mut inst = inst();
        inst.vi_ip = (&raw mut list).cast::<c_void>();
        inst.vi_ipnum = 2;
        change(&mut inst);
        // SAFETY: the list has two addresses of this family, and no test says more.
        let (name, settings) =
            unsafe { asked(&inst, &[]) }.map_err(|failure| (failure.code, failure.message))?;
        Ok((name, Value::Object(settings.keys().clone())))
    }

    #[test]
    fn all_keys() {
        let (name, keys) = with(|_| {}).unwrap();
        assert_eq!(name, "vrrp1");
        assert_eq!(
            keys,
            json!({
                "group": 7, "interface": "nosuch0", "iftype": "macvlan", "vip": ["192.0.2.1", "192.0.2.2"],
                "priority": 120, "timers": {"advert": 2}, "preemption": false,
                "accept_mode": true, "enabled": false,
            })
        );
        let (_, keys) = with(|inst| {
            inst.vi_adv_msec = 500;
            inst.vi_pip = text::address("192.0.2.9");
            inst.vi_prot_fmri = text::array("a.service, b.service");
            inst.vi_active = 1;
        })
        .unwrap();
        assert_eq!(keys["timers"], json!({"advert": 2.5}));
        assert_eq!(keys["version"], 3);
        assert_eq!(keys["primary"], "192.0.2.9");
        assert_eq!(keys["protects"], json!(["a.service", "b.service"]));
        assert_eq!(keys["enabled"], true);
    }

    #[test]
    fn what_is_wrong() {
        use vrrp_ret_t::{VRRP_EINVAL, VRRP_ENAMEINVAL, VRRP_ENOROUTE, VRRP_EVRIP};
        let code = |change: fn(&mut vrrp_inst_t)| with(change).expect_err("it is refused").0;
        assert_eq!(code(|inst| inst.vi_name[0] = 0), VRRP_ENAMEINVAL);
        assert_eq!(code(|inst| inst.vi_name = [65; 32]), VRRP_ENAMEINVAL);
        assert_eq!(code(|inst| inst.vi_ipnum = 0), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_ip = core::ptr::null_mut()), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_af = 3), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_pip = text::address("::1")), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_adv_intv = -1), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_adv_msec = 1000), VRRP_EINVAL);
        assert_eq!(code(|inst| inst.vi_ifname[0] = 0), VRRP_ENOROUTE);
        assert_eq!(
            code(|inst| {
                inst.vi_ifname[0] = 0;
                inst.vi_pip = text::address("192.0.2.77");
            }),
            VRRP_ENOROUTE
        );
        let known = [Local {
            interface: "eth0".to_owned(),
            address: [192, 0, 2, 1].into(),
            mask: [255, 255, 255, 0].into(),
        }];
        let of = |named: &str, vip: [u8; 4]| {
            interface_of(&known, named, None, &[vip.into()]).map_err(|failure| failure.code)
        };
        assert_eq!(of("", [192, 0, 2, 9]), Ok("eth0".to_owned()));
        // The owner.
        assert_eq!(of("eth0", [192, 0, 2, 1]), Ok("eth0".to_owned()));
        assert_eq!(of("eth1", [192, 0, 2, 1]), Err(VRRP_EVRIP));
    }
}
