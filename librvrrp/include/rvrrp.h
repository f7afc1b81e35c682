/* librvrrp: the interface of Sun's libvrrp (design document 0.9.4, appendix A) to rVRRPd.
 * docs/librvrrp.md describes it. Made by cbindgen from librvrrp/src: do not edit. */

#ifndef RVRRP_H
#define RVRRP_H

#include <stdint.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

// Version of this interface.
#define LIBVRRP_VERSION 1

// Bytes of the name of a virtual router with its end: 1 to 31 of `A-Z a-z 0-9 _ . -`. Sun had 16.
#define VNSIZ 32

// Bytes of the name of an interface with its end.
#define LIFNAMSIZ 32

// Bytes of the list of protected services with its end.
#define VRRP_MAXLEN_FMRI 512

// Bytes of a reason with its end.
#define VRRP_MAXLEN_REASON 64

// `vrrp_setprop()`: leave it as it is. As a `vrpri_t` it is 255, which nobody can set.
#define VI_PROP_UNCHANGE -1

// `vrrp_setprop()`: a higher priority takes over.
#define VI_PROP_PREEMPT 1

// `vrrp_setprop()`: it does not.
#define VI_PROP_UNPREEMPT 0

// `vrrp_setprop()`: packets to the virtual addresses are accepted.
#define VI_PROP_ACCEPT 1

// `vrrp_setprop()`: they are not.
#define VI_PROP_NOTACCEPT 0

// How something went.
typedef enum {
  // It is done.
  VRRP_SUCCESS = 0,
  // Invalid parameter.
  VRRP_EINVAL,
  // Invalid name of a virtual router.
  VRRP_ENAMEINVAL,
  // Not in the state that it is in.
  VRRP_EBADSTATE,
  // The interface has a virtual router of this VRID and family.
  VRRP_EVREXIST,
  // There is a virtual router of this name.
  VRRP_EINSTEXIST,
  // The interface does not follow from the addresses.
  VRRP_ENOROUTE,
  // Invalid virtual address.
  VRRP_EVRIP,
  // There is no such virtual router.
  VRRP_ENOINST,
  // Not permitted.
  VRRP_ENOOPERM,
  // Something else failed: the daemon does not run, no memory, the disk is full.
  VRRP_ESYS,
} vrrp_ret_t;

// What kind of event it is.
typedef enum {
  // None: nothing happened in the time that was given.
  VRRP_EV_NONE = 0,
  // A virtual router as it is when the subscription begins.
  VRRP_EV_SNAPSHOT,
  // It is new: from `VRRP_STATE_NONE`.
  VRRP_EV_ADDED,
  // It is deleted: to `VRRP_STATE_NONE`.
  VRRP_EV_REMOVED,
  // Its state changed.
  VRRP_EV_STATE,
  // What keeps it in Init changed.
  VRRP_EV_READINESS,
  // Its effective priority changed.
  VRRP_EV_PRIORITY,
  // It has another configuration.
  VRRP_EV_CONFIGURED,
  // It refused `ve_count` packets because of `ve_reason`.
  VRRP_EV_PROTOCOL_ERROR,
  // `ve_count` events were lost: too much happened, or nobody read.
  VRRP_EV_LOST,
  // One that this version does not know.
  VRRP_EV_OTHER,
} vrrp_event_type_t;

// A subscription to the events of the daemon. One thread at a time uses it.
typedef struct vrrp_sub_t vrrp_sub_t;

// True or false.
typedef int boolean_t;

// VRID, 1 to 255.
typedef uint8_t vrid_t;

// An address of the family `af`.
typedef union {
  // IPv4.
  struct in_addr in4;
  // IPv6.
  struct in6_addr in6;
} vrrp_in_addr_t;

// An address; all bytes zero: none.
typedef struct {
  // `AF_INET`, `AF_INET6`, or 0 for none.
  int af;
  // The address.
  vrrp_in_addr_t in;
} vrrp_addr_t;

// Priority of a virtual router.
typedef uint8_t vrpri_t;

// A virtual router as it is configured. Fill it with zeros first.
typedef struct {
  // Its name.
  char vi_name[VNSIZ];
  // Whether it is started; one that is not stays in Init.
  boolean_t vi_active;
  // VRID, 1 to 255.
  vrid_t vi_id;
  // `AF_INET` or `AF_INET6`.
  int vi_af;
  // Source of the advertisements; none: an address of the interface.
  vrrp_addr_t vi_pip;
  // How many virtual addresses there are, 1 to 255.
  uint8_t vi_ipnum;
  // Virtual addresses, `struct in_addr` or `struct in6_addr` by `vi_af`. Of `vrrp_query()` it
  // is the caller's to free(3).
  void *vi_ip;
  // Interface. Empty: the one that has `vi_pip`, or the one with the subnet of the first
  // virtual address.
  char vi_ifname[LIFNAMSIZ];
  // Priority, 1 to 254.
  vrpri_t vi_prio;
  // Seconds between advertisements.
  int vi_adv_intv;
  // Whether a higher priority takes over.
  boolean_t vi_preempt_mode;
  // Whether packets to the virtual addresses are accepted.
  boolean_t vi_accept_mode;
  // Services that it protects: systemd units, separated by commas.
  char vi_prot_fmri[VRRP_MAXLEN_FMRI];
  // Milliseconds beyond `vi_adv_intv`, 0 to 999. Sun had none.
  int vi_adv_msec;
} vrrp_inst_t;

// State or sub-state.
typedef uint8_t vrrp_state_t;

// The state of a virtual router.
typedef struct {
  // State.
  vrrp_state_t vs_cur_state;
  // Sub-state of Init.
  vrrp_state_t vs_cur_substate;
  // State before; `VRRP_STATE_NONE` if there was none.
  vrrp_state_t vs_prev_state;
  // Sub-state before. The daemon does not keep it: `VRRP_STATE_NONE`.
  vrrp_state_t vs_prev_substate;
  // When the state changed last; zero if it never did.
  struct timeval vs_st_time;
} vrrp_status_t;

// The last advertisement that was accepted; all zero if there was none.
typedef struct {
  // Its source.
  vrrp_addr_t vai_addr;
  // Its priority.
  vrpri_t vai_prio;
  // When it came.
  struct timeval vai_time;
  // How long ago that was.
  struct timeval vai_age;
  // Its advertisement interval.
  struct timeval vai_intv;
  // Skew time; zero but in Backup, as the rest.
  struct timeval vai_skew_time;
  // Master down interval.
  struct timeval vai_down_intv;
  // What is left of it.
  struct timeval vai_down_timer;
} vrrp_adv_info_t;

// Something that happened to a virtual router.
typedef struct {
  // `vrrp_event_version`: 1.
  int ve_version;
  // What kind of event it is.
  vrrp_event_type_t ve_type;
  // Number of the event; the next one has the next number.
  uint64_t ve_sequence;
  // When.
  struct timeval ve_time;
  // Name of the virtual router.
  char ve_name[VNSIZ];
  // State before.
  vrrp_state_t ve_prev_state;
  // State.
  vrrp_state_t ve_state;
  // Sub-state before.
  vrrp_state_t ve_prev_substate;
  // Sub-state.
  vrrp_state_t ve_substate;
  // Effective priority before.
  vrpri_t ve_prev_prio;
  // Effective priority, 255 for the owner of the addresses.
  vrpri_t ve_prio;
  // Why, in words joined by `-`: `master-timeout`. Empty: no reason is given.
  char ve_reason[VRRP_MAXLEN_REASON];
  // How many events were lost or packets refused.
  uint64_t ve_count;
} vrrp_event_t;

// False.
#define B_FALSE 0

// True; so is all that is not 0.
#define B_TRUE 1

// There is none: a virtual router that is not made yet or deleted; no sub-state.
#define VRRP_STATE_NONE 0

// Init.
#define VRRP_STATE_INIT 1

// Master.
#define VRRP_STATE_MAST 2

// Backup.
#define VRRP_STATE_BACK 3

// Init: an operator or the configuration disabled it.
#define VRRP_SUBSTATE_SHUTDOWN 4

// Init: a protected service does not run.
#define VRRP_SUBSTATE_PENDING 5

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Names the Unix socket of the daemon, for all threads; NULL: that of the daemon of this
// network namespace, `/run/rvrrpd/rvrrpd.sock` in the first one and
// `/run/rvrrpd/net-INODE/rvrrpd.sock` in others. Sun had none.
//
// # Safety
// `path` is NULL or a text with an end.
vrrp_ret_t vrrp_set_socket(const char *path);

// Says what a `vrrp_ret_t` means. The text is constant.
const char *vrrp_strerror(int err);

// Says what was wrong with the last call of this thread that failed, and what is allowed. The text
// stays until this thread calls another function. Sun had none.
const char *vrrp_errmsg(void);

// `LIBVRRP_VERSION` of the library that runs.
int vrrp_version(void);

// Makes a virtual router.
//
// # Safety
// `inst` is NULL or to a structure whose `vi_ip` is NULL or to `vi_ipnum` addresses.
vrrp_ret_t vrrp_create(const vrrp_inst_t *inst);

// Deletes a virtual router; NULL: all of them.
//
// # Safety
// `name` is NULL or a text with an end.
vrrp_ret_t vrrp_destroy(const char *name);

// Lets a virtual router take part; NULL: all of them.
//
// # Safety
// `name` is NULL or a text with an end.
vrrp_ret_t vrrp_startup(const char *name);

// Keeps a virtual router in Init; NULL: all of them.
//
// # Safety
// `name` is NULL or a text with an end.
vrrp_ret_t vrrp_shutdown(const char *name);

// Changes priority, seconds between advertisements, and modes; `VI_PROP_UNCHANGE` leaves one as it
// is.
//
// # Safety
// `name` is a text with an end.
vrrp_ret_t vrrp_setprop(const char *name, vrpri_t priority, int delay, int preempt, int accept);

// Changes the time between advertisements, in milliseconds; one that is no whole second is for
// routers of version 3. Sun had none.
//
// # Safety
// `name` is a text with an end.
vrrp_ret_t vrrp_set_interval(const char *name, unsigned int milliseconds);

// Tells what a virtual router is, in which state it is, and what it heard last; what is NULL is
// not told. `vi_ip` of `inst` is the caller's to free(3).
//
// # Safety
// `name` is a text with an end; the others are NULL or to room for their structure.
vrrp_ret_t vrrp_query(const char *name,
                      vrrp_inst_t *inst,
                      vrrp_status_t *stat,
                      vrrp_adv_info_t *adv);

// Tells the names of the virtual routers of a VRID, an interface and a family; 0 or NULL: any.
// Array and names are one piece of memory: the caller's to free(3), with one call, if `num` is not
// 0.
//
// # Safety
// `ifname` is NULL or a text with an end; `num` and `names` are to room for their values.
vrrp_ret_t vrrp_lookup(vrid_t id, const char *ifname, int af, int *num, char ***names);

// Begins to follow what happens: first there is one `VRRP_EV_SNAPSHOT` for each virtual router.
// Everybody may. Sun had none.
//
// # Safety
// `sub` is to room for a pointer.
vrrp_ret_t vrrp_subscribe(vrrp_sub_t **sub);

// A file descriptor that poll(2) finds readable when there is an event, and when there are no more.
// Nothing else may be done with it.
//
// # Safety
// `sub` is NULL or of `vrrp_subscribe()`.
int vrrp_event_fd(const vrrp_sub_t *sub);

// Waits for the next event: `timeout` milliseconds, or as long as it takes where that is negative.
// `VRRP_EV_NONE`: there was none in that time. `VRRP_ESYS`: there will be no more, the daemon has
// ended.
//
// # Safety
// `sub` is NULL or of `vrrp_subscribe()`; `event` is NULL or to room for one.
vrrp_ret_t vrrp_next_event(vrrp_sub_t *sub, vrrp_event_t *event, int timeout);

// Ends a subscription; NULL is none.
//
// # Safety
// `sub` is NULL or of `vrrp_subscribe()`, and nobody uses it any more.
void vrrp_unsubscribe(vrrp_sub_t *sub);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RVRRP_H */
