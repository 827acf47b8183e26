// The live page: fetches the state when the guard says there is news, and draws it. All text goes in as text nodes.
"use strict";

const WORDS = {
  correct: "fine", M1: "invalid JSON", M2: "call leaked into text", M3: "unknown tool", M4: "missing parameter", M5: "wrong type or enum",
  M6: "hallucinated parameter", M7: "empty arguments", M8: "quote not verbatim", M9: "invented path or id", M10: "endless repetition",
  M11: "wrong tool or none", M12: "wrong value", P0: "prompt truncated by server", P1: "schema rejected by server",
  P2: "server's parser at fault", P3: "history refused by server", L1: "same call again and again", L2: "fails again and again",
  L3: "goes in circles", L4: "same request re-sent",
};
const SVG = "http://www.w3.org/2000/svg";
const SHAPES = ["M-5,0a5,5 0 1,0 10,0a5,5 0 1,0 -10,0Z", "M-5,-5H5V5H-5Z", "M0,-6L6,5H-6Z", "M0,-6.5L6.5,0L0,6.5L-6.5,0Z", "M0,6L6,-5H-6Z", "M-2,-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"];
const at = (id) => document.getElementById(id);
let state = null;
let chosen = null;

function node(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.map(nodeOf));
  return made;
}
function shape(tag, attributes, text) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = shown(text);
  return made;
}
// Marks of writing direction would let a model's words rearrange the words beside them.
const shown = (text) => String(text).replace(/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "�");
const nodeOf = (child) => (child instanceof Node ? child : document.createTextNode(shown(child)));
const tokens = (n) => (n === null || n === undefined ? "unknown depth" : `${n.toLocaleString("en")} tokens`);
const percent = (x) => `${(100 * x).toFixed(x > 0 && x < 0.1 ? 1 : 0)} %`;
const depthOf = (label) => (label === "unknown" ? Infinity : parseInt(label, 10));
const seriesOf = (item) => JSON.stringify([item.model, item.kv]);
const seriesName = (key) => { const [model, kv] = JSON.parse(key); return (model || "unnamed model") + (kv ? ` · ${kv}` : ""); };
const plural = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

function headline() {
  const n = state.cells.reduce((sum, c) => sum + c.n, 0);
  const failed = state.cells.reduce((sum, c) => sum + c.failed, 0);
  at("headline").textContent = n === 0
    ? (state.turns ? `${plural(state.turns, "turn", "turns")} seen, none with tools to grade` : "Waiting for the first turn")
    : `${failed} of ${plural(n, "graded turn", "graded turns")} failed (${percent(failed / n)})`;
  const kept = state.bodies ? "bodies are kept, redacted" : "bodies are not kept";
  const acts = state.actions.length ? `interventions: ${state.actions.join(", ")}` : "observing only";
  at("facts").textContent = `${state.upstream}${state.kv ? ` · K/V ${state.kv}` : ""} · ${acts} · ${kept}` +
    (state.store ? ` · ${state.store}` : " · nothing stored");
  at("alarms").replaceChildren(...state.alarms.slice(0, 5).map((a) => node("li", {}, `▲ ${clock(a.at_s)} ${a.text}`)));
}

function chart() {
  const depths = [...new Set(state.cells.map((c) => c.depth))].sort((a, b) => depthOf(a) - depthOf(b));
  const series = [...new Set(state.cells.map(seriesOf))].sort();
  const svg = at("chart");
  const [W, H, L, B, T] = [760, 270, 46, 40, 14];
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.classList.toggle("empty", depths.length === 0);
  at("chart-text").textContent = depths.length
    ? "Share of failed turns, with its 95 % interval (Wilson; turns of a session depend on each other, so read it as a guide). Across: prompt tokens, up to."
    : "No graded turns yet.";
  const top = Math.min(1, Math.max(0.1, ...state.cells.map((c) => c.high)));
  const x = (i, s) => L + (W - L - 20) * ((i + 0.5) / depths.length) + (s - (series.length - 1) / 2) * 9;
  const y = (rate) => T + (H - T - B) * (1 - rate / top);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(shape("line", { class: "grid", x1: L, x2: W - 10, y1: y(share * top), y2: y(share * top) }));
    svg.append(shape("text", { x: L - 6, y: y(share * top) + 4, "text-anchor": "end" }, percent(share * top)));
  }
  depths.forEach((d, i) => svg.append(shape("text", { x: x(i, (series.length - 1) / 2), y: H - 14, "text-anchor": "middle" }, d === "unknown" ? "unknown" : `≤ ${d}`)));
  series.forEach((key, s) => {
    const group = shape("g", { class: `s${s % 6}` });
    const cells = depths.map((d, i) => ({ i, c: state.cells.find((c) => c.depth === d && seriesOf(c) === key) })).filter(({ c }) => c);
    group.append(shape("path", { class: "line", d: cells.map(({ i, c }, n) => `${n ? "L" : "M"}${x(i, s)},${y(c.failed / c.n)}`).join("") }));
    for (const { i, c } of cells) {
      group.append(shape("line", { class: "range", x1: x(i, s), x2: x(i, s), y1: y(c.low), y2: y(c.high) }));
      const dot = shape("path", { class: "dot", d: SHAPES[s % 6], transform: `translate(${x(i, s)},${y(c.failed / c.n)})` });
      dot.append(shape("title", {}, `${seriesName(key)}, ≤ ${c.depth}: ${c.failed} of ${c.n}`));
      group.append(dot);
    }
    svg.append(group);
  });
  at("legend").replaceChildren(...series.map((key, s) => {
    const icon = shape("svg", { viewBox: "-9 -9 18 18", "aria-hidden": "true" });
    icon.append(shape("path", { class: "dot", d: SHAPES[s % 6] }));
    return node("li", { class: `s${s % 6}` }, icon, node("span", { class: "label" }, seriesName(key)));
  }));
  table("cells", ["model", "K/V", ...depths.map((d) => (d === "unknown" ? d : `≤ ${d}`))], series.map((key) => {
    const cells = depths.map((d) => state.cells.find((c) => c.depth === d && seriesOf(c) === key));
    const [model, kv] = JSON.parse(key);
    return [model || "–", kv || "–", ...cells.map((c) => (c ? `${c.failed} of ${c.n}` : "–"))];
  }));
}

function table(id, head, rows) {
  const [thead, tbody] = at(id).children;
  const row = (cells, tag) => node("tr", {}, ...cells.map((c, i) => node(tag, i > 1 ? { class: "num" } : {}, c)));
  thead.replaceChildren(...(rows.length ? [row(head, "th")] : []));
  tbody.replaceChildren(...rows.map((cells) => row(cells, "td")));
}

function classes() {
  const kinds = [...new Set(state.classes.map((c) => c.outcome))].sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  const series = [...new Set(state.cells.map(seriesOf))].sort();
  const count = (key, kind) => state.classes.filter((c) => seriesOf(c) === key && c.outcome === kind).reduce((sum, c) => sum + c.n, 0);
  table("classes", ["class", "", ...series.map(seriesName)], kinds.map((k) => [k, WORDS[k] || "", ...series.map((key) => count(key, k) || "–")]));
}

function mark(turn) {
  const o = turn.outcome;
  const kind = o === "correct" ? "ok" : o.startsWith("M") ? "bad" : o.startsWith("P") ? "infra" : "none";
  const text = kind === "bad" || kind === "infra" ? o : turn.loop ? turn.loop.slice(0, 2) : "";
  const said = [`turn ${turn.turn}`, tokens(turn.depth), o ? WORDS[o] || o : "nothing to grade", turn.loop, turn.acted && `acted: ${turn.acted}`].filter(Boolean).join(" · ");
  const made = node(kind === "ok" && !turn.loop ? "span" : "button", { class: `mark ${kind}${turn.loop ? " loop" : ""}`, title: said, "aria-label": said }, text);
  if (made.tagName === "BUTTON") made.addEventListener("click", () => { const f = state.failures.find((e) => e.id === turn.id && e.at_s === turn.at_s); if (f) { choose(f); at("last").scrollIntoView(); } });
  return made;
}

function sessions() {
  at("sessions").replaceChildren(...state.sessions.slice(0, 30).map((s) => node("li", {},
    node("div", { class: "who" }, node("strong", {}, s.model || "unnamed model"), s.kv ? node("span", {}, s.kv) : "", node("span", {}, tokens(s.depth)),
      node("span", {}, `${s.failed} of ${plural(s.turns.length, "turn", "turns")} failed`), node("span", {}, clock(s.at_s)), node("code", {}, s.session)),
    node("div", { class: "strip" }, ...s.turns.map(mark)))));
}

const keyOf = (e) => `${e.id} ${e.session} ${e.at_s}`;
const kindsOf = (e) => [e.outcome && e.outcome !== "correct" ? `${e.outcome} ${WORDS[e.outcome] || ""}` : "", ...e.loops.map((l) => `${l.slice(0, 2)} ${WORDS[l.slice(0, 2)] || ""}`)].filter(Boolean).join(", ");

function failures() {
  at("failures").replaceChildren(...state.failures.map((e) => {
    const button = node("button", { "aria-current": chosen === keyOf(e) }, node("strong", {}, kindsOf(e)),
      node("small", {}, `${clock(e.at_s)} · ${e.model || "unnamed model"} · ${tokens(e.depth_tokens)}${e.tools.length ? ` · ${e.tools.join(", ")}` : ""}`));
    button.addEventListener("click", () => choose(e));
    return node("li", {}, button);
  }));
  if (!state.failures.length) at("failures").append(node("li", { class: "note" }, "None so far."));
}

function definitions(pairs) {
  return node("dl", {}, ...pairs.filter(([, v]) => v !== null && v !== undefined && v !== "").flatMap(([k, v]) => [node("dt", {}, k), node("dd", {}, v)]));
}

async function choose(e) {
  chosen = keyOf(e);
  failures();
  const box = at("turn");
  box.replaceChildren(node("h3", {}, kindsOf(e)), node("p", {}, e.detail), ...e.loops.map((l) => node("p", {}, l)), definitions([
    ["when", new Date(e.at_s * 1000).toLocaleString("en-GB")], ["model", e.model], ["K/V", e.kv], ["depth", tokens(e.depth_tokens)],
    ["calls", e.tools.join(", ")], ["finish", e.finish_reason], ["status", e.status], ["error", e.error], ["path", e.path],
    ["time", `${e.ttft_s === null ? "" : `${e.ttft_s.toFixed(2)} s to the first byte, `}${e.wall_s.toFixed(2)} s in all`], ["acted", e.actions.join(", ")], ["session", e.session],
  ]));
  if (!e.has_bodies) {
    box.append(node("p", { class: "note" }, "Request and answer were not kept. Start the guard with --keep-bodies to see them, and to save a request that went wrong."));
    return;
  }
  const got = await fetch(`turns/${Number(e.id)}`);
  if (chosen !== keyOf(e)) return;
  if (!got.ok) { box.append(node("p", { class: "note" }, "This turn is no longer stored.")); return; }
  const bodies = await got.json();
  const side = (title, text) => node("div", {}, node("h4", {}, title), node("pre", {}, text));
  const link = (part, name) => node("a", { href: `turns/${Number(e.id)}/${part}.json`, download: name }, `save ${name}`);
  const request = `request-${Number(e.id)}.json`;
  const again = bodies.replay
    ? [link("session", bodies.file), ", then run ", node("code", {}, bodies.replay), " to ask this turn many times under your pair and under f16: was it the cache?"]
    : [`kvassay replay can't ask this turn again: ${bodies.why_not}.`];
  box.append(node("div", { class: "pair" }, side("last message of the request", bodies.question), side("answer", bodies.answer)),
    node("p", { class: "note" }, ...again),
    node("p", { class: "note" }, "The request alone: ", link("request", request), "; send it to a server under another pair with ", node("code", {}, `curl --json @${request} URL`)));
}

async function refresh() {
  const got = await fetch("state.json");
  if (!got.ok) throw new Error(String(got.status));
  state = await got.json();
  for (const draw of [headline, chart, classes, sessions, failures]) draw();
}

function follow() {
  const events = new EventSource("events");
  const show = (on, text) => { at("live").className = on ? "on" : ""; at("live").textContent = text; };
  events.addEventListener("open", () => { show(true, "live"); refresh().catch(() => show(false, "no answer")); });
  events.addEventListener("news", () => refresh().catch(() => show(false, "no answer")));
  events.addEventListener("error", () => show(false, "not connected, trying again"));
}
follow();
