"use strict";
// The page of rVRRPd: every virtual router of this host, live by server-sent events.
// Everything from the daemon goes into the page as text, never as HTML.

const MOST_TRANSITIONS = 200;
const STATES = ["Master", "Backup", "Init"];
const RETRY_MS = 2000;
// After a change everything is asked for once more: an event does not tell all.
const SETTLE_MS = 1000;
const REFRESH_MS = 30000;

// A 401 is answered by the form of the page, not by a window of the browser.
const BY_SCRIPT = { headers: { "X-Requested-With": "fetch" } };

const byId = (id) => document.getElementById(id);
const routers = new Map(); // name → the daemon's object
const rows = new Map(); // name → <tr>
let order = { key: null, descending: false };
let onlyState = null;
let mayWrite = false;
let source = null;
let retry = null;
let settling = null;

// --- what is shown of a virtual router -------------------------------------------------------

const addresses = (router) => router.virtual_ips ?? [router.virtual_ip];

const since = (router) => (router.last_transition?.at ? new Date(router.last_transition.at) : null);

const KEYS = {
  name: (router) => router.name,
  // What needs attention comes first.
  state: (router) => ["Init", "Master", "Backup"].indexOf(router.state),
  interface: (router) => router.parent ?? router.interface,
  group: (router) => router.group,
  address: (router) => addresses(router)[0],
  priority: (router) => router.priority,
  since: (router) => since(router)?.getTime() ?? 0,
};

const natural = new Intl.Collator("en", { numeric: true });

function compare(one, other) {
  const [a, b] = [one, other].map(KEYS[order.key]);
  const by = typeof a === "number" ? a - b : natural.compare(a ?? "", b ?? "");
  const signed = order.descending ? -by : by;
  return signed || natural.compare(one.name, other.name);
}

function why(router) {
  const reasons = router.not_ready ?? [];
  // `disabled` is what `shutdown` says already.
  const others = router.substate === "shutdown"
    ? reasons.filter((reason) => reason !== "disabled")
    : reasons;
  return [router.substate, ...others].filter(Boolean).join(", ");
}

// What carries the addresses, and the virtual MAC, which `ip` does not show on every data plane.
function plane(router) {
  return [router.data_plane, router.virtual_mac].filter(Boolean).join(" ");
}

function matches(router, words) {
  if (onlyState && router.state !== onlyState) {
    return false;
  }
  const text = [
    router.name, router.state, why(router), router.interface, router.parent,
    `group ${router.group}`, ...addresses(router), router.master, plane(router),
  ].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

// --- the table -------------------------------------------------------------------------------

function cell(label, kind = "td") {
  const made = document.createElement(kind);
  made.setAttribute("role", kind === "th" ? "rowheader" : "cell");
  if (label) {
    made.dataset.label = label;
  }
  return made;
}

function makeRow(name) {
  const row = document.createElement("tr");
  row.setAttribute("role", "row");
  row.dataset.name = name;
  const head = cell("", "th");
  head.scope = "row";
  head.textContent = name;
  row.append(
    head, cell(""), cell("on"), cell("group"), cell(""), cell("priority"), cell("since"), cell(""),
  );
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => toggle(name));
  row.lastElementChild.className = "writes";
  row.lastElementChild.append(button);
  return row;
}

function fillRow(row, router) {
  const [, state, on, group, address, priority, from, writes] = row.children;
  const label = document.createElement("span");
  label.className = `state ${STATES.includes(router.state) ? router.state : ""}`;
  label.textContent = router.state;
  state.replaceChildren(label);
  const reason = why(router);
  if (reason) {
    const note = document.createElement("span");
    note.className = "why";
    note.textContent = reason;
    state.append(note);
  } else if (router.state === "Backup" && router.master) {
    state.append(` of ${router.master}`);
  }
  on.textContent = router.parent && router.parent !== router.interface
    ? `${router.parent} (${router.interface})`
    : router.interface;
  const carrier = document.createElement("span");
  carrier.className = "plane";
  carrier.textContent = plane(router);
  carrier.title = router.data_plane_why ?? "";
  on.append(carrier);
  group.textContent = router.group;
  group.className = priority.className = "number";
  priority.textContent = router.priority;
  address.replaceChildren(...addresses(router).map((text) => {
    const one = document.createElement("span");
    one.className = "address";
    one.textContent = text;
    return one;
  }));
  const at = since(router);
  from.textContent = at ? at.toLocaleString() : "";
  from.dataset.label = at ? "since" : "";
  const button = writes.firstElementChild;
  const disabled = router.substate === "shutdown";
  button.textContent = disabled ? "Enable" : "Disable";
  button.setAttribute("aria-label", `${button.textContent} ${router.name}`);
  writes.hidden = !mayWrite;
}

let drawing = false;
function draw() {
  // However many events come, one drawing in a frame.
  if (drawing) {
    return;
  }
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawNow();
  });
}

function drawNow() {
  const words = byId("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = [...routers.values()].filter((router) => matches(router, words)).sort(compare);
  for (const name of rows.keys()) {
    if (!routers.has(name)) {
      rows.delete(name);
    }
  }
  const wanted = shown.map((router) => {
    let row = rows.get(router.name);
    if (!row) {
      row = makeRow(router.name);
      rows.set(router.name, row);
    }
    if (row.shows !== router || row.writes !== mayWrite) {
      fillRow(row, router);
      row.shows = router;
      row.writes = mayWrite;
    }
    return row;
  });
  // Rows that stay where they are are not touched, so that focus and selection stay, too.
  const body = document.querySelector("#routers tbody");
  const keep = new Set(wanted);
  for (const row of [...body.children]) {
    if (!keep.has(row)) {
      row.remove();
    }
  }
  wanted.forEach((row, at) => {
    if (body.children[at] !== row) {
      body.insertBefore(row, body.children[at] ?? null);
    }
  });
  document.querySelector("th.writes").hidden = !mayWrite;
  byId("count").textContent = shown.length === routers.size
    ? `${routers.size} virtual routers`
    : `${shown.length} of ${routers.size} virtual routers`;
  drawSummary();
}

function drawSummary() {
  const group = byId("summary");
  if (!group.children.length) {
    for (const state of STATES) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.state = state;
      button.append(document.createElement("b"), ` ${state}`);
      button.addEventListener("click", () => {
        onlyState = onlyState === state ? null : state;
        draw();
      });
      group.append(button);
    }
  }
  for (const button of group.children) {
    const { state } = button.dataset;
    const count = [...routers.values()].filter((router) => router.state === state).length;
    button.firstElementChild.textContent = count;
    button.setAttribute("aria-pressed", String(onlyState === state));
  }
}

function sortBy(key) {
  order = { key, descending: order.key === key && !order.descending };
  for (const head of document.querySelectorAll("th[data-key]")) {
    if (head.dataset.key === key) {
      head.setAttribute("aria-sort", order.descending ? "descending" : "ascending");
    } else {
      head.removeAttribute("aria-sort");
    }
  }
  draw();
}

// --- transitions -----------------------------------------------------------------------------

// What an event changed, in words; nothing where there is nothing to tell.
function changeOf(event) {
  switch (event.event) {
    case "state":
      return `${event.previous} → ${event.state}${event.reason ? ` (${event.reason})` : ""}`;
    case "priority":
      return `priority ${event.previous_priority} → ${event.priority}`;
    case "readiness":
      return event.not_ready.length ? `not ready: ${event.not_ready.join(", ")}` : "ready";
    case "protocol-error":
      return `${event.count} packets refused (${event.reason})`;
    case "added":
    case "removed":
      return event.event;
    default:
      return null;
  }
}

function tell(event) {
  const change = changeOf(event);
  if (!change) {
    return;
  }
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.dateTime = event.time;
  time.textContent = new Date(event.time).toLocaleTimeString();
  item.append(time, ` ${event.name}: ${change}`);
  const list = byId("timeline");
  list.prepend(item);
  while (list.children.length > MOST_TRANSITIONS) {
    list.lastElementChild.remove();
  }
  byId("no-transitions").hidden = true;
}

// --- talking to the daemon -------------------------------------------------------------------

function connection(text, lost) {
  const line = byId("connection");
  if (line.textContent !== text) {
    line.textContent = text;
  }
  line.classList.toggle("lost", lost);
}

function take(list) {
  const before = new Map(routers);
  routers.clear();
  for (const router of list) {
    // How long ago something was is no change.
    const known = before.get(router.name);
    const shown = (one) => JSON.stringify(one, (key, value) => (key === "ago" ? 0 : value));
    const same = known && shown(known) === shown(router);
    routers.set(router.name, same ? known : router);
  }
  draw();
}

// Shows at once what an event says, and soon what it does not.
function happened(event) {
  tell(event);
  const router = routers.get(event.name);
  if (event.event === "removed") {
    routers.delete(event.name);
  } else if (router && (event.event !== "configured")) {
    const { state, substate, priority, not_ready } = event;
    const changed = { ...router, state, substate, not_ready };
    if (priority) {
      changed.priority = priority;
    }
    if (event.event === "state") {
      changed.master = null;
      changed.last_transition = {
        from: event.previous, to: state, reason: event.reason, at: event.time,
      };
    }
    routers.set(event.name, changed);
    flash(event.name);
  }
  draw();
  settling ??= setTimeout(refresh, SETTLE_MS);
}

// Asks for everything; rows that are the same are not touched.
async function refresh() {
  clearTimeout(settling);
  settling = null;
  if (!source || document.hidden) {
    return;
  }
  const asked = source;
  const answer = await fetch("/run/vrrp", BY_SCRIPT).catch(() => null);
  const found = answer?.ok ? await answer.json() : null;
  // A change meanwhile is newer than what was asked for; it has set a time for another try. Who
  // has logged out meanwhile sees nothing any more.
  if (found && !settling && source === asked) {
    take(found);
  }
}

function follow() {
  clearTimeout(retry);
  source?.close();
  source = new EventSource("/events");
  source.addEventListener("open", () => connection("Live", false));
  source.addEventListener("snapshot", (message) => take(JSON.parse(message.data).routers));
  for (const name of ["state", "readiness", "priority", "added", "configured", "removed", "protocol-error"]) {
    source.addEventListener(name, (message) => happened(JSON.parse(message.data)));
  }
  source.addEventListener("lost", refresh);
  source.addEventListener("error", () => {
    connection("Connection lost; what is shown may be old. Trying again…", true);
    source?.close();
    source = null;
    clearTimeout(retry);
    retry = setTimeout(start, RETRY_MS);
  });
}

function flash(name) {
  const row = rows.get(name);
  if (row) {
    row.classList.remove("changed");
    // Reading the layout lets the same animation begin anew.
    void row.offsetWidth;
    row.classList.add("changed");
  }
}

async function problem(answer) {
  try {
    const { title, detail } = await answer.json();
    return detail ?? title ?? answer.statusText;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

async function toggle(name) {
  const verb = routers.get(name)?.substate === "shutdown" ? "enable" : "disable";
  byId("action-error").textContent = "";
  try {
    const answer = await fetch(`/run/vrrp/${encodeURIComponent(name)}/${verb}`, { method: "POST" });
    if (!answer.ok) {
      byId("action-error").textContent = `${verb} ${name}: ${await problem(answer)}`;
    }
  } catch (error) {
    byId("action-error").textContent = `${verb} ${name}: ${error.message}`;
  }
}

function show(loggedIn) {
  byId("login").hidden = loggedIn;
  byId("main").hidden = !loggedIn;
  byId("logout").hidden = !loggedIn;
  if (!loggedIn) {
    connection("", false);
    byId("login").elements.user.focus();
  }
}

async function start() {
  let answer;
  try {
    answer = await fetch("/run/global", BY_SCRIPT);
  } catch {
    connection("The daemon does not answer. Trying again…", true);
    retry = setTimeout(start, RETRY_MS);
    return;
  }
  if (answer.status === 401) {
    source?.close();
    source = null;
    show(false);
    return;
  }
  if (!answer.ok) {
    connection(`${await problem(answer)}. Trying again…`, true);
    retry = setTimeout(start, RETRY_MS);
    return;
  }
  const global = await answer.json();
  byId("host").textContent = global.hostname ? `on ${global.hostname}` : "";
  document.title = global.hostname ? `rVRRPd on ${global.hostname}` : "rVRRPd";
  mayWrite = (global.level ?? 0) >= 1;
  show(true);
  follow();
}

byId("login").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const form = submit.target;
  const error = byId("login-error");
  error.textContent = "";
  const answer = await fetch("/auth", {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
  }).catch(() => null);
  if (answer?.ok) {
    form.elements.passwd.value = "";
    await start();
  } else {
    error.textContent = answer ? await problem(answer) : "The daemon does not answer.";
    form.elements.passwd.select();
  }
});

byId("logout").addEventListener("click", async () => {
  source?.close();
  source = null;
  await fetch("/auth", { method: "DELETE" }).catch(() => null);
  routers.clear();
  draw();
  show(false);
});

byId("filter").addEventListener("input", draw);
for (const head of document.querySelectorAll("th[data-key]")) {
  head.setAttribute("role", "columnheader");
  head.firstElementChild.addEventListener("click", () => sortBy(head.dataset.key));
}
byId("routers").setAttribute("role", "table");
for (const part of document.querySelectorAll("#routers thead, #routers tbody")) {
  part.setAttribute("role", "rowgroup");
}
document.querySelector("#routers thead tr").setAttribute("role", "row");
sortBy("name");
setInterval(refresh, REFRESH_MS);
document.addEventListener("visibilitychange", refresh);
start();
