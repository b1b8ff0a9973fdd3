// The page as a picture with its fields, marks and lines drawn over it; mouse, touch and keyboard on it.
"use strict";
import { accept, add, moved, move, place, proposals, remove, repeat, resize, rowDistance, toggle } from "./designer-acts.js";
import { $, chosen, choose, clamp, id, isChosen, keep, on, page, redo, restore, round, say, snapshot, state, undo } from "./designer-model.js";

const canvas = $("canvas"), view = $("view");
const NEAR = 4; // pixels of the screen that a pointer may tremble
const FINE = window.matchMedia("(pointer: fine)");
const HANDLES = [[0, 0], [0.5, 0], [1, 0], [0, 0.5], [1, 0.5], [0, 1], [0.5, 1], [1, 1]];

function make(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

let fit = 1; // pixels of the screen for one of the page, where its whole width is shown
const scale = () => state.zoom || fit;
const rect = (box, more) => make("rect", { x: box[0], y: box[1], width: box[2], height: box[3], ...more });

export function zoom(factor) {
  state.zoom = factor ? clamp(scale() * factor, 0.1, 6) : 0;
  draw();
}

let drawing = false;

// What looks as it did is not made anew: a page may have hundreds of fields.
const known = new Map();
function made(at, look, build) {
  if (known.get(at)?.look !== look) known.set(at, { look, element: build() });
  return known.get(at).element;
}
const each = (kind, list, build) => list.map((one, i) => (
  made(`${kind}-${i}`, JSON.stringify([one, isChosen(kind, i), scale()]), () => build(one, i))
));

function draw() {
  const [wide, high] = page().size, focused = canvas.contains(document.activeElement) && document.activeElement.dataset.at;
  fit = Math.min((view.clientWidth - 4) / wide, 2);
  canvas.setAttribute("viewBox", `0 0 ${wide} ${high}`);
  canvas.setAttribute("width", wide * scale());
  canvas.setAttribute("height", high * scale());
  canvas.classList.toggle("draw", state.tool === "draw");
  const things = [
    made("image", state.page, () => make("image", { href: `../templates/${id}/pages/${state.page + 1}.jpg`, width: wide, height: high })),
    ...each("line", page().lines, line), ...each("mark", page().marks, mark),
    ...proposals().map((one, i) => made(`proposal-${i}`, JSON.stringify(one.box), () => proposal(one, i))),
    ...each("field", page().fields, field), ...handles(),
  ];
  const wanted = new Set(things);
  [...canvas.children].forEach((element) => wanted.has(element) || element.remove());
  let next = canvas.firstChild;
  things.forEach((element) => {
    if (element === next) next = next.nextSibling;
    else canvas.insertBefore(element, next);
  });
  drawing = true; // the focus that is given back chooses nothing
  if (focused) canvas.querySelector(`[data-at="${focused}"]`)?.focus({ preventScroll: true });
  drawing = false;
}

function thing(kind, i, label, ...parts) {
  const at = { "data-kind": kind, "data-i": i, "data-at": `${kind}-${i}`, tabindex: 0, role: "button", "aria-label": label };
  const on_ = isChosen(kind, i);
  return make("g", { ...at, "aria-pressed": on_, class: on_ ? "chosen" : "" }, ...parts);
}

function field(one, i) {
  const [x, y, w, h] = one.box, parts = [rect(one.box, { class: "f-box" })];
  for (let n = 1; n < one.cells; n += 1) {
    parts.push(make("line", { class: "f-wall", x1: x + (w * n) / one.cells, x2: x + (w * n) / one.cells, y1: y, y2: y + h }));
  }
  const size = clamp(13 / scale(), 6, 0.5 * h + 6), wide = (one.name.length * 0.62 + 0.5) * size;
  const left = x - wide - 3 > 0 ? x - wide - 3 : x + 2;
  parts.push(make("rect", { class: "f-name", x: left, y: y + 2, width: wide, height: 1.25 * size, rx: 2 }));
  parts.push(make("text", { class: "f-label", x: left + 0.25 * size, y: y + 2 + size, "font-size": size }, one.name));
  return thing("field", i, `${say("js_field")} ${one.name}: ${one.box.join(", ")}`, ...parts);
}

const mark = (one, i) => thing("mark", i, `${say("js_mark")} ${i + 1}: ${one.x}, ${one.y}`,
  rect([one.x - one.size / 2, one.y - one.size / 2, one.size, one.size], { class: "m-box" }));

function line(one, i) {
  const ends = { x1: one[0], y1: one[1], x2: one[2], y2: one[3] };
  return thing("line", i, `${say("js_line")} ${i + 1}: ${one.join(", ")}`,
    make("line", { class: "l-reach", ...ends }), make("line", { class: "l-line", ...ends }));
}

function proposal(one, i) {
  const label = { tabindex: 0, role: "button", "aria-label": say("js_proposal", i + 1), "data-proposal": i, "data-at": `proposal-${i}` };
  return make("g", label, rect(one.box, { class: "p-box" }));
}

function handles() {
  if (state.kind !== "field" || state.chosen.length !== 1) return [];
  const [x, y, w, h] = chosen()[0].box, side = (FINE.matches ? 10 : 22) / scale();
  return HANDLES.map(([a, b], n) => rect([x + a * w - side / 2, y + b * h - side / 2, side, side], { "data-handle": n }));
}

// Pointers: on a field it is moved, on a handle resized, on the empty page a box is drawn or a frame pulled up.
let pull = null;

function at(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(canvas.getScreenCTM().inverse());
  return [point.x, point.y];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || !event.isPrimary) return;
  const handle = event.target.closest("[data-handle]"), over = event.target.closest("[data-kind]");
  const offered = event.target.closest("[data-proposal]");
  const start = { from: at(event), x: event.clientX, y: event.clientY, before: snapshot(), moved: false };
  if (state.tool === "draw" && !handle) pull = { ...start, what: "draw" };
  else if (handle) pull = { ...start, what: "size", handle: HANDLES[handle.dataset.handle], box: [...chosen()[0].box] };
  else if (offered) pull = { ...start, what: "offer", offered: Number(offered.dataset.proposal) };
  else if (over) {
    const { kind, i } = { kind: over.dataset.kind, i: Number(over.dataset.i) };
    if (event.shiftKey || event.ctrlKey) return toggle(kind, i);
    if (!isChosen(kind, i)) choose(kind, [i]);
    canvas.querySelector(`[data-at="${kind}-${i}"]`)?.focus({ preventScroll: true });
    pull = { ...start, what: "move", only: [kind, i] };
  } else if (event.pointerType === "mouse") pull = { ...start, what: "frame", more: event.shiftKey ? [...state.chosen] : [] };
  else return choose("field", []);
  event.preventDefault();
  canvas.setPointerCapture(event.pointerId);
});

canvas.addEventListener("pointermove", (event) => {
  if (!pull) return;
  pull.moved ||= Math.hypot(event.clientX - pull.x, event.clientY - pull.y) > NEAR;
  if (!pull.moved) return;
  const [x, y] = at(event), dx = x - pull.from[0], dy = y - pull.from[1];
  if (pull.what === "move" || pull.what === "size") restore(pull.before);
  if (pull.what === "move") moved(chosen(), dx, dy);
  if (pull.what === "size") sized(dx, dy);
  draw();
  if (pull.what === "draw" || pull.what === "frame") {
    pull.box = [Math.min(x, pull.from[0]), Math.min(y, pull.from[1]), Math.abs(dx), Math.abs(dy)];
    canvas.append(rect(pull.box.map(round), { class: "marquee" }));
  }
});

function sized(dx, dy) {
  const [x, y, w, h] = pull.box, [a, b] = pull.handle;
  const left = a === 0 ? Math.min(x + dx, x + w - 4) : x, top = b === 0 ? Math.min(y + dy, y + h - 4) : y;
  place(chosen()[0].box, left, top, a === 0.5 ? w : a ? w + dx : x + w - left, b === 0.5 ? h : b ? h + dy : y + h - top);
}

canvas.addEventListener("pointerup", () => {
  const done = pull;
  pull = null;
  if (!done) return;
  if (done.what === "offer" && !done.moved) return accept([proposals()[done.offered]]);
  if (done.what === "draw" && done.box && Math.min(done.box[2], done.box[3]) > 4) return add(done.box);
  if (done.what === "frame") return choose("field", done.box ? [...new Set([...done.more, ...within(done.box)])] : done.more);
  if (done.moved) keep(done.before);
  else if (done.only) choose(done.only[0], [done.only[1]]);
});

canvas.addEventListener("pointercancel", () => {
  if (pull) restore(pull.before);
  pull = null;
  draw();
});

function within([x, y, w, h]) {
  const inside = ([a, b, c, d]) => a >= x && b >= y && a + c <= x + w && b + d <= y + h;
  return page().fields.flatMap((one, i) => (inside(one.box) ? [i] : []));
}

canvas.addEventListener("focusin", (event) => {
  const { kind, i } = event.target.dataset;
  if (kind && !pull && !drawing && !isChosen(kind, Number(i)) && event.target.matches(":focus-visible")) choose(kind, [Number(i)]);
});

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  const { kind, i, proposal: offered } = event.target.dataset, ctrl = event.ctrlKey || event.metaKey;
  const arrow = ARROWS[event.key], key = event.key.toLowerCase();
  if (arrow && state.chosen.length) {
    const far = ctrl ? 10 : 1;
    (event.shiftKey ? resize : move)(arrow[0] * far, arrow[1] * far);
  } else if (event.key === "Delete" || event.key === "Backspace") {
    const before = Math.max(Math.min(...state.chosen) - 1, 0);
    remove();
    (canvas.querySelector(`[data-at="${state.kind}-${before}"]`) || $("new-field")).focus({ preventScroll: true });
  } else if (ctrl && key === "d") copyBelow();
  else if (key === "escape") choose("field", []);
  else if (offered !== undefined && (key === "enter" || key === " ")) take(Number(offered));
  else if (kind && (key === "enter" || key === " ")) event.shiftKey ? toggle(kind, Number(i)) : choose(kind, [Number(i)]);
  else return;
  event.preventDefault();
});

export function copyBelow() {
  repeat(1, rowDistance());
  focusChosen();
}

export function focusChosen() {
  canvas.querySelector(`[data-at="${state.kind}-${state.chosen[0]}"]`)?.focus({ preventScroll: true });
}

function take(offered) {
  accept([proposals()[offered]]);
  (canvas.querySelector(`[data-proposal="${offered}"]`) || canvas.querySelector("[data-proposal]") || canvas.querySelector(".chosen"))?.focus();
}

document.addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.target.matches("input, select, textarea")) return;
  const key = event.key.toLowerCase();
  if (key === "y" || (key === "z" && event.shiftKey)) redo();
  else if (key === "z") undo();
  else return;
  event.preventDefault();
});

on("change", draw);
window.addEventListener("resize", draw);
