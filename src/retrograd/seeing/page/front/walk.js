// The walk: from moment to moment of a step, by play, buttons, keys and the slider.

import { byId, make } from "./tools.js";
import { state, step, t } from "./state.js";
import { treeOf, sourceOf } from "./shapes.js";
import { setMarks, show } from "./graph.js";
import { caption, showPanel } from "./panel.js";

/** What is to be marked at the moment: all that has happened up to it. */
function marksAt(s, moment) {
  const found = { current: new Set(), done: new Set(), back: new Map(), edges: [], backward: false };
  s.values.forEach((v, n) => { if (v.call === null) found.done.add(`v${n}`); });
  s.moments.slice(0, moment + 1).forEach((m, i) => {
    const now = i === moment;
    if (now) found.backward = ["seed", "pull", "arrival"].includes(m.kind);
    if (m.kind === "call") {
      found.done.add(`c${m.call}`);
      if (now) { found.current.add(`c${m.call}`); s.calls[m.call].operands.forEach((x) => x.value !== undefined && found.edges.push([sourceOf(s, x.value), `c${m.call}`])); }
    } else if (m.kind === "seed" && now) s.passes[m.pass].roots.forEach((r) => r !== null && found.current.add(sourceOf(s, r)));
    else if (m.kind === "pull") {
      const pull = s.passes[m.pass].pulls[m.pull];
      found.back.set(`c${pull.call}`, pull.v.find((v) => v !== null));
      found.done.add(`c${pull.call}`);
      if (now) { found.current.add(`c${pull.call}`); s.calls[pull.call].operands.forEach((x, n) => x.value !== undefined && pull.outgoing[n] !== null && found.edges.push([sourceOf(s, x.value), `c${pull.call}`])); }
    } else if (m.kind === "arrival") {
      const arrival = s.passes[m.pass].arrivals[m.arrival];
      found.back.set(`v${arrival.leaf}`, arrival.after);
      if (now) found.current.add(`v${arrival.leaf}`);
    } else if (now) {
      (m.updates ?? []).forEach((n) => found.current.add(sourceOf(s, s.updates[n].leaf)));
      (m.events ?? []).forEach((n) => s.events[n].value !== null && found.current.add(sourceOf(s, s.events[n].value)));
    }
  });
  if (moment < 0) s.calls.forEach((_, n) => found.done.add(`c${n}`));
  const tree = treeOf(s);
  for (const node of tree.nodes.values()) if (node.children && doneIn(tree, node, found.done)) found.done.add(node.id);
  return found;
}

const doneIn = (tree, node, done) => node.children.some((id) => { const child = tree.nodes.get(id); return child.children ? doneIn(tree, child, done) : child.call && done.has(id); });

/** Goes to a moment. */
export function goTo(moment, { tab = true } = {}) {
  const s = step();
  state.moment = Math.max(-1, Math.min(s.moments.length - 1, moment));
  if (tab && state.moment >= 0) state.tab = "walk";
  refreshWalk();
  const marks = marksAt(s, state.moment);
  if (marks.current.size) show([...marks.current][0]);
}

/** Marks, slider and words of the moment. */
export function refreshWalk() {
  const s = step();
  setMarks(marksAt(s, state.moment));
  const slider = byId("moment");
  slider.max = s.moments.length;
  slider.value = state.moment + 1;
  byId("caption").textContent = caption(s.moments[state.moment]);
  slider.setAttribute("aria-valuetext", byId("caption").textContent);
  const kinds = { call: "forward", seed: "backward", pull: "backward", arrival: "backward", update: "update" };
  byId("phases").replaceChildren(...s.moments.map((m) => make("i", { class: kinds[m.kind] ?? "other" })));
  showPanel();
}

export function play(on = state.playing === null) {
  clearTimeout(state.playing);
  state.playing = null;
  if (on) {
    if (state.moment >= step().moments.length - 1) goTo(-1);
    const next = () => {
      goTo(state.moment + 1);
      state.playing = state.moment < step().moments.length - 1 ? setTimeout(next, Number(byId("speed").value)) : null;
      button();
    };
    state.playing = setTimeout(next, 0);
  }
  button();
}

export function button() {
  const playing = state.playing !== null;
  byId("play").textContent = playing ? "❚❚" : "▶";
  byId("play").setAttribute("aria-label", t(playing ? "pause" : "play"));
  byId("play").title = t(playing ? "pause" : "play");
}
