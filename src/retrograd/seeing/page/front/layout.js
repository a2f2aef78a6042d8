// Lays out a visible graph in a worker. Each open group is laid out by itself, then stands as one box within the group around it.
// Rows follow the order of time, so they take one look at each node; dagre orders the nodes within rows and says where they stand.

import { byId } from "./tools.js";

const MEASURES = {
  title: 30, pad: 14, // of the box of an open group
  gap: 34, // between rows
  beside: 18, // between nodes of a row
  longest: 2400, longestOfHeld: 320, // of lines, the second from what no call made: what would be longer is cut, and stands as words at its ends
  worded: 150, // wide at least are these ends
  widest: 2400, // of a row, if the group is not much larger
  shelf: 1400, // wide at most is what stands side by side without hanging together
};

/** Groups by id: their children in the order of time, and the pieces of edges in each. Of each edge its pieces, outermost group's in the middle. */
function pieced(items, edges) {
  const of = new Map(items.map((item) => [item.id, { ...item, least: item.width, children: [], pieces: new Map() }]));
  for (const item of of.values()) if (item.parent !== null) of.get(item.parent).children.push(item.id);
  const chain = (id) => { const path = []; for (let at = id; at !== null; at = of.get(at).parent) path.push(at); return path.reverse(); };
  const pieces = new Map(edges.map((edge) => {
    const a = chain(edge.from), b = chain(edge.to), list = [];
    let common = 0;
    while (a[common + 1] === b[common + 1]) common++;
    for (let i = a.length - 2; i > common; i--) list.push({ group: a[i], from: a[i + 1], to: `out ${edge.from}` });
    list.push({ group: a[common], from: a[common + 1], to: b[common + 1] });
    for (let i = common + 1; i < b.length - 1; i++) list.push({ group: b[i], from: `in ${edge.from}`, to: b[i + 1] });
    return [edge.id, list];
  }));
  return { of, pieces };
}

/** The rows of a group's children: each beneath all it takes, in the next row if that is full; or just above its first user, if that is nearer in time. */
function rowsOf(children, links, of, widest, shelf) {
  const before = new Map(children.map((id) => [id, []])), after = new Map(children.map((id) => [id, []]));
  for (const { from, to } of links) { before.get(to).push(from); after.get(from).push(to); }
  const row = new Map(), time = new Map(children.map((id, n) => [id, n])), since = new Map(), taken = [];
  for (const id of children) {
    const above = before.get(id), width = above.length ? of.get(id).width : 0;
    let r = Math.max(-1, ...above.map((x) => row.get(x) ?? -1)) + 1;
    while (width && taken[r] && taken[r] + width > widest) r++;
    taken[r] = (taken[r] ?? 0) + width;
    row.set(id, r);
    since.set(id, Math.max(-Infinity, ...above.map((x) => (after.get(x).length > 1 ? time.get(x) : since.get(x) ?? -Infinity)))); // what it alone takes goes along with it
  }
  for (const id of children.toReversed()) if (after.get(id).length) {
    const now = time.get(id), next = Math.min(...after.get(id).map((x) => time.get(x)));
    if (next - now <= now - since.get(id)) row.set(id, Math.min(...after.get(id).map((x) => row.get(x))) - 1);
  }
  return shelved(children, links, of, row, shelf);
}

/** What hangs together by links, as lists of ids in their order. */
function partsOf(ids, links) {
  const above = new Map(ids.map((id) => [id, id])), parts = new Map();
  const top = (id) => { while (above.get(id) !== id) { above.set(id, above.get(above.get(id))); id = above.get(id); } return id; };
  for (const { from, to } of links) above.set(top(to), top(from));
  for (const id of ids) { if (!parts.has(top(id))) parts.set(top(id), []); parts.get(top(id)).push(id); }
  return [...parts.values()];
}

/** Rows without gaps: what does not hang together stands side by side where there is room, next to rows that are no higher than need be, else beneath what came before. */
function shelved(children, links, of, row, shelf) {
  const shelves = [], done = new Map();
  let across = Infinity, base = 0;
  for (const ids of partsOf(children, links)) {
    const used = [...new Set(ids.map((id) => row.get(id)))].sort((a, b) => a - b), place = new Map(used.map((r, n) => [r, n])), widths = used.map(() => 0), heights = used.map(() => 0);
    for (const id of ids) {
      const r = place.get(row.get(id)), { width, height } = of.get(id);
      widths[r] += width;
      heights[r] = Math.max(heights[r], height);
    }
    const width = Math.max(...widths);
    if (across + width > shelf) { shelves.push([]); across = 0; }
    shelves.at(-1).push({ ids, place, heights });
    across += width;
  }
  for (const parts of shelves) {
    const { heights } = parts.reduce((a, b) => (b.heights.length > a.heights.length ? b : a));
    for (const part of parts) {
      const count = part.heights.length, height = (first) => heights.slice(first, first + count).reduce((a, b) => a + b);
      let best = 0;
      for (let first = 1; first + count <= heights.length; first++) if (height(first) < height(best)) best = first;
      for (const id of part.ids) done.set(id, base + best + part.place.get(row.get(id)));
    }
    base += heights.length;
  }
  return done;
}

/** Gives the rows of an open group and of all within; its size is what it will be about. */
function rough(id, of, links, measures) {
  const group = of.get(id);
  for (const child of group.children) if (of.get(child).open) rough(child, of, links, measures);
  const area = group.children.reduce((sum, child) => sum + of.get(child).width * of.get(child).height, 0);
  group.rows = rowsOf(group.children, links.get(id) ?? [], of, Math.max(measures.widest, 2 * Math.sqrt(area)), measures.shelf);
  const heights = [], widths = [];
  for (const [child, r] of group.rows) {
    heights[r] = Math.max(heights[r] ?? 0, of.get(child).height);
    widths[r] = (widths[r] ?? 0) + of.get(child).width + measures.beside;
  }
  let bottom = measures.title - measures.gap;
  group.bottoms = heights.map((height) => (bottom += measures.gap + height));
  if (id !== "root") Object.assign(group, { height: bottom + measures.pad, width: Math.max(group.least, ...widths) });
}

/** The edges that would be too long, or that do not go forward in time. */
function tooLong(edges, pieces, of, measures) {
  const bottom = (id) => {
    let y = 0;
    for (let at = id, group = of.get(of.get(at).parent); group; at = group.id, group = of.get(group.parent)) y += group.bottoms[group.rows.get(at)] - (at === id ? 0 : of.get(at).height);
    return y;
  };
  const length = ({ from, to }) => bottom(to) - of.get(to).height - bottom(from);
  const forward = ({ group, from, to }) => !of.has(from) || !of.has(to) || of.get(group).rows.get(from) < of.get(group).rows.get(to);
  return edges.filter((edge) => length(edge) > (edge.held ? measures.longestOfHeld : measures.longest) || !pieces.get(edge.id).every(forward)).map((edge) => edge.id);
}

/** Places what is in one group: dagre's answer, as [x, y] of the middles of nodes, the xs that each piece passes at in the rows between, and the size. */
function arranged(group, of, measures) {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: measures.beside, ranksep: measures.gap, edgesep: 10, ranker: "none", rankalign: "bottom" }); // dagre has a rank between any two rows, for labels
  for (const child of group.children) {
    const { width, height } = of.get(child);
    graph.setNode(child, { width, height, rank: 2 * group.rows.get(child) });
  }
  const last = Math.max(...group.rows.values());
  for (const { from, to } of group.pieces.values()) {
    if (!of.has(from)) graph.setNode(from, { width: 1, height: 1, rank: -2 });
    if (!of.has(to)) graph.setNode(to, { width: 1, height: 1, rank: 2 * last + 2 });
    graph.setEdge(from, to, { weight: of.has(from) && of.has(to) ? 2 : 1, labelpos: "c" });
  }
  dagre.layout(graph, { constraints: callsInOrder(group, of) });
  const nodes = Object.fromEntries(graph.nodes().map((n) => [n, [graph.node(n).x, graph.node(n).y]]));
  const between = Object.fromEntries([...group.pieces].map(([key, { from, to }]) => [key, graph.edge(from, to).points.slice(1, -1).filter((_, n) => n % 2).map((p) => p.x)]));
  return { nodes, between, width: inOrder(group, of, nodes, between, measures.beside), height: graph.graph().height };
}

/** Of calls of one module in a row, the earlier stands to the left. */
function callsInOrder(group, of) {
  const last = new Map(), found = [];
  for (const id of group.children) if (of.get(id).module) {
    const key = `${group.rows.get(id)} ${of.get(id).module}`;
    if (last.has(key)) found.push({ left: last.get(key), right: id });
    last.set(key, id);
  }
  return found;
}

/** Puts what does not hang together side by side in the order of time, and mirrors what has time go from right to left; returns the width of it all. */
function inOrder(group, of, nodes, between, beside) {
  const last = Math.max(...group.rows.values()), filled = []; // of each row, how far it is filled
  const rowOf = (id) => (group.rows.get(id) ?? (id.startsWith("in ") ? -1 : last + 1)) + 1;
  const parts = partsOf([...group.children, ...Object.keys(nodes).filter((id) => !of.has(id))], [...group.pieces.values()]), partOf = new Map();
  parts.forEach((part) => part.forEach((id) => partOf.set(id, part)));
  const lines = new Map(parts.map((part) => [part, []]));
  for (const [key, { from }] of group.pieces) lines.get(partOf.get(from)).push(key);
  for (const part of parts) {
    const keys = lines.get(part), rows = part.map(rowOf), top = Math.min(...rows), bottom = Math.max(...rows), before = new Map();
    let left = Infinity, right = -Infinity, forward = 0;
    const reach = (x, half) => { left = Math.min(left, x - half); right = Math.max(right, x + half); };
    for (const id of part) {
      const [x] = nodes[id], r = rowOf(id);
      reach(x, (of.get(id)?.width ?? 1) / 2);
      if (of.has(id)) { forward += Math.sign(x - (before.get(r) ?? x)); before.set(r, x); }
    }
    for (const key of keys) for (const x of between[key]) reach(x, 5);
    let start = 0;
    for (let r = top; r <= bottom; r++) start = Math.max(start, filled[r] ?? 0);
    for (let r = top; r <= bottom; r++) filled[r] = start + right - left + beside;
    const moved = (x) => (forward < 0 ? start + right - x : start + x - left);
    for (const id of part) nodes[id] = [moved(nodes[id][0]), nodes[id][1]];
    for (const key of keys) between[key] = between[key].map(moved);
  }
  return Math.max(...filled.filter((x) => x !== undefined)) - beside;
}

/** Where all nodes are, the points that edges go through, and the edges that are cut. `kept` has the groups of the layout before: those that are the same stay. */
function layOut({ items, edges }, measures, kept, tell) {
  const { of, pieces } = pieced(items, edges);
  const within = new Map();
  for (const list of pieces.values()) for (const piece of list) {
    if (!within.has(piece.group)) within.set(piece.group, new Map());
    if (of.has(piece.from) && of.has(piece.to)) within.get(piece.group).set(`${piece.from}>${piece.to}`, piece);
  }
  const links = new Map([...within].map(([id, found]) => [id, [...found.values()]]));
  rough("root", of, links, measures);
  const cut = new Set(tooLong(edges, pieces, of, measures));
  for (const edge of edges) {
    if (cut.has(edge.id)) for (const end of [of.get(edge.from), of.get(edge.to)]) end.width = Math.max(end.width, measures.worded);
    else for (const piece of pieces.get(edge.id)) of.get(piece.group).pieces.set(`${piece.from}>${piece.to}`, piece);
  }
  const groups = [...of.values()].filter((item) => item.open).reverse(); // inner ones first
  const found = new Map();
  groups.forEach((group, n) => {
    const key = JSON.stringify([group.children.map((id) => [id, of.get(id).width, of.get(id).height, group.rows.get(id)]), [...group.pieces.keys()]]);
    const same = kept.get(group.id);
    const done = same?.key === key ? same.done : arranged(group, of, measures);
    found.set(group.id, { key, done });
    if (group.id !== "root") {
      group.shift = Math.max(measures.pad, (group.least - done.width) / 2);
      group.width = done.width + 2 * group.shift;
      const ends = [...group.pieces.values()];
      const [over, under] = [ends.some(({ from }) => !of.has(from)), ends.some(({ to }) => !of.has(to))].map((there) => (there ? measures.gap - 10 : 0)); // of the rows where edges come in and go out, little is needed
      group.drop = measures.title - over;
      group.height = group.drop + done.height - under + measures.pad;
    }
    tell(n + 1, groups.length);
  });
  kept.clear();
  for (const [id, group] of found) kept.set(id, group);
  return settled(edges, cut, of, pieces, found);
}

/** Positions within groups as positions in the whole. */
function settled(edges, cut, of, pieces, found) {
  const nodes = {}, origin = new Map([["root", [0, 0]]]), bands = new Map();
  for (const group of of.values()) if (group.open) {
    const [x, y] = origin.get(group.id), at = found.get(group.id).done.nodes, rows = [];
    for (const child of group.children) {
      const item = of.get(child), r = group.rows.get(child);
      const box = nodes[child] = { x: x + at[child][0] - item.width / 2, y: y + at[child][1] - item.height / 2, width: item.width, height: item.height, open: item.open };
      rows[r] = [Math.min(rows[r]?.[0] ?? Infinity, box.y), Math.max(rows[r]?.[1] ?? -Infinity, box.y + box.height)];
      if (item.open) origin.set(child, [box.x + item.shift, box.y + item.drop]);
    }
    bands.set(group.id, rows);
  }
  const bandOf = (id) => { const around = of.get(id).parent; return bands.get(around)[of.get(around).rows.get(id)]; };
  const paths = {};
  for (const edge of edges) if (!cut.has(edge.id)) {
    const points = [], start = nodes[edge.from], end = nodes[edge.to];
    const down = (x, ...ys) => ys.forEach((y) => points.push([x, y]));
    for (const { group, from, to } of pieces.get(edge.id)) {
      const [x, y] = origin.get(group), rows = bands.get(group), { done } = found.get(group);
      const first = of.get(group).rows.get(from) ?? -1;
      if (from === edge.from) down(start.x + start.width / 2, start.y + start.height, bandOf(from)[1]);
      else if (of.has(from)) down(points.at(-1)[0], bandOf(from)[1]); // it comes out of an open group
      else down(x + done.nodes[from][0], bandOf(group)[0], y + done.nodes[from][1]); // it comes in from outside
      done.between[`${from}>${to}`].forEach((between, n) => down(x + between, ...rows[first + 1 + n]));
      if (to === edge.to) down(end.x + end.width / 2, bandOf(to)[0], end.y);
      else if (!of.has(to)) down(x + done.nodes[to][0], nodes[group].y + nodes[group].height);
    }
    paths[edge.id] = points;
  }
  const { width, height } = found.get("root").done;
  return { nodes, paths, cut: [...cut], width: Math.max(width, 1), height: Math.max(height, 1) };
}

const WORKS = [pieced, partsOf, rowsOf, shelved, rough, tooLong, callsInOrder, arranged, inOrder, layOut, settled]; // must not use anything from outside but each other and `dagre`
let worker = null;
let over = null; // ends the layout that is under way: with what was found, or null

function start() {
  const program = `${byId("dagre").textContent}\n${WORKS.join("\n")}
const kept = new Map();
onmessage = (e) => {
  let last = performance.now();
  const tell = (done, all) => { if (performance.now() - last > 100) { last = performance.now(); postMessage({ done, all }); } };
  postMessage({ found: layOut(e.data.graph, e.data.measures, kept, tell) });
};`;
  worker = new Worker(URL.createObjectURL(new Blob([program], { type: "text/javascript" })));
}

/** Where everything is. Null if it was cancelled, or another layout was asked for meanwhile. `tell` is told how many groups of all are done. */
export async function layout(graph, tell) {
  cancel();
  if (!worker) start();
  return new Promise((resolve, reject) => {
    over = (found) => { over = null; resolve(found); };
    worker.onmessage = ({ data: { found, done, all } }) => { if (found) over(found); else tell(done, all); };
    worker.onerror = (e) => { over = null; worker.terminate(); worker = null; reject(new Error(e.message)); };
    worker.postMessage({ graph, measures: MEASURES });
  });
}

/** Ends the layout that is under way, if there is one. */
export function cancel() {
  if (!over) return;
  worker.terminate();
  worker = null;
  over(null);
}
