// Pieces that several sheets of the panel are made of: lines of source, results as paragraphs and tables, curves.

import { data, t } from "./state.js";
import { make, draw, shown } from "./tools.js";

/** The user's source around a place. */
export function sourceView(place) {
  if (!place) return null;
  const lines = data.lines[place.file] ?? {};
  const rows = [];
  for (let n = place.line - 3; n <= place.last + 3; n++) {
    if (lines[n] === undefined) continue;
    rows.push(make("span", { class: n >= place.line && n <= place.last ? "here" : null, "data-line": n }, `${String(n).padStart(4)}  ${lines[n]}\n`));
  }
  return make("section", { class: "source" }, make("h4", {}, t("source"), " ", make("span", { class: "shape" }, `${place.file}, ${t("line", { line: place.line })}`)), rows.length ? make("pre", { tabindex: "0" }, make("code", {}, rows)) : null);
}

/** Paragraphs and tables, as results of the library come. */
export function partsView(parts) {
  return parts.map((part) => {
    if (typeof part === "string") return make("p", { class: "text" }, part);
    const line = (tag, row, marked) => make("tr", { class: marked ? "marked" : null }, row.map((cell, i) => make(tag, { class: part.right.includes(i) ? "right" : null }, cell)));
    return make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": part.title || part.columns.join(", ") }, make("table", {}, part.title ? make("caption", {}, part.title) : null, make("thead", {}, line("th", part.columns)), make("tbody", {}, part.rows.map((row, i) => line("td", row, part.marked.includes(i))))), part.note ? make("p", { class: "quiet" }, part.note) : null);
  });
}

/** A curve of points [x, y]. */
export function sparkline(label, points) {
  const good = points.filter(([, y]) => Number.isFinite(y));
  if (good.length < 2) return null;
  const [xs, ys] = [good.map((p) => p[0]), good.map((p) => p[1])];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const at = ([x, y]) => `${(2 + (196 * (x - left)) / (right - left || 1)).toFixed(1)} ${(38 - (36 * (y - low)) / (high - low || 1)).toFixed(1)}`;
  return make("figure", { class: "curve" }, make("figcaption", {}, label), draw("svg", { viewBox: "0 0 200 40", role: "img", "aria-label": `${label}: ${shown(good[0][1])} → ${shown(good.at(-1)[1])}` }, draw("path", { d: `M${good.map(at).join("L")}` })), make("small", {}, `${shown(good[0][1])} → ${shown(good.at(-1)[1])}`));
}
