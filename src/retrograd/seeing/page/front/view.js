// The part of the graph that is looked at: moved by dragging, wheel, pinch and keys.

import { byId } from "./tools.js";

const LEAST = 0.01, MOST = 3;
const LEGIBLE = 0.45;
const EDGE = 20, LEGEND = 44; // pixels that are kept free around the graph, and beneath it for the legend
export const FAR = 0.4; // beneath this scale no text can be read

export const view = { x: 0, y: 0, k: 1 }; // where the graph's corner is, in pixels, and the scale

export const size = () => byId("canvas").getBoundingClientRect();

let painter = () => {};
let due = false; // whether it is going to paint

/** Paints before the next frame, once. */
export function schedule() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => { due = false; painter(); });
}

export function zoom(factor, at = null) {
  const { width, height } = size();
  const [x, y] = at ?? [width / 2, height / 2];
  const k = Math.max(LEAST, Math.min(MOST, view.k * factor));
  view.x = x - ((x - view.x) * k) / view.k;
  view.y = y - ((y - view.y) * k) / view.k;
  view.k = k;
  schedule();
}

export function pan(dx, dy) { view.x += dx; view.y += dy; schedule(); }

/** Brings a box into view, if it is not, and not smaller than `least`. */
export function lookAt({ x, y, width, height }, least = 0) {
  const box = size();
  if (view.k < least) zoom(least / view.k);
  const at = [view.x + (x + width / 2) * view.k, view.y + (y + Math.min(height, 60) / 2) * view.k];
  if (at[0] < 60 || at[1] < 40 || at[0] > box.width - 60 || at[1] > box.height - 40) pan(box.width / 2 - at[0], box.height / 2 - at[1]);
  schedule();
}

/** Has all of the width in view, if it is not just too wide to be legible, and of the height as much as is legible. */
export function fit({ width, height }) {
  const box = size();
  const across = (box.width - 2 * EDGE) / width, down = (box.height - EDGE - LEGEND) / height;
  const k = Math.max(LEAST, Math.min(1.1, across > LEGIBLE / 2 ? Math.max(across, LEGIBLE) : across, Math.max(down, LEGIBLE)));
  Object.assign(view, { k, x: Math.max(EDGE, (box.width - width * k) / 2), y: Math.max(EDGE, (box.height + EDGE - LEGEND - height * k) / 2) });
  schedule();
}

/** Listens to the pointer and the wheel; `painting` draws what is in view, `picked` is told of a click on the ground, or on anything from afar. */
export function listen(painting, picked) {
  painter = painting;
  const canvas = byId("canvas");
  const touches = new Map();
  let moved = 0;
  const place = (e) => { const box = size(); return [e.clientX - box.left, e.clientY - box.top]; };
  const spread = () => { const [a, b] = [...touches.values()]; return Math.hypot(a[0] - b[0], a[1] - b[1]); };
  canvas.addEventListener("wheel", (e) => { e.preventDefault(); zoom(Math.exp(-e.deltaY / 500), place(e)); }, { passive: false });
  canvas.addEventListener("pointerdown", (e) => { touches.set(e.pointerId, [e.clientX, e.clientY]); moved = 0; });
  canvas.addEventListener("pointermove", (e) => {
    const last = touches.get(e.pointerId);
    if (!last) return;
    const before = touches.size === 2 ? spread() : 0;
    touches.set(e.pointerId, [e.clientX, e.clientY]);
    moved += Math.abs(e.clientX - last[0]) + Math.abs(e.clientY - last[1]);
    if (touches.size === 2) zoom(spread() / before, place(e));
    else if (moved > 4) { canvas.setPointerCapture(e.pointerId); pan(e.clientX - last[0], e.clientY - last[1]); }
  });
  for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (e) => touches.delete(e.pointerId));
  canvas.addEventListener("click", (e) => {
    if (moved <= 4 && e.target !== canvas && view.k >= FAR) return;
    e.stopPropagation();
    if (moved > 4) e.preventDefault();
    else { const [x, y] = place(e); picked((x - view.x) / view.k, (y - view.y) / view.k); }
  }, true);
  new ResizeObserver(schedule).observe(canvas);
}
