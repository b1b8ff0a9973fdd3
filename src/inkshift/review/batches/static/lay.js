// A page is laid by hand: four corners are dragged until the template's fields lie on those of the page.
"use strict";

const form = document.getElementById("lay"), sheet = document.getElementById("sheet");
const designs = JSON.parse(form.dataset.designs), choice = document.getElementById("design");
const input = form.elements.corners;
const [wide, high] = sheet.getAttribute("viewBox").split(" ").slice(2).map(Number);
const design = () => designs[choice ? choice.value - 1 : 0];
const shapes = document.createElementNS("http://www.w3.org/2000/svg", "g");
const handles = document.createElementNS("http://www.w3.org/2000/svg", "g");
sheet.append(shapes, handles);
let corners = input.value ? JSON.parse(input.value) : begin();

// Where the fields lie if the page fills the picture.
function begin() {
  const { frame: [x, y, w, h], size } = design();
  const across = wide / size[0], down = high / size[1];
  return [[x, y], [x + w, y], [x + w, y + h], [x, y + h]].map(([a, b]) => [a * across, b * down]);
}

// The map that takes the frame of the template to the corners: its eight numbers by Gauss-Jordan elimination.
function homography() {
  const [x, y, w, h] = design().frame;
  const from = [[x, y], [x + w, y], [x + w, y + h], [x, y + h]], rows = [];
  from.forEach(([a, b], i) => {
    const [u, v] = corners[i];
    rows.push([a, b, 1, 0, 0, 0, -a * u, -b * u, u], [0, 0, 0, a, b, 1, -a * v, -b * v, v]);
  });
  for (let i = 0; i < 8; i++) {
    const best = rows.slice(i).reduce((at, row, k) => (Math.abs(row[i]) > Math.abs(rows[at][i]) ? k + i : at), i);
    [rows[i], rows[best]] = [rows[best], rows[i]];
    const pivot = rows[i][i] || 1e-9;
    rows[i] = rows[i].map((value) => value / pivot);
    rows.forEach((row, k) => {
      if (k !== i) rows[k] = row.map((value, c) => value - row[i] * rows[i][c]);
    });
  }
  return rows.map((row) => row[8]);
}

function make(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  return element;
}

function draw() {
  const m = homography();
  const at = (x, y) => {
    const below = m[6] * x + m[7] * y + 1;
    return `${(m[0] * x + m[1] * y + m[2]) / below},${(m[3] * x + m[4] * y + m[5]) / below}`;
  };
  const outline = ([x, y, w, h]) => [at(x, y), at(x + w, y), at(x + w, y + h), at(x, y + h)].join(" ");
  shapes.replaceChildren(
    make("polygon", { points: corners.join(" "), class: "laid" }),
    ...design().fields.map((box) => make("polygon", { points: outline(box), class: "field" })),
  );
  [...handles.children].forEach((one, i) => {
    one.setAttribute("cx", corners[i][0]);
    one.setAttribute("cy", corners[i][1]);
    one.setAttribute("aria-label", `${form.dataset.corner} ${i + 1}: ${corners[i].map(Math.round).join(", ")}`);
  });
  input.value = JSON.stringify(corners);
}

function put(i, x, y) {
  corners[i] = [Math.min(Math.max(x, 0), wide), Math.min(Math.max(y, 0), high)];
  draw();
}

const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
corners.forEach((_, i) => {
  const handle = make("circle", { r: Math.max(wide, high) / 45, class: "handle", tabindex: 0, role: "button" });
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    handle.focus();
    event.preventDefault();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(sheet.getScreenCTM().inverse());
    put(i, point.x, point.y);
  });
  handle.addEventListener("keydown", (event) => {
    const move = MOVES[event.key];
    if (!move) return;
    event.preventDefault();
    const step = event.shiftKey ? 25 : 2;
    put(i, corners[i][0] + step * move[0], corners[i][1] + step * move[1]);
  });
  handles.append(handle);
});
choice?.addEventListener("change", () => {
  corners = begin();
  draw();
});
draw();
