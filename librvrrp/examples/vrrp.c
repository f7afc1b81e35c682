/*
 * Every function of librvrrp, one command each:
 *
 *   cc -Wall -o vrrp vrrp.c $(pkg-config --cflags --libs rvrrp)
 *   ./vrrp SOCKET COMMAND ...
 *
 * Exit code: the vrrp_ret_t, 64 for bad usage.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <rvrrp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USAGE 64

static vrrp_ret_t told(const char *what, vrrp_ret_t ret)
{
    if (ret != VRRP_SUCCESS)
        fprintf(stderr, "%s: %s: %s\n", what, vrrp_strerror(ret), vrrp_errmsg());
    return ret;
}

static const char *state_name(vrrp_state_t state)
{
    static const char *const names[] = {"NONE", "INIT", "MAST", "BACK", "shutdown", "pending"};
    return state < sizeof names / sizeof names[0] ? names[state] : "?";
}

/* create NAME VRID LINK|- PRIO SECONDS MILLISECONDS PRIMARY|- ADDR... */
static vrrp_ret_t create(int argc, char **argv)
{
    struct in_addr in4[255];
    struct in6_addr in6[255];
    vrrp_inst_t inst;
    int at, is_ipv6;

    if (argc < 8)
        return USAGE;
    memset(&inst, 0, sizeof inst);
    snprintf(inst.vi_name, sizeof inst.vi_name, "%s", argv[0]);
    inst.vi_active = B_TRUE;
    inst.vi_id = (vrid_t)atoi(argv[1]);
    if (strcmp(argv[2], "-") != 0)
        snprintf(inst.vi_ifname, sizeof inst.vi_ifname, "%s", argv[2]);
    inst.vi_prio = (vrpri_t)atoi(argv[3]);
    inst.vi_adv_intv = atoi(argv[4]);
    inst.vi_adv_msec = atoi(argv[5]);
    inst.vi_preempt_mode = B_TRUE;
    inst.vi_accept_mode = B_TRUE;
    is_ipv6 = strchr(argv[7], ':') != NULL;
    inst.vi_af = is_ipv6 ? AF_INET6 : AF_INET;
    if (strcmp(argv[6], "-") != 0) {
        inst.vi_pip.af = inst.vi_af;
        if (inet_pton(inst.vi_af, argv[6], &inst.vi_pip.in) != 1)
            return USAGE;
    }
    inst.vi_ip = is_ipv6 ? (void *)in6 : (void *)in4;
    for (at = 7; at < argc && at < 7 + 255; at++, inst.vi_ipnum++) {
        void *to = is_ipv6 ? (void *)&in6[inst.vi_ipnum] : (void *)&in4[inst.vi_ipnum];
        if (inet_pton(inst.vi_af, argv[at], to) != 1)
            return USAGE;
    }
    return told("vrrp_create", vrrp_create(&inst));
}

/* query NAME */
static vrrp_ret_t query(const char *name)
{
    vrrp_inst_t inst;
    vrrp_status_t stat;
    vrrp_adv_info_t adv;
    char text[INET6_ADDRSTRLEN];
    vrrp_ret_t ret = told("vrrp_query", vrrp_query(name, &inst, &stat, &adv));
    int at;

    if (ret != VRRP_SUCCESS)
        return ret;
    printf("name=%s\nactive=%d\nvrid=%d\nifname=%s\n", inst.vi_name, inst.vi_active, inst.vi_id,
           inst.vi_ifname);
    if (inst.vi_pip.af != 0)
        printf("primary=%s\n", inet_ntop(inst.vi_pip.af, &inst.vi_pip.in, text, sizeof text));
    for (at = 0; at < inst.vi_ipnum; at++) {
        const void *from = inst.vi_af == AF_INET6 ? (void *)((struct in6_addr *)inst.vi_ip + at)
                                                  : (void *)((struct in_addr *)inst.vi_ip + at);
        printf("ip=%s\n", inet_ntop(inst.vi_af, from, text, sizeof text));
    }
    free(inst.vi_ip);
    printf("prio=%d\ninterval=%d.%03d\npreempt=%d\naccept=%d\n", inst.vi_prio, inst.vi_adv_intv,
           inst.vi_adv_msec, inst.vi_preempt_mode, inst.vi_accept_mode);
    printf("state=%s\nsubstate=%s\nprevious=%s\nprevious_substate=%s\nsince=%lld\n",
           state_name(stat.vs_cur_state), state_name(stat.vs_cur_substate),
           state_name(stat.vs_prev_state), state_name(stat.vs_prev_substate),
           (long long)stat.vs_st_time.tv_sec);
    if (adv.vai_addr.af != 0) {
        printf("peer=%s\n", inet_ntop(adv.vai_addr.af, &adv.vai_addr.in, text, sizeof text));
        printf("peer_prio=%d\npeer_interval=%lld.%06lld\n", adv.vai_prio,
               (long long)adv.vai_intv.tv_sec, (long long)adv.vai_intv.tv_usec);
        printf("down_interval=%lld.%06lld\n", (long long)adv.vai_down_intv.tv_sec,
               (long long)adv.vai_down_intv.tv_usec);
    }
    return VRRP_SUCCESS;
}

/* lookup VRID LINK|- 4|6|0 */
static vrrp_ret_t lookup(char **argv)
{
    int af = strcmp(argv[2], "4") == 0 ? AF_INET : strcmp(argv[2], "6") == 0 ? AF_INET6 : 0;
    const char *link = strcmp(argv[1], "-") == 0 ? NULL : argv[1];
    char **names;
    int num, at;
    vrrp_ret_t ret =
        told("vrrp_lookup", vrrp_lookup((vrid_t)atoi(argv[0]), link, af, &num, &names));

    for (at = 0; at < num; at++)
        puts(names[at]);
    if (num != 0)
        free(names);
    return ret;
}

/* set NAME PRIO SECONDS PREEMPT ACCEPT: -1 leaves one as it is */
static vrrp_ret_t set(char **argv)
{
    return told("vrrp_setprop", vrrp_setprop(argv[0], (vrpri_t)atoi(argv[1]), atoi(argv[2]),
                                             atoi(argv[3]), atoi(argv[4])));
}

/* follow: until standard input ends */
static vrrp_ret_t follow(void)
{
    vrrp_sub_t *sub;
    vrrp_event_t event;
    vrrp_ret_t ret = told("vrrp_subscribe", vrrp_subscribe(&sub));

    if (ret != VRRP_SUCCESS)
        return ret;
    for (;;) {
        struct pollfd fds[2] = {{.fd = vrrp_event_fd(sub), .events = POLLIN},
                                {.fd = 0, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            break;
        ret = told("vrrp_next_event", vrrp_next_event(sub, &event, 0));
        if (ret != VRRP_SUCCESS)
            break;
        if (event.ve_type == VRRP_EV_NONE)
            continue;
        printf("%d %s %s/%s %s/%s %d %d %s %llu\n", event.ve_type, event.ve_name,
               state_name(event.ve_prev_state), state_name(event.ve_prev_substate),
               state_name(event.ve_state), state_name(event.ve_substate), event.ve_prev_prio,
               event.ve_prio, event.ve_reason[0] != '\0' ? event.ve_reason : "-",
               (unsigned long long)event.ve_count);
        fflush(stdout);
    }
    vrrp_unsubscribe(sub);
    return ret;
}

static int usage(void)
{
    fputs("usage: vrrp SOCKET COMMAND ...   SOCKET: that of rvrrpd, /run/rvrrpd/rvrrpd.sock\n"
          "  create NAME VRID LINK|- PRIO SECONDS MILLISECONDS PRIMARY|- ADDR...\n"
          "  query NAME\n"
          "  lookup VRID|0 LINK|- 4|6|0\n"
          "  set NAME PRIO SECONDS PREEMPT ACCEPT   -1 leaves one as it is, a PRIO of 255 too\n"
          "  interval NAME MILLISECONDS\n"
          "  startup|shutdown|destroy [NAME]        all of them without a name\n"
          "  follow                                 until standard input ends\n",
          stderr);
    return USAGE;
}

static int run(int argc, char **argv)
{
    const char *command = argc > 2 ? argv[2] : "";
    /* Of an order to all of them there is no name. */
    const char *name = argc > 3 ? argv[3] : NULL;

    if (argc < 3 || vrrp_version() != LIBVRRP_VERSION)
        return USAGE;
    if (vrrp_set_socket(argv[1]) != VRRP_SUCCESS)
        return USAGE;
    if (strcmp(command, "create") == 0)
        return create(argc - 3, argv + 3);
    if (strcmp(command, "query") == 0 && name != NULL)
        return query(name);
    if (strcmp(command, "lookup") == 0 && argc == 6)
        return lookup(argv + 3);
    if (strcmp(command, "set") == 0 && argc == 8)
        return set(argv + 3);
    if (strcmp(command, "interval") == 0 && argc == 5)
        return told("vrrp_set_interval", vrrp_set_interval(name, (unsigned)atoi(argv[4])));
    if (strcmp(command, "startup") == 0)
        return told("vrrp_startup", vrrp_startup(name));
    if (strcmp(command, "shutdown") == 0)
        return told("vrrp_shutdown", vrrp_shutdown(name));
    if (strcmp(command, "destroy") == 0)
        return told("vrrp_destroy", vrrp_destroy(name));
    if (strcmp(command, "follow") == 0)
        return follow();
    return USAGE;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);

    return code == USAGE ? usage() : code;
}
