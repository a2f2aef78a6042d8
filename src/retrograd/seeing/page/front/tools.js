// Small things that all parts of the page use.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element of HTML: `make("p", {class: "x"}, "text", child)`. Texts are texts, never markup. */
export function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** An element of SVG. */
export function draw(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A number in JSON, where those that are not finite go by name. */
export const numberOf = (x) => (typeof x === "string" ? { nan: NaN, inf: Infinity, "-inf": -Infinity }[x] : x);

/** A number for people, in five digits. */
export function shown(x, digits = 5) {
  if (x === null || x === undefined) return "–";
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  if (Number.isInteger(x) && Math.abs(x) < 1e9) return String(x);
  const size = Math.abs(x);
  return size < 1e-4 || size >= 1e7 ? x.toExponential(digits - 2) : String(Number(x.toPrecision(digits)));
}

export const sized = (shape) => (shape.length ? shape.join("×") : "( )");

export const product = (shape) => shape.reduce((a, b) => a * b, 1);

export const FONTS = { name: "600 13px system-ui, sans-serif", below: "12px system-ui, sans-serif", word: "700 11px system-ui, sans-serif" }; // as page.css has them
const pen = document.createElement("canvas").getContext("2d");
const widths = new Map();

/** How wide a text is in a font, in pixels. */
export function widthOf(text, font) {
  const key = `${font} ${text}`;
  if (!widths.has(key)) { pen.font = font; widths.set(key, pen.measureText(text).width); }
  return widths.get(key);
}

/** As much of a text as there is room for. */
export function clipped(text, width, font) {
  const whole = widthOf(text, font);
  if (whole <= width) return text;
  const letters = [...text];
  for (let n = Math.ceil((letters.length * width) / whole); n > 1; n--) {
    const shorter = `${letters.slice(0, n).join("")}…`;
    if (widthOf(shorter, font) <= width) return shorter;
  }
  return `${letters[0]}…`;
}

/** The bytes of base64. */
export function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
