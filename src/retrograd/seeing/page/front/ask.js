// What a page that is served live asks for only when it is looked at: Jacobians, checks of a chain, results of the library.

import { data, REST } from "./state.js";

const onWay = new Set(); // what is on its way
let free = 0; // when the next question may be asked

/** Asks the server, once at a time for each address; the answer goes to `came`, null if the step is gone. */
export async function ask(path, came) {
  if (!data.live || onWay.has(path)) return;
  onWay.add(path);
  const wait = Math.max(0, free - performance.now());
  free = performance.now() + wait;
  if (wait) await new Promise((go) => setTimeout(go, wait));
  const began = performance.now();
  try {
    const answer = await fetch(`${path}${data.live}`);
    came(answer.ok ? await answer.json() : null);
  } catch { /* the server is gone: `follow` says so */ }
  free = performance.now() + REST * (performance.now() - began);
  onWay.delete(path);
}

/** Adds the arrays of an answer to those of the page; how far their indices move. */
export function addArrays(arrays) {
  data.arrays.push(...arrays);
  return data.arrays.length - arrays.length;
}
