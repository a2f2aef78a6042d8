// The walk: from moment to moment of a step, by play, buttons, keys and the slider.

import { byId, make } from "./tools.js";
import { data, state, step, t } from "./state.js";
import { treeOf, sourceOf, takenFrom } from "./shapes.js";
import { setMarks, show } from "./graph.js";
import { caption, showPanel } from "./panel.js";

const times = new WeakMap();

/** When each node of a step first has its value (a group, when one of its calls has), and by node the gradients that come to it and when. */
function timesOf(s) {
  if (times.has(s)) return times.get(s);
  const { nodes } = treeOf(s), done = new Map(), back = new Map();
  const has = (call, i) => {
    for (let node = nodes.get(`c${call}`); node.parent !== null && !done.has(node.id); node = nodes.get(node.parent)) done.set(node.id, i);
  };
  const gets = (id, i, array) => { if (!back.has(id)) back.set(id, []); back.get(id).push([i, array]); };
  s.values.forEach((v, n) => { if (v.call === null) done.set(`v${n}`, -1); });
  s.moments.forEach((m, i) => {
    if (m.kind === "call") has(m.call, i);
    else if (m.kind === "crash" && data.failure.call !== null) has(data.failure.call, i);
    else if (m.kind === "pull") {
      const pull = s.passes[m.pass].pulls[m.pull];
      has(pull.call, i);
      gets(`c${pull.call}`, i, pull.v.find((v) => v !== null));
    } else if (m.kind === "arrival") {
      const arrival = s.passes[m.pass].arrivals[m.arrival];
      gets(sourceOf(s, arrival.leaf), i, arrival.after);
    }
  });
  times.set(s, { done, back });
  return times.get(s);
}

/** What happens at a moment: the nodes it is about, and the edges that carry something. */
function eventsAt(s, moment) {
  const m = s.moments[moment], current = new Set(), edges = [];
  const call = (n, taken) => {
    current.add(`c${n}`);
    s.calls[n].operands.forEach((_, i) => { const from = takenFrom(s, n, i); if (from !== null && taken(i)) edges.push([from, `c${n}`]); });
  };
  const pull = m?.kind === "pull" && s.passes[m.pass].pulls[m.pull];
  if (m?.kind === "call") call(m.call, () => true);
  else if (pull) call(pull.call, (i) => pull.outgoing[i] !== null);
  else if (m?.kind === "seed") s.passes[m.pass].roots.forEach((r) => { if (r !== null) current.add(sourceOf(s, r)); });
  else if (m?.kind === "crash") { if (data.failure.call !== null) current.add(`c${data.failure.call}`); }
  else if (m?.kind === "arrival") current.add(sourceOf(s, s.passes[m.pass].arrivals[m.arrival].leaf));
  else if (m) for (const value of [...(m.updates ?? []).map((n) => s.updates[n].leaf), ...(m.events ?? []).map((n) => s.events[n].value)]) if (value !== null) current.add(sourceOf(s, value));
  return { current, edges, backward: ["seed", "pull", "arrival"].includes(m?.kind) };
}

/** What is to be marked at the moment. */
function marksAt(s, moment) {
  const { done, back } = timesOf(s);
  return {
    ...eventsAt(s, moment),
    done: (id) => moment < 0 || done.get(id) <= moment,
    back: (id) => back.get(id)?.findLast(([i]) => i <= moment)?.[1],
  };
}

let near = false; // whether the walk has come near enough for the graph to be read

/** Goes to a moment. */
export function goTo(moment) {
  const s = step();
  state.moment = Math.max(-1, Math.min(s.moments.length - 1, moment));
  if (state.moment >= 0) state.tab = "walk";
  refreshWalk();
  const [first] = eventsAt(s, state.moment).current;
  if (first) show(first, !near);
  near = first !== undefined || (near && state.moment >= 0);
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
  showPhases(s);
  showPanel();
}

let phasesOf = null; // the step whose phases are shown

/** The phases of a step beneath the slider: one stripe for what is of a kind. */
function showPhases(s) {
  if (phasesOf === s) return;
  phasesOf = s;
  const kinds = { call: "forward", seed: "backward", pull: "backward", arrival: "backward", update: "update" };
  const runs = [];
  for (const m of s.moments) {
    const kind = kinds[m.kind] ?? "other";
    if (runs.at(-1)?.kind === kind) runs.at(-1).length++; else runs.push({ kind, length: 1 });
  }
  byId("phases").replaceChildren(...runs.map(({ kind, length }) => {
    const stripe = make("i", { class: kind });
    stripe.style.flexGrow = length;
    return stripe;
  }));
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
