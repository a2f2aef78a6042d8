// The panel beside the graph: the moment of the walk, a node, curves, and what the library found.

import { byId, make, product, numberOf, shown } from "./tools.js";
import { data, state, step, t, counted } from "./state.js";
import { arrayView } from "./arrays.js";
import { treeOf, callsIn } from "./shapes.js";
import { sourceView, partsView, sparkline } from "./parts.js";

const labelOf = (value) => step().values[value].label;
const shapeOf = (index) => data.arrays[index].shape;
const heading = (text, ...more) => make("h3", {}, text, ...more);
const note = (key, filling) => make("p", { class: "note" }, t(key, filling));

/** The tabs that there are. */
const tabs = () => ["walk", "node", "curves", ...Object.keys(data.results ?? {})];

export function showPanel() {
  const list = tabs();
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
  const sheets = { walk: walkSheet, node: nodeSheet, curves: curvesSheet };
  byId("sheet").replaceChildren(...[sheets[state.tab] ? sheets[state.tab]() : partsView(data.results[state.tab][state.language])].flat().filter(Boolean));
  byId("sheet").scrollTop = 0;
}

/** What a moment is called. */
export function caption(moment) {
  if (!moment) return t("start");
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
    return t(first.optimizer ? (moment.updates.length > 1 ? "update" : "update one") : "written", { optimizer: first.optimizer, count: moment.updates.length, name: labelOf(first.leaf) });
  }
  if (moment.kind === "crash") return t("crash", { message: data.failure.message });
  const events = moment.events.map((n) => s.events[n]);
  return t(moment.kind, { count: events.length, name: events[0].value === null ? "" : labelOf(events[0].value) });
}

function walkSheet() {
  const s = step(), moment = s.moments[state.moment];
  const title = heading(caption(moment));
  if (!moment) return [title, make("dl", { class: "facts" }, fact(t("loss"), shown(numberOf(s.loss))), fact(t("kind operation"), counted(s.calls.length)), fact(t("kind parameter"), counted(new Set(s.values.filter((v) => v.kind === "parameter").map((v) => v.label)).size))), s.dropped ? note("dropped", { count: counted(s.dropped) }) : null];
  if (moment.kind === "call") return [title, note("about call"), ...callBlock(moment.call)];
  if (moment.kind === "seed") {
    const pass = s.passes[moment.pass];
    const first = pass.pulls[0];
    return [title, note("about seed"), first ? arrayView(t("seed v"), first.v.find((x) => x !== null), "grad") : null, sourceView(pass.place)];
  }
  if (moment.kind === "pull") return [title, note("about pull"), ...pullBlock(s.passes[moment.pass].pulls[moment.pull])];
  if (moment.kind === "arrival") return [title, ...arrivalBlock(s.passes[moment.pass].arrivals[moment.arrival])];
  if (moment.kind === "update") return [title, note("about update"), ...moment.updates.slice(0, 12).map((n) => updateBlock(s.updates[n])), moment.updates.length > 12 ? note("more", { count: moment.updates.length - 12 }) : null, sourceView(s.updates[moment.updates[0]].place)];
  if (moment.kind === "crash") return [title, sourceView(data.failure.place)];
  const events = moment.events.map((n) => s.events[n]);
  return [title, moment.kind === "cleared" ? note("about cleared") : null, make("ul", {}, events.map((e) => make("li", {}, e.value === null ? "" : labelOf(e.value)))), sourceView(events[0].place)];
}

const fact = (name, value) => make("div", {}, make("dt", {}, name), make("dd", {}, value));

function callBlock(n) {
  const call = step().calls[n];
  const operands = call.operands.map((x) => (x.value === undefined ? make("p", { class: "quiet" }, `${t("operand")}: ${x.text}`) : arrayView(labelOf(x.value), step().values[x.value].array, "operand")));
  const results = call.results.map((v) => arrayView(`${labelOf(v)} (${t("result")})`, step().values[v].array));
  const params = Object.entries(call.params).filter(([name]) => name !== "called");
  return [params.length ? make("p", { class: "quiet" }, params.map(([k, v]) => `${k} = ${v}`).join(", ")) : null, ...results, sourceView(call.place), ...operands];
}

/** A step of the backward pass: v, the Jacobian of each operand, and what came of it. */
function pullBlock(pull) {
  const call = step().calls[pull.call];
  const rows = pull.v.reduce((sum, v) => sum + (v === null ? 0 : product(shapeOf(v))), 0);
  const blocks = pull.outgoing.map((out, i) => {
    if (out === null) return [];
    const operand = call.operands[i];
    const name = operand?.value === undefined ? `${t("operand")} ${i + 1}` : labelOf(operand.value);
    const columns = product(shapeOf(out));
    return [make("div", { class: "jacobian" }, make("b", {}, t("jacobian", { rows: counted(rows), columns: counted(columns) })), " ", t("for operand", { name }), make("small", {}, pull.jacobians?.[i]?.[state.language] ?? t("jacobian size", { entries: counted(rows * columns) })), mathOf(formulasOf(call)[i + 1])), arrayView(t("outgoing", { name }), out, "grad")];
  });
  return [...pull.v.map((v) => (v === null ? null : arrayView(t("incoming"), v, "grad"))), ...blocks.flat(), sourceView(call.place)];
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
    const pulls = s.passes.flatMap((p) => p.pulls).filter((pull) => pull.call === node.number);
    const path = node.call.modules.at(-1);
    const formula = [make("h4", {}, t("formula")), mathOf(formulasOf(node.call)[0])];
    return [heading(node.call.name, node.call.grad ? null : make("span", { class: "shape" }, ` ${t("off")}`)), make("p", { class: "quiet" }, path ? `${path[0]} (${path[1]})` : t("outside")), ...formula, ...callBlock(node.number), ...pulls.flatMap(pullBlock)];
  }
  const value = node.value;
  const arrivals = s.passes.flatMap((p) => p.arrivals).filter((a) => a.leaf === node.number);
  const updates = s.updates.filter((u) => u.leaf === node.number);
  return [heading(value.label, " ", make("span", { class: "shape" }, t(`kind ${value.kind}`))), ...historyOf(value.name), arrayView(t("value"), value.array), ...arrivals.flatMap(arrivalBlock), ...updates.map(updateBlock), arrivals.length || !value.requires_grad ? null : note("no gradient"), sourceView(value.place)];
}

const formulasOf = (call) => data.formulas[call.formulas][state.language];

/** MathML that the library wrote. */
function mathOf(text) {
  if (!text) return null;
  const parsed = new DOMParser().parseFromString(text, "text/html");
  return make("div", { class: "formula" }, ...parsed.body.childNodes);
}

/** Curves of one parameter over the steps. */
function historyOf(name) {
  const updates = data.steps.flatMap((s) => s.updates.filter((u) => name && s.values[u.leaf].name === name).map((u) => [s.number, u]));
  const norm = (index) => (index === null ? NaN : numberOf(data.arrays[index].stats.norm));
  return [sparkline(t("weight norm"), updates.map(([n, u]) => [n, norm(u.before)])), sparkline(t("gradient norm"), updates.map(([n, u]) => [n, norm(u.gradient)])), sparkline(t("ratio"), updates.map(([n, u]) => [n, norm(u.change) / norm(u.before)]))];
}

function curvesSheet() {
  const points = data.series?.loss ?? data.steps.filter((s) => s.loss !== null).map((s) => [s.number, numberOf(s.loss)]);
  const names = [...new Set(data.steps.flatMap((s) => s.updates.map((u) => s.values[u.leaf].name)))];
  const curves = [sparkline(t("loss"), points), ...names.slice(0, 60).map((name) => { const found = historyOf(name).filter(Boolean); return found.length ? make("section", {}, make("h4", {}, name), found) : null; })].filter(Boolean);
  return curves.length ? curves : [note("curves none")];
}
