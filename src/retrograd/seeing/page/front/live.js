// While the program still runs: asks the server for the newest step now and then.

import { data } from "./state.js";

/** Calls `came` with each newer record; `over` when the server is gone. */
export function follow(came, over) {
  if (!data.live) return;
  let seen = data.watched;
  const ask = async () => {
    try {
      const answer = await fetch(`${data.live}&after=${seen}`);
      if (!answer.ok) throw new Error(String(answer.status));
      if (answer.status !== 204) {
        const newer = await answer.json();
        seen = newer.watched;
        came(newer);
      }
      setTimeout(ask, 500);
    } catch {
      over();
    }
  };
  ask();
}
