// Beside and below the page: the field that is chosen, the table of all, how the page is found, what the form is called.
"use strict";
import { accept, get, give, hasDigits, proposals, remove, repeat, rowDistance, set, up } from "./designer-acts.js";
import { $, canRedo, canUndo, change, chosenFields, choose, doc, isChosen, list, LISTS, names, on, page, say, state } from "./designer-model.js";

const KEYS = ["name", "x", "y", "w", "h", "cells", "fewest", "most", "max", "frame"];
const ALL = [...KEYS, "kind", "places", "signed", "order"]; // of which the table shows the first ones
const one = $("one"), rows = $("all").tBodies[0];

function read(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.dataset.key === "name") return input.value.trim();
  if (input.tagName === "SELECT") return input.value;
  if (input.value === "") return input.dataset.key === "max" ? null : undefined;
  return Number(input.value);
}

// What is typed stays while it is typed.
function write(input, value) {
  if (input.type === "checkbox") input.checked = value;
  else if (input.value !== String(value ?? "") && !(input === document.activeElement && input.dataset.typing)) input.value = value ?? "";
}

document.addEventListener("input", (event) => { event.target.dataset.typing = "1"; });
document.addEventListener("change", (event) => { delete event.target.dataset.typing; }, true);
document.addEventListener("focusout", (event) => { delete event.target.dataset.typing; });

one.addEventListener("change", (event) => {
  const { key } = event.target.dataset, value = read(event.target);
  if (key && value !== undefined && value !== "") give(key, value);
});
one.addEventListener("submit", (event) => event.preventDefault());

function showOne() {
  const fields = chosenFields();
  one.hidden = !fields.length;
  $("nothing").hidden = Boolean(fields.length);
  $("chosen-what").textContent = fields.length > 1 ? say("js_many", fields.length) : say("js_field");
  if (!fields.length) return;
  const label = $("one-name-label"), single = fields.length === 1;
  label.textContent = single ? label.dataset.one : label.dataset.many;
  $("geometry").hidden = !single;
  ALL.forEach((key) => write($(`one-${key}`), get(fields[0], key)));
  $("of-decimals").hidden = get(fields[0], "kind") !== "decimal";
  $("of-dates").hidden = get(fields[0], "kind") !== "date";
  $("of-digits").hidden = !hasDigits(get(fields[0], "kind"));
  if (document.activeElement !== $("distance")) $("distance").value = rowDistance();
}

// Where the screen is narrow, what heads a column stands before each of its inputs.
const heads = [...$("all").tHead.rows[0].cells].map((head) => head.textContent);

function cell(key, i) {
  const input = document.createElement("input"), type = key === "frame" ? "checkbox" : key === "name" ? "text" : "number";
  Object.assign(input, { type, step: "any" });
  Object.assign(input.dataset, { key, i });
  const box = document.createElement("td");
  box.dataset.is = heads[KEYS.indexOf(key)];
  box.append(input);
  return box;
}

function row(_, i) {
  const line = document.createElement("tr"), last = document.createElement("td");
  last.append(...["↑", "×"].map((sign) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: sign });
    button.dataset[sign === "×" ? "gone" : "up"] = i;
    return button;
  }));
  line.append(...KEYS.map((key) => cell(key, i)), last);
  return line;
}

function showTable() {
  const { fields } = page();
  $("table").hidden = !fields.length;
  if (rows.rows.length !== fields.length) rows.replaceChildren(...fields.map(row));
  fields.forEach((field, i) => {
    const line = rows.rows[i];
    line.className = isChosen("field", i) ? "chosen" : "";
    KEYS.forEach((key, n) => {
      const input = line.cells[n].firstChild;
      write(input, get(field, key));
      if (line.dataset.name !== field.name) input.setAttribute("aria-label", `${heads[n]} ${field.name}`);
    });
    if (line.dataset.name === field.name) return;
    line.dataset.name = field.name;
    const [higher, gone] = line.cells[KEYS.length].children;
    higher.setAttribute("aria-label", `${say("js_up")} ${field.name}`);
    gone.setAttribute("aria-label", `${say("js_delete")} ${field.name}`);
  });
}

rows.addEventListener("change", (event) => {
  const { key, i } = event.target.dataset, value = read(event.target);
  if (value !== undefined && value !== "") change(() => set(page().fields[i], key, value));
});
rows.addEventListener("focusin", (event) => {
  const i = Number(event.target.dataset.i);
  if (event.target.dataset.key && !isChosen("field", i)) choose("field", [i]);
});
rows.addEventListener("click", (event) => {
  const { gone, up: higher } = event.target.dataset;
  if (gone) remove("field", [Number(gone)]);
  if (higher) up(Number(higher));
});

$("duplicate").addEventListener("click", () => repeat(1, rowDistance()));
$("delete").addEventListener("click", () => remove());
$("repeat").addEventListener("click", () => repeat(Number($("times").value) || 1, Number($("distance").value) || rowDistance()));
$("accept-all").addEventListener("click", () => accept(proposals()));
$("hide-proposals").addEventListener("click", () => {
  state.hidden = true;
  choose(state.kind, state.chosen);
});

// How the page is found: by marks, else by lines, else by its picture.
const foundBy = () => (page().marks.length ? "marks" : page().lines.length ? "lines" : "picture");
const PARTS = { mark: ["x", "y", "size"], line: [0, 1, 2, 3] };
const LABELS = { mark: ["x", "y", say("js_side")], line: ["x1", "y1", "x2", "y2"] };

function squares() {
  const [wide, high] = page().size, size = Math.round(wide / 35), far = 2 * size;
  return [[far, far], [wide - far, far], [far, high - far], [wide - far, high - far]].map(([x, y]) => ({ x, y, size }));
}

function find(by) {
  const one_ = page(), offered = one_.proposed;
  change(() => {
    one_.marks = by === "marks" ? JSON.parse(JSON.stringify(offered.marks.length ? offered.marks : squares())) : [];
    one_.lines = by === "lines" ? JSON.parse(JSON.stringify(offered.lines)) : [];
    if (by === "lines" && !one_.lines.length) one_.lines = border();
    state.chosen = [];
  });
}

function border() {
  const [w, h] = page().size, [l, r, t, b] = [w * 0.1, w * 0.9, h * 0.1, h * 0.9].map(Math.round);
  return [[l, t, r, t], [l, b, r, b], [l, t, l, b], [r, t, r, b]];
}

document.querySelectorAll("input[name=found-by]").forEach((radio) => radio.addEventListener("change", () => find(radio.value)));
$("anchors-again").addEventListener("click", () => find(foundBy()));
$("add-anchor").addEventListener("click", () => {
  const kind = foundBy() === "marks" ? "mark" : "line", [wide, high] = page().size;
  const made = kind === "mark" ? { x: Math.round(wide / 2), y: Math.round(high / 2), size: squares()[0].size } : [wide * 0.2, high / 2, wide * 0.8, high / 2].map(Math.round);
  change(() => page()[LISTS[kind]].push(made));
  choose(kind, [page()[LISTS[kind]].length - 1]);
});

function showAnchors() {
  const by = foundBy(), kind = by === "marks" ? "mark" : "line", things = by === "picture" ? [] : list(kind);
  document.querySelectorAll("input[name=found-by]").forEach((radio) => { radio.checked = radio.value === by; });
  $("add-anchor").hidden = by === "picture";
  $("add-anchor").textContent = $("add-anchor").dataset[by] || "";
  const box = $("anchors"), wanted = `${kind} ${things.length}`;
  if (box.dataset.shown !== wanted) box.replaceChildren(...things.map((_, i) => anchor(kind, i)));
  box.dataset.shown = wanted;
  const heads = things.length ? [...LABELS[kind], ""] : []; // the last one stands over the buttons
  $("anchor-heads").replaceChildren(...heads.map((text) => Object.assign(document.createElement("span"), { textContent: text })));
  things.forEach((thing, i) => PARTS[kind].forEach((part, n) => write(box.children[i].children[n], thing[part])));
}

function anchor(kind, i) {
  const line = document.createElement("div"), gone = document.createElement("button"), label = `${say(`js_${kind}`)} ${i + 1}`;
  line.className = "anchor";
  const inputs = PARTS[kind].map((part, n) => {
    const input = Object.assign(document.createElement("input"), { type: "number", step: "any" });
    input.title = `${label} ${LABELS[kind][n]}`;
    input.setAttribute("aria-label", input.title);
    input.addEventListener("change", () => { if (input.value !== "") change(() => { list(kind)[i][part] = Number(input.value); }); });
    input.addEventListener("focus", () => { if (!isChosen(kind, i)) choose(kind, [i]); });
    return input;
  });
  Object.assign(gone, { type: "button", textContent: "×" });
  gone.setAttribute("aria-label", `${say("js_delete")} ${label}`);
  gone.addEventListener("click", () => remove(kind, [i]));
  line.append(...inputs, gone);
  return line;
}

// What the form is called.
const by = $("identity-by"), pattern = $("identity-pattern"), naming = $("identity-field");
by.addEventListener("change", () => change(() => {
  doc.identity = by.value === "field" ? { by: "field", field: names()[0] || "" } : { by: by.value };
}));
pattern.addEventListener("change", () => change(() => { doc.identity = { by: "barcode", ...(pattern.value ? { pattern: pattern.value } : {}) }; }));
naming.addEventListener("change", () => change(() => { doc.identity = { by: "field", field: naming.value }; }));

function showIdentity() {
  by.value = doc.identity.by;
  $("identity-pattern-row").hidden = by.value !== "barcode";
  $("identity-field-row").hidden = by.value !== "field";
  write(pattern, doc.identity.pattern);
  if (by.value === "field") naming.replaceChildren(...names().map((name) => new Option(name, name, false, name === doc.identity.field)));
}

function showProposals() {
  const n = proposals().length;
  $("proposals").hidden = !n;
  $("proposals-count").textContent = say("js_proposals", n);
}

const name = $("template-name");
name.addEventListener("change", () => { if (name.value.trim()) change(() => { doc.name = name.value.trim(); }); });

on("change", () => {
  [showProposals, showOne, showTable, showAnchors, showIdentity].forEach((show) => show());
  write(name, doc.name);
  $("undo").disabled = !canUndo();
  $("redo").disabled = !canRedo();
});
