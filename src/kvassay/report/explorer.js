// The trial explorer: filters, a paged list, and two answers side by side. All text goes in by textContent.
"use strict";
(() => {
  const PAGE = 100;
  const $ = (id) => document.getElementById(id);
  const read = (id) => JSON.parse($(id).textContent);

  // ---- data: rows as explorer.py writes them; a number in a text's place names an earlier text of its block
  const unfold = (rows, columns) => {
    const texts = [];
    for (const row of rows) {
      for (const at of columns) {
        if (typeof row[at] === "number") row[at] = texts[row[at]];
        else texts.push(row[at]);
      }
    }
    return rows;
  };
  const index = read("kv-index");
  const probes = unfold(read("kv-probes"), [5, 6]).map(
    ([id, family, level, depth, tokens, expected, suffix, rung, cut]) =>
      ({ id, family, level, depth, tokens, expected, suffix, rung, cut }));
  const trials = unfold(read("kv-trials"), [4, 5]).map(
    ([arm, probe, channel, kind, detail, answer, boot, wall, timings]) =>
      ({ arm, probe, channel, kind, detail, answer, boot, wall, timings }));
  for (const id of ["kv-probes", "kv-trials"]) $(id).remove();
  let prefixes = null; // read when a prompt is first opened

  const RIGHT = 0;
  const reference = index.roles.indexOf("reference");
  const firstCandidate = index.roles.indexOf("candidate");
  const depthName = new Map(index.depths);
  const sameProbe = new Map(); // probe and channel -> trials by arm
  const keyOf = (trial) => trial.probe * 4 + trial.channel;
  for (const trial of trials) {
    const key = keyOf(trial);
    if (!sameProbe.has(key)) sameProbe.set(key, []);
    sameProbe.get(key)[trial.arm] = trial;
  }
  const partner = (trial, arm) => sameProbe.get(keyOf(trial))[arm];
  const isExcluded = (trial) => index.kinds[trial.kind][2];
  const isLost = (trial) => {
    const other = partner(trial, reference);
    return Boolean(other) && other.kind === RIGHT && trial.kind !== RIGHT && !isExcluded(trial);
  };

  // ---- elements
  const el = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const sign = (trial) => (trial.kind === RIGHT ? "✓" : isExcluded(trial) ? "○" : "✗");
  const words = (trial) => `${sign(trial)} ${index.kinds[trial.kind][1]}`;
  const tone = (trial) => (trial.kind === RIGHT ? "good" : isExcluded(trial) ? "" : "bad");

  // ---- filters
  const filters = { arm: $("f-arm"), depth: $("f-depth"), family: $("f-family"), kind: $("f-kind"), channel: $("f-channel") };
  const fill = (select, all, pairs) => {
    select.append(el("option", { value: "", textContent: all }));
    for (const [value, text] of pairs) select.append(el("option", { value, textContent: text }));
  };
  const used = (field) => new Set(trials.map((trial) => trial[field]));
  fill(filters.arm, "all arms", index.arms.map((name, at) => [at, name]));
  fill(filters.depth, "all depths", index.depths);
  fill(filters.family, "all families", index.families.map((name, at) => [at, name]));
  const kinds = used("kind"), channels = used("channel");
  fill(filters.kind, "all outcomes", [["wrong", "anything but right"],
    ...index.kinds.map(([, text], at) => [at, text]).filter(([at]) => kinds.has(at))]);
  fill(filters.channel, "all channels", index.channels.map((name, at) => [at, name]).filter(([at]) => channels.has(at)));

  const test = () => {
    const { arm, depth, family, kind, channel } = Object.fromEntries(
      Object.entries(filters).map(([name, select]) => [name, select.value]));
    const text = $("f-text").value.trim().toLowerCase(), lost = $("f-lost").checked;
    const holds = (value) => value.toLowerCase().includes(text);
    return (trial) => {
      const probe = probes[trial.probe];
      return (arm === "" || trial.arm === +arm) && (depth === "" || probe.depth === +depth)
        && (family === "" || probe.family === +family) && (channel === "" || trial.channel === +channel)
        && (kind === "" || (kind === "wrong" ? trial.kind !== RIGHT : trial.kind === +kind))
        && (!lost || isLost(trial))
        && (text === "" || holds(probe.id) || holds(trial.detail) || holds(trial.answer));
    };
  };

  // ---- list
  let found = trials, page = 0, chosen = null;
  const row = (trial) => {
    const probe = probes[trial.probe];
    const where = [depthName.get(probe.depth), index.channels[trial.channel], probe.id].join(" · ");
    const button = el("button", { type: "button", className: "row" },
      el("span", { className: `what ${tone(trial)}`, textContent: words(trial) }), `  ${index.arms[trial.arm]}`,
      el("span", { className: "where", textContent: where }));
    button.addEventListener("click", () => choose(trial, button));
    if (trial === chosen) button.setAttribute("aria-current", "true");
    return el("li", {}, button);
  };
  const showPage = (to) => {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(to, 0), pages - 1);
    $("rows").replaceChildren(...found.slice(page * PAGE, (page + 1) * PAGE).map(row));
    $("rows").scrollTop = 0;
    $("page").textContent = `page ${page + 1} of ${pages}`;
    $("previous").disabled = page === 0;
    $("next").disabled = page === pages - 1;
  };
  const apply = () => {
    found = trials.filter(test());
    $("count").textContent = `${found.length.toLocaleString("en")} of ${trials.length.toLocaleString("en")} answers`;
    showPage(0);
  };

  // ---- two answers
  // Where two texts differ first and last, never inside a surrogate pair.
  const inPair = (text, at) => at > 0 && at < text.length && /[\uDC00-\uDFFF]/.test(text[at]) && /[\uD800-\uDBFF]/.test(text[at - 1]);
  const difference = (a, b) => {
    let start = 0, end = 0;
    const most = Math.min(a.length, b.length);
    while (start < most && a[start] === b[start]) start += 1;
    if (inPair(a, start) || inPair(b, start)) start -= 1;
    while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
    if (end > 0 && start + end === most) end -= 1; // an insertion: mark what it pushed away, so that both sides show a mark
    if (inPair(a, a.length - end) || inPair(b, b.length - end)) end -= 1;
    return { start, end, same: a === b };
  };
  const marked = (text, { start, end, same }) => {
    if (same) return el("pre", { tabIndex: 0 }, text);
    const stop = text.length - end, one = start < stop ? [...text.slice(start, stop)][0].length : 0;
    return el("pre", { tabIndex: 0 }, text.slice(0, start),
      el("mark", { className: "first", textContent: text.slice(start, start + one) }),
      ...(start + one < stop ? [el("mark", { textContent: text.slice(start + one, stop) })] : []), text.slice(stop));
  };
  const timing = ({ boot, wall, timings }) => {
    const whole = `boot ${boot}, ${wall.toFixed(1)} s`;
    if (!timings) return whole;
    const [cached, processed, promptMs, predicted, predictedMs] = timings;
    const rate = predictedMs > 0 ? ` (${(1000 * predicted / predictedMs).toFixed(1)}/s)` : "";
    return `${whole}: ${processed.toLocaleString("en")} prompt tokens in ${(promptMs / 1000).toFixed(1)} s`
      + ` + ${cached.toLocaleString("en")} cached; ${predicted} generated in ${(predictedMs / 1000).toFixed(1)} s${rate}`;
  };
  const side = (name, label, trial, others, mark, change) => {
    const select = el("select", { ariaLabel: label });
    for (const other of others) {
      select.append(el("option", { value: other.arm, textContent: index.arms[other.arm], selected: other === trial }));
    }
    select.addEventListener("change", () => {
      change(others.find((other) => other.arm === +select.value));
      document.querySelector(`[data-side="${name}"] select`).focus();
    });
    const node = el("div", { className: "side" }, select,
      el("p", { className: `outcome ${tone(trial)}`, textContent: words(trial) }),
      el("p", { className: "why", textContent: trial.detail }),
      marked(trial.answer || "", mark), el("p", { className: "timing", textContent: timing(trial) }));
    node.dataset.side = name;
    return node;
  };
  const promptOf = (probe) => {
    prefixes ??= read("kv-prefixes");
    const text = probe.rung < 0 ? "" : (prefixes[probe.rung] ?? prefixes[prefixes.length - 1]);
    return text.slice(0, probe.cut);
  };
  const promptBox = (probe) => {
    const box = el("details", { className: "prompt", open: promptOpen },
      el("summary", { textContent: `Show prompt (${probe.tokens.toLocaleString("en")} tokens)` }));
    const insert = () => {
      promptOpen = box.open;
      if (!box.open || box.children.length > 1) return;
      const before = promptOf(probe);
      const question = [el("h4", { textContent: before ? "… and the question" : "The whole prompt" }),
        el("pre", { tabIndex: 0, className: "suffix" }, probe.suffix)];
      const session = before ? [el("h4", { textContent: `The session in front (${before.length.toLocaleString("en")} characters)` }),
        el("pre", { tabIndex: 0, className: "prefix" }, before)] : [];
      box.append(...session, ...question);
    };
    box.addEventListener("toggle", insert);
    if (box.open) insert();
    return box;
  };
  let promptOpen = false;
  const compare = (left, right) => {
    const probe = probes[right.probe];
    const others = sameProbe.get(keyOf(right)).filter(Boolean);
    const mark = difference(left.answer, right.answer);
    const told = mark.same ? "The two answers are the same, character for character."
      : `First difference at character ${(mark.start + 1).toLocaleString("en")}.`;
    const family = index.families[probe.family] ?? "";
    $("detail").replaceChildren(
      el("h3", { textContent: probe.id }),
      el("p", { className: "hint", textContent: [family, `level ${probe.level}`, `depth ${depthName.get(probe.depth)}`,
        `${index.channels[right.channel]} channel`].join(" · ") }),
      el("div", { className: "expected" }, "Right would be", el("pre", { tabIndex: 0 }, probe.expected)),
      el("p", { className: "difference", textContent: told }),
      el("div", { className: "sides" },
        side("left", "Left answer: arm", left, others, mark, (to) => compare(to, right)),
        side("right", "Right answer: arm", right, others, mark, (to) => compare(left, to))),
      promptBox(probe));
  };
  const choose = (trial, button) => {
    chosen = trial;
    for (const node of document.querySelectorAll("[aria-current]")) node.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    const base = partner(trial, reference) ?? trial;
    compare(base, trial === base ? partner(trial, firstCandidate) ?? trial : trial);
    if (matchMedia("(max-width: 52rem)").matches) $("detail").scrollIntoView({ block: "start" });
  };

  // ---- events
  let waiting = 0;
  const soon = () => { clearTimeout(waiting); waiting = setTimeout(apply, 120); };
  const search = $("f-text"); // its change comes with the click that leaves it: a new list would swallow that click
  $("filters").addEventListener("change", (event) => { if (event.target !== search) apply(); });
  search.addEventListener("input", soon);
  $("filters").addEventListener("reset", () => setTimeout(apply));
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  $("previous").addEventListener("click", () => showPage(page - 1));
  $("next").addEventListener("click", () => showPage(page + 1));
  $("rows").addEventListener("keydown", (event) => {
    const item = event.target.closest("li");
    const next = { ArrowDown: item?.nextElementSibling, ArrowUp: item?.previousElementSibling }[event.key];
    if (next) { event.preventDefault(); next.firstChild.focus(); }
  });
  const lostBy = new Map();
  for (const trial of trials) if (trial.channel === index.primary && isLost(trial)) lostBy.set(trial.arm, (lostBy.get(trial.arm) ?? 0) + 1);
  for (const button of document.querySelectorAll(".jump")) {
    const lost = lostBy.get(index.arms.indexOf(button.dataset.arm)) ?? 0;
    button.hidden = lost === 0;
    const where = lost === +button.dataset.judged ? "" : " in the whole run"; // the verdict leaves depths or pairs out
    button.textContent = `See the ${lost === 1 ? "answer" : `${lost.toLocaleString("en")} answers`} it lost${where}`;
    button.addEventListener("click", () => {
      $("filters").reset();
      filters.arm.value = index.arms.indexOf(button.dataset.arm);
      filters.channel.value = index.primary;
      $("f-lost").checked = true;
      setTimeout(() => { apply(); $("explorer").scrollIntoView(); $("f-arm").focus({ preventScroll: true }); });
    });
  }
  // the timeline of a replay: a cell shows its answer beside the reference's
  const placeOf = (arm, depth, probe) => JSON.stringify([arm, depth, probe]);
  const byPlace = new Map(trials.filter((trial) => trial.channel === index.primary).map((trial) => {
    const { depth, id } = probes[trial.probe];
    return [placeOf(index.arms[trial.arm], depth, id), trial];
  }));
  for (const cell of document.querySelectorAll("button.cell")) {
    const trial = byPlace.get(placeOf(cell.dataset.arm, +cell.dataset.depth, cell.dataset.probe));
    cell.addEventListener("click", () => {
      choose(trial, cell);
      $("detail").scrollIntoView({ block: "start" });
      $("detail").focus({ preventScroll: true });
    });
  }
  document.documentElement.classList.add("js");
  apply();
  performance.mark("kvassay-ready");
})();
