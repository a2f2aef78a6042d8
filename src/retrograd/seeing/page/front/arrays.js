// Arrays: decoding them, and showing them as heat maps, images, tables and histograms.

import { bytesOf } from "./tools.js";
import { data, t, counted } from "./state.js";
import { make, shown, sized, numberOf, product } from "./tools.js";

const TABLE = 400; // numbers that a table shows at most
const decoded = new Map();

/** The numbers of what `exact` in arrays.py wrote. */
function numbersIn(held) {
  const bytes = bytesOf(held.data);
  return held.code === "f4" ? new Float32Array(bytes.buffer) : new Float64Array(bytes.buffer);
}

/** All numbers of an array of the page, or null if it is not there whole. Of complex ones, real and imaginary parts by turns. */
export function whole(index) {
  const array = data.arrays[index];
  if (!array?.whole) return null;
  if (!decoded.has(array)) decoded.set(array, numbersIn(array.whole));
  return decoded.get(array);
}

/** Rows, columns, and of each cell a level from -1 to 1 (NaN: not finite). */
export function levels(index) {
  const array = data.arrays[index];
  const numbers = whole(index);
  if (numbers) {
    const complex = array.whole.complex;
    const columns = array.shape.at(-1) ?? 1;
    const cells = complex ? Float64Array.from({ length: numbers.length / 2 }, (_, i) => Math.hypot(numbers[2 * i], numbers[2 * i + 1])) : numbers;
    let scale = 0;
    for (const x of cells) if (Number.isFinite(x)) scale = Math.max(scale, Math.abs(x));
    return { rows: Math.max(1, cells.length / Math.max(1, columns)), columns, level: (i) => (Number.isFinite(cells[i]) ? (scale ? cells[i] / scale : 0) : NaN) };
  }
  if (!array?.picture) return null;
  const cells = bytesOf(array.picture.data);
  return { rows: array.picture.shape[0], columns: array.picture.shape[1], level: (i) => (cells[i] ? (cells[i] - 128) / 127 : NaN) };
}

/** The colour of a level: blue below nought, red above, the ground at nought; what is not finite is loud. */
function colour(pixels, at, level, dark) {
  const ground = dark ? [30, 34, 42] : [250, 250, 248];
  const ends = dark ? [[96, 165, 250], [251, 146, 110]] : [[29, 78, 156], [178, 50, 24]];
  const end = Number.isNaN(level) ? [217, 70, 239] : ends[level < 0 ? 0 : 1];
  const share = Number.isNaN(level) ? 1 : Math.sqrt(Math.min(1, Math.abs(level)));
  for (let c = 0; c < 3; c++) pixels[at + c] = ground[c] + (end[c] - ground[c]) * share;
  pixels[at + 3] = 255;
}

export const isDark = () => document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

/** A canvas with one pixel for each cell. */
export function raster(rows, columns, level) {
  const canvas = make("canvas", { width: columns, height: rows });
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const dark = isDark();
  for (let i = 0; i < rows * columns; i++) colour(image.data, 4 * i, level(i), dark);
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A picture of an array as the address of an image, for nodes of the graph; null if there is none. */
export function thumbnail(index) {
  const map = levels(index);
  if (!map || !map.columns || !map.rows) return null;
  const rows = Math.min(6, map.rows), columns = Math.min(64, map.columns);
  const cell = (i) => map.level(Math.floor((Math.floor(i / columns) * map.rows) / rows) * map.columns + Math.floor(((i % columns) * map.columns) / columns));
  return raster(rows, columns, cell).toDataURL();
}

function heatMap(index, label) {
  const array = data.arrays[index];
  const map = levels(index);
  if (!map || map.rows * map.columns < 2) return null;
  const canvas = raster(map.rows, map.columns, map.level);
  const zoom = Math.max(1, Math.min(24, Math.floor(320 / Math.max(map.columns, map.rows))));
  canvas.style.width = `${map.columns * zoom}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${t("picture")}: ${label}, ${sized(array.shape)}`);
  const left = ["sampled rows", "sampled columns"].map((key, i) => [key, array.picture?.strides[i] ?? 1]).filter(([, count]) => count > 1).map(([key, count]) => t(key, { count }));
  return make("figure", {}, canvas, left.length ? make("small", {}, left.join(", ")) : null);
}

/** Rows of weights, or of an input, as the images that they are. */
function images(index, label) {
  const held = data.arrays[index].images;
  if (!held) return null;
  const [count, height, width] = held.shape;
  const cells = bytesOf(held.data);
  const across = Math.min(6, count), down = Math.ceil(count / across);
  const rows = down * (height + 1) - 1, columns = across * (width + 1) - 1;
  const level = (i) => {
    const y = Math.floor(i / columns), x = i % columns;
    const inY = y % (height + 1), inX = x % (width + 1);
    const n = Math.floor(y / (height + 1)) * across + Math.floor(x / (width + 1));
    const cell = n < count && inY < height && inX < width ? cells[(n * height + inY) * width + inX] : 128;
    return cell ? (cell - 128) / 127 : NaN;
  };
  const canvas = raster(rows, columns, level);
  canvas.classList.add("images");
  canvas.setAttribute("role", "img");
  const text = t("images", { count, of: counted(held.of) });
  canvas.setAttribute("aria-label", `${label}: ${text}`);
  return make("figure", {}, canvas, make("small", {}, `${text}, ${height}×${width}`));
}

function table(numbers, columns, complex, label) {
  const cells = complex ? Array.from({ length: numbers.length / 2 }, (_, i) => [numbers[2 * i], numbers[2 * i + 1]]) : Array.from(numbers);
  const rows = [];
  for (let at = 0; at < cells.length; at += columns) {
    rows.push(make("tr", {}, cells.slice(at, at + columns).map((x) => {
      const text = complex ? `${shown(x[0])}${x[1] < 0 ? "−" : "+"}${shown(Math.abs(x[1]))}i` : shown(x);
      return make("td", { "data-value": String(x) }, text);
    })));
  }
  return make("div", { class: "numbers", tabindex: "0", role: "group", "aria-label": `${t("table")}: ${label}` }, make("table", {}, make("tbody", {}, rows)));
}

function histogram(array) {
  const top = Math.max(...array.counts);
  if (!top) return null;
  const bars = array.counts.map((n) => {
    const bar = make("i");
    bar.style.height = `${(100 * n) / top}%`;
    return bar;
  });
  const [least, most] = [array.stats.least, array.stats.most].map((x) => shown(numberOf(x), 3));
  return make("figure", { class: "histogram", role: "img", "aria-label": `${t("histogram")}: ${least} … ${most}` }, make("div", {}, bars), make("small", {}, make("span", {}, least), make("span", {}, most)));
}

function statistics(array) {
  const names = ["mean", "std", "least", "most", "norm", "zeros", ...["nans", "infinities"].filter((name) => array.stats[name])];
  return make("dl", { class: "stats" }, names.map((name) => make("div", { class: name === "nans" || name === "infinities" ? "bad" : null }, make("dt", {}, t(name)), make("dd", { "data-stat": name }, shown(numberOf(array.stats[name]))))));
}

/** An array as a block of the panel: what it is, its picture, its numbers. */
export function arrayView(label, index, kind = "value") {
  if (index === null || index === undefined) return make("section", { class: `array ${kind}` }, make("h4", {}, label), make("p", { class: "quiet" }, t("J none")));
  const array = data.arrays[index];
  const head = make("h4", {}, label, " ", make("span", { class: "shape" }, `${sized(array.shape)} ${array.dtype}`));
  const view = make("section", { class: `array ${kind}`, "data-array": index }, head);
  const numbers = whole(index);
  const size = product(array.shape);
  if (!array.stats) view.append(make("p", { class: "quiet" }, t("left out")));
  else if (!size) view.append(make("p", { class: "quiet" }, t("empty")));
  else if (numbers && size === 1) view.append(make("p", { class: "one", "data-value": String(numbers[0]) }, shown(numbers[0], 7)));
  else {
    const picture = images(index, label) ?? heatMap(index, label);
    if (picture) view.append(picture);
    if (numbers && size <= TABLE) view.append(table(numbers, array.shape.at(-1) ?? 1, array.whole.complex, label));
    else {
      const body = make("div", {}, statistics(array), histogram(array));
      if (array.corner) body.append(make("h5", {}, t("corner")), table(numbersIn(array.corner), array.corner.shape[1], array.corner.complex, label));
      else if (numbers) body.append(make("h5", {}, t("corner")), table(numbers.slice(0, Math.min(8, array.shape.at(-1))), 8, false, label));
      else body.append(make("p", { class: "quiet" }, t("not kept")));
      view.append(make("details", { open: size <= 65536 }, make("summary", {}, t("summary")), body));
    }
  }
  return view;
}
