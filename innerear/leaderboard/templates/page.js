"use strict";
// what a cell sorts by: its number if it begins with one, else its text; "–" and "n/a" come last
const key = (cell) => {
  const text = cell.textContent.trim();
  const found = text.replace(/,/g, "").match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/);
  return text === "" || text === "–" || text === "n/a" ? null : found ? Number(found[0]) : text;
};
const order = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[at]), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : up ? order(a, b) : order(b, a)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
}
const form = document.getElementById("filters");
if (form) {
  const filter = () => {
    const { task, family, size, text, controls } = form.elements;
    let models = 0, boards = 0;
    for (const board of document.querySelectorAll(".board")) {
      let left = 0;
      for (const row of board.querySelectorAll("tbody tr")) {
        const model = row.dataset.kind === "model";
        const fits = (!family.value || !model && row.dataset.family === "floor" || row.dataset.family === family.value)
          && (!size.value || Number(row.dataset.size) <= Number(size.value))
          && (!text.value || row.textContent.toLowerCase().includes(text.value.toLowerCase()))
          && (controls.checked || model);
        row.hidden = !fits;
        left += fits && model;
      }
      board.hidden = left === 0 || (task.value !== "" && board.dataset.task !== task.value);
      if (!board.hidden) { boards += 1; models += left; }
    }
    document.getElementById("shown").textContent = `${boards} tables, ${models} results of models`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
