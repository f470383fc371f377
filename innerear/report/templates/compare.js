"use strict";
// the page that sets models side by side; the choice of models is in the address: #models=one,another
const { names, start, tables, folder } = JSON.parse(document.getElementById("comparison").textContent);
const boxes = [...document.querySelectorAll("#models input")];
const note = document.getElementById("chosen");
const most = 5;
const written = () => {
  const found = location.hash.match(/^#models=(.*)$/);
  return found ? found[1].split(",").map(decoded) : null;
};
const cell = (row, content, scope) => row.appendChild(scope ? element("th", { scope }, content) : element("td", {}, content));
const fill = (id, columns, rows) => {
  const table = document.getElementById(id);
  table.replaceChildren();
  const head = table.createTHead().insertRow();
  columns.forEach((column) => cell(head, column, "col"));
  const body = table.createTBody();
  for (const [first, ...others] of rows) {
    const row = body.insertRow();
    cell(row, first, "row");
    others.forEach((text) => cell(row, text));
  }
  if (!rows.length) cell(body.insertRow(), "none").colSpan = columns.length;
};
// what an object has under a name, which may be any
const of = (object, name) => (Object.hasOwn(object, name) ? object[name] : undefined);
// a link to the items on which models disagree
const differing = ({ items }, names) => !items ? "–" : element("a", {
  href: `items.html#table=${items}&models=${names.map(encodeURIComponent).join(",")}&show=outcomes&order=difference`, textContent: "items",
});
const show = (chosen) => {
  const both = tables.filter((table) => chosen.some((name) => of(table.scores, name)));
  const scores = (merit, more = () => []) => both.filter((table) => table.merit === merit)
    .map((table) => [`${table.heading}: ${table.headline}`, ...chosen.map((name) => of(table.scores, name) ?? (of(table.reasons, name) ? "n/a" : "–")), ...more(table)]);
  fill("merit-table", ["task", ...chosen], scores(true));
  fill("profile-table", ["task", ...chosen, "where they differ"], scores(false, (table) => [differing(table, chosen)]));
  fill("emergence-table", ["task", ...chosen], both.filter(({ emergence }) => chosen.some((name) => of(emergence, name)))
    .map(({ heading, emergence }) => [heading, ...chosen.map((name) => of(emergence, name) ?? "–")]));
  fill("verdict-table", ["task", "a − b", "difference", "p", "ahead", "where they differ"], tables.flatMap((table) => table.pairs
    .filter(([a, b]) => chosen.includes(a) && chosen.includes(b))
    .map(([a, b, gap, p, ahead]) => [`${table.heading}: ${table.headline}`, `${a} − ${b}`, gap, p, ahead || "–", differing(table, [a, b])])));
  fill("lack-table", ["task", "has a score", "lacks one", "why"], both.flatMap((table) => {
    const has = chosen.filter((name) => of(table.scores, name)).join(", ");
    return chosen.filter((name) => !of(table.scores, name)).map((name) => [table.heading, has, name, of(table.reasons, name) ?? "not measured"]);
  }));
  const quoted = chosen.map((name) => /^[\w.@/-]+$/.test(name) ? name : `'${name.replace(/'/g, `'"'"'`)}'`);
  document.getElementById("command").textContent = `innerear compare ${quoted.join(" ")} --results ${folder}`;
  document.dispatchEvent(new CustomEvent("models", { detail: chosen }));
};
const read = () => {
  const asked = written() ?? start;
  const known = asked.filter((name, at) => names.includes(name) && asked.indexOf(name) === at);
  const chosen = known.slice(0, most);
  boxes.forEach((box) => { box.checked = chosen.includes(box.value); });
  const unknown = asked.filter((name) => !names.includes(name));
  note.textContent = [
    unknown.length ? absent("model", unknown.join(", ")) : "",
    known.length > most ? `At most ${most} models are shown.` : "",
    chosen.length < 2 ? "Choose at least two models." : "",
  ].filter(Boolean).join(" ");
  if (!location.hash) history.replaceState(null, "", `#models=${chosen.map(encodeURIComponent).join(",")}`);
  show(chosen);
};
for (const box of boxes) {
  box.addEventListener("change", () => {
    const chosen = boxes.filter((each) => each.checked).map((each) => each.value);
    if (chosen.length > most) {
      box.checked = false;
      note.textContent = `At most ${most} models are shown.`;
    } else {
      location.hash = `models=${chosen.map(encodeURIComponent).join(",")}`;
    }
  });
}
window.addEventListener("hashchange", read);
read();
