// Draws the laid-out graph: only what is in view is in the document. Pan by dragging, zoom by wheel, pinch or keys.

import { byId, draw, make } from "./tools.js";
import { data, state, step, t } from "./state.js";
import { thumbnail } from "./arrays.js";
import { treeOf, visible, visibleGraph, wordsOf } from "./shapes.js";
import { layout } from "./layout.js";

const MARGIN = 200; // beyond the view, in pixels, where nodes are drawn too
const view = { x: 0, y: 0, k: 1 };
let placed = null; // what the layout gave
let drawn = new Map(); // by id: the elements in the document
let marks = { current: new Set(), done: new Set(), back: new Map(), edges: new Set() };
let choose = () => {};
let thumbnails = new Map();

export const onChoose = (f) => { choose = f; };

/** Lays the step out and draws it; `keep` leaves the view where it is, `near` holds a node in its place. */
export async function refresh({ fit = false, near = null } = {}) {
  byId("busy").hidden = false;
  const graph = visibleGraph(step());
  const done = await layout(graph);
  if (!done) return;
  byId("busy").hidden = true;
  const before = near && placed?.nodes[near], after = near && done.nodes[near];
  if (before && after) { view.x += (before.x - after.x) * view.k; view.y += (before.y - after.y) * view.k; }
  placed = { ...done, edges: graph.edges };
  clear();
  if (fit) fitAll(); else paint();
}

function clear() {
  byId("world").replaceChildren();
  byId("boxes").replaceChildren();
  drawn = new Map();
}

/** Draws everything anew, as after a change of language or theme. */
export function redraw() {
  thumbnails = new Map();
  if (placed) { clear(); paint(); }
}

const size = () => byId("canvas").getBoundingClientRect();

export function fitAll() {
  if (!placed) return;
  const { width, height } = size();
  const k = Math.min(1.1, (width - 40) / placed.width, Math.max((height - 40) / placed.height, 0.45));
  Object.assign(view, { k, x: (width - placed.width * k) / 2, y: Math.max(20, (height - placed.height * k) / 2) });
  paint();
}

export function zoom(factor, at = null) {
  const { width, height } = size();
  const [x, y] = at ?? [width / 2, height / 2];
  const k = Math.max(0.03, Math.min(3, view.k * factor));
  view.x = x - ((x - view.x) * k) / view.k;
  view.y = y - ((y - view.y) * k) / view.k;
  view.k = k;
  schedule();
}

export function pan(dx, dy) { view.x += dx; view.y += dy; schedule(); }

/** Brings a node into view, if it is not. */
export function show(id) {
  const node = placed?.nodes[visible(treeOf(step()), id)];
  if (!node) return;
  const { width, height } = size();
  const [x, y] = [view.x + (node.x + node.width / 2) * view.k, view.y + (node.y + Math.min(node.height, 60) / 2) * view.k];
  if (x < 60 || y < 40 || x > width - 60 || y > height - 40) {
    view.x += width / 2 - x;
    view.y += height / 2 - y;
  }
  schedule();
}

let due = false;
function schedule() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; paint(); });
}

/** Puts what is in view into the document, and takes out what is not. */
function paint() {
  if (!placed) return;
  for (const id of ["boxes", "world"]) byId(id).setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  byId("canvas").classList.toggle("far", view.k < 0.35);
  const { width, height } = size();
  const [left, top, right, bottom] = [-MARGIN - view.x, -MARGIN - view.y, width + MARGIN - view.x, height + MARGIN - view.y].map((x) => x / view.k);
  const wanted = new Set();
  for (const [id, n] of Object.entries(placed.nodes)) if (n.x < right && n.y < bottom && n.x + n.width > left && n.y + n.height > top) wanted.add(id);
  if (state.chosen && placed.nodes[state.chosen]) wanted.add(state.chosen);
  for (const edge of placed.edges) {
    const points = placed.paths[edge.id];
    edge.box ??= [Math.min(...points.map((p) => p[0])), Math.min(...points.map((p) => p[1])), Math.max(...points.map((p) => p[0])), Math.max(...points.map((p) => p[1]))];
    if (edge.box[0] < right && edge.box[1] < bottom && edge.box[2] > left && edge.box[3] > top) wanted.add(edge.id);
  }
  for (const [id, element] of drawn) if (!wanted.has(id)) { element.remove(); drawn.delete(id); }
  const world = byId("world");
  for (const edge of placed.edges) if (wanted.has(edge.id) && !drawn.has(edge.id)) {
    const path = draw("path", { class: "edge", d: curve(placed.paths[edge.id]), "marker-end": "url(#arrow)", "data-edge": edge.id });
    drawn.set(edge.id, path);
    world.append(path);
    mark(edge.id);
  }
  for (const id of Object.keys(placed.nodes)) if (wanted.has(id) && !drawn.has(id)) {
    const element = nodeElement(id);
    drawn.set(id, element);
    if (placed.nodes[id].open) byId("boxes").append(element); else world.append(element);
    mark(id);
  }
}

/** A smooth line through points. */
function curve(points) {
  const middle = (a, b) => `${(a[0] + b[0]) / 2} ${(a[1] + b[1]) / 2}`;
  let d = `M${points[0].join(" ")}L${middle(points[0], points[1])}`;
  for (let i = 1; i < points.length - 1; i++) d += `Q${points[i].join(" ")} ${middle(points[i], points[i + 1])}`;
  return `${d}L${points.at(-1).join(" ")}`;
}

function nodeElement(id) {
  const node = treeOf(step()).nodes.get(id), at = placed.nodes[id];
  const [name, below] = wordsOf(step(), node);
  const module = node.kind === "module";
  const kind = t(`kind ${node.kind}`);
  const failed = node.call && data.failure?.backward === node.number && data.failure.step === step().number;
  const label = `${kind} ${name}, ${below}${failed ? `, ${t("failed here")}` : ""}`;
  const element = draw("g", {
    class: `node ${node.kind}${at.open ? " open" : ""}${failed ? " failed" : ""}${node.call && !node.call.grad ? " off" : ""}`, transform: `translate(${at.x} ${at.y})`,
    tabindex: "0", role: "button", "data-node": id, "aria-label": label, "aria-expanded": module ? String(at.open) : null,
    onclick: () => choose(id), onkeydown: (e) => { if (e.key === "Enter") { e.preventDefault(); choose(id); } },
  }, draw("title", {}, label));
  element.append(draw("rect", { width: at.width, height: at.height, rx: node.call || module ? 8 : 20 }));
  if (at.open) element.append(draw("text", { class: "name", x: 14, y: 20 }, `▾ ${name}`));
  else {
    element.append(draw("text", { class: "name", x: at.width / 2, y: 22 }, clip(module ? `▸ ${name}` : name, at.width)), draw("text", { class: "below", x: at.width / 2, y: 39 }, clip(below, at.width)));
    if (!module) element.append(draw("g", { class: "strips" }));
  }
  return element;
}

const clip = (text, width) => (text.length > width / 7 ? `${text.slice(0, Math.floor(width / 7) - 1)}…` : text);

const picture = (index) => { if (!thumbnails.has(index)) thumbnails.set(index, thumbnail(index)); return thumbnails.get(index); };

/** What the walk marks: nodes of the moment, those that have their values, gradients so far by node, edges that carry something now. */
export function setMarks(found) {
  const tree = treeOf(step());
  const seen = (id) => visible(tree, id);
  marks = { ...found, current: new Set([...found.current].map(seen)), done: new Set([...found.done].map(seen)), edges: new Set([...found.edges].map(([a, b]) => `${seen(a)}>${seen(b)}`)) };
  for (const id of drawn.keys()) mark(id);
}

function mark(id) {
  const element = drawn.get(id);
  const list = element.classList;
  if (element.dataset.edge) {
    list.toggle("flow", marks.edges.has(id));
    list.toggle("backward", marks.backward === true);
    return;
  }
  list.toggle("current", marks.current.has(id));
  list.toggle("backward", marks.backward === true && marks.current.has(id));
  list.toggle("waiting", state.moment >= 0 && !marks.done.has(id));
  list.toggle("chosen", state.chosen === id);
  const strips = element.querySelector(".strips");
  if (!strips) return;
  const node = treeOf(step()).nodes.get(id), at = placed.nodes[id];
  const value = node.call ? step().values[node.call.results[0]] : node.value;
  const shown = [state.moment < 0 || marks.done.has(id) ? value?.array : null, marks.back.get(id)];
  strips.replaceChildren(...shown.map((index, i) => {
    const href = index === null || index === undefined ? null : picture(index);
    return href ? draw("image", { href, x: 8 + i * (at.width / 2 - 4), y: 45, width: at.width / 2 - 12, height: 8, preserveAspectRatio: "none" }) : null;
  }).filter(Boolean));
}

/** Listens to the pointer and the wheel. */
export function listen() {
  const canvas = byId("canvas");
  const touches = new Map();
  let moved = 0;
  const spread = () => { const [a, b] = [...touches.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); const box = size(); zoom(Math.exp(-e.deltaY / 500), [e.clientX - box.left, e.clientY - box.top]); }, { passive: false });
  canvas.addEventListener("pointerdown", (e) => { touches.set(e.pointerId, [e.clientX, e.clientY]); moved = 0; });
  canvas.addEventListener("pointermove", (e) => {
    const last = touches.get(e.pointerId);
    if (!last) return;
    const before = touches.size === 2 ? spread() : 0;
    touches.set(e.pointerId, [e.clientX, e.clientY]);
    moved += Math.abs(e.clientX - last[0]) + Math.abs(e.clientY - last[1]);
    if (touches.size === 2) { const box = size(); zoom(spread() / before, [e.clientX - box.left, e.clientY - box.top]); }
    else if (moved > 4) { canvas.setPointerCapture(e.pointerId); pan(e.clientX - last[0], e.clientY - last[1]); }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => touches.delete(e.pointerId));
  canvas.addEventListener("click", (e) => { if (moved > 4) { e.stopPropagation(); e.preventDefault(); } }, true);
  new ResizeObserver(schedule).observe(canvas);
}

/** The legend of colours. */
export function legend() {
  byId("legend").replaceChildren(...["operation", "parameter", "input", "module"].map((kind) => make("li", { class: kind }, t(`kind ${kind}`))));
}
