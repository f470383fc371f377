"use strict";
// an element with its properties and what is in it
const element = (name, properties, ...children) => {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
};
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
  const href = URL.createObjectURL(new Blob([rows.join("\n") + "\n"], { type: "text/csv" }));
  const link = element("a", { href, download: `${table.dataset.name}.csv` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};
// a part of an address as text, also where it is not encoded as it should be
const decoded = (text) => { try { return decodeURIComponent(text); } catch { return text; } };
// what an address asks for in vain is told in these words on every page
const absent = (what, value) => `No such ${what} here: ${value}.`;
const strange = (names, known) => [...names].filter((name) => name && !known.includes(name)).map((name) => absent("choice", name));
// sets a menu to what an address asks for, or to its first entry where it has no such
const offer = (menu, asked, notes) => {
  menu.value = asked ?? "";
  if (menu.selectedIndex >= 0) return;
  notes.push(absent(menu.dataset.what ?? menu.name, asked));
  menu.selectedIndex = 0;
};
// sorts a table by a column, and says so in its head
const sortBy = (table, at, up) => {
  [...table.tHead.rows[0].cells].forEach((head, own) => own === at
    ? head.setAttribute("aria-sort", up ? "ascending" : "descending") : head.removeAttribute("aria-sort"));
  const rows = [...table.tBodies[0].rows].map((row) => [key(row.cells[at]), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : up ? order(a, b) : order(b, a)));
  table.tBodies[0].append(...rows.map(([, row]) => row));
};
const enliven = (table) => {
  [...table.tHead.rows[0].cells].forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    sortBy(table, at, head.getAttribute("aria-sort") !== "ascending");
    table.dispatchEvent(new Event("sorted", { bubbles: true }));
  }));
  const button = element("button", { type: "button", className: "take", textContent: "CSV as shown" });
  button.addEventListener("click", () => download(table));
  table.parentElement.after(button);
};
document.querySelectorAll("table.sortable").forEach(enliven);
