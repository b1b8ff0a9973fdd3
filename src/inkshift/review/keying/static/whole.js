// A whole form by keyboard: Enter and the arrows go from field to field, c says that the paper was checked where that
// is asked, and the page shows where each is.
"use strict";

const form = document.getElementById("whole"), begun = performance.now();
const inputs = form ? [...form.querySelectorAll("input[data-field]")] : [];
const ask = document.getElementById("ask");

function show(input) {
  document.querySelectorAll(".box.here").forEach((box) => box.classList.remove("here"));
  document.querySelector(`[data-box="${input.dataset.field}"]`)?.classList.add("here");
}

function go(input) {
  input?.focus();
  input?.select();
}

inputs.forEach((input, i) => {
  input.addEventListener("focus", () => show(input));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || (event.key === "Enter" && i + 1 < inputs.length)) go(inputs[i + 1]);
    else if (event.key === "ArrowUp") go(inputs[i - 1]);
    else if (event.key === "c" && ask && form.elements[`kind-${input.dataset.field}`]?.value !== "text") form.elements.checked.click();
    else return;
    event.preventDefault();
  });
});
form?.addEventListener("submit", () => {
  form.elements.seconds.value = ((performance.now() - begun) / 1000).toFixed(2);
});
if (inputs.length) {
  go(inputs.findLast((input) => ask && "asked" in input.dataset) || inputs.find((input) => !input.value) || inputs[0]);
  ask?.nextElementSibling.scrollIntoView({ block: "nearest" });
  show(document.activeElement);
}
