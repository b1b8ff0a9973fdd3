// What can be done to fields, marks and lines, by mouse and by keyboard alike.
"use strict";
import { change, chosen, chosenFields, choose, clamp, doc, following, free, isChosen, list, names, page, round, say, state, status } from "./designer-model.js";

const LEAST = 4;
const clone = (thing) => JSON.parse(JSON.stringify(thing));

export function place(box, x, y, w, h) {
  const [wide, high] = page().size;
  const width = clamp(round(w), LEAST, wide), height = clamp(round(h), LEAST, high);
  box.splice(0, 4, round(clamp(x, 0, wide - width)), round(clamp(y, 0, high - height)), width, height);
}

// Move what is chosen as one, by what its page leaves room for.
export function moved(things, dx, dy) {
  const edges = things.map(reach), [wide, high] = page().size;
  dx = clamp(dx, -Math.min(...edges.map((e) => e[0])), wide - Math.max(...edges.map((e) => e[2])));
  dy = clamp(dy, -Math.min(...edges.map((e) => e[1])), high - Math.max(...edges.map((e) => e[3])));
  things.forEach((thing) => shift(thing, dx, dy));
}

function reach(thing) {
  if (thing.box) return [thing.box[0], thing.box[1], thing.box[0] + thing.box[2], thing.box[1] + thing.box[3]];
  if (Array.isArray(thing)) return [Math.min(thing[0], thing[2]), Math.min(thing[1], thing[3]), Math.max(thing[0], thing[2]), Math.max(thing[1], thing[3])];
  return [thing.x, thing.y, thing.x, thing.y];
}

function shift(thing, dx, dy) {
  if (thing.box) thing.box.splice(0, 2, round(thing.box[0] + dx), round(thing.box[1] + dy));
  else if (Array.isArray(thing)) thing.forEach((value, i) => { thing[i] = round(value + (i % 2 ? dy : dx)); });
  else Object.assign(thing, { x: round(thing.x + dx), y: round(thing.y + dy) });
}

export const move = (dx, dy) => change(() => moved(chosen(), dx, dy), "move");

export function resize(dw, dh) {
  change(() => chosen().forEach((thing) => {
    if (thing.box) place(thing.box, thing.box[0], thing.box[1], thing.box[2] + dw, thing.box[3] + dh);
    else if (Array.isArray(thing)) [thing[2], thing[3]] = [round(thing[2] + dw), round(thing[3] + dh)];
    else thing.size = Math.max(1, round(thing.size + dw + dh));
  }), "resize");
}

export function add(box, name = "") {
  const taken = names();
  const like = chosenFields()[0] || page().fields.at(-1);
  const kept = like ? clone(like) : { cells: 0, digits: [1, 3], max: null, frame: true };
  const field = { ...kept, name: free(name || (like ? like.name : "f01"), taken), box: [0, 0, 0, 0] };
  place(field.box, ...box);
  insert([field], 1);
}

// New fields follow those chosen in the list, for runs such as p01..p12; the last few are chosen.
function insert(made, last) {
  const where = chosenFields().length ? Math.max(...state.chosen) + 1 : page().fields.length, end = where + made.length;
  change(() => page().fields.splice(where, 0, ...made));
  choose("field", made.slice(-last).map((_, i) => end - last + i));
}

export function up(i) {
  if (i < 1) return;
  change(() => page().fields.splice(i - 1, 2, page().fields[i], page().fields[i - 1]));
  choose("field", [i - 1]);
}

export function remove(kind = state.kind, indices = state.chosen) {
  if (!indices.length) return;
  const n = indices.length;
  change(() => {
    const kept = list(kind).filter((_, i) => !indices.includes(i));
    list(kind).splice(0, list(kind).length, ...kept);
    state.chosen = [];
  });
  status(say("js_deleted", n));
}

// How far the row below is: as far as the one above what is chosen, else as high as that is.
export function rowDistance() {
  const fields = chosenFields();
  if (!fields.length) return 0;
  const [x, y, w] = fields[0].box;
  const above = page().fields.map((field) => field.box).filter((box) => Math.abs(box[0] - x) < w / 4 && box[1] < y - 1);
  const edges = fields.map(reach);
  const high = Math.max(...edges.map((e) => e[3])) - Math.min(...edges.map((e) => e[1]));
  const step = Math.min(...above.map((box) => y - box[1]));
  return round(Number.isFinite(step) && step < 3 * high ? step : high);
}

// Rows of fields below those chosen, as many as the page has room for.
export function repeat(times, distance) {
  const fields = chosenFields(), taken = names(), made = [];
  let last = fields.map((field) => field.name);
  for (let n = 1; n <= times && fields.length; n += 1) {
    if (Math.max(...fields.map((field) => field.box[1] + field.box[3])) + n * distance > page().size[1]) break;
    last = fields.map((field, i) => {
      const next = clone(field);
      next.name = following(last[i], taken);
      next.box[1] = round(next.box[1] + n * distance);
      taken.push(next.name);
      made.push(next);
      return next.name;
    });
  }
  if (!made.length) return;
  insert(made, fields.length);
  status(say("js_taken", made.length));
}

// Boxes that are proposed and that no field covers.
export function proposals() {
  if (state.hidden) return [];
  const covers = (a, b) => {
    const across = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
    const down = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
    return across > 0 && down > 0 && across * down > 0.3 * Math.min(a[2] * a[3], b[2] * b[3]);
  };
  return page().proposed.fields.filter((one) => !page().fields.some((field) => covers(field.box, one.box)));
}

export function accept(some) {
  if (!some.length) return;
  const first = page().fields.length, taken = names();
  change(() => some.forEach((one) => {
    const field = { ...clone(one), name: free(one.name, taken) };
    taken.push(field.name);
    page().fields.push(field);
  }));
  choose("field", some.map((_, i) => first + i));
  status(say("js_taken", some.length));
}

// Give the fields that are chosen a value; of several, the name counts on, in the order of reading.
export function give(key, value) {
  const fields = chosenFields();
  change(() => {
    if (key !== "name" || fields.length < 2) return fields.forEach((field) => set(field, key, value));
    const taken = names().filter((name) => !fields.some((field) => field.name === name));
    let next = value;
    [...fields].sort((a, b) => a.box[1] - b.box[1] || a.box[0] - b.box[0]).forEach((field, i) => {
      if (i) next = following(next, taken);
      field.name = next;
      taken.push(next);
    });
  });
}

export const hasDigits = (kind) => kind === "number" || kind === "decimal";
const PLACES = { x: 0, y: 1, w: 2, h: 3 };
export function set(field, key, value) {
  const before = field.name;
  if (key in PLACES) {
    const box = [...field.box];
    box[PLACES[key]] = value;
    place(field.box, ...box);
  } else if (key === "fewest") field.digits[0] = clamp(Math.round(value), 0, 20);
  else if (key === "most") field.digits[1] = clamp(Math.round(value), 1, 20);
  else if (key === "cells") {
    field.cells = clamp(Math.round(value), 0, 20);
    if (field.cells) field.digits = [0, field.cells];
  } else if (key === "kind") {
    delete field.places;
    delete field.order;
    if (value === "decimal") field.places = 2;
    if (!hasDigits(value)) {
      Object.assign(field, { cells: 0, digits: [1, 8], max: null });
      delete field.signed;
    }
    field.kind = value;
  } else if (key === "order") {
    field.cells = value === "none" ? 0 : 8;
    field.order = value === "none" ? null : value;
  } else if (key === "places") field.places = clamp(Math.round(value), 1, 6);
  else field[key] = value;
  if (key === "name" && doc.identity.field === before) doc.identity.field = value;
}

export const get = (field, key) => (
  key === "kind" ? field.kind ?? "number" : key === "order" ? field.order ?? "none" : key === "signed" ? field.signed ?? false : key in PLACES ? field.box[PLACES[key]] : key === "fewest" ? field.digits[0] : key === "most" ? field.digits[1] : field[key]
);

// The other fields that are chosen stay chosen where one more is taken in or let go.
export function toggle(kind, i) {
  if (state.kind !== kind) return choose(kind, [i]);
  choose(kind, isChosen(kind, i) ? state.chosen.filter((other) => other !== i) : [...state.chosen, i]);
}
