// Rules, a line each: the names of fields complete as they are typed, and what is wrong stands below.
"use strict";
import { $, change, doc, names, on, say } from "./designer-model.js";

const MOST = 8;
const rows = $("rules");

function line(i) {
  const item = document.createElement("li"), input = document.createElement("input"), wrong = document.createElement("p");
  const options = document.createElement("ul");
  Object.assign(input, { id: `rule-${i}`, autocomplete: "off", spellcheck: false, maxLength: 4000 });
  Object.assign(options, { id: `names-${i}`, className: "names", hidden: true });
  Object.assign(wrong, { id: `wrong-${i}`, className: "wrong" });
  const given = {
    role: "combobox", "aria-label": `${say("js_rule")} ${i + 1}`, "aria-autocomplete": "list", "aria-expanded": "false",
    "aria-controls": options.id, "aria-describedby": `rules-hint ${wrong.id}`,
  };
  for (const [key, value] of Object.entries(given)) input.setAttribute(key, value);
  options.setAttribute("role", "listbox");
  options.setAttribute("aria-label", say("js_completions"));
  input.addEventListener("input", () => { edit(i, input.value); offer(input, options); });
  input.addEventListener("keydown", (event) => key(event, input, options));
  input.addEventListener("blur", () => close(input, options));
  input.addEventListener("paste", (event) => paste(event, i));
  options.addEventListener("mousedown", (event) => {
    event.preventDefault();
    if (event.target.role === "option" || event.target.getAttribute("role") === "option") take(input, options, event.target.textContent);
  });
  item.append(input, options, wrong);
  return item;
}

function edit(i, text) {
  change(() => {
    doc.rules[i] = text;
    while (doc.rules.length && !doc.rules.at(-1).trim()) doc.rules.pop();
    for (let n = 0; n < doc.rules.length; n += 1) doc.rules[n] ??= "";
  }, `rule-${i}`);
}

function paste(event, i) {
  const given = event.clipboardData.getData("text").split(/\r?\n/).map((text) => text.trim()).filter(Boolean);
  if (given.length < 2) return;
  event.preventDefault();
  change(() => doc.rules.splice(i, doc.rules[i]?.trim() ? 0 : 1, ...given));
}

// The name that is being typed: from the last sign to where the caret is.
function term(input) {
  const until = input.value.slice(0, input.selectionStart);
  const start = Math.max(...["+", "=", "<", ".."].map((sign) => until.lastIndexOf(sign) + (until.includes(sign) ? sign.length : 0)), 0);
  const blank = until.slice(start).match(/^\s*/)[0].length;
  return { start: start + blank, text: until.slice(start + blank) };
}

function offer(input, options) {
  const text = term(input).text.toLowerCase();
  const known = names().filter((name) => name.toLowerCase() !== text && name.toLowerCase().includes(text));
  known.sort((a, b) => b.toLowerCase().startsWith(text) - a.toLowerCase().startsWith(text));
  const shown = text ? known.slice(0, MOST) : [];
  options.replaceChildren(...shown.map((name, n) => {
    const option = Object.assign(document.createElement("li"), { textContent: name, id: `${options.id}-${n}` });
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    return option;
  }));
  options.hidden = !shown.length;
  input.setAttribute("aria-expanded", String(shown.length > 0));
  input.removeAttribute("aria-activedescendant");
}

function close(input, options) {
  options.hidden = true;
  input.setAttribute("aria-expanded", "false");
  input.removeAttribute("aria-activedescendant");
}

function key(event, input, options) {
  if (options.hidden) return;
  const all = [...options.children], at = all.findIndex((option) => option.getAttribute("aria-selected") === "true");
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step) select(input, all, (at + step + all.length + (at < 0 && step < 0 ? 1 : 0)) % all.length);
  else if (event.key === "Enter" || (event.key === "Tab" && at >= 0)) take(input, options, all[Math.max(at, 0)].textContent);
  else if (event.key === "Escape") close(input, options);
  else return;
  event.preventDefault();
}

function select(input, all, at) {
  all.forEach((option, n) => option.setAttribute("aria-selected", String(n === at)));
  input.setAttribute("aria-activedescendant", all[at].id);
}

function take(input, options, name) {
  const { start, text } = term(input), rest = input.value.slice(start + text.length);
  input.value = input.value.slice(0, start) + name + rest;
  input.setSelectionRange(start + name.length, start + name.length);
  close(input, options);
  edit(Number(input.id.split("-")[1]), input.value);
}

function show() {
  const wanted = doc.rules.length + 1;
  while (rows.children.length > wanted) rows.lastChild.remove();
  while (rows.children.length < wanted) rows.append(line(rows.children.length));
  doc.rules.concat("").forEach((text, i) => {
    const input = rows.children[i].firstChild;
    if (input.value !== text) input.value = text;
  });
}

// The server leaves empty lines out.
function check() {
  const broken = [...doc.broken];
  doc.rules.concat("").forEach((text, i) => {
    const said = text.trim() ? broken.shift() || "" : "";
    rows.children[i].lastChild.textContent = said;
    rows.children[i].firstChild.setAttribute("aria-invalid", String(Boolean(said)));
  });
}

on("change", show);
on("checked", check);
