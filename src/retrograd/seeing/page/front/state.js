// What the page knows: the record, what is chosen, and the texts of the language.

import { byId } from "./tools.js";

export const data = JSON.parse(byId("data").textContent);

export const state = {
  language: data.language,
  at: data.steps.length - 1, // which step
  moment: -1, // of the step; -1: before the first
  chosen: null, // id of a node
  tab: "walk",
  playing: null,
  open: new Set(), // ids of open groups
};

export const step = () => data.steps[state.at];

/** A text in the language, with its braces filled. */
export function t(key, filling = {}) {
  const text = data.texts[state.language][key] ?? key;
  return text.replace(/\{(\w+)\}/g, (_, name) => filling[name] ?? "");
}

/** A whole number with its digits in groups. */
export const counted = (n) => Number(n).toLocaleString(state.language);
