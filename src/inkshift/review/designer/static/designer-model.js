// The template that is being designed: what it holds, what is chosen, undo, and saving.
"use strict";

const root = document.getElementById("designer");
const texts = JSON.parse(root.dataset.texts);
const headers = JSON.parse(document.body.getAttribute("hx-headers"));
const WAIT = 500, AGAIN = 4000, MERGE = 900; // milliseconds

export const doc = JSON.parse(root.dataset.draft);
export const state = { page: 0, kind: "field", chosen: [], tool: "select", zoom: 0, hidden: false };
export const id = root.dataset.id;
export const $ = (name) => document.getElementById(name);
export const say = (key, n = "") => texts[key].replace("{n}", n);
export const page = () => doc.pages[state.page];
export const round = (value) => Math.round(value * 10) / 10;
export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

const watching = { change: [], checked: [] };
export const on = (event, watcher) => watching[event].push(watcher);
const tell = (event) => watching[event].forEach((watcher) => watcher());

// What is chosen: fields, marks or lines of the page that is shown, all of one kind.
export const LISTS = { field: "fields", mark: "marks", line: "lines" };
export const list = (kind = state.kind) => page()[LISTS[kind]];
export const chosen = () => state.chosen.map((i) => list()[i]);
export const chosenFields = () => (state.kind === "field" ? chosen() : []);
export const isChosen = (kind, i) => state.kind === kind && state.chosen.includes(i);

export function choose(kind, indices) {
  state.kind = kind;
  state.chosen = [...indices];
  tell("change");
}

export function show(number) {
  state.page = clamp(number, 0, doc.pages.length - 1);
  choose("field", []);
}

// Undo by whole copies: a template is small.
const past = [], future = [];
let lastKey = "", lastTime = 0;
const copy = () => JSON.stringify({ pages: doc.pages, identity: doc.identity, rules: doc.rules, name: doc.name });
export const snapshot = copy;

// Do something to the template. key: changes with the same key shortly after each other are undone together.
export function change(act, key = "") {
  const before = copy();
  act();
  keep(before, key);
}

export function keep(before, key = "") {
  if (copy() === before) return tell("change");
  const merged = key && key === lastKey && performance.now() - lastTime < MERGE;
  if (!merged) past.push(before);
  [lastKey, lastTime] = [key, performance.now()];
  future.length = 0;
  changed();
}

// Back to a copy while a pointer still pulls; whoever pulls draws anew.
export const restore = (text) => Object.assign(doc, JSON.parse(text));

function step(from, to) {
  if (!from.length) return;
  to.push(copy());
  Object.assign(doc, JSON.parse(from.pop()));
  lastKey = "";
  state.chosen = [];
  changed();
}
export const undo = () => step(past, future);
export const redo = () => step(future, past);
export const canUndo = () => past.length > 0;
export const canRedo = () => future.length > 0;

function changed() {
  tell("change");
  dirty = true;
  clearTimeout(timer);
  timer = setTimeout(save, WAIT);
  status(say("js_saving"));
}

// Names: p01 is followed by p02.
export const names = () => doc.pages.flatMap((one) => one.fields.map((field) => field.name));

export function following(name, taken) {
  const found = name.match(/^(.*?)(\d+)(\D*)$/) || [name, `${name} `, "1", ""];
  for (let n = Number(found[2]) + 1; ; n += 1) {
    const next = found[1] + String(n).padStart(found[2].length, "0") + found[3];
    if (!taken.includes(next)) return next;
  }
}

export function free(name, taken = names()) {
  return taken.includes(name) ? following(name, taken) : name;
}

// Saving: as soon as nothing changed for a moment, one request at a time.
let timer = 0, dirty = false, saving = null;
export const status = (text) => { $("state").textContent = text; };

function sent() {
  const pages = doc.pages.map(({ marks, lines, fields }) => ({ marks, lines, fields }));
  return JSON.stringify({ name: doc.name, pages, identity: doc.identity, rules: doc.rules, seen: doc.changed });
}

export function save() {
  clearTimeout(timer);
  if (saving) return saving.then(() => (dirty ? save() : undefined));
  if (!dirty) return Promise.resolve();
  dirty = false;
  saving = post().finally(() => { saving = null; });
  return saving;
}

async function post() {
  let answer;
  try {
    answer = await fetch(`../templates/${id}`, {
      method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: sent(),
    });
  } catch {
    dirty = true;
    timer = setTimeout(save, AGAIN);
    return status(`${say("js_not_saved")} ${say("js_offline")}`);
  }
  const json = (answer.headers.get("content-type") || "").includes("json");
  const said = json ? await answer.json() : { error: `${answer.status} ${answer.statusText}` };
  if (!answer.ok || !json) {
    dirty = true;
    return status(`${say("js_not_saved")} ${said.error || answer.status}`);
  }
  doc.changed = said.changed;
  [doc.problems, doc.broken] = [said.problems, said.rules];
  report();
}

export function report() {
  $("problems").replaceChildren(...doc.problems.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  if (!dirty) status(say(doc.problems.length ? "js_saved_open" : "js_saved"));
  tell("checked");
}

window.addEventListener("beforeunload", (event) => { if (dirty || saving) event.preventDefault(); });
