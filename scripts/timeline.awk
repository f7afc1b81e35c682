# Draws one change of the Master to scale, then tells it in figures.
#
# Input: `tcpdump -ttnne` of the LAN, then `ping -D` of the client. Variables: old, new (names of
# the routers), old_ip, new_ip, priority (of the new one), zero (time of the event, seconds since
# the epoch), word (its name), vip, mac, interval (seconds), unicode, colour (0 or 1).

# Relative to the event from here on: the digits of an epoch would eat the microseconds.
function since(stamp,   a, z) {
    split(stamp, a, ".")
    split(zero, z, ".")
    return (a[1] - z[1]) + (("0." a[2]) - ("0." z[2]))
}

/VRRPv[23], Advertisement/ {
    t = since($1)
    if (index($0, " " old_ip " > ")) {
        adverts_old[++n_old] = t
        last_old = t
        if (/prio 0,/) farewell = t
    } else if (index($0, " " new_ip " > ")) {
        adverts_new[++n_new] = t
        if (first_new == "" && t > 0) first_new = t
    }
    next
}

# A gratuitous ARP: a broadcast from the virtual MAC about the virtual address.
/ethertype ARP/ && $2 == mac && index($0, "ff:ff:ff:ff:ff:ff") {
    t = since($1)
    if (t > 0) {
        arps[++n_arp] = t
        if (first_arp == "") first_arp = t
    }
    next
}

/bytes from/ {
    stamp = $1
    gsub(/[][]/, "", stamp)
    match($0, /icmp_seq=[0-9]+/)
    seq = substr($0, RSTART + 9, RLENGTH - 9) + 0
    match($0, /time=[0-9.]+/)
    t = since(stamp) - substr($0, RSTART + 5, RLENGTH - 5) / 1000
    if (seq in sent) next
    sent[seq] = t
    if (first_seq == "") first_seq = seq
    if (seq > last_seq) last_seq = seq
}

function clock(t) { return sprintf("%+.3f s", t) }

# Keeps what is told in the order of time.
function tell(t, text,   i) {
    for (i = ++n_told; i > 1 && told_at[i - 1] > t; i--) {
        told_at[i] = told_at[i - 1]
        told[i] = told[i - 1]
    }
    told_at[i] = t
    told[i] = text
}

function row(label, cells, tint,   i, line) {
    line = ""
    for (i = 0; i < width; i++) line = line ((i in cells) ? cells[i] : " ")
    sub(/ +$/, "", line)
    printf "   %-11s %s%s%s\n", label, colour ? tint : "", line, colour && tint != "" ? "\033[0m" : ""
}

function column(t) { return int((t - begin) / scale) }

function put(cells, t, mark) { if (t >= begin && t < end) cells[column(t)] = mark }

END {
    if (first_new == "" || last_seq == "") {
        print "   (the capture is incomplete)"
        exit
    }
    # A ping without an answer left between its answered neighbours.
    prev = first_seq
    for (s = first_seq + 1; s <= last_seq; s++) {
        if (!(s in sent)) continue
        step = (sent[s] - sent[prev]) / (s - prev)
        for (l = prev + 1; l < s; l++) lost[l] = sent[prev] + (l - prev) * step
        if (s - prev > gap) {
            gap = s - prev
            out_from = sent[prev]
            out_to = sent[s]
        }
        prev = s
    }

    width = 80
    begin = -2.2 * interval
    end = first_new
    if (gap > 1 && out_to > end) end = out_to
    end += 2.2 * interval
    scale = (end - begin) / width

    bar = unicode ? "┃" : "|"
    mark = unicode ? "▼" : "v"
    full = unicode ? "█" : "#"
    none = unicode ? "·" : "."
    star = unicode ? "◆" : "*"

    for (i = 1; i <= n_old; i++) put(row_old, adverts_old[i], bar)
    if (farewell != "") put(row_old, farewell, "0")
    for (i = 1; i <= n_new; i++) put(row_new, adverts_new[i], bar)
    for (i = 1; i <= n_arp; i++) put(row_arp, arps[i], star)
    for (s = first_seq; s <= last_seq; s++) {
        if (s in sent) put(row_ping, sent[s], full)
    }
    for (s in lost) put(row_ping, lost[s], none)
    # Columns narrower than the distance of two pings take the one before.
    for (i = 1; i < width; i++) if (!(i in row_ping) && (i - 1) in row_ping) row_ping[i] = row_ping[i - 1]

    put(row_word, 0, mark)
    at = column(0)
    if (first_new - 0 > 20 * scale) {
        row_word[column(first_new)] = mark
        tag = new " is Master"
        for (i = 1; i <= length(tag); i++) row_word[column(first_new) + 1 + i] = substr(tag, i, 1)
    }
    for (i = 1; i <= length(word); i++) row_word[at + 1 + i] = substr(word, i, 1)

    tick = 0.05
    while (tick / scale < 9) tick *= (tick ~ /^[0-9.]*2/) ? 2.5 : 2
    for (i = 0; i < width; i++) row_axis[i] = unicode ? "─" : "-"
    for (k = -20; k <= 60; k++) {
        t = k * tick
        if (t < begin || t >= end) continue
        c = column(t)
        row_axis[c] = unicode ? "┴" : "+"
        text = k == 0 ? "0" : sprintf(tick < 0.1 ? "%+.2f" : "%+.1f", t)
        if (c + length(text) < width)
            for (i = 1; i <= length(text); i++) row_text[c + i - 1] = substr(text, i, 1)
    }

    row("", row_word, "\033[1m")
    row("adverts " old, row_old, "")
    row("adverts " new, row_new, "")
    row("ARP " new, row_arp, "")
    row("client ping", row_ping, "\033[32m")
    row("", row_axis, "\033[2m")
    row("seconds", row_text, "\033[2m")
    printf "   one column is %.0f ms; %s an advertisement%s; %s gratuitous ARP; %s answered, %s lost\n\n", \
        scale * 1000, bar, farewell != "" ? ", 0 one of priority 0" : "", star, full, none

    skew = (256 - priority) * interval / 256
    if (farewell == "") {
        tell(last_old, "last advertisement of " old)
        tell(0, old ": killed, cables cut")
        tell(first_new, sprintf("first advertisement of %s, %.3f s after the last one of %s", \
            new, first_new - last_old, old))
        why = sprintf("(Active_Down_Interval of RFC 9568: 3 x %s s + skew of priority %d = %.3f s)", \
            interval, priority, 3 * interval + skew)
    } else {
        tell(0, old " is asked to stop (SIGTERM)")
        tell(farewell, "its farewell, an advertisement of priority 0")
        tell(first_new, sprintf("first advertisement of %s, %.3f s after the farewell", \
            new, first_new - farewell))
        why = sprintf("(Skew_Time of RFC 9568 at priority %d: %.3f s)", priority, skew)
    }
    if (first_arp != "")
        tell(first_arp, "gratuitous ARP: " vip " is at " mac "; the switch learns the way to " new)
    if (gap > 1)
        tell(out_to, sprintf("the client gets through again: %d of its pings lost, out for %.2f s", \
            gap - 1, out_to - out_from))
    else
        tell(end, "the client lost no ping")
    for (i = 1; i <= n_told; i++) {
        printf "   %11s  %s\n", told_at[i] == end ? "" : clock(told_at[i]), told[i]
        if (told_at[i] == first_new && index(told[i], "first adv")) printf "   %11s  %s\n", "", why
    }
}
