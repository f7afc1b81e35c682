//! The functions of libvrrp.

use core::ffi::{CStr, c_char, c_int, c_uint};
use core::mem::size_of;
use core::ptr;

use rvrrpadm::{Client, Code, Error, Family, Settings};

use crate::daemon::client;
use crate::failure::{Failure, invalid, system, told};
use crate::interfaces;
use crate::properties::{self, with_interval};
use crate::report;
use crate::types::{
    LIBVRRP_VERSION, VI_PROP_UNCHANGE, vrid_t, vrpri_t, vrrp_adv_info_t, vrrp_inst_t, vrrp_ret_t,
    vrrp_status_t,
};

/// Longest interval in seconds.
const LONGEST: c_int = 255;

/// `LIBVRRP_VERSION` of the library that runs.
#[unsafe(no_mangle)]
pub extern "C" fn vrrp_version() -> c_int {
    LIBVRRP_VERSION
}

/// Makes a virtual router.
///
/// # Safety
/// `inst` is NULL or to a structure whose `vi_ip` is NULL or to `vi_ipnum` addresses.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_create(inst: *const vrrp_inst_t) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    let Some(inst) = (unsafe { inst.as_ref() }) else {
        return told(Err(invalid("inst is NULL")));
    };
    told(interfaces::all().and_then(|known| {
        // SAFETY: the caller says so.
        let (name, settings) = unsafe { properties::asked(inst, &known) }?;
        client().create(&name, &settings)?;
        Ok(())
    }))
}

/// Deletes a virtual router; NULL: all of them.
///
/// # Safety
/// `name` is NULL or a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_destroy(name: *const c_char) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    told(unsafe { each(name, |client, name| client.destroy(name)) })
}

/// Lets a virtual router take part; NULL: all of them.
///
/// # Safety
/// `name` is NULL or a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_startup(name: *const c_char) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    told(unsafe { each(name, |client, name| client.startup(name).map(drop)) })
}

/// Keeps a virtual router in Init; NULL: all of them.
///
/// # Safety
/// `name` is NULL or a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_shutdown(name: *const c_char) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    told(unsafe { each(name, |client, name| client.shutdown(name).map(drop)) })
}

/// Changes priority, seconds between advertisements, and modes; `VI_PROP_UNCHANGE` leaves one as it
/// is.
///
/// # Safety
/// `name` is a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_setprop(
    name: *const c_char,
    priority: vrpri_t,
    delay: c_int,
    preempt: c_int,
    accept: c_int,
) -> vrrp_ret_t {
    let mut settings = Settings::new();
    if c_int::from(priority) != c_int::from(VI_PROP_UNCHANGE.to_le_bytes()[0]) {
        settings = settings.priority(priority);
    }
    if delay != VI_PROP_UNCHANGE {
        if !(1..=LONGEST).contains(&delay) {
            let message = format!("an interval of {delay} s, allowed: 1 to {LONGEST}");
            return told(Err(invalid(message)));
        }
        settings = with_interval(settings, delay * 1000);
    }
    for (value, key) in [(preempt, "preemption"), (accept, "accept_mode")] {
        settings = match value {
            VI_PROP_UNCHANGE => settings,
            0 => settings.with(key, false),
            1 => settings.with(key, true),
            other => {
                return told(Err(invalid(format!("{key} {other}, allowed: -1, 0, 1"))));
            }
        };
    }
    // SAFETY: the caller says so.
    let name = unsafe { text(name) };
    told(name.and_then(|name| {
        if settings.keys().is_empty() {
            // Nothing to change; but it has to be there.
            client().details(name)?;
        } else {
            client().modify(name, &settings)?;
        }
        Ok(())
    }))
}

/// Changes the time between advertisements, in milliseconds; one that is no whole second is for
/// routers of version 3. Sun had none.
///
/// # Safety
/// `name` is a text with an end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_set_interval(
    name: *const c_char,
    milliseconds: c_uint,
) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    let name = unsafe { text(name) };
    told(name.and_then(|name| {
        client().modify(name, &Settings::new().advert_interval(milliseconds))?;
        Ok(())
    }))
}

/// Tells what a virtual router is, in which state it is, and what it heard last; what is NULL is
/// not told. `vi_ip` of `inst` is the caller's to free(3).
///
/// # Safety
/// `name` is a text with an end; the others are NULL or to room for their structure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_query(
    name: *const c_char,
    inst: *mut vrrp_inst_t,
    stat: *mut vrrp_status_t,
    adv: *mut vrrp_adv_info_t,
) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    let name = unsafe { text(name) };
    told(name.and_then(|name| {
        let router = client().query(name)?;
        if !inst.is_null() {
            let properties = report::properties(&router)?;
            // SAFETY: the caller says that there is room.
            unsafe { inst.write(properties) };
        }
        if !stat.is_null() {
            // SAFETY: the caller says that there is room.
            unsafe { stat.write(report::status(&router)) };
        }
        if !adv.is_null() {
            // SAFETY: the caller says that there is room.
            unsafe { adv.write(report::advertisement(&router)) };
        }
        Ok(())
    }))
}

/// Tells the names of the virtual routers of a VRID, an interface and a family; 0 or NULL: any.
/// Array and names are one piece of memory: the caller's to free(3), with one call, if `num` is not
/// 0.
///
/// # Safety
/// `ifname` is NULL or a text with an end; `num` and `names` are to room for their values.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_lookup(
    id: vrid_t,
    ifname: *const c_char,
    af: c_int,
    num: *mut c_int,
    names: *mut *mut *mut c_char,
) -> vrrp_ret_t {
    if num.is_null() || names.is_null() {
        return told(Err(invalid("num or names is NULL")));
    }
    // SAFETY: the caller says that there is room.
    unsafe {
        num.write(0);
        names.write(ptr::null_mut());
    }
    let family = match af {
        0 => None,
        libc::AF_INET => Some(Family::Ipv4),
        libc::AF_INET6 => Some(Family::Ipv6),
        other => {
            let message = format!("family {other}, allowed: 0, AF_INET, AF_INET6");
            return told(Err(invalid(message)));
        }
    };
    let interface = if ifname.is_null() {
        Ok(None)
    } else {
        // SAFETY: the caller says so.
        unsafe { text(ifname) }.map(Some)
    };
    told(interface.and_then(|interface| {
        let found = client().lookup(Some(id).filter(|id| *id != 0), interface, family)?;
        let (count, array) = array_of(&found)?;
        // SAFETY: the caller says that there is room.
        unsafe {
            num.write(count);
            names.write(array);
        }
        Ok(())
    }))
}

/// Pointers to texts, and behind them the texts, in one piece of memory.
fn array_of(found: &[String]) -> Result<(c_int, *mut *mut c_char), Failure> {
    if found.is_empty() {
        return Ok((0, ptr::null_mut()));
    }
    let count = c_int::try_from(found.len()).map_err(|_| system("too many virtual routers"))?;
    let pointers = found.len() * size_of::<*mut c_char>();
    let texts: usize = found.iter().map(|name| name.len() + 1).sum();
    // SAFETY: malloc may be called with any size.
    let room = unsafe { libc::malloc(pointers + texts) }.cast::<u8>();
    if room.is_null() {
        return Err(system("out of memory"));
    }
    let mut at = pointers;
    for (place, name) in found.iter().enumerate() {
        // SAFETY: the room holds all pointers, aligned as they begin it, and all texts with their
        // ends behind them; `at` and `place` count what was written.
        unsafe {
            let target = room.add(at);
            ptr::copy_nonoverlapping(name.as_ptr(), target, name.len());
            target.add(name.len()).write(0);
            room.cast::<*mut c_char>().add(place).write(target.cast());
        }
        at += name.len() + 1;
    }
    Ok((count, room.cast()))
}

/// # Safety
/// `name` is NULL or a text with an end.
unsafe fn text<'a>(name: *const c_char) -> Result<&'a str, Failure> {
    if name.is_null() {
        return Err(invalid("a text is NULL"));
    }
    // SAFETY: the caller says so.
    let text = unsafe { CStr::from_ptr(name) };
    text.to_str().map_err(|_| invalid("a text is not UTF-8"))
}

/// Does it to one virtual router, or to all there are: as far as that goes, and the first failure is
/// told. Who is gone meanwhile is none.
///
/// # Safety
/// `name` is NULL or a text with an end.
unsafe fn each(
    name: *const c_char,
    order: impl Fn(&Client, &str) -> Result<(), Error>,
) -> Result<(), Failure> {
    let client = client();
    if !name.is_null() {
        // SAFETY: the caller says so.
        return Ok(order(&client, unsafe { text(name) }?)?);
    }
    let all = client.lookup(None, None, None)?;
    Ok(as_far_as_it_goes(&all, |name| order(&client, name))?)
}

fn as_far_as_it_goes(
    names: &[String],
    mut order: impl FnMut(&str) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut first = Ok(());
    for name in names {
        match order(name) {
            Err(error) if error.code() != Code::NotFound && first.is_ok() => first = Err(error),
            _ => {}
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_piece_of_memory() {
        let found = ["vrrp1".to_owned(), String::new(), "eth0-255".to_owned()];
        let (count, array) = array_of(&found).unwrap();
        assert_eq!(count, 3);
        for (place, name) in found.iter().enumerate() {
            // SAFETY: there are three pointers to texts.
            let text = unsafe { text(*array.add(place)) };
            assert_eq!(text.unwrap(), name);
        }
        // SAFETY: it was made by malloc.
        unsafe { libc::free(array.cast()) };
        assert!(array_of(&[]).unwrap().1.is_null());
    }

    #[test]
    fn all_are_asked_and_the_first_failure_is_told() {
        let names = ["gone", "busy", "fine", "full"].map(str::to_owned);
        let mut asked = Vec::new();
        let result = as_far_as_it_goes(&names, |name| {
            asked.push(name.to_owned());
            let code = match name {
                "gone" => Code::NotFound,
                "busy" => Code::BadState,
                "full" => Code::System,
                _ => return Ok(()),
            };
            let message = name.to_owned();
            Err(Error::Request { code, message })
        });
        assert_eq!(asked, names);
        assert_eq!(result.unwrap_err().code(), Code::BadState);
        let gone = |name: &str| {
            let (code, message) = (Code::NotFound, name.to_owned());
            Err(Error::Request { code, message })
        };
        assert!(as_far_as_it_goes(&names, gone).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused_before_the_daemon_is_asked() {
        use vrrp_ret_t::VRRP_EINVAL;
        // SAFETY: texts have an end, and NULL is allowed or refused.
        unsafe {
            assert_eq!(vrrp_create(ptr::null()), VRRP_EINVAL);
            let none = ptr::null_mut();
            assert_eq!(
                vrrp_query(ptr::null(), none, ptr::null_mut(), ptr::null_mut()),
                VRRP_EINVAL
            );
            assert_eq!(vrrp_setprop(c"a".as_ptr(), 255, 0, -1, -1), VRRP_EINVAL);
            assert_eq!(vrrp_setprop(c"a".as_ptr(), 255, 256, -1, -1), VRRP_EINVAL);
            assert_eq!(vrrp_setprop(c"a".as_ptr(), 255, -1, 2, -1), VRRP_EINVAL);
            assert_eq!(
                vrrp_lookup(0, ptr::null(), 0, ptr::null_mut(), ptr::null_mut()),
                VRRP_EINVAL
            );
        }
    }
}
