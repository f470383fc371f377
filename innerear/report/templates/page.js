"use strict";
// what a cell sorts by: its number if it begins with one, else its text; "–" and "n/a" come last
const key = (cell) => {
  const text = cell.textContent.trim();
  const found = text.replace(/,/g, "").match(/^[+-]?\d+(\.\d+)?(e[+-]?\d+)?/);
  return text === "" || text === "–" || text === "n/a" ? null : found ? Number(found[0]) : text;
};
const order = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
// a cell as CSV: quoted, and no formula for a spreadsheet to run
const quoted = (cell) => {
  const text = cell.innerText.trim().replace(/\s+/g, " ");
  return `"${(/^[=+@\t-](?![\d.])/.test(text) ? `'${text}` : text).replace(/"/g, '""')}"`;
};
const download = (table) => {
  const rows = [...table.rows].filter((row) => !row.hidden).map((row) => [...row.cells].map(quoted).join(","));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
  link.download = `${table.dataset.name}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
const enliven = (table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[at]), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : up ? order(a, b) : order(b, a)));
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }));
  const button = Object.assign(document.createElement("button"), { type: "button", className: "take", textContent: "CSV as shown" });
  button.addEventListener("click", () => download(table));
  table.parentElement.after(button);
};
document.querySelectorAll("table.sortable").forEach(enliven);
const form = document.getElementById("filters");
if (form) {
  const filter = () => {
    const { suite, task, family, language, size, text, controls } = form.elements;
    const wanted = text.value.toLowerCase();
    let models = 0, boards = 0;
    for (const board of document.querySelectorAll(".board, .glance")) {
      let left = 0;
      for (const row of board.querySelectorAll("tbody tr")) {
        const { kind, family: its, language: spoken, size: many } = row.dataset;
        const control = ["twin", "architecture", "floor"].includes(kind);
        const fits = (!family.value || its === "floor" || its === family.value)
          && (!language.value || spoken === "none" || spoken === language.value)
          && (!size.value || Number(many) <= Number(size.value))
          && (!wanted || row.querySelector("th").textContent.toLowerCase().includes(wanted))
          && (controls.checked || !control);
        row.hidden = !fits;
        left += fits && !control;
      }
      const glance = board.classList.contains("glance");
      board.hidden = left === 0 || (suite.value !== "" && !board.dataset.suites.split("|").includes(suite.value))
        || (task.value !== "" && board.dataset.task !== task.value);
      if (!board.hidden && !glance) { boards += 1; models += left; }
    }
    document.getElementById("shown").textContent = `${boards} tables, ${models} results of models`;
  };
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  filter();
}
