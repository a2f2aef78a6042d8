// Draws the laid-out graph: only what is in view, and large enough to be read, is in the document. From afar it is painted.

import { FONTS, byId, clipped, draw, make, widthOf } from "./tools.js";
import { data, state, step, t } from "./state.js";
import { thumbnail } from "./arrays.js";
import { SIDE, treeOf, visible, visibleGraph, wordsOf } from "./shapes.js";
import { layout, cancel } from "./layout.js";
import { FAR, view, size, fit, listen, lookAt, schedule } from "./view.js";
import { paintFar, clearFar } from "./far.js";

const MARGIN = 200; // beyond the view, in pixels, where nodes are drawn too
const SMALL = 24; // an open group of fewer pixels is only painted
const READABLE = 0.7; // the scale at which something that was sought is shown
let placed = null; // the layout, and what is drawn of it: boxes and lines in the order of time
let drawn = new Map(); // by id: the elements in the document, and what was last marked on them
let marks = { current: new Set(), edges: new Set(), backward: false, done: () => true, back: () => undefined };
let unfitted = false; // whether all of what is laid out next is to be in view: what was to be so may never be drawn, as a newer step comes
let choose = () => {};
let lead = () => {};
let thumbnails = new Map();

/** What happens when a node is chosen, and when a word that leads to one is. */
export function onChoose(chosen, reached) { choose = chosen; lead = reached; }

/** Lays the step out and draws it; `fitted` has all of it in view, `near` holds a node in its place. */
export async function refresh({ fitted = false, near = null } = {}) {
  const of = step(), graph = visibleGraph(of), open = new Set(state.open);
  unfitted ||= fitted;
  const busy = (n) => { byId("busy").hidden = false; byId("busy-text").textContent = t("busy", { count: graph.items.length - 1 }); byId("busy-done").textContent = n; };
  busy("");
  let done;
  try {
    done = await layout(graph, (n, all) => busy(t("busy done", { percent: Math.floor((100 * n) / all) })));
  } catch (error) {
    byId("busy-text").textContent = t("layout failed", { message: error.message });
    return;
  }
  if (!done) return;
  byId("busy").hidden = true;
  const before = near && placed?.nodes[near], after = near && done.nodes[near];
  if (before && after) { view.x += (before.x - after.x) * view.k; view.y += (before.y - after.y) * view.k; }
  placed = { ...done, ...shapesOf(of, graph, done), of, open };
  clear();
  if (unfitted) fitAll();
  unfitted = false;
  paint();
}

/** Gives up the layout that is under way: what was open before is open again. */
export function giveUp() {
  cancel();
  byId("busy").hidden = true;
  if (placed) state.open = new Set(placed.open);
}

/** Boxes, lines, and the words at the ends of edges that are cut. */
function shapesOf(of, graph, done) {
  const tree = treeOf(of), cut = new Set(done.cut), words = new Map();
  const wordsAt = (id) => { if (!words.has(id)) words.set(id, { from: [], to: [] }); return words.get(id); };
  const lines = [];
  for (const edge of graph.edges) {
    if (cut.has(edge.id)) { wordsAt(edge.to).from.push(edge.from); wordsAt(edge.from).to.push(edge.to); continue; }
    const points = done.paths[edge.id], xs = points.map((p) => p[0]), d = curve(points);
    lines.push({ id: edge.id, d, path: new Path2D(d), x: Math.min(...xs), y: points[0][1], right: Math.max(...xs), bottom: points.at(-1)[1] });
  }
  const boxes = graph.items.filter((item) => item.id !== "root").map(({ id }) => {
    const { x, y, width, height, open } = done.nodes[id], node = tree.nodes.get(id);
    return { id, x, y, right: x + width, bottom: y + height, open, kind: node.kind, node };
  });
  return { boxes, lines, words };
}

/** A line through points: straight down, or with a bend. */
function curve(points) {
  let d = `M${points[0].join(" ")}`;
  for (let i = 1; i < points.length; i++) {
    const [x, y] = points[i], [before, above] = points[i - 1], middle = (above + y) / 2;
    if (y - above > 0.5) d += Math.abs(x - before) < 1 ? `L${x} ${y}` : `C${before} ${middle} ${x} ${middle} ${x} ${y}`;
  }
  return d;
}

function clear() {
  for (const layer of ["boxes", "lines", "world"]) byId(layer).replaceChildren();
  drawn = new Map();
}

/** Draws everything anew, as after a change of language or theme. */
export function redraw() {
  thumbnails = new Map();
  if (placed) { clear(); paint(); }
}

export function fitAll() { if (placed) fit(placed); }

/** Brings a node into view, if it is not; one that was sought, large enough to be read. */
export function show(id, sought = false) {
  const node = placed?.nodes[visible(treeOf(step()), id)];
  if (node) lookAt(node, sought ? READABLE : 0);
}

/** Puts what is in view into the document, and takes out what is not. */
function paint() {
  if (!placed) return;
  for (const layer of ["boxes", "lines", "world"]) byId(layer).setAttribute("transform", `translate(${view.x} ${view.y}) scale(${view.k})`);
  const far = view.k < FAR, { width, height } = size();
  byId("canvas").classList.toggle("far", far);
  const margin = far ? 0 : MARGIN;
  const [left, top, right, bottom] = [-margin - view.x, -margin - view.y, width + margin - view.x, height + margin - view.y].map((x) => x / view.k);
  const inView = (shape) => shape.x < right && shape.y < bottom && shape.right > left && shape.bottom > top;
  const boxes = placed.boxes.filter(inView), lines = placed.lines.filter(inView);
  if (far) paintFar(boxes.map(fromAfar), lines.map((line) => line.path));
  else clearFar();
  const kept = new Set([state.chosen, document.activeElement?.dataset?.node]); // even out of view
  const large = ({ x, y, right, bottom, open, id }) => !far || marks.current.has(id) || (open && Math.min(right - x, bottom - y) * view.k > SMALL);
  const wanted = [...lines.filter(({ id }) => !far || marks.edges.has(id)).map((line) => [line.id, "lines", lineElement, line])];
  for (const box of new Set([...boxes.filter(large), ...placed.boxes.filter(({ id }) => kept.has(id))])) {
    wanted.push([box.id, box.open ? "boxes" : "world", nodeElement, box]);
    if (!far && placed.words.has(box.id)) wanted.push([`words ${box.id}`, "world", wordsElement, box]);
  }
  const ids = new Set(wanted.map(([id]) => id));
  for (const [id, { element }] of drawn) if (!ids.has(id)) { element.remove(); drawn.delete(id); }
  const last = {};
  for (const [id, layer, elementOf, shape] of wanted) {
    let element = drawn.get(id)?.element;
    if (!element) {
      element = elementOf(shape);
      drawn.set(id, { element, shape });
      if (last[layer]) last[layer].after(element); else byId(layer).prepend(element);
      mark(id);
    }
    last[layer] = element;
  }
}

const fromAfar = (box) => ({
  ...box, name: box.open ? wordsOf(placed.of, box.node)[0] : "", waiting: state.moment >= 0 && !marks.done(box.id),
  ring: marks.current.has(box.id) ? (marks.backward ? "--backward" : "--forward") : state.chosen === box.id ? "--ink" : null,
});

const lineElement = ({ id, d }) => draw("path", { class: "edge", d, "marker-end": "url(#arrow)", "data-edge": id });

function nodeElement({ id, node, open, x, y, right, bottom }) {
  const [name, below] = wordsOf(placed.of, node), width = right - x, height = bottom - y;
  const module = node.kind === "module", room = width - 2 * SIDE;
  const kind = t(`kind ${node.kind}`);
  const failed = node.call && data.failure?.call === node.number && data.failure.step === placed.of.number;
  const label = `${kind} ${name}, ${below}${failed && below !== t("failed here") ? `, ${t("failed here")}` : ""}`;
  const element = draw("g", {
    class: `node ${node.kind}${open ? " open" : ""}${failed ? " failed" : ""}${node.call && !node.call.grad ? " off" : ""}`, transform: `translate(${x} ${y})`,
    tabindex: "0", role: "button", "data-node": id, "aria-label": label, "aria-expanded": module ? String(open) : null,
    onclick: () => choose(id), onfocus: (e) => { if (e.target.matches(":focus-visible")) show(id); }, onkeydown: (e) => { if (e.key === "Enter") { e.preventDefault(); choose(id); } },
  }, draw("title", {}, label));
  element.append(draw("rect", { width, height, rx: node.call || module ? 8 : 20 }));
  if (open) element.append(draw("text", { class: "name", x: SIDE, y: 20 }, clipped(`▾ ${name}`, room, FONTS.name)));
  else {
    element.append(draw("text", { class: "name", x: width / 2, y: 22 }, clipped(module ? `▸ ${name}` : name, room, FONTS.name)), draw("text", { class: "below", x: width / 2, y: 39 }, clipped(below, room, FONTS.below)));
    if (!module) element.append(draw("g", { class: "strips" }));
  }
  return element;
}

/** Words where edges are cut: above a node what comes to it from far away, beneath it where its result goes. They lead there. */
function wordsElement({ id, x, y, right, bottom }) {
  const { from, to } = placed.words.get(id), tree = treeOf(placed.of), width = right - x;
  const nameOf = (other) => wordsOf(placed.of, tree.nodes.get(other))[0];
  const word = (others, key, at) => {
    if (!others.length) return null;
    const more = others.length > 1 ? ` +${others.length - 1}` : "", label = t(key, { names: others.slice(0, 8).map(nameOf).join(", ") + (others.length > 8 ? " …" : "") });
    return draw("text", {
      ...at, class: "word", tabindex: "0", role: "link", "aria-label": label, "data-from": key === "comes from" ? others.join(" ") : null,
      onclick: () => lead(others[0]), onkeydown: (e) => { if (e.key === "Enter") { e.preventDefault(); lead(others[0]); } },
    }, draw("title", {}, label), `${clipped(`↓ ${nameOf(others[0])}`, width / 2 - 8 - widthOf(more, FONTS.word), FONTS.word)}${more}`);
  };
  return draw("g", { class: "words", "data-words": id }, word(from, "comes from", { x: x + 4, y: y - 5 }), word(to, "goes to", { x: x + width / 2 + 8, y: bottom + 12 }));
}

const picture = (index) => { if (!thumbnails.has(index)) thumbnails.set(index, thumbnail(index)); return thumbnails.get(index); };

/** What the walk marks: nodes of the moment, edges that carry something now, and of any node whether it has its value by now, and its gradient. */
export function setMarks(found) {
  const tree = treeOf(step());
  const seen = (id) => visible(tree, id);
  marks = { ...found, current: new Set([...found.current].map(seen)), edges: new Set(found.edges.map(([a, b]) => `${seen(a)}>${seen(b)}`)) };
  for (const id of drawn.keys()) mark(id);
  schedule();
}

/** Marks an element, if anything has changed for it. */
function mark(id) {
  const held = drawn.get(id), { element, shape } = held;
  const { edge, words } = element.dataset, { node } = shape;
  const value = node?.call ? placed.of.values[node.call.results[0]] : node?.value;
  const now = edge ? [marks.edges.has(id), marks.backward] : words ? [[...marks.edges].filter((e) => e.endsWith(`>${words}`)), marks.backward] : [
    marks.current.has(id), marks.backward && marks.current.has(id), state.moment >= 0 && !marks.done(id), state.chosen === id, state.moment < 0 || marks.done(id) ? value?.array : null, marks.back(id),
  ];
  const key = JSON.stringify(now);
  if (held.key === key) return;
  held.key = key;
  if (edge || words) {
    for (const one of edge ? [element] : element.children) {
      one.classList.toggle("flow", edge ? now[0] : now[0].some((e) => one.dataset.from?.split(" ").includes(e.split(">")[0])));
      one.classList.toggle("backward", marks.backward);
    }
    return;
  }
  ["current", "backward", "waiting", "chosen"].forEach((name, i) => element.classList.toggle(name, now[i]));
  const width = shape.right - shape.x;
  element.querySelector(".strips")?.replaceChildren(...now.slice(4).map((index, i) => {
    const href = index === null || index === undefined ? null : picture(index);
    return href ? draw("image", { href, x: 8 + i * (width / 2 - 4), y: 45, width: width / 2 - 12, height: 8, preserveAspectRatio: "none" }) : null;
  }).filter(Boolean));
}

/** The innermost box at a point: where nothing stands in the document, it may be painted. */
function pick(x, y) {
  const box = placed?.boxes.findLast((b) => b.x <= x && x <= b.right && b.y <= y && y <= b.bottom);
  if (box && !(box.open && view.k >= FAR)) choose(box.id);
}

/** Draws from now on whatever comes into view, and listens. */
export function watch() { listen(paint, pick); }

/** The legend of colours. */
export function legend() {
  byId("legend").replaceChildren(...["operation", "parameter", "input", "module"].map((kind) => make("li", { class: kind }, t(`kind ${kind}`))));
}
