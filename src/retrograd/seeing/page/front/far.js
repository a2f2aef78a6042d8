// The graph from afar: painted, as boxes without words are no use in the document. Open groups have their names where there is room.

import { byId } from "./tools.js";
import { view, size } from "./view.js";

const SOLID = 0.12; // beneath this scale boxes are of one colour
const NAMED = 40; // pixels that an open group has at least to get its name
const COLOURS = { operation: "--forward", parameter: "--weight", buffer: "--weight", leaf: "--weight", input: "--input", earlier: "--input", module: "--quiet" };

/** Paints boxes { x, y, right, bottom, kind, open, name, waiting, ring } and lines (of type Path2D); `ring`: the colour of a ring around what is to be seen even from here. */
export function paintFar(boxes, lines) {
  const canvas = byId("far"), { width, height } = size(), fine = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * fine) || canvas.height !== Math.round(height * fine)) Object.assign(canvas, { width: Math.round(width * fine), height: Math.round(height * fine) });
  const context = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.setTransform(view.k * fine, 0, 0, view.k * fine, view.x * fine, view.y * fine);
  context.lineWidth = 1 / view.k;
  Object.assign(context, { fillStyle: colour("--module"), strokeStyle: colour("--line"), globalAlpha: 0.55 });
  for (const { open, x, y, right, bottom } of boxes) if (open) { context.fillRect(x, y, right - x, bottom - y); context.strokeRect(x, y, right - x, bottom - y); }
  Object.assign(context, { strokeStyle: colour("--quiet"), globalAlpha: 0.4 });
  for (const line of lines) context.stroke(line);
  const ways = new Map(); // boxes that look alike, as one path
  for (const box of boxes) if (!box.open) {
    const way = `${box.waiting ? "waiting" : ""} ${COLOURS[box.kind]}`;
    if (!ways.has(way)) ways.set(way, new Path2D());
    ways.get(way).rect(box.x, box.y, box.right - box.x, box.bottom - box.y);
  }
  for (const [way, path] of ways) {
    const [waiting, name] = way.split(" "), solid = view.k < SOLID;
    context.globalAlpha = waiting ? 0.38 : 1;
    context.fillStyle = colour(solid ? name : name === "--quiet" ? "--module" : "--sheet");
    context.strokeStyle = colour(name);
    context.fill(path);
    if (!solid) context.stroke(path);
  }
  context.globalAlpha = 1;
  context.setTransform(fine, 0, 0, fine, 0, 0);
  context.lineWidth = 3;
  for (const { x, y, right, bottom, ring } of boxes) if (ring) {
    context.strokeStyle = colour(ring);
    context.strokeRect(x * view.k + view.x - 4, y * view.k + view.y - 4, (right - x) * view.k + 8, (bottom - y) * view.k + 8);
  }
  Object.assign(context, { font: "600 12px system-ui, sans-serif", textBaseline: "top", lineWidth: 4, lineJoin: "round", fillStyle: colour("--ink"), strokeStyle: colour("--ground") });
  const written = []; // names do not stand over one another
  for (const { x, y, right, bottom, open, name } of boxes) if (open && Math.min(right - x, bottom - y) * view.k > NAMED) {
    const left = Math.max(4, x * view.k + view.x + 5), top = y * view.k + view.y + 4, end = left + context.measureText(name).width;
    if (top < -16 || written.some((other) => Math.abs(top - other.top) < 16 && left < other.end && other.left < end)) continue;
    written.push({ left, top, end });
    context.strokeText(name, left, top);
    context.fillText(name, left, top);
  }
}

/** Takes the painting away. */
export function clearFar() {
  byId("far").width = 0;
}
