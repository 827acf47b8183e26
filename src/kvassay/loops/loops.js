// A click on a turn shows what was said and what came back. All text goes in by textContent.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const episodes = JSON.parse($("kv-episodes").textContent);
  const pane = $("turn");
  let current = null;

  const el = (tag, text) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const block = (title, text) => [el("h4", title), el("pre", text)];

  const head = (episode, at) => {
    const step = episode.steps[at];
    const parts = [`${episode.arm} · ${episode.task} at ${episode.depth} · turn ${at + 1} of ${episode.steps.length}`];
    if (at === episode.steps.length - 1) parts.push(`then: ${episode.ending}`);
    if (step.outcome !== "correct") parts.push(`${step.outcome} ${step.detail}`);
    return parts.join(" · ");
  };

  const notes = (episode, at) => {
    const step = episode.steps[at];
    const told = [...step.wrong, ...step.loops];
    if (step.recovered) told.push("R: recovered from the failure before");
    if (step.resent) told.push("the agent sends the same request again");
    if (step.tokens !== null) told.push(`${step.tokens} tokens in ${step.seconds} s`);
    if (at === episode.steps.length - 1 && episode.missing.length) told.push(`not as asked: ${episode.missing.join("; ")}`);
    return told.join(" · ");
  };

  const show = (button) => {
    const episode = episodes[button.dataset.episode];
    const at = Number(button.dataset.turn);
    const step = episode.steps[at];
    if (current) current.removeAttribute("aria-current");
    current = button;
    button.setAttribute("aria-current", "true");
    const rest = at === 0 ? block("the task", episode.said) : [];
    const replies = step.replies.flatMap((reply, n) => block(step.calls[n] ? `reply to ${step.calls[n].name}` : "reply", reply));
    pane.replaceChildren(el("h3", head(episode, at)), el("p", notes(episode, at)), ...rest, ...block("said", step.text), ...replies);
    pane.hidden = false;
  };

  const buttons = [...document.querySelectorAll("button.turn")];
  for (const button of buttons) button.addEventListener("click", () => show(button));
  document.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const at = buttons.indexOf(document.activeElement);
    if (!step || at < 0 || !buttons[at + step]) return;
    buttons[at + step].focus();
    show(buttons[at + step]);
    event.preventDefault();
  });
})();
