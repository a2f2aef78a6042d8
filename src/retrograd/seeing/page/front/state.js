// What the page knows: the record, what is chosen, and the texts of the language.

import { byId, product } from "./tools.js";

export const data = JSON.parse(byId("data").textContent);

export const REST = 10; // so many times as long as an answer took, a live page leaves the program in peace

export const state = {
  language: data.language,
  at: data.steps.length - 1, // which step
  moment: -1, // of the step; -1: before the first
  chosen: null, // id of a node
  target: null, // of the chain: a value
  links: 60, // of the chain that are shown
  opened: new Set(), // links of chains that are open, by the number of the call
  tab: "walk",
  playing: null,
  open: new Set(), // ids of open groups
};

export const step = () => data.steps[state.at];

/** What a value of the step is called. */
export const labelOf = (value) => step().values[value].label;

/** How many elements an array of the page has. */
export const sizeOf = (index) => product(data.arrays[index].shape);

/** A text in the language, with its braces filled; of one thing, the text for one, if there is such a text. */
export function t(key, filling = {}) {
  const texts = data.texts[state.language], text = (String(filling.count) === "1" && texts[`${key} one`]) || (texts[key] ?? key);
  return text.replace(/\{(\w+)\}/g, (_, name) => filling[name] ?? "");
}

/** A whole number with its digits in groups. */
export const counted = (n) => Number(n).toLocaleString(state.language);
