"use strict";
// the first page; filters, sorted columns and opened tables are in the address: #suite=…&sort=…&open=…
{
  const form = document.getElementById("filters");
  const told = document.getElementById("told");
  const tables = [...document.querySelectorAll("table.sortable[data-name]")].filter((table) => !table.closest("figure"));
  const boards = [...document.querySelectorAll("details.board, details.more")];
  const names = ["suite", "task", "family", "language", "size", "text"];
  const sorting = (table) => {
    const at = [...table.tHead.rows[0].cells].findIndex((head) => head.hasAttribute("aria-sort"));
    return at < 0 ? "" : `${at}:${table.tHead.rows[0].cells[at].getAttribute("aria-sort")}`;
  };
  const first = new Map(tables.map((table) => [table, { sorting: sorting(table), rows: [...table.tBodies[0].rows] }]));
  const slugOf = (board) => board.querySelector("h2").id;
  const filter = () => {
    const { suite, task, family, language, size, text, controls } = form.elements;
    const wanted = text.value.toLowerCase();
    let models = 0, shown = 0;
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
      if (!board.hidden && !glance) { shown += 1; models += left; }
    }
    document.getElementById("shown").textContent = `${shown} tables, ${models} results of models`;
  };
  const write = () => {
    const now = new URLSearchParams();
    for (const name of names) if (form.elements[name].value) now.set(name, form.elements[name].value);
    if (!form.elements.controls.checked) now.set("controls", "no");
    const sorted = tables.filter((table) => sorting(table) !== first.get(table).sorting);
    if (sorted.length) now.set("sort", sorted.map((table) => `${table.dataset.name}:${sorting(table)}`).join(" "));
    const open = boards.filter((board) => board.open);
    if (open.length) now.set("open", open.map(slugOf).join(" "));
    const address = location.href.split("#")[0];
    told.textContent = "";
    history.replaceState(null, "", now.size ? `${address}#${now}` : address);
  };
  // an address that is a place on the page is no choice
  const read = () => {
    const place = location.hash.includes("=") ? null : document.getElementById(decoded(location.hash.slice(1)));
    const asked = new URLSearchParams(place ? "" : location.hash.slice(1));
    const notes = strange(asked.keys(), [...names, "controls", "sort", "open"]);
    for (const name of names) {
      if (name === "text") form.elements.text.value = asked.get("text") ?? "";
      else offer(form.elements[name], asked.get(name), notes);
    }
    form.elements.controls.checked = asked.get("controls") !== "no";
    if (!["no", null].includes(asked.get("controls"))) notes.push(absent("controls", asked.get("controls")));
    const several = (name) => (asked.get(name) ?? "").split(" ").filter(Boolean);
    const sorts = new Map(several("sort").map((each) => [each.split(":")[0], each]));
    for (const [name, each] of sorts) {
      const [, at] = each.split(":");
      const table = tables.find((own) => own.dataset.name === name);
      if (!table) notes.push(absent("table", name));
      else if (!table.tHead.rows[0].cells[at]) notes.push(absent(`column of ${name}`, at));
    }
    notes.push(...several("open").filter((name) => !boards.some((board) => slugOf(board) === name)).map((name) => absent("table", name)));
    for (const table of tables) {
      const [, at, direction] = sorts.get(table.dataset.name)?.split(":") ?? [];
      if (table.tHead.rows[0].cells[at]) sortBy(table, Number(at), direction === "ascending");
      else if (sorting(table) !== first.get(table).sorting) {
        const [own, way] = first.get(table).sorting.split(":");
        if (own) sortBy(table, Number(own), way === "ascending");
        else table.querySelector("[aria-sort]").removeAttribute("aria-sort");
        table.tBodies[0].append(...first.get(table).rows);
      }
    }
    const open = place ? [place.id] : several("open");
    for (const board of boards) if (asked.has("open") || open.includes(slugOf(board))) board.open = open.includes(slugOf(board));
    filter();
    told.textContent = notes.join(" ");
    place?.scrollIntoView();
  };
  form.addEventListener("input", ({ target }) => {
    if (target.name === "task") boards.forEach((board) => { if (board.dataset.task === target.value) board.open = true; });
    filter();
    write();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("sorted", write);
  boards.forEach((board) => board.firstElementChild.addEventListener("click", () => setTimeout(write)));
  window.addEventListener("hashchange", read);
  read();
}
