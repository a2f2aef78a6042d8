// Lays out a visible graph in a worker, with dagre: each open group by itself, then as one box within the group around it.

import { byId } from "./tools.js";

/** Runs in the worker: positions of nodes and the points that edges go through. Must not use anything from outside but `dagre`. */
function layOut({ items, edges }) {
  const TITLE = 30, PAD = 14;
  const of = new Map(items.map((item) => [item.id, { ...item, children: [] }]));
  for (const item of of.values()) if (item.parent !== null) of.get(item.parent).children.push(item.id);
  const chain = (id) => { const path = []; for (let at = id; at !== null; at = of.get(at).parent) path.push(at); return path.reverse(); };
  const inner = new Map(items.map((item) => [item.id, []])); // by group: the pieces of edges in it
  const pieces = new Map();
  for (const edge of edges) {
    const a = chain(edge.from), b = chain(edge.to);
    let common = 0;
    while (a[common + 1] === b[common + 1]) common++;
    const list = [];
    for (let i = a.length - 2; i > common; i--) list.push({ group: a[i], from: a[i + 1], to: `out ${edge.from}` });
    list.push({ group: a[common], from: a[common + 1], to: b[common + 1] });
    for (let i = common + 1; i < b.length - 1; i++) list.push({ group: b[i], from: `in ${edge.from}`, to: b[i + 1] });
    list.forEach((piece) => inner.get(piece.group).push(piece));
    pieces.set(edge.id, list);
  }
  const inGroup = new Map();
  const place = (id) => {
    const group = of.get(id);
    const graph = new dagre.graphlib.Graph();
    graph.setGraph({ rankdir: "TB", nodesep: 18, ranksep: 30, edgesep: 10, ranker: group.children.length > 80 ? "tight-tree" : "network-simplex" });
    for (const child of group.children) {
      if (of.get(child).open) place(child);
      graph.setNode(child, { width: of.get(child).width, height: of.get(child).height });
    }
    for (const { from, to } of inner.get(id)) {
      if (from.startsWith("in ") && !graph.hasNode(from)) graph.setNode(from, { width: 1, height: 1 });
      if (to.startsWith("out ") && !graph.hasNode(to)) graph.setNode(to, { width: 1, height: 1 });
      if (!graph.hasEdge(from, to)) graph.setEdge(from, to, { weight: from.startsWith("in ") || to.startsWith("out ") ? 1 : 2 });
    }
    dagre.layout(graph);
    inGroup.set(id, graph);
    if (id !== "root") {
      const { width, height } = graph.graph();
      group.width = Math.max(group.width, width + 2 * PAD);
      group.height = height + TITLE + PAD;
      group.shift = (group.width - width) / 2;
    }
  };
  place("root");
  const nodes = {};
  const origin = new Map([["root", [0, 0]]]);
  const settle = (id) => {
    const [x, y] = origin.get(id);
    for (const child of of.get(id).children) {
      const at = inGroup.get(id).node(child), item = of.get(child);
      nodes[child] = { x: x + at.x - item.width / 2, y: y + at.y - item.height / 2, width: item.width, height: item.height, open: item.open };
      if (item.open) { origin.set(child, [nodes[child].x + item.shift, nodes[child].y + TITLE]); settle(child); }
    }
  };
  settle("root");
  const paths = {};
  for (const [id, list] of pieces) {
    const points = list.flatMap(({ group, from, to }) => {
      const [x, y] = origin.get(group);
      return inGroup.get(group).edge(from, to).points.map((p) => [x + p.x, y + p.y]);
    });
    paths[id] = points;
  }
  const { width, height } = inGroup.get("root").graph();
  return { nodes, paths, width: Math.max(width, 1), height: Math.max(height, 1) };
}

let worker = null;
let asked = 0;
const waiting = new Map();

function start() {
  const program = `${byId("dagre").textContent}\nconst layOut = ${layOut};\nonmessage = (e) => postMessage({ n: e.data.n, done: layOut(e.data.graph) });`;
  worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
  worker.onmessage = (event) => { waiting.get(event.data.n)(event.data.done); waiting.delete(event.data.n); };
}

/** Where everything is. Null if another layout has been asked for meanwhile. */
export async function layout(graph) {
  if (!worker) start();
  const n = ++asked;
  const done = await new Promise((resolve) => { waiting.set(n, resolve); worker.postMessage({ n, graph }); });
  return n === asked ? done : null;
}
