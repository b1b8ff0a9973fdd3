// The keyboard of the queue. All it does, the buttons on the page do as well.
"use strict";

const REST = 250; // milliseconds after a field appears in which Enter accepts nothing
let shown = performance.now();
const value = () => document.getElementById("value");
const say = (text) => { document.getElementById("status").textContent = text; };
const page = () => document.getElementById("page");

function enter(event) {
  const input = value();
  if (document.activeElement !== input && document.activeElement.matches("button, a, summary")) return;
  event.preventDefault();
  if (event.repeat || (!input.value && performance.now() - shown < REST)) return;
  if (!input.value && !input.dataset.suggestion) return say(input.dataset.empty);
  if (!input.value) return decide(input.dataset.suggestion);
  document.getElementById("enter").click();
}

function decide(answer) {
  const button = document.querySelector(`#key button[value="${answer}"]`);
  if (button) return button.click();
  value().value = answer;
  document.getElementById("enter").click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || page().open) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (document.activeElement === value() && "free" in value().dataset) { // a text: letters are part of it
    if (key === "Enter") enter(event);
    else if (key === "Escape") value().blur();
    return;
  }
  const button = document.querySelector(`#work [data-key="${CSS.escape(key)}"]`);
  if (button) {
    event.preventDefault();
    if (event.repeat) return;
    if ("state" in button.dataset && value().value) return say(value().dataset.full);
    button.click();
  } else if (value()) {
    if (key === "Enter") enter(event);
    else if (new RegExp(`^${value().dataset.typed || "[0-9]"}$`).test(key) || key === "Backspace") value().focus();
    else if (key.length === 1 && document.activeElement === value()) event.preventDefault();
  }
});

// A click on "Save" with nothing typed accepts what was read, as Enter does.
document.addEventListener("submit", (event) => {
  const input = value();
  if (!input || event.target.id !== "key" || event.submitter?.id !== "enter" || input.value) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  if (input.dataset.suggestion) decide(input.dataset.suggestion);
  else say(input.dataset.empty);
}, true);

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.formData.has("seconds")) {
    event.detail.formData.set("seconds", ((performance.now() - shown) / 1000).toFixed(2));
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id === "page" && !page().open) page().showModal();
  if (event.detail.target.id === "work") {
    shown = performance.now();
    (document.querySelector("#work [autofocus]") || document.getElementById("main")).focus();
  }
});

// The session ended, somebody else has the field, or the server was started anew: show what is true now.
document.addEventListener("htmx:responseError", () => window.location.reload());
document.addEventListener("htmx:sendError", () => {
  if (document.getElementById("status")) say(document.body.dataset.offline);
});
