// Puts the page together: texts, choices, keys.

import { byId, make, numberOf, shown } from "./tools.js";
import { data, state, step, t } from "./state.js";
import { fitAll, giveUp, legend, onChoose, redraw, refresh, show, watch } from "./graph.js";
import { pan, zoom } from "./view.js";
import { treeOf, wordsOf } from "./shapes.js";
import { button, goTo, play, refreshWalk } from "./walk.js";
import { follow } from "./live.js";
import { onReveal } from "./panel.js";
import { valueOfNode } from "./chain.js";

/** Texts of the page in the language. */
function say() {
  document.documentElement.lang = state.language;
  byId("title").textContent = data.title;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of document.querySelectorAll("[data-name]")) { element.setAttribute("aria-label", t(element.dataset.name)); element.title = t(element.dataset.name); }
  byId("search").placeholder = t("search");
  byId("graph").removeAttribute("title");
  byId("language").textContent = state.language === "en" ? "ES" : "EN";
  const { failure } = data;
  byId("failure").hidden = !failure;
  if (failure) byId("failure").textContent = `${failure.kind}: ${failure.message}${failure.place ? ` (${failure.place.file}, ${t("line", { line: failure.place.line })})` : ""}`;
  byId("step").replaceChildren(...data.steps.map((s, i) => make("option", { value: i, selected: i === state.at }, `${s.number}${s.loss === null ? "" : ` · ${t("loss")} ${shown(numberOf(s.loss), 4)}`}`)));
  legend();
  button();
}

const FEW = 40;

/** Opens the outermost modules as long as no more than a few nodes come of it; where something has a history, only what holds some of it. What crashed is always in sight. */
function openFew() {
  state.open = new Set();
  const tree = treeOf(step()), all = !step().groups.some((g) => g.history);
  let row = [...tree.nodes.get("root").children];
  let count = 0;
  while (row.length) {
    const groups = row.map((id) => tree.nodes.get(id)).filter((n) => n.kind === "module" && (all || n.group.history));
    count += groups.reduce((sum, g) => sum + g.children.length, 0);
    if (count > FEW) break;
    groups.forEach((g) => state.open.add(g.id));
    row = groups.flatMap((g) => g.children);
  }
  const { failure } = data;
  if (failure && failure.step === step().number && failure.call !== null) openAround(`c${failure.call}`);
}

/** Opens what is around a node. */
function openAround(id) {
  const { nodes } = treeOf(step());
  for (let node = nodes.get(nodes.get(id).parent); node && node.id !== "root"; node = nodes.get(node.parent)) state.open.add(node.id);
}

async function begin() {
  if (!data.steps.length) { byId("caption").textContent = t("nothing"); return; }
  openFew();
  await refresh({ fitted: true });
  refreshWalk();
}

function toggle(id) {
  if (state.open.has(id)) state.open.delete(id); else state.open.add(id);
  return refresh({ near: id }).then(() => { refreshWalk(); document.querySelector(`[data-node="${id}"]`)?.focus(); });
}

onChoose((id) => {
  state.chosen = id;
  const target = valueOfNode(treeOf(step()).nodes.get(id));
  if (state.tab === "chain" && target !== null) state.target = target; else state.tab = "node";
  if (treeOf(step()).nodes.get(id).kind === "module") toggle(id);
  else refreshWalk();
}, reach);

/** Opens what is around a node, and goes there. */
async function reach(id, tab = "node") {
  openAround(id);
  state.chosen = id;
  state.tab = tab;
  await refresh();
  show(id, true);
  refreshWalk();
}

function search() {
  const wanted = byId("search").value.trim().toLowerCase();
  const tree = treeOf(step());
  const hits = wanted ? [...tree.nodes.values()].filter((n) => n.first !== undefined).map((n) => [n.id, wordsOf(step(), n).join("  ")]).filter(([, text]) => text.toLowerCase().includes(wanted)).slice(0, 30) : [];
  byId("found").hidden = !wanted;
  byId("found").replaceChildren(...(hits.length ? hits.map(([id, text]) => make("li", {}, make("button", { onclick: () => { byId("found").hidden = true; reach(id); } }, text))) : [make("li", { class: "quiet" }, t("no match"))]));
}

function keys(e) {
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target.matches?.("input[type=search], select");
  if (e.key === "Escape") { byId("found").hidden = true; play(false); return; }
  if (typing || (e.target.matches?.("button, summary") && (e.key === " " || e.key === "Enter"))) return;
  const acts = {
    " ": () => play(), ArrowRight: () => { play(false); goTo(state.moment + 1); }, ArrowLeft: () => { play(false); goTo(state.moment - 1); },
    Home: () => goTo(-1), End: () => goTo(Infinity), "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: fitAll,
    "/": () => byId("search").focus(), j: () => pan(0, -80), k: () => pan(0, 80), h: () => pan(80, 0), l: () => pan(-80, 0),
  };
  if (acts[e.key]) { e.preventDefault(); acts[e.key](); }
}

function wire() {
  const on = (id, act) => byId(id).addEventListener("click", act);
  on("first", () => goTo(-1));
  on("back", () => { play(false); goTo(state.moment - 1); });
  on("forward", () => { play(false); goTo(state.moment + 1); });
  on("play", () => play());
  on("fit", fitAll);
  on("larger", () => zoom(1.25));
  on("smaller", () => zoom(0.8));
  on("expand", () => { treeOf(step()).nodes.forEach((n) => n.kind === "module" && state.open.add(n.id)); refresh({ fitted: true }).then(refreshWalk); });
  on("collapse", () => { state.open.clear(); refresh({ fitted: true }).then(refreshWalk); });
  on("cancel", giveUp);
  on("language", () => { state.language = state.language === "en" ? "es" : "en"; say(); redraw(); refreshWalk(); });
  on("theme", () => {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    redraw();
    refreshWalk();
  });
  byId("moment").addEventListener("input", () => { play(false); goTo(Number(byId("moment").value) - 1); });
  byId("step").addEventListener("change", () => { play(false); state.at = Number(byId("step").value); state.moment = -1; state.chosen = null; begin(); });
  byId("search").addEventListener("input", search);
  byId("search").addEventListener("keydown", (e) => { if (e.key === "Enter") byId("found").querySelector("button")?.click(); });
  document.addEventListener("keydown", keys);
}

/** Whether newer steps are to be shown: not while somebody walks, or looks at a chain. */
const isIdle = () => state.at === data.steps.length - 1 && state.moment < 0 && state.playing === null && state.tab !== "chain";

follow(isIdle, (newer) => {
  if (!isIdle()) return false;
  Object.assign(data, newer);
  state.at = data.steps.length - 1;
  state.chosen = null;
  say();
  const opened = state.open.size ? refresh() : begin();
  Promise.resolve(opened).then(() => { refreshWalk(); });
  return true;
}, () => { byId("caption").textContent = t("live over"); });

onReveal((id) => reach(id, state.tab));
say();
wire();
watch();
begin().then(() => { document.documentElement.dataset.ready = "yes"; });

