// The page for people. Every text of an address, of DNS or of an ExternalService is untrusted: it reaches the document
// as textContent or as an attribute of a fixed name only, never as HTML.
"use strict";

const POLL_MS = 1000; // between two requests; longer where a response takes long, see `refresh`
const SLOT = 4; // px of one result in the picture of the last 60
const RESULTS = ["success", "warning", "failure", "unknown"]; // in the order of prober/counters.py
const MOST_SHOWN = 200; // ExternalServices in the document
const MOST_OPENED = 20; // ExternalServices whose addresses are shown
const FEW = 60; // addresses: all are shown at first

const byId = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const controls = []; // further cells: functions of (cell, address), added by other scripts of the same origin
window.addControls = (make) => controls.push(make);

const sections = new Map(); // namespace/name -> Section
let opened = null; // names of the ExternalServices whose addresses are shown; null: not chosen yet
let latest = null; // the last document
let latestAt = 0;
let announced = null; // the newest transition that was announced
let timer = 0;
let paused = false;
let asking = null;

function element(tag, className = "", text = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

function plural(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

function duration(seconds) {
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return `${seconds.toFixed(1)} s`;
}

// The state of an ExternalService as [text, class].
function stateOf(service) {
  if (service.problem) return ["✕ invalid", "bad"];
  if (service.addresses === 0) return ["no addresses", "off"];
  const inService = service.addresses - service.drained;
  if (inService === 0) return ["◌ all drained", "off"];
  const text = `${service.ready}/${inService} ready`;
  if (service.failingOpen) return [`▲ ${text}, failing open`, "warn"];
  if (service.ready === 0) return [`✕ ${text}`, "bad"];
  if (service.notReady > 0) return [`▲ ${text}`, "warn"];
  if (service.failing > 0) return [`▲ ${text}, ${service.failing} failing`, "warn"];
  return [`● ${text}`, "good"];
}

function troubled(service) {
  return service.problem !== "" || service.notReady > 0 || service.failing > 0 || (service.summary !== "" && !service.summary.startsWith("OK"));
}

function addressState(address) {
  if (address.reason === "Disabled") return [address.serving ? "◌ drained, healthy" : "◌ drained", "off"];
  if (address.reason === "Denied") return ["✕ denied", "bad"];
  if (address.pending) return ["▲ ready, pending", "warn"];
  if (address.ready) return address.consecutiveFailures > 0 ? ["▲ ready, failing", "warn"] : ["● ready", "good"];
  return address.reason === "Pending" ? ["◌ not probed yet", "off"] : ["✕ not ready", "bad"];
}

// "2/3 failed" below the threshold, "14 failed" from there on.
function streak(address) {
  const failures = address.consecutiveFailures, successes = address.consecutiveSuccesses;
  if (failures > 0) return `${failures < address.failureThreshold ? `${failures}/${address.failureThreshold}` : failures} ${address.pending ? "pending" : "failed"}`;
  if (successes > 0 && !address.ready && successes < address.successThreshold) return `${successes}/${address.successThreshold} succeeded`;
  return "";
}

function decoded(history) {
  return Array.from(atob(history), (one) => {
    const code = one.charCodeAt(0);
    return { result: RESULTS[code >> 6], seconds: 0.0001 * 1.22 ** (code & 63) };
  });
}

// The last 60 results: a success is a low bar, a failure a high one, unknown a dash; the line is the latency.
class History {
  constructor() {
    this.svg = document.createElementNS(SVG, "svg");
    this.svg.setAttribute("class", "history");
    this.svg.setAttribute("viewBox", "0 0 240 30");
    this.svg.setAttribute("preserveAspectRatio", "none");
    this.svg.setAttribute("role", "img");
    this.paths = {};
    for (const kind of ["ok-bars", "failed-bars", "unknown-bars", "latency-line"]) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("class", kind);
      this.paths[kind] = this.svg.appendChild(path);
    }
    this.shown = null;
  }

  update(history) {
    if (history === this.shown) return;
    this.shown = history;
    const results = decoded(history), first = 60 - results.length;
    const drawn = { "ok-bars": "", "failed-bars": "", "unknown-bars": "", "latency-line": "" };
    const slowest = Math.max(0.001, ...results.filter((one) => one.result !== "unknown").map((one) => one.seconds));
    const tallies = { success: 0, warning: 0, failure: 0, unknown: 0 };
    let pen = "M";
    results.forEach(({ result, seconds }, index) => {
      const x = (first + index) * SLOT + 2;
      tallies[result] += 1;
      if (result === "failure") drawn["failed-bars"] += `M${x} 30V2`;
      else if (result === "unknown") drawn["unknown-bars"] += `M${x} 30V26`;
      else drawn["ok-bars"] += `M${x} 30V18`;
      if (result === "unknown") { pen = "M"; return; }
      drawn["latency-line"] += `${pen}${x} ${(28 - 24 * (seconds / slowest)).toFixed(1)}`;
      pen = "L";
    });
    for (const [kind, d] of Object.entries(drawn)) this.paths[kind].setAttribute("d", d);
    const parts = [`${tallies.success + tallies.warning} succeeded`, `${tallies.failure} failed`];
    if (tallies.unknown) parts.push(`${tallies.unknown} unknown`);
    const text = results.length ? `Last ${plural(results.length, "result")}: ${parts.join(", ")}; slowest about ${duration(slowest)}` : "No result yet";
    this.svg.setAttribute("aria-label", text);
  }
}

class Row {
  constructor(address) {
    this.node = element("tr");
    this.node.setAttribute("role", "row");
    const cell = (tag, role, name) => {
      const made = element(tag, name);
      made.setAttribute("role", role);
      return this.node.appendChild(made);
    };
    const head = cell("th", "rowheader", "address");
    head.scope = "row";
    head.append(element("span", "ip", address.ip));
    this.hostname = head.appendChild(element("span", "hostname"));
    this.state = cell("td", "cell", "state-cell").appendChild(element("span"));
    const why = cell("td", "cell", "why");
    this.streak = why.appendChild(element("span"));
    this.why = why.appendChild(element("span", "reason"));
    this.history = new History();
    cell("td", "cell", "bars").append(this.history.svg);
    this.latency = cell("td", "cell", "latency number");
    this.next = cell("td", "cell", "next number");
    this.controls = controls.map((make) => make(why, address));
  }

  update(address, receivedAt) {
    setText(this.hostname, address.hostname ?? "");
    const [state, kind] = addressState(address);
    setText(this.state, state);
    this.state.className = `state ${kind}`;
    const run = streak(address), last = address.lastProbe;
    setText(this.streak, run);
    this.streak.className = address.consecutiveFailures > 0 ? "streak failed" : "streak";
    const text = address.problem || last?.message || address.message || (address.reason === "NoProbe" ? "no probe: always ready" : address.reason);
    setText(this.why, run ? ` ${text}` : text);
    this.history.update(address.history);
    this.history.svg.toggleAttribute("hidden", address.history === "");
    setText(this.latency, last ? duration(last.durationSeconds) : "");
    this.running = address.running;
    this.due = address.nextProbeInSeconds === undefined ? null : receivedAt + address.nextProbeInSeconds * 1000;
    this.tick();
    for (const update of this.controls) update(address);
  }

  tick() {
    if (this.due === null) setText(this.next, "");
    else if (this.running) setText(this.next, "running");
    else {
      const left = Math.ceil((this.due - performance.now()) / 1000);
      setText(this.next, left > 0 ? `in ${left} s` : "now");
    }
  }
}

class Section {
  constructor(service) {
    this.key = `${service.namespace}/${service.name}`;
    this.node = element("section", "service");
    this.button = element("button");
    this.button.type = "button";
    this.state = element("span");
    this.summary = element("span", "summary");
    this.button.append(element("span", "name", this.key), this.state, this.summary);
    this.button.addEventListener("click", () => {
      if (opened.has(this.key)) opened.delete(this.key);
      else opened.add(this.key);
      if (opened.size > MOST_OPENED) opened.delete(opened.values().next().value);
      this.show();
      refresh();
    });
    const heading = element("h2");
    heading.append(this.button);
    this.node.append(heading);
    this.rows = new Map();
    this.table = null;
  }

  show() {
    const open = opened.has(this.key);
    this.button.setAttribute("aria-expanded", String(open));
    if (!open && this.table) {
      this.table.remove();
      this.more.remove();
      this.table = null;
      this.rows.clear();
    }
  }

  build() {
    this.table = element("table");
    this.table.setAttribute("role", "table");
    this.table.setAttribute("aria-label", `Addresses of ${this.key}`);
    const columns = element("colgroup"), head = element("tr");
    head.setAttribute("role", "row");
    for (const [name, text] of [["address", "Address"], ["state", "State"], ["why", "Reason"], ["bars", "Last 60 results, latency"], ["latency", "Latest"], ["next", "Next probe"]]) {
      columns.append(element("col", name));
      const cell = element("th", "", text);
      cell.scope = "col";
      cell.setAttribute("role", "columnheader");
      head.append(cell);
    }
    const thead = element("thead");
    thead.setAttribute("role", "rowgroup");
    thead.append(head);
    this.body = element("tbody");
    this.body.setAttribute("role", "rowgroup");
    this.table.append(columns, thead, this.body);
    this.more = element("p", "more quiet");
    this.node.append(this.table, this.more);
  }

  update(service, receivedAt) {
    const [state, kind] = stateOf(service);
    setText(this.state, state);
    this.state.className = `state ${kind}`;
    setText(this.summary, service.problem || service.summary);
    this.show();
    if (!opened.has(this.key) || service.shown === undefined) return;
    if (!this.table) this.build();
    const keys = new Set(service.shown.map((one) => one.ip));
    for (const [ip, row] of this.rows) {
      if (!keys.has(ip)) {
        row.node.remove();
        this.rows.delete(ip);
      }
    }
    let before = null;
    for (const address of service.shown) {
      let row = this.rows.get(address.ip);
      if (!row) this.rows.set(address.ip, (row = new Row(address)));
      row.update(address, receivedAt);
      const place = before ? before.nextSibling : this.body.firstChild;
      if (row.node !== place) this.body.insertBefore(row.node, place);
      before = row.node;
    }
    const left = service.addresses - service.shown.length;
    const text = service.addresses === 0 ? "It has no addresses." : left > 0 ? `${plural(left, "more address", "more addresses")}: write a part of them into the filter.` : "";
    setText(this.more, text);
    this.more.hidden = text === "";
  }
}

function showServices(report) {
  const only = byId("problems").checked;
  const wanted = report.externalServices.filter((one) => !only || troubled(one));
  const shown = wanted.slice(0, MOST_SHOWN), keys = new Set(shown.map((one) => `${one.namespace}/${one.name}`));
  const list = byId("services");
  for (const [key, section] of sections) {
    if (!keys.has(key)) {
      section.node.remove();
      sections.delete(key);
    }
  }
  let place = list.firstChild;
  for (const service of shown) {
    const key = `${service.namespace}/${service.name}`;
    let section = sections.get(key);
    if (!section) sections.set(key, (section = new Section(service)));
    section.update(service, latestAt);
    if (section.node === place) place = place.nextSibling;
    else list.insertBefore(section.node, place);
  }
  let note = byId("note");
  if (!note) {
    note = element("p", "empty");
    note.id = "note";
  }
  const left = wanted.length - shown.length;
  const filtered = byId("search").value.trim() !== "" || only;
  setText(note, left > 0 ? `${plural(left, "more ExternalService")}: narrow the list with the filter.` : wanted.length > 0 ? "" : filtered ? "Nothing matches the filter." : "This prober has no ExternalServices.");
  note.hidden = note.textContent === "";
  list.append(note);
}

function showTotals(report) {
  let addresses = 0, down = 0, failing = 0;
  for (const one of report.externalServices) {
    addresses += one.addresses;
    down += one.notReady;
    failing += one.failing;
  }
  const parts = [plural(report.externalServices.length, "ExternalService"), plural(addresses, "address", "addresses")];
  parts.push(down ? `${plural(down, "address", "addresses")} not ready` : "none down");
  if (failing) parts.push(`${failing} failing`);
  setText(byId("totals"), parts.join(" · "));
  document.title = down ? `(${down}) External services` : "External services";
  const { replica, probes } = report;
  const several = (replica.replicas ?? []).length;
  const own = several > 1 ? `Replica ${replica.name}, one of ${several}: the others have further ExternalServices. ` : "";
  setText(byId("process"), `${own}${plural(probes.inFlight, "probe")} in flight of at most ${probes.limit.toLocaleString("en")}${probes.delayed ? `, ${probes.delayed} delayed` : ""}`);
}

function showBanner() {
  const banner = byId("banner");
  let text = "";
  if (latest === null || asking?.failed) {
    const age = latest === null ? "" : ` The page shows what it reported ${Math.round((performance.now() - latestAt) / 1000)} s ago.`;
    if (asking?.failed) text = `The prober does not respond: ${asking.failed}.${age}`;
  } else if (latest.outage.message) text = `Suspected outage: ${latest.outage.message}`;
  else if (latest.replica.working === false) text = "This replica does not work: its Lease is not renewed, so that others have taken over.";
  else if (latest.unreadable?.length) text = latest.unreadable.map((one) => `${one.namespace}/${one.name} cannot be read: ${one.problem}`).join("; ");
  setText(banner, text);
  banner.hidden = text === "";
}

function transitionText(one) {
  return `${one.namespace}/${one.name} ${one.ip} ${one.ready ? "is ready" : "is not ready"}: ${one.message}`;
}

function showTransitions(report) {
  const list = byId("transitions"), found = report.transitions;
  const identity = JSON.stringify(found);
  if (list.dataset.shown !== identity) {
    list.dataset.shown = identity;
    list.replaceChildren(...found.map((one) => {
      const item = element("li"), time = element("time", "", new Date(one.at).toLocaleTimeString());
      time.dateTime = one.at;
      time.title = new Date(one.at).toLocaleString();
      const [state, kind] = one.ready ? ["● ready", "good"] : ["✕ not ready", "bad"];
      item.append(time, " ", element("span", `state ${kind}`, state), element("div", "", `${one.namespace}/${one.name} ${one.ip}`), element("div", "quiet", one.message));
      return item;
    }));
    if (!found.length) list.append(element("li", "quiet", "None since this prober started."));
  }
  const keys = found.map((one) => JSON.stringify(one));
  if (announced !== null && byId("search").value.trim() === "") {
    const fresh = found.filter((_, index) => !announced.has(keys[index]));
    if (fresh.length) setText(byId("news"), fresh.length > 3 ? `${fresh.length} transitions` : fresh.map(transitionText).join(". "));
  }
  if (byId("search").value.trim() === "" || announced === null) announced = new Set(keys);
}

function chooseOpened(report) {
  const total = report.externalServices.reduce((sum, one) => sum + one.addresses, 0);
  const wanted = total <= FEW ? report.externalServices.slice(0, MOST_OPENED) : report.externalServices.filter(troubled).slice(0, 3);
  opened = new Set(wanted.map((one) => `${one.namespace}/${one.name}`));
}

function show(report) {
  latest = report;
  showTotals(report);
  showServices(report);
  showTransitions(report);
  byId("services").setAttribute("aria-busy", "false");
}

async function refresh() {
  clearTimeout(timer);
  asking?.controller.abort();
  const own = (asking = { controller: new AbortController(), failed: asking?.failed });
  const query = new URLSearchParams({ search: byId("search").value.trim(), open: [...(opened ?? [])].join(",") });
  const limit = setTimeout(() => own.controller.abort("no response within 10 s"), 10000);
  const began = performance.now();
  try {
    const response = await fetch(`overview?${query}`, { signal: own.controller.signal });
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const report = await response.json();
    if (own !== asking) return;
    own.failed = undefined;
    latestAt = performance.now();
    if (opened === null) {
      chooseOpened(report);
      if (opened.size) return void refresh();
    }
    show(report);
  } catch (error) {
    if (own !== asking) return;
    own.failed = String(error.message ?? error).slice(0, 200);
  } finally {
    clearTimeout(limit);
    if (own === asking) {
      showBanner();
      // A response that takes long is asked for less often: at most a twentieth of the prober's time goes into it.
      if (!paused) timer = setTimeout(refresh, Math.max(POLL_MS, 20 * (performance.now() - began)));
    }
  }
}

function setPaused(value) {
  paused = value;
  byId("pause").setAttribute("aria-pressed", String(value));
  setText(byId("pause"), value ? "Resume" : "Pause");
  if (paused) clearTimeout(timer);
  else refresh();
}

byId("search").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(refresh, 250);
});
byId("problems").addEventListener("change", () => latest && showServices(latest));
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("pause").addEventListener("click", () => setPaused(!paused));
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
    event.preventDefault();
    byId("search").focus();
  } else if (event.key === "Escape" && event.target === byId("search")) {
    byId("search").value = "";
    refresh();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (!paused) refresh();
});
setInterval(() => {
  for (const section of sections.values()) for (const row of section.rows.values()) row.tick();
  if (asking?.failed) showBanner();
}, 500);
window.addEventListener("DOMContentLoaded", refresh);
