// While the program still runs: asks the server for the newest step now and then.

import { data, REST } from "./state.js";

const OFTEN = 500; // milliseconds

/** Calls `came` with each newer record, which says if it takes it; `over` when the server is gone. Asks only while the page is looked at and `wanted`. */
export function follow(wanted, came, over) {
  if (!data.live) return;
  let seen = data.watched;
  const ask = async () => {
    const began = performance.now();
    try {
      const answer = document.hidden || !wanted() ? null : await fetch(`/newer?after=${seen}${data.live}`);
      if (answer && !answer.ok) throw new Error(String(answer.status));
      if (answer && answer.status !== 204) {
        const newer = await answer.json();
        if (came(newer)) seen = newer.watched;
      }
      setTimeout(ask, Math.max(OFTEN, REST * (performance.now() - began)));
    } catch {
      over();
    }
  };
  ask();
}
