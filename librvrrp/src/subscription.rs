//! Events. Sun's daemon sent system events (design document 0.9.4, §4.4), which Linux has not; here
//! a thread reads them from the daemon and hands them on.

use core::ffi::c_int;
use core::mem::{MaybeUninit, zeroed};
use core::ptr;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rvrrpadm::{Event, Router, Stopper, Subscription};
use serde_json::Value;

use crate::daemon::client;
use crate::failure::{Failure, invalid, system, told};
use crate::report;
use crate::text;
use crate::types::{VRRP_STATE_NONE, vrrp_event_t, vrrp_event_type_t, vrrp_ret_t};

/// Events that wait for the program; then the daemon keeps them, and then they are lost.
const WAITING: usize = 1024;

/// A subscription to the events of the daemon. One thread at a time uses it.
pub struct vrrp_sub_t {
    events: Receiver<Result<vrrp_event_t, Failure>>,
    /// One byte for each event that waits.
    bell: UnixStream,
    stopper: Option<Stopper>,
    thread: Option<JoinHandle<()>>,
}

/// Begins to follow what happens: first there is one `VRRP_EV_SNAPSHOT` for each virtual router.
/// Everybody may. Sun had none.
///
/// # Safety
/// `sub` is to room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_subscribe(sub: *mut *mut vrrp_sub_t) -> vrrp_ret_t {
    if sub.is_null() {
        return told(Err(invalid("sub is NULL")));
    }
    // SAFETY: the caller says that there is room.
    unsafe { sub.write(ptr::null_mut()) };
    told(subscribe().map(|made| {
        // SAFETY: the caller says that there is room.
        unsafe { sub.write(Box::into_raw(Box::new(made))) };
    }))
}

/// A file descriptor that poll(2) finds readable when there is an event, and when there are no more.
/// Nothing else may be done with it.
///
/// # Safety
/// `sub` is NULL or of `vrrp_subscribe()`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_event_fd(sub: *const vrrp_sub_t) -> c_int {
    // SAFETY: the caller says so.
    let sub = unsafe { sub.as_ref() };
    sub.map_or(-1, |sub| sub.bell.as_raw_fd())
}

/// Waits for the next event: `timeout` milliseconds, or as long as it takes where that is negative.
/// `VRRP_EV_NONE`: there was none in that time. `VRRP_ESYS`: there will be no more, the daemon has
/// ended.
///
/// # Safety
/// `sub` is NULL or of `vrrp_subscribe()`; `event` is NULL or to room for one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_next_event(
    sub: *mut vrrp_sub_t,
    event: *mut vrrp_event_t,
    timeout: c_int,
) -> vrrp_ret_t {
    // SAFETY: the caller says so.
    let Some(sub) = (unsafe { sub.as_mut() }) else {
        return told(Err(invalid("sub is NULL")));
    };
    if event.is_null() {
        return told(Err(invalid("event is NULL")));
    }
    let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
    told(sub.next(limit).map(|next| {
        // SAFETY: the caller says that there is room.
        unsafe { event.write(next.unwrap_or_else(nothing)) };
    }))
}

/// Ends a subscription; NULL is none.
///
/// # Safety
/// `sub` is NULL or of `vrrp_subscribe()`, and nobody uses it any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn vrrp_unsubscribe(sub: *mut vrrp_sub_t) {
    if !sub.is_null() {
        // SAFETY: it was made by Box::into_raw(), and the caller gives it back.
        drop(unsafe { Box::from_raw(sub) });
    }
}

/// The event that nothing happened.
fn nothing() -> vrrp_event_t {
    // SAFETY: all of it is numbers, and an enumeration whose first value is 0.
    let mut event: vrrp_event_t = unsafe { zeroed() };
    event.ve_version = 1;
    event
}

fn subscribe() -> Result<vrrp_sub_t, Failure> {
    let events = client().subscribe()?;
    let stopper = events.stopper();
    let failed = |error: io::Error| system(format!("no subscription: {error}"));
    let (bell, ringer) = UnixStream::pair().map_err(failed)?;
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let thread = without_signals(|| {
        thread::Builder::new()
            .name("vrrp-events".to_owned())
            .stack_size(256 * 1024)
            .spawn(move || forward(events, &sender, ringer))
    });
    Ok(vrrp_sub_t {
        events: receiver,
        bell,
        stopper,
        thread: Some(thread.map_err(failed)?),
    })
}

/// Lets a thread be made that gets no signals: they are the program's.
fn without_signals<T>(make: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::uninit();
    let mut before = MaybeUninit::uninit();
    // SAFETY: sigfillset fills the set that the second call reads, and both sets have room; the
    // calls cannot fail with these arguments.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let made = make();
    // SAFETY: the set was filled by the call above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    made
}

/// Hands events on until the daemon ends or nobody wants them. The bell closes with it.
fn forward(
    events: Subscription,
    sender: &SyncSender<Result<vrrp_event_t, Failure>>,
    mut ringer: UnixStream,
) {
    let mut hand_on = |it: Result<vrrp_event_t, Failure>| {
        let is_last = it.is_err();
        sender.send(it).is_ok() && ringer.write_all(&[0]).is_ok() && !is_last
    };
    for event in events {
        let all = match event {
            Ok(event) => translated(&event),
            Err(error) => {
                hand_on(Err(error.into()));
                return;
            }
        };
        if !all.into_iter().map(Ok).all(&mut hand_on) {
            return;
        }
    }
}

impl vrrp_sub_t {
    fn next(&mut self, limit: Option<Duration>) -> Result<Option<vrrp_event_t>, Failure> {
        if !readable(&self.bell, limit)? {
            return Ok(None);
        }
        let mut one = [0];
        let ended = || system("the daemon ended the events");
        match self.bell.read(&mut one) {
            Ok(1) => match self.events.try_recv() {
                Ok(event) => event.map(Some),
                Err(_) => Err(ended()),
            },
            _ => Err(ended()),
        }
    }
}

impl Drop for vrrp_sub_t {
    fn drop(&mut self) {
        // Who waits for the daemon is woken by the first, who waits for the program by the others.
        let stops = self.stopper.take().map(|stopper| stopper.stop()).is_some();
        // Nobody else has the other end.
        let _ended = self.bell.shutdown(std::net::Shutdown::Both);
        while self.events.try_recv().is_ok() {}
        if let Some(thread) = self.thread.take().filter(|_| stops) {
            // Who still has an event to hand on finds the bell closed.
            let _panicked = thread.join();
        }
    }
}

/// Waits until there is something to read.
fn readable(socket: &UnixStream, limit: Option<Duration>) -> Result<bool, Failure> {
    let end = limit.map(|limit| Instant::now() + limit);
    loop {
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        // Rounded up: what is left of a millisecond is waited for, too.
        let left = left.map_or(-1, |left| {
            c_int::try_from(left.as_micros().div_ceil(1000)).unwrap_or(c_int::MAX)
        });
        let mut poll = libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: the pointer is to one structure.
        match unsafe { libc::poll(&raw mut poll, 1, left) } {
            0 => return Ok(false),
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(system(format!("poll: {error}")));
                }
            }
            _ => return Ok(true),
        }
    }
}

/// The events for C; a snapshot is one for each virtual router.
fn translated(event: &Event) -> Vec<vrrp_event_t> {
    if event.event != "snapshot" {
        return vec![one(event)];
    }
    let routers = event.data.get("routers").and_then(Value::as_array);
    let routers = routers.into_iter().flatten();
    routers
        .filter_map(|router| serde_json::from_value::<Router>(router.clone()).ok())
        .map(|router| {
            let state = report::state(Some(router.state));
            let substate = report::substate(router.substate);
            vrrp_event_t {
                ve_type: vrrp_event_type_t::VRRP_EV_SNAPSHOT,
                ve_sequence: event.sequence.unwrap_or_default(),
                ve_name: text::array(&router.name),
                ve_prev_state: state,
                ve_state: state,
                ve_prev_substate: substate,
                ve_substate: substate,
                ve_prev_prio: router.priority,
                ve_prio: router.priority,
                ..nothing()
            }
        })
        .collect()
}

fn one(event: &Event) -> vrrp_event_t {
    use vrrp_event_type_t as Type;
    let kind = match event.event.as_str() {
        "added" => Type::VRRP_EV_ADDED,
        "removed" => Type::VRRP_EV_REMOVED,
        "state" => Type::VRRP_EV_STATE,
        "readiness" => Type::VRRP_EV_READINESS,
        "priority" => Type::VRRP_EV_PRIORITY,
        "configured" => Type::VRRP_EV_CONFIGURED,
        "protocol-error" => Type::VRRP_EV_PROTOCOL_ERROR,
        "lost" => Type::VRRP_EV_LOST,
        _ => Type::VRRP_EV_OTHER,
    };
    let mut one = vrrp_event_t {
        ve_type: kind,
        ve_sequence: event.sequence.unwrap_or_default(),
        ve_time: text::time(event.time.as_deref()),
        ve_name: text::array(event.name.as_deref().unwrap_or_default()),
        ve_prev_state: report::state(event.previous),
        ve_state: report::state(event.state),
        ve_prev_substate: report::substate(event.previous_substate),
        ve_substate: report::substate(event.substate),
        ve_prev_prio: event.previous_priority.unwrap_or_default(),
        ve_prio: event.priority.unwrap_or_default(),
        ve_reason: text::array(event.reason.as_deref().unwrap_or_default()),
        ve_count: event.count.unwrap_or_default(),
        ..nothing()
    };
    match kind {
        Type::VRRP_EV_ADDED => {
            one.ve_prev_state = VRRP_STATE_NONE;
            one.ve_prev_substate = VRRP_STATE_NONE;
        }
        Type::VRRP_EV_REMOVED => {
            one.ve_state = VRRP_STATE_NONE;
            one.ve_substate = VRRP_STATE_NONE;
        }
        _ => {}
    }
    one
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::types::{VRRP_STATE_BACK, VRRP_STATE_INIT, VRRP_SUBSTATE_SHUTDOWN};

    fn event(data: Value) -> Event {
        let mut event: Event = serde_json::from_value(data.clone()).unwrap();
        event.data = data;
        event
    }

    #[test]
    fn a_snapshot_is_an_event_for_each_router() {
        let all = translated(&event(json!({
            "event": "snapshot", "sequence": 7, "routers": [
                {"name": "a", "group": 1, "interface": "e", "state": "Backup", "priority": 9},
                {"name": "b", "group": 2, "interface": "e", "state": "Init", "priority": 8,
                 "substate": "shutdown"},
            ],
        })));
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].ve_type, vrrp_event_type_t::VRRP_EV_SNAPSHOT);
        assert_eq!((all[0].ve_state, all[0].ve_sequence), (VRRP_STATE_BACK, 7));
        assert_eq!(
            (all[1].ve_state, all[1].ve_substate, all[1].ve_prio),
            (VRRP_STATE_INIT, VRRP_SUBSTATE_SHUTDOWN, 8)
        );
    }

    #[test]
    fn who_is_made_comes_from_nothing_and_who_is_deleted_goes_there() {
        let of = |kind: &str| {
            one(&event(json!({
                "event": kind, "name": "a", "previous": "Init", "state": "Init",
                "previous_substate": "shutdown", "substate": "shutdown",
            })))
        };
        let (added, removed) = (of("added"), of("removed"));
        assert_eq!((added.ve_prev_state, added.ve_state), (0, VRRP_STATE_INIT));
        assert_eq!(
            (removed.ve_prev_state, removed.ve_state),
            (VRRP_STATE_INIT, 0)
        );
        assert_eq!((added.ve_prev_substate, removed.ve_substate), (0, 0));
        assert_eq!(of("of tomorrow").ve_type, vrrp_event_type_t::VRRP_EV_OTHER);
    }

    /// Who unsubscribes while a thread hands on more than anybody reads does not wait for it.
    #[test]
    fn nobody_waits_for_who_does_not_read() {
        let (bell, mut ringer) = UnixStream::pair().unwrap();
        let (sender, events) = mpsc::sync_channel(4);
        let thread = thread::spawn(move || {
            while sender.send(Ok(nothing())).is_ok() && ringer.write_all(&[0]).is_ok() {}
        });
        let mut sub = vrrp_sub_t {
            events,
            bell,
            stopper: None,
            thread: None,
        };
        for _ in 0..10 {
            assert!(sub.next(None).unwrap().is_some());
        }
        drop(sub);
        thread.join().unwrap();
        let (bell, ringer) = UnixStream::pair().unwrap();
        let (sender, events) = mpsc::sync_channel(4);
        let mut quiet = vrrp_sub_t {
            events,
            bell,
            stopper: None,
            thread: None,
        };
        assert!(
            quiet
                .next(Some(Duration::from_millis(1)))
                .unwrap()
                .is_none()
        );
        drop((ringer, sender));
        let ended = quiet.next(None).map(drop).unwrap_err();
        assert_eq!(ended.code, vrrp_ret_t::VRRP_ESYS);
    }
}
