// The panel beside the graph: the moment of the walk, a node, curves, and what the library found.

import { byId, make, numberOf, shown } from "./tools.js";
import { data, labelOf, sizeOf, state, step, t, counted } from "./state.js";
import { ask } from "./ask.js";
import { arrayView } from "./arrays.js";
import { treeOf, callsIn } from "./shapes.js";
import { sourceView, partsView, sparkline } from "./parts.js";
import { formulasOf, goesTo, jacobianView, mathOf, operandName } from "./jacobians.js";
import { chainSheet, valueOfNode } from "./chain.js";

const heading = (text, ...more) => make("h3", {}, text, ...more);
const note = (key, filling) => make("p", { class: "note" }, t(key, filling));

const RESULTS = ["ledger", "flow", "diagnosis"]; // what the library says of the record

/** The tabs that there are. */
const tabs = () => ["walk", "node", "chain", ...RESULTS.filter((name) => data.live || data.results[name]), "curves"];

let reveal = () => {};

/** `f` goes to a node of the graph. */
export const onReveal = (f) => { reveal = f; };

/** Shows the sheet again, after something that it waited for has come, where it was. */
function again() {
  const at = byId("sheet").scrollTop;
  showPanel();
  byId("sheet").scrollTop = at;
}

let shownTab = null;

export function showPanel() {
  const list = tabs(), stays = shownTab === state.tab && state.tab !== "walk" && state.tab !== "node", at = byId("sheet").scrollTop;
  shownTab = state.tab;
  byId("tabs").replaceChildren(...list.map((tab) => make("button", {
    role: "tab", id: `tab-${tab}`, "aria-selected": String(state.tab === tab), "aria-controls": "sheet", tabindex: state.tab === tab ? "0" : "-1", onclick: () => { state.tab = tab; showPanel(); },
    onkeydown: (e) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[e.key];
      if (!by) return;
      e.stopPropagation();
      state.tab = list[(list.indexOf(tab) + by + list.length) % list.length];
      showPanel();
      byId(`tab-${state.tab}`).focus();
    },
  }, t(`tab ${tab}`))));
  byId("sheet").setAttribute("aria-labelledby", `tab-${state.tab}`);
  const sheets = { walk: walkSheet, node: nodeSheet, chain: () => chainSheet(again, reveal), curves: curvesSheet };
  byId("sheet").replaceChildren(...(sheets[state.tab] ?? resultSheet)().flat().filter(Boolean));
  byId("sheet").scrollTop = stays ? at : 0;
}

/** What the library says: the ledger, the flow, the diagnosis. Of a live page it is asked for while it is looked at. */
function resultSheet() {
  const name = state.tab, found = data.results[name];
  if (data.live && !(found?.watched >= data.watched)) ask(`/results?name=${name}`, (came) => { if (came) data.results[name] = came; if (state.tab === name) again(); });
  return found ? partsView(found[state.language]) : [note("J coming")];
}

/** What a moment is called. */
export function caption(moment) {
  if (!moment) return t("begin");
  const s = step();
  if (moment.kind === "call") return t("call", { name: s.calls[moment.call].name, result: s.calls[moment.call].results.map(labelOf).join(", ") });
  if (moment.kind === "seed") return t("seed", { name: s.passes[moment.pass].roots.map((r) => (r === null ? "?" : labelOf(r))).join(", ") });
  if (moment.kind === "pull") return t("pull", { name: s.calls[s.passes[moment.pass].pulls[moment.pull].call].name });
  if (moment.kind === "arrival") {
    const arrival = s.passes[moment.pass].arrivals[moment.arrival];
    return t(arrival.before === null ? "arrival" : "arrival sum", { name: labelOf(arrival.leaf), passes: arrival.passes });
  }
  if (moment.kind === "update") {
    const first = s.updates[moment.updates[0]];
    return t(first.optimizer ? "update" : "written", { optimizer: first.optimizer, count: moment.updates.length, name: labelOf(first.leaf) });
  }
  if (moment.kind === "crash") return t("crash", { kind: data.failure.kind });
  const events = moment.events.map((n) => s.events[n]);
  return t(moment.kind, { count: events.length, name: events[0].value === null ? "" : labelOf(events[0].value) });
}

function walkSheet() {
  const s = step(), moment = s.moments[state.moment];
  const title = heading(caption(moment));
  if (!moment) return [note("start"), ...roomNotes(s), make("dl", { class: "facts" }, fact(t("loss"), shown(numberOf(s.loss))), fact(t("operations"), counted(s.calls.length)), fact(t("parameters"), counted(new Set(s.values.filter((v) => v.kind === "parameter" || v.kind === "leaf").map((v) => v.label)).size))), s.dropped ? note("dropped", { count: counted(s.dropped) }) : null];
  if (moment.kind === "call") return [title, note("about call"), ...callBlock(moment.call)];
  if (moment.kind === "seed") {
    const pass = s.passes[moment.pass];
    const first = pass.pulls[0];
    return [title, note("about seed"), first ? arrayView(t("seed v"), first.v.find((x) => x !== null), "grad") : null, sourceView(pass.place)];
  }
  if (moment.kind === "pull") return [title, note("about pull"), ...pullBlock(s.passes[moment.pass].pulls[moment.pull], s.passes[moment.pass])];
  if (moment.kind === "arrival") return [title, ...arrivalBlock(s.passes[moment.pass].arrivals[moment.arrival])];
  if (moment.kind === "update") return [title, note("about update"), ...moment.updates.slice(0, 12).map((n) => updateBlock(s.updates[n])), moment.updates.length > 12 ? note("more", { count: moment.updates.length - 12 }) : null, sourceView(s.updates[moment.updates[0]].place)];
  if (moment.kind === "crash") return [title, ...crashBlock()];
  const events = moment.events.map((n) => s.events[n]);
  return [title, moment.kind === "cleared" ? note("about cleared") : null, make("ul", {}, events.map((e) => make("li", {}, e.value === null ? "" : labelOf(e.value)))), sourceView(events[0].place)];
}

const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));

function callBlock(n) {
  const call = step().calls[n];
  const results = call.results.map((v) => arrayView(`${labelOf(v)} (${t("result")})`, step().values[v].array));
  const params = Object.entries(call.params).filter(([name]) => name !== "called");
  return [params.length ? make("p", { class: "quiet" }, params.map(([k, v]) => `${k} = ${v}`).join(", ")) : null, ...results, sourceView(call.place), ...operandsOf(call)];
}

/** What was left out so that the page stays small. */
function roomNotes(s) {
  const first = data.steps.find((one) => data.arrays[one.values[0]?.array]?.stats)?.number;
  return [data["left out"] ? note("steps left out", { count: counted(data["left out"]) }) : null, s.values.length && !data.arrays[s.values[0].array].stats ? note("numbers left out", { first }) : null];
}

/** How the program crashed: the exception, what had come there, the user's line. */
function crashBlock() {
  const { failure } = data, call = failure.call === null ? null : step().calls[failure.call];
  const about = call ? t(failure.backward ? "crash backward" : "crash forward", { name: call.name }) : t("crash outside");
  const operands = call && !failure.backward ? operandsOf(call) : failure.v.map((v) => (v === null ? null : arrayView(t("incoming"), v, "grad")));
  return [make("p", { class: "error" }, make("b", {}, failure.kind), `: ${failure.message}`), make("p", { class: "note" }, about), sourceView(failure.place), ...operands];
}

const operandsOf = (call) => call.operands.map((x) => (x.value === undefined ? make("p", { class: "quiet" }, `${t("operand")}: ${x.text}`) : arrayView(labelOf(x.value), step().values[x.value].array, "operand")));

/** A step of the backward pass: v, the Jacobian of each operand, what came of it, and where that goes. */
function pullBlock(pull, pass) {
  const call = step().calls[pull.call];
  const rows = pull.v.reduce((sum, v) => sum + (v === null ? 0 : sizeOf(v)), 0);
  const several = pull.outgoing.filter((out) => out !== null).length > 1;
  let letters = 0;
  const blocks = pull.outgoing.flatMap((out, i) => {
    if (out === null) return [];
    const letter = several ? `J${String.fromCharCode(97 + letters++)}` : "J", goes = goesTo(pull.call, i, pass);
    return [jacobianView(pull.call, i, [rows, sizeOf(out)], letter, again), arrayView(t("outgoing", { letter, name: operandName(call, i) }), out, "grad"), goes ? make("p", { class: "goes" }, goes) : null];
  });
  return [...pull.v.map((v) => (v === null ? null : arrayView(t("incoming"), v, "grad"))), ...blocks, sourceView(call.place)];
}

function arrivalBlock(arrival) {
  const sum = arrival.before !== null;
  const parts = [note(sum ? "about arrival sum" : "about arrival", { passes: arrival.passes })];
  if (sum) parts.push(arrayView(t("grad before"), arrival.before, "grad"), make("p", { class: "sign", "aria-hidden": "true" }, "+"), arrayView(t("added"), arrival.g, "grad"), make("p", { class: "sign", "aria-hidden": "true" }, "="));
  parts.push(arrayView(`${labelOf(arrival.leaf)}.grad`, arrival.after, "grad"), make("p", { class: "quiet" }, `${t("passes")}: ${arrival.passes}`));
  return parts;
}

function updateBlock(update) {
  const state_ = Object.entries(update.state);
  const numbers = Object.entries(update.hyperparameters).map(([k, v]) => `${k} = ${v}`).join(", ");
  return make("details", { class: "update", open: true }, make("summary", {}, labelOf(update.leaf), make("span", { class: "shape" }, ` ${update.optimizer}`)),
    arrayView(t("before"), update.before), arrayView(`${t("gradient")} (${t("passes")}: ${update.passes})`, update.gradient, "grad"), arrayView(t("change"), update.change, "change"), arrayView(t("after"), update.after),
    numbers ? make("p", { class: "quiet" }, numbers) : null,
    state_.length ? make("details", {}, make("summary", {}, t("state")), state_.map(([k, x]) => ("array" in x ? arrayView(k, x.array, "change") : make("p", { class: "quiet" }, `${k} = ${x.text}`)))) : null);
}

function nodeSheet() {
  const s = step(), node = state.chosen && treeOf(s).nodes.get(state.chosen);
  if (!node) return [note("pick")];
  if (node.kind === "module") {
    const calls = callsIn(treeOf(s), node);
    return [heading(node.group.path || t("kind module"), " ", make("span", { class: "shape" }, node.group.kind)), make("p", {}, t("calls", { count: calls.length })), make("ul", {}, calls.slice(0, 100).map((n) => make("li", {}, `${s.calls[n].name} → ${s.calls[n].results.map(labelOf).join(", ")}`)))];
  }
  if (node.call) {
    const pulls = s.passes.flatMap((p, n) => p.pulls.filter((pull) => pull.call === node.number).map((pull) => [pull, p, n]));
    const path = node.call.modules.at(-1), math = formulasOf(node.call)[0];
    const failed = data.failure?.call === node.number && data.failure.step === s.number;
    const came = node.call.results.map(cameTo);
    const title = [heading(node.call.name, node.call.grad ? null : make("span", { class: "shape" }, ` ${t("off")}`)), make("p", { class: "quiet" }, path ? `${path[0]} (${path[1]})` : t("outside"))];
    if (failed) title.push(...crashBlock());
    if (failed && !data.failure.backward) return title;
    const backward = pulls.flatMap(([pull, p, n]) => [make("h4", { class: "pass" }, t(s.passes.length > 1 ? "backward pass" : "backward", { number: n + 1, count: s.passes.length })), ...pullBlock(pull, p)]);
    return [...title, chainButton(node), math ? make("h4", {}, t("formula")) : null, mathOf(math), ...callBlock(node.number), ...backward, ...came.flatMap(({ arrivals, updates }) => [...arrivals.flatMap(arrivalBlock), ...updates.map(updateBlock)])];
  }
  const value = node.value, { arrivals, updates } = cameTo(node.number);
  return [heading(value.label, " ", make("span", { class: "shape" }, t(`kind ${value.kind}`))), arrivals.length ? chainButton(node) : null, ...historyOf(value.name), arrayView(t("value"), value.array), ...arrivals.flatMap(arrivalBlock), ...updates.map(updateBlock), arrivals.length || !value.requires_grad ? null : note("no gradient"), sourceView(value.place)];
}

/** What came to rest in a value's `.grad`, and what updated it. */
function cameTo(value) {
  const s = step();
  return { arrivals: s.passes.flatMap((p) => p.arrivals).filter((a) => a.leaf === value), updates: s.updates.filter((u) => u.leaf === value) };
}

/** Leads to the chain of what a node stands for, if backward went through it. */
function chainButton(node) {
  const target = valueOfNode(node);
  const pulled = node.value || step().passes.some((p) => p.pulls.some((pull) => pull.call === node.number));
  return target === null || !pulled ? null : make("button", { class: "small", id: "to-chain", onclick: () => { state.target = target; state.tab = "chain"; showPanel(); } }, t("chain open"));
}

/** Curves of one parameter over the steps. */
function historyOf(name) {
  const updates = data.steps.flatMap((s) => s.updates.filter((u) => name && s.values[u.leaf].name === name).map((u) => [s.number, u]));
  const norm = (u, i) => (u.norms[i] === null ? NaN : numberOf(u.norms[i]));
  return [sparkline(t("weight norm"), updates.map(([n, u]) => [n, norm(u, 0)])), sparkline(t("gradient norm"), updates.map(([n, u]) => [n, norm(u, 1)])), sparkline(t("ratio"), updates.map(([n, u]) => [n, norm(u, 2) / norm(u, 0)]))];
}

function curvesSheet() {
  const points = data.series?.loss ?? data.steps.filter((s) => s.loss !== null).map((s) => [s.number, numberOf(s.loss)]);
  const names = [...new Set(data.steps.flatMap((s) => s.updates.map((u) => s.values[u.leaf].name)))];
  const curves = [sparkline(t("loss"), points), ...names.slice(0, 60).map((name) => { const found = historyOf(name).filter(Boolean); return found.length ? make("section", {}, make("h4", {}, name), found) : null; })].filter(Boolean);
  return curves.length ? curves : [note("curves none")];
}
