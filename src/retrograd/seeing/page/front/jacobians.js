// Jacobians: written out where they are small, else by their structure, with a sketch of where their entries are.

import { bytesOf, make } from "./tools.js";
import { data, labelOf, state, step, t, counted } from "./state.js";
import { addArrays, ask } from "./ask.js";
import { arrayView, raster } from "./arrays.js";

/** What an operand of a call is called. */
export function operandName(call, at) {
  const operand = call.operands[at];
  return operand?.value === undefined ? `${t("operand")} ${at + 1}` : labelOf(operand.value);
}

/** MathML that the library wrote. */
export function mathOf(text) {
  if (!text) return null;
  const parsed = new DOMParser().parseFromString(text, "text/html");
  return make("div", { class: "formula" }, ...parsed.body.childNodes);
}

export const formulasOf = (call) => (call.formulas === null ? [] : data.formulas[call.formulas][state.language]);

/** The Jacobians of an operand, one for each result. Of a live page they are asked for first; `again` then shows them. */
export function jacobiansOf(n, at, again) {
  const call = step().calls[n];
  if (call.jacobians) return call.jacobians[at] ?? [];
  if (data.live) ask(`/jacobians?step=${step().number}&call=${n}`, (found) => {
    const by = addArrays(found?.arrays ?? []);
    call.jacobians = found?.jacobians ?? [];
    for (const j of call.jacobians.flat()) if (j && j.matrix !== null) j.matrix += by;
    again();
  });
  return null;
}

/** Where the entries are, from afar. */
function sketch(held, text) {
  const [rows, columns] = held.shape, bits = bytesOf(held.data);
  const canvas = raster(rows, columns, (i) => (bits[i >> 3] & (128 >> (i & 7)) ? 1 : 0));
  canvas.classList.add("sketch");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${t("J sketch")}: ${text}`);
  return make("figure", {}, canvas, make("small", {}, t("J sketch")));
}

/** How large a Jacobian would be if it was written out. */
function weight(entries) {
  const bytes = 4 * entries;
  const [unit, by] = [["B", 1], ["kB", 1e3], ["MB", 1e6], ["GB", 1e9], ["TB", 1e12]].findLast(([, size]) => bytes >= size) ?? ["B", 1];
  return `${Number((bytes / by).toPrecision(3)).toLocaleString(state.language)} ${unit}`;
}

/** The Jacobian of a call for one operand, as a block of the panel. `letter`: what it is called. */
export function jacobianView(n, at, sizes, letter, again) {
  const call = step().calls[n];
  const found = jacobiansOf(n, at, again);
  const head = (rows, columns) => make("p", { class: "size" }, make("b", {}, t("jacobian", { letter, rows: counted(rows), columns: counted(columns) })), " ", t("for operand", { name: operandName(call, at) }));
  const view = make("section", { class: "jacobian", "aria-label": `${letter}: ${operandName(call, at)}` });
  if (!found?.length) view.append(head(...sizes), make("small", {}, t(found ? "J unknown" : data.live ? "J coming" : "J left out")));
  for (const j of found ?? []) {
    const text = j.text[state.language];
    const entries = j.rows * j.columns;
    view.append(head(j.rows, j.columns), make("p", { class: "structure" }, text));
    if (j.matrix !== null) view.append(arrayView(t("J matrix", { letter }), j.matrix, "matrix"));
    else view.append(make("small", {}, t("jacobian size", { entries: counted(entries), weight: weight(entries) })));
    if (j.sketch) view.append(sketch(j.sketch, text));
  }
  const formula = mathOf(formulasOf(call)[at + 1]);
  if (formula) view.append(formula);
  return view;
}

/** Where a cotangent goes from an operand: into `.grad`, or on to the operation that made it. */
export function goesTo(n, at, pass) {
  const call = step().calls[n], source = call.sources[at], value = call.operands[at]?.value;
  if (source) {
    const parts = pass.pulls.reduce((sum, p) => sum + p.outgoing.filter((g, i) => g !== null && same(step().calls[p.call].sources[i], source)).length, 0);
    return t(parts > 1 ? "goes summed" : "goes on", { name: step().calls[source[0]].name, count: parts });
  }
  const arrival = pass.arrivals.find((a) => a.leaf === value);
  if (!arrival) return null;
  const parts = pass.pulls.reduce((sum, p) => sum + p.outgoing.filter((g, i) => g !== null && !step().calls[p.call].sources[i] && step().calls[p.call].operands[i]?.value === value).length, 0);
  return t(parts > 1 ? "goes summed grad" : "goes grad", { name: labelOf(value), count: parts });
}

const same = (a, b) => a !== null && a !== undefined && a[0] === b[0] && a[1] === b[1];
