// The chain: every operation from the loss back to a tensor, with its Jacobian, what went through it, and their product.

import { byId, make, numberOf, shown, sized } from "./tools.js";
import { data, labelOf, sizeOf, state, step, t, counted } from "./state.js";
import { ask } from "./ask.js";
import { arrayView, whole } from "./arrays.js";
import { formulasOf, jacobianView, mathOf, operandName } from "./jacobians.js";
import { sourceView } from "./parts.js";

const MATH = "http://www.w3.org/1998/Math/MathML";
const CHOICES = 400; // tensors that can be chosen from the list; others by a click
const LINES = 16; // of the product
const FACTORS = 24; // in a row
const LINKS = 60; // shown at once

/** The links from the root of a backward pass to a tensor, in the order in which backward went; null if none leads there. */
export function chainTo(s, target) {
  for (let number = s.passes.length - 1; number >= 0; number--) {
    const links = linksOf(s, s.passes[number], target);
    if (links.length) return { pass: s.passes[number], target, links, last: joined(links) };
  }
  return null;
}

/** Goes from the tensor up: what was pulled last stands nearest to it. */
function linksOf(s, pass, target) {
  const { call: maker, output } = s.values[target];
  const found = new Map(), links = [];
  for (const pull of pass.pulls.toReversed()) {
    const call = s.calls[pull.call], ways = [];
    pull.outgoing.forEach((g, at) => {
      if (g === null) return;
      const source = call.sources[at];
      const ends = source ? source[0] === maker && source[1] === output : call.operands[at]?.value === target;
      if (ends) ways.push({ at, outgoing: g, to: null });
      else if (source && found.has(source[0])) ways.push({ at, outgoing: g, to: found.get(source[0]) });
    });
    if (!ways.length || pull.v.every((v) => v === null)) continue;
    const link = { number: links.length + 1, pull, call: pull.call, ways, came: [] };
    ways.forEach((way, i) => { way.letter = `J${link.number}${ways.length === 1 ? "" : ways.length <= 26 ? String.fromCharCode(97 + i) : `.${i + 1}`}`; });
    found.set(pull.call, link);
    links.push(link);
  }
  return links.reverse();
}

/** Tells each link what comes to it; returns what comes to the tensor itself. */
function joined(links) {
  const last = [];
  for (const link of links) for (const way of link.ways) (way.to ? way.to.came : last).push([link, way]);
  return last;
}

const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
const heightOf = (link) => sum(link.pull.v.filter((v) => v !== null).map(sizeOf));
const isInline = (link) => (link.ways.length === 1 && link.came.length < 2) || !link.came.length;

/** The product as lines: [what it is, sums of rows of factors]. A vector that is a sum, or is used twice, has a line of its own. */
function linesOf(chain) {
  const run = (link, way) => {
    const factors = [];
    for (;;) {
      const rows = heightOf(link);
      factors.push({ letter: way.letter, rows: sizeOf(way.outgoing), columns: rows });
      if (!link.came.length) return { factors, vector: "v", size: rows };
      if (!isInline(link)) return { factors, vector: `v${link.number}`, size: rows };
      [[link, way]] = link.came;
    }
  };
  const lines = chain.links.filter((link) => !isInline(link)).map((link) => ({ vector: `v${link.number}`, terms: link.came.map(([a, way]) => run(a, way)) }));
  return [...lines, { vector: null, terms: chain.last.map(([a, way]) => run(a, way)) }];
}

/** A long list with its middle left out, and null in its place. */
const shortened = (list, most) => (list.length <= most ? list : [...list.slice(0, most / 2), null, ...list.slice(-most / 2)]);

/** The product in one line of text, for those who hear the page. */
const textOf = (lines, left) => lines.map((line) => line === null ? "⋮" : `${line.vector ?? left} = ${line.terms.map((term) => [...shortened(term.factors, FACTORS).map((f) => (f ? `${f.letter}ᵀ [${f.rows}×${f.columns}]` : "⋯")), `${term.vector} [${term.size}]`].join(" · ")).join(" + ")}`).join("\n");

function math(tag, ...children) {
  const element = document.createElementNS(MATH, tag);
  element.append(...children);
  return element;
}

/** A letter with its number, v2, and if it is transposed: J3aᵀ. */
function letter(name, transposed = false) {
  const parts = [math("mi", name[0]), ...(name.length > 1 ? [math("mtext", name.slice(1))] : []), ...(transposed ? [math("mi", "T")] : [])];
  return parts.length === 1 ? parts[0] : math(transposed ? "msubsup" : "msub", ...parts);
}

/** Something with its size beneath, and some room to the next. */
function under(what, size) {
  const room = math("mspace");
  room.setAttribute("width", "0.45em");
  return math("mrow", math("munder", what, math("mtext", size)), room);
}

function mathLine(line, root, target) {
  const fraction = () => math("mfrac", math("mrow", math("mo", "∂"), math("mtext", root)), math("mrow", math("mo", "∂"), math("mtext", target)));
  const row = math("mrow", line.vector ? letter(line.vector) : fraction(), math("mo", "="));
  line.terms.forEach((term, i) => {
    if (i) row.append(math("mo", "+"));
    for (const f of shortened(term.factors, FACTORS)) row.append(f ? under(letter(f.letter, true), `${f.rows}×${f.columns}`) : math("mo", "⋯"));
    row.append(under(letter(term.vector), String(term.size)));
  });
  return math("math", row);
}

/** What the gradient of the tensor is, by the numbers of the page: what came to `.grad`, or what its operation got. */
function gradientOf(chain) {
  const s = step(), { call, output } = s.values[chain.target];
  const arrival = chain.pass.arrivals.find((a) => a.leaf === chain.target);
  if (arrival) return [arrival.g, arrival];
  const own = call === null ? null : chain.pass.pulls.find((p) => p.call === call)?.v[output];
  return [own ?? (chain.last.length === 1 ? chain.last[0][1].outgoing : null), null];
}

/** The tensors that can be chosen: those with gradients first, then the results that backward went through. */
function choices(s) {
  const leaves = new Set(s.passes.flatMap((p) => p.arrivals.map((a) => a.leaf)));
  const pulled = new Set(s.passes.flatMap((p) => p.pulls.map((pull) => pull.call)));
  const roots = new Set(s.passes.flatMap((p) => p.roots));
  const results = s.calls.flatMap((c, n) => (pulled.has(n) ? c.results.filter((v) => !roots.has(v)) : []));
  return [[...leaves], results.slice(0, CHOICES)];
}

/** The tensor that a node stands for. */
export const valueOfNode = (node) => (node?.value ? node.number : node?.call ? node.call.results[0] ?? null : null);

export function chainSheet(again, reveal) {
  const s = step();
  const [leaves, results] = choices(s);
  if (!leaves.length && !results.length) return [make("p", { class: "note" }, t("chain none"))];
  const target = s.values[state.target] ? state.target : leaves[0] ?? results[0];
  const listed = new Set([...leaves, ...results]);
  const option = (v) => make("option", { value: v, selected: v === target }, `${labelOf(v)}  ${sized(data.arrays[s.values[v].array].shape)}`);
  const select = make("select", { id: "target", onchange: (e) => { state.target = Number(e.target.value); again(); byId("target").focus(); } },
    listed.has(target) ? null : option(target), leaves.length ? make("optgroup", { label: t("chain leaves") }, leaves.map(option)) : null, results.length ? make("optgroup", { label: t("chain results") }, results.map(option)) : null);
  const head = [make("label", { class: "field" }, t("chain to"), " ", select), make("p", { class: "note quiet" }, t("chain pick"))];
  const chain = chainTo(s, target);
  if (!chain) return [...head, make("p", { class: "note" }, t("chain unreached", { name: labelOf(target) }))];
  return [...head, ...chainView(chain, again, reveal)];
}

function chainView(chain, again, reveal) {
  const s = step();
  const root = chain.pass.roots.find((r) => r !== null) ?? null;
  const [from, to] = [root === null ? "?" : labelOf(root), labelOf(chain.target)];
  const lines = shortened(linesOf(chain), LINES);
  const count = sum(chain.links.map((link) => link.ways.length));
  const [gradient, arrival] = gradientOf(chain);
  const derivative = `∂${from}/∂${to}`;
  const formula = make("div", { class: "product", tabindex: "0", role: "math", "aria-label": textOf(lines, derivative) }, lines.map((line) => (line ? mathLine(line, from, to) : make("span", {}, "⋮"))));
  return [
    make("h3", {}, t("chain title", { from, to, count: counted(count) })),
    make("p", { class: "note" }, t("chain about", { from })),
    make("h4", {}, t("chain product")), formula,
    gradient === null ? null : arrayView(derivative, gradient, "grad"),
    arrival ? make("p", { class: "quiet" }, t(arrival.passes === 1 ? "chain arrived" : "chain added", { name: to, passes: arrival.passes })) : null,
    ...checksView(s, chain.target, again),
    make("h4", {}, t("chain links")), ...linksView(chain, again, reveal),
  ];
}

/** What the library compared the gradient with, and how far it was off. */
function checksView(s, target, again) {
  const checks = s.checks[target];
  if (!checks && data.live) ask(`/checks?step=${s.number}&value=${target}`, (found) => { s.checks[target] = found ?? []; again(); });
  const mark = { exact: "✓", rounding: "✓", unsure: "≈", cancelled: "≈", differs: "✗", none: "–" };
  const list = checks?.map((c) => make("li", { class: c.verdict, "data-check": c.kind, "data-verdict": c.verdict, "data-error": String(c.error) }, make("span", { "aria-hidden": "true" }, `${mark[c.verdict]} `), c.text[state.language]));
  return [make("h4", {}, t("chain checks")), list?.length ? make("ul", { class: "checks" }, list) : make("p", { class: "note quiet" }, t(data.live && !checks ? "chain checking" : "chain unchecked", { name: s.values[target].label }))];
}

/** The links, nearest to the loss first; each opens. */
function linksView(chain, again, reveal) {
  const shownNow = chain.links.length <= state.links ? chain.links : chain.links.slice(0, state.links);
  const rest = chain.links.length - shownNow.length;
  return [...shownNow.map((link) => linkView(link, again, reveal)), rest ? make("button", { onclick: () => { state.links += LINKS; again(); } }, t("chain more", { count: counted(Math.min(LINKS, rest)), of: counted(rest) })) : null];
}

/** The numbers of a vector, if they are few, else its shape and norm. */
function brief(index) {
  const array = data.arrays[index], numbers = whole(index);
  if (numbers && numbers.length <= 3 && !array.whole.complex) return numbers.length === 1 ? shown(numbers[0], 4) : `(${Array.from(numbers, (x) => shown(x, 4)).join(", ")})`;
  return array.stats ? `${sized(array.shape)}, ‖·‖ ${shown(numberOf(array.stats.norm), 4)}` : sized(array.shape);
}

function linkView(link, again, reveal) {
  const call = step().calls[link.call], result = call.results.length ? labelOf(call.results[0]) : call.name;
  const sizes = link.ways.map((way) => `${way.letter} ${counted(heightOf(link))}×${counted(sizeOf(way.outgoing))}`).join(", ");
  const v = link.pull.v.find((x) => x !== null);
  const body = () => [
    make("p", { class: "quiet" }, call.modules.length ? `${t("modules")}: ${call.modules.at(-1).join(" · ")}` : t("outside"), " ", make("button", { class: "small", onclick: () => reveal(`c${link.call}`) }, t("chain show"))),
    mathOf(formulasOf(call)[0]),
    link.came.length > 1 ? make("p", { class: "note" }, t("chain joined", { count: link.came.length, terms: link.came.map(([, way]) => `${way.letter}ᵀ…`).join(" + ") })) : null,
    ...link.pull.v.map((x) => (x === null ? null : arrayView(t("incoming"), x, "grad"))),
    ...link.ways.flatMap((way) => [jacobianView(link.call, way.at, [heightOf(link), sizeOf(way.outgoing)], way.letter, again), arrayView(`${way.letter}ᵀ v (${operandName(call, way.at)})`, way.outgoing, "grad")]),
    sourceView(call.place),
  ].filter(Boolean);
  const view = make("details", { class: "link", "data-link": link.call, open: state.opened.has(link.call) },
    make("summary", {}, make("b", {}, sizes), ` · ${result} = ${call.name}`, make("small", {}, `v = ${brief(v)}`, ...link.ways.map((way) => ` → ${way.letter}ᵀv = ${brief(way.outgoing)}`))));
  const fill = () => { if (view.open && view.children.length === 1) view.append(...body()); };
  view.addEventListener("toggle", () => { if (view.open) state.opened.add(link.call); else state.opened.delete(link.call); fill(); });
  fill();
  return view;
}
