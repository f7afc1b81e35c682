//! The types of the interface: names, order and meaning of libvrrp.

use core::ffi::{c_char, c_int, c_void};

use libc::{in_addr, in6_addr, timeval};

/// Version of this interface.
pub const LIBVRRP_VERSION: c_int = 1;

/// Bytes of the name of a virtual router with its end: 1 to 31 of `A-Z a-z 0-9 _ . -`. Sun had 16.
pub const VNSIZ: usize = 32;
/// Bytes of the name of an interface with its end.
pub const LIFNAMSIZ: usize = 32;
/// Bytes of the list of protected services with its end.
pub const VRRP_MAXLEN_FMRI: usize = 512;
/// Bytes of a reason with its end.
pub const VRRP_MAXLEN_REASON: usize = 64;

/// True or false.
pub type boolean_t = c_int;
/// False.
pub const B_FALSE: boolean_t = 0;
/// True; so is all that is not 0.
pub const B_TRUE: boolean_t = 1;

/// Priority of a virtual router.
pub type vrpri_t = u8;
/// VRID, 1 to 255.
pub type vrid_t = u8;
/// State or sub-state.
pub type vrrp_state_t = u8;

/// There is none: a virtual router that is not made yet or deleted; no sub-state.
pub const VRRP_STATE_NONE: vrrp_state_t = 0;
/// Init.
pub const VRRP_STATE_INIT: vrrp_state_t = 1;
/// Master.
pub const VRRP_STATE_MAST: vrrp_state_t = 2;
/// Backup.
pub const VRRP_STATE_BACK: vrrp_state_t = 3;
/// Init: an operator or the configuration disabled it.
pub const VRRP_SUBSTATE_SHUTDOWN: vrrp_state_t = 4;
/// Init: a protected service does not run.
pub const VRRP_SUBSTATE_PENDING: vrrp_state_t = 5;

/// `vrrp_setprop()`: leave it as it is. As a `vrpri_t` it is 255, which nobody can set.
pub const VI_PROP_UNCHANGE: c_int = -1;
/// `vrrp_setprop()`: a higher priority takes over.
pub const VI_PROP_PREEMPT: c_int = 1;
/// `vrrp_setprop()`: it does not.
pub const VI_PROP_UNPREEMPT: c_int = 0;
/// `vrrp_setprop()`: packets to the virtual addresses are accepted.
pub const VI_PROP_ACCEPT: c_int = 1;
/// `vrrp_setprop()`: they are not.
pub const VI_PROP_NOTACCEPT: c_int = 0;

/// How something went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub enum vrrp_ret_t {
    /// It is done.
    VRRP_SUCCESS = 0,
    /// Invalid parameter.
    VRRP_EINVAL,
    /// Invalid name of a virtual router.
    VRRP_ENAMEINVAL,
    /// Not in the state that it is in.
    VRRP_EBADSTATE,
    /// The interface has a virtual router of this VRID and family.
    VRRP_EVREXIST,
    /// There is a virtual router of this name.
    VRRP_EINSTEXIST,
    /// The interface does not follow from the addresses.
    VRRP_ENOROUTE,
    /// Invalid virtual address.
    VRRP_EVRIP,
    /// There is no such virtual router.
    VRRP_ENOINST,
    /// Not permitted.
    VRRP_ENOOPERM,
    /// Something else failed: the daemon does not run, no memory, the disk is full.
    VRRP_ESYS,
}

/// An address of the family `af`.
#[derive(Clone, Copy)]
#[repr(C)]
pub union vrrp_in_addr_t {
    /// IPv4.
    pub in4: in_addr,
    /// IPv6.
    pub in6: in6_addr,
}

/// An address; all bytes zero: none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct vrrp_addr_t {
    /// `AF_INET`, `AF_INET6`, or 0 for none.
    pub af: c_int,
    /// The address.
    pub r#in: vrrp_in_addr_t,
}

/// A virtual router as it is configured. Fill it with zeros first.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct vrrp_inst_t {
    /// Its name.
    pub vi_name: [c_char; VNSIZ],
    /// Whether it is started; one that is not stays in Init.
    pub vi_active: boolean_t,
    /// VRID, 1 to 255.
    pub vi_id: vrid_t,
    /// `AF_INET` or `AF_INET6`.
    pub vi_af: c_int,
    /// Source of the advertisements; none: an address of the interface.
    pub vi_pip: vrrp_addr_t,
    /// How many virtual addresses there are, 1 to 255.
    pub vi_ipnum: u8,
    /// Virtual addresses, `struct in_addr` or `struct in6_addr` by `vi_af`. Of `vrrp_query()` it
    /// is the caller's to free(3).
    pub vi_ip: *mut c_void,
    /// Interface. Empty: the one that has `vi_pip`, or the one with the subnet of the first
    /// virtual address.
    pub vi_ifname: [c_char; LIFNAMSIZ],
    /// Priority, 1 to 254.
    pub vi_prio: vrpri_t,
    /// Seconds between advertisements.
    pub vi_adv_intv: c_int,
    /// Whether a higher priority takes over.
    pub vi_preempt_mode: boolean_t,
    /// Whether packets to the virtual addresses are accepted.
    pub vi_accept_mode: boolean_t,
    /// Services that it protects: systemd units, separated by commas.
    pub vi_prot_fmri: [c_char; VRRP_MAXLEN_FMRI],
    /// Milliseconds beyond `vi_adv_intv`, 0 to 999. Sun had none.
    pub vi_adv_msec: c_int,
}

/// The state of a virtual router.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct vrrp_status_t {
    /// State.
    pub vs_cur_state: vrrp_state_t,
    /// Sub-state of Init.
    pub vs_cur_substate: vrrp_state_t,
    /// State before; `VRRP_STATE_NONE` if there was none.
    pub vs_prev_state: vrrp_state_t,
    /// Sub-state before. The daemon does not keep it: `VRRP_STATE_NONE`.
    pub vs_prev_substate: vrrp_state_t,
    /// When the state changed last; zero if it never did.
    pub vs_st_time: timeval,
}

/// The last advertisement that was accepted; all zero if there was none.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct vrrp_adv_info_t {
    /// Its source.
    pub vai_addr: vrrp_addr_t,
    /// Its priority.
    pub vai_prio: vrpri_t,
    /// When it came.
    pub vai_time: timeval,
    /// How long ago that was.
    pub vai_age: timeval,
    /// Its advertisement interval.
    pub vai_intv: timeval,
    /// Skew time; zero but in Backup, as the rest.
    pub vai_skew_time: timeval,
    /// Master down interval.
    pub vai_down_intv: timeval,
    /// What is left of it.
    pub vai_down_timer: timeval,
}

/// What kind of event it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(C)]
pub enum vrrp_event_type_t {
    /// None: nothing happened in the time that was given.
    VRRP_EV_NONE = 0,
    /// A virtual router as it is when the subscription begins.
    VRRP_EV_SNAPSHOT,
    /// It is new: from `VRRP_STATE_NONE`.
    VRRP_EV_ADDED,
    /// It is deleted: to `VRRP_STATE_NONE`.
    VRRP_EV_REMOVED,
    /// Its state changed.
    VRRP_EV_STATE,
    /// What keeps it in Init changed.
    VRRP_EV_READINESS,
    /// Its effective priority changed.
    VRRP_EV_PRIORITY,
    /// It has another configuration.
    VRRP_EV_CONFIGURED,
    /// It refused `ve_count` packets because of `ve_reason`.
    VRRP_EV_PROTOCOL_ERROR,
    /// `ve_count` events were lost: too much happened, or nobody read.
    VRRP_EV_LOST,
    /// One that this version does not know.
    VRRP_EV_OTHER,
}

/// Something that happened to a virtual router.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct vrrp_event_t {
    /// `vrrp_event_version`: 1.
    pub ve_version: c_int,
    /// What kind of event it is.
    pub ve_type: vrrp_event_type_t,
    /// Number of the event; the next one has the next number.
    pub ve_sequence: u64,
    /// When.
    pub ve_time: timeval,
    /// Name of the virtual router.
    pub ve_name: [c_char; VNSIZ],
    /// State before.
    pub ve_prev_state: vrrp_state_t,
    /// State.
    pub ve_state: vrrp_state_t,
    /// Sub-state before.
    pub ve_prev_substate: vrrp_state_t,
    /// Sub-state.
    pub ve_substate: vrrp_state_t,
    /// Effective priority before.
    pub ve_prev_prio: vrpri_t,
    /// Effective priority, 255 for the owner of the addresses.
    pub ve_prio: vrpri_t,
    /// Why, in words joined by `-`: `master-timeout`. Empty: no reason is given.
    pub ve_reason: [c_char; VRRP_MAXLEN_REASON],
    /// How many events were lost or packets refused.
    pub ve_count: u64,
}
