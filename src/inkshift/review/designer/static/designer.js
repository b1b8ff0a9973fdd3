// The template designer; its parts are in the files that it brings together.
"use strict";
import { add } from "./designer-acts.js";
import { focusChosen, zoom } from "./designer-canvas.js";
import { $, choose, id, on, page, redo, report, save, show, state, undo } from "./designer-model.js";
import "./designer-panel.js";
import "./designer-rules.js";

document.querySelectorAll("[data-tool]").forEach((button) => button.addEventListener("click", () => {
  state.tool = button.dataset.tool;
  document.querySelectorAll("[data-tool]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
  choose(state.kind, state.chosen);
}));
document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => zoom(Number(button.dataset.zoom))));
$("undo").addEventListener("click", undo);
$("redo").addEventListener("click", redo);

// Without a mouse: a box in the middle of what is seen of the page.
$("new-field").addEventListener("click", () => {
  const [wide, high] = page().size, view = $("view"), scale = $("canvas").clientWidth / wide || 1;
  const w = wide * 0.12, h = wide * 0.05;
  add([(view.scrollLeft + view.clientWidth / 2) / scale - w / 2, Math.min((view.scrollTop + view.clientHeight / 2) / scale, high) - h / 2, w, h]);
  focusChosen();
});

$("page-number")?.addEventListener("change", (event) => show(Number(event.target.value)));
on("change", () => { if ($("page-number")) $("page-number").value = state.page; });

// What is turned is what was saved.
$("turn").addEventListener("submit", (event) => {
  event.preventDefault();
  const form = event.target;
  form.action = `../templates/${id}/pages/${state.page + 1}/turn`;
  save().then(() => form.submit());
});

// What is tried is what was saved.
document.addEventListener("htmx:confirm", (event) => {
  event.preventDefault();
  $("trying").textContent = $("trying").dataset.text;
  save().then(() => event.detail.issueRequest());
});
document.addEventListener("htmx:afterRequest", () => { $("trying").textContent = ""; });
document.addEventListener("htmx:responseError", (event) => {
  $("tried").textContent = `${event.detail.xhr.status} ${event.detail.xhr.statusText}`;
});

show(Number((location.hash.match(/^#page-(\d+)$/) || [0, 1])[1]) - 1);
report();
