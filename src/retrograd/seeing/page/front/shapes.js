// The nodes and edges of a step that can be seen: those in open groups, and closed groups as one node each.

import { data, state, t, counted } from "./state.js";
import { FONTS, sized, widthOf } from "./tools.js";

const WIDEST = 230; // pixels of a node
export const SIDE = 12; // free beside its words

const trees = new WeakMap();

/** A step as nodes (by id: "c3" a call, "v5" a value that no call made, "g1" a group), each before what came after it, and edges between calls and values. */
export function treeOf(step) {
  if (trees.has(step)) return trees.get(step);
  const nodes = new Map([["root", { id: "root", kind: "root", children: [], parent: null }]]);
  const add = (node) => { nodes.set(node.id, node); };
  const groupId = (n) => (n === null || n === undefined ? "root" : `g${n}`);
  step.groups.forEach((g, n) => add({ id: `g${n}`, kind: "module", group: g, parent: groupId(g.parent), children: [], first: Infinity, last: -1, count: 0 }));
  step.calls.forEach((call, n) => add({ id: `c${n}`, kind: "operation", call, number: n, parent: groupId(call.group) }));
  step.values.forEach((value, n) => { if (value.call === null) add({ id: `v${n}`, kind: value.kind, value, number: n, parent: groupId(value.group) }); });
  const edges = [];
  const used = new Map(); // by node: when it was first taken
  const take = (call, n) => {
    const when = call.ran ? n : Math.min(n, (used.get(`c${n}`) ?? n) - 1e-3); // what only a backward pass knows of ran before whoever takes it
    nodes.get(`c${n}`).first = when;
    call.operands.forEach((_, position) => {
      const from = takenFrom(step, n, position);
      if (from === null || from === `c${n}`) return;
      used.set(from, Math.min(when, used.get(from) ?? when));
      edges.push({ from, to: `c${n}` });
    });
  };
  step.calls.forEach((call, n) => { if (call.ran) take(call, n); });
  step.calls.forEach((call, n) => { if (!call.ran) take(call, n); });
  for (const node of [...nodes.values()]) {
    if (node.parent === null || (node.value && !used.has(node.id))) continue;
    nodes.get(node.parent).children.push(node.id);
    if (node.value) node.first = used.get(node.id) - 5e-4;
    if (!node.call) continue;
    for (let group = nodes.get(node.parent); group.group; group = nodes.get(group.parent)) {
      group.count++;
      group.first = Math.min(group.first, node.first);
      group.last = Math.max(group.last, node.number);
    }
  }
  for (const node of nodes.values()) node.children?.sort((a, b) => nodes.get(a).first - nodes.get(b).first);
  const tree = { nodes, edges };
  trees.set(step, tree);
  return tree;
}

/** The node that a value comes from. */
export const sourceOf = (step, value) => (step.values[value].call === null ? `v${value}` : `c${step.values[value].call}`);

/** The node that an operand of a call comes from: as a value, or by the tape alone; null if from none. */
export function takenFrom(step, call, at) {
  const { operands, sources } = step.calls[call];
  if (operands[at].value !== undefined) return sourceOf(step, operands[at].value);
  return sources[at] ? `c${sources[at][0]}` : null;
}

/** The node itself, or the outermost closed group around it. */
export function visible(tree, id) {
  let seen = id;
  for (let node = tree.nodes.get(id); node; node = tree.nodes.get(node.parent)) if (node.kind === "module" && !state.open.has(node.id)) seen = node.id;
  return seen;
}

/** Words on a node: its name, and beneath it its shape or number. */
export function wordsOf(step, node) {
  if (node.kind === "module") {
    const { path, kind } = node.group, calls = t("calls", { count: counted(node.count) });
    return path ? [path, `${kind} · ${calls}`] : [t("part", { first: Math.ceil(node.first), last: node.last }), calls];
  }
  const value = node.call ? step.values[node.call.results[0]] : node.value;
  const shape = value ? sized(data.arrays[value.array].shape) : node.number === data.failure?.call ? t("failed here") : "";
  const name = node.call ? (value && !value.label.startsWith(`${node.call.name}#`) ? `${node.call.name} → ${value.label}` : node.call.name) : node.value.label;
  return [name, shape];
}

/** The numbers of all calls in a group. */
export function callsIn(tree, node) {
  return node.children.flatMap((id) => { const child = tree.nodes.get(id); return child.children ? callsIn(tree, child) : child.call ? [child.number] : []; });
}

/** What is to be laid out: nested nodes with their sizes, in the order of time, and edges between those that can be seen. */
export function visibleGraph(step) {
  const tree = treeOf(step);
  const items = [];
  const walk = (id, parent) => {
    const node = tree.nodes.get(id);
    const open = id === "root" || (node.children && state.open.has(id));
    if (node.children && !node.children.length && id !== "root") return;
    const [name, below] = id === "root" ? ["", ""] : wordsOf(step, node);
    const width = Math.max(96, Math.min(WIDEST, 2 * SIDE + Math.max(widthOf(node.kind === "module" ? `▸ ${name}` : name, FONTS.name), widthOf(below, FONTS.below))));
    items.push({ id, parent, width, height: node.kind === "module" ? 52 : 58, open, module: node.group?.path ?? "" });
    if (open) node.children.forEach((child) => walk(child, id));
  };
  walk("root", null);
  const seen = new Map();
  for (const edge of tree.edges) {
    const from = visible(tree, edge.from), to = visible(tree, edge.to);
    if (from === to) continue;
    const id = `${from}>${to}`;
    if (!seen.has(id)) seen.set(id, { id, from, to, held: Boolean(tree.nodes.get(from).value) });
  }
  return { items, edges: [...seen.values()] };
}
