// The slider of the acceptance page: shows at once what the server worked out for each of its steps.
"use strict";

const slider = document.getElementById("at");
const figure = slider.closest("figure");
const levels = JSON.parse(figure.dataset.levels);
const xs = JSON.parse(figure.dataset.xs);

slider.addEventListener("input", () => {
  const told = levels[slider.value];
  for (const place of document.querySelectorAll("[data-show]")) place.textContent = told[place.dataset.show];
  slider.setAttribute("aria-valuetext", told.text);
  for (const marker of figure.querySelectorAll(".marker")) {
    marker.setAttribute("x1", xs[slider.value]);
    marker.setAttribute("x2", xs[slider.value]);
  }
});
