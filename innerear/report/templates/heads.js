"use strict";
// the page of heads; what is shown is in the address: #model=…&colour=…&head=…
{
  const sources = [...document.querySelectorAll(".heads-data")];
  const verdicts = [...document.querySelectorAll(".verdict")];
  const [maps, bar, evidence, behind, told] = ["maps", "bar", "evidence", "behind", "told"].map((id) => document.getElementById(id));
  const parsed = new Map();
  const data = (at) => parsed.get(at) ?? parsed.set(at, JSON.parse(sources[at].textContent)).get(at);
  const asked = () => new URLSearchParams(location.hash.slice(1));
  const put = (changes) => {
    const now = asked();
    for (const [name, value] of Object.entries(changes)) value === null ? now.delete(name) : now.set(name, value);
    location.hash = now;
  };
  const made = (parent, tag, textContent = "", more = {}) => parent.appendChild(element(tag, { textContent, ...more }));
  const inUnits = (text, map) => `${text}${map.unit ? ` ${map.unit}` : ""}`;
  // where a value is between the ends of the colours
  const colour = (button, value, map) => {
    button.className = value === undefined ? "none" : !map.signed ? "share" : value < 0 ? "minus" : "plus";
    if (value !== undefined) button.style.setProperty("--part", `${100 * Math.abs(value) / map.widest}%`);
  };
  const layer = (site) => Number(site.split(".")[1]);
  const head = (site) => Number(site.split(".")[4]);
  const words = (model, site) => {
    const own = model.attentions.find(({ prefix, part }) => site.startsWith(`${prefix}.`) && site.split(".")[2] === part);
    return `${own.title}, layer ${layer(site)}, head ${head(site)}`;
  };
  const drawBar = (map) => {
    bar.replaceChildren();
    made(bar, "p", `${map.title}${map.unit ? `, ${map.unit}` : ""}`, { className: "bar-title" });
    made(bar, "div", "", { className: `ramp ${map.signed ? "signed" : ""}` });
    const ends = made(bar, "div", "", { className: "ends" });
    map.ends.forEach((end) => made(ends, "span", inUnits(end, map)));
    made(bar, "p", map.task, { className: "facts" });
  };
  const drawMaps = (model, map) => {
    maps.replaceChildren();
    for (const { title, prefix, part, layers, heads } of model.attentions) {
      const scroll = made(maps, "div", "", { className: "scroll" });
      const table = made(scroll, "table", "", { className: "heads" });
      table.setAttribute("role", "grid");
      made(table, "caption", title);
      const body = table.createTBody();
      for (const row of layers) {
        const line = body.insertRow();
        made(line, "th", `layer ${row}`, { scope: "row" });
        for (const column of heads) {
          const site = `${prefix}.${row}.${part}.head.${column}`;
          const cell = line.insertCell();
          cell.setAttribute("role", "gridcell");
          const [value, text] = map.values[site] ?? [];
          const button = made(cell, "button", text ?? "", { type: "button", tabIndex: -1 });
          button.dataset.site = site;
          button.setAttribute("aria-label", `${words(model, site)}: ${text === undefined ? "no number" : inUnits(text, map)}`);
          button.addEventListener("click", () => put({ head: site }));
          colour(button, value, map);
        }
      }
      const foot = table.createTFoot().insertRow();
      made(foot, "td", "head");
      heads.forEach((column) => made(foot, "th", column, { scope: "col" }));
      table.addEventListener("keydown", (event) => {
        const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
        const from = event.target.closest("td");
        if (!step || !from) return;
        event.preventDefault();
        const to = body.rows[from.parentElement.rowIndex + step[0]]?.cells[from.cellIndex + step[1]]?.querySelector("button");
        if (to) { enter(table, to); to.focus(); }
      });
      enter(table, table.querySelector("button"));
    }
  };
  // one button of each map is reached by the tab key, the others by arrows
  const enter = (table, button) => {
    table.querySelectorAll("button").forEach((each) => { each.tabIndex = each === button ? 0 : -1; });
  };
  const drawEvidence = (model, site) => {
    for (const button of maps.querySelectorAll("button")) {
      const own = button.dataset.site === site;
      button.setAttribute("aria-pressed", String(own));
      if (own) enter(button.closest("table"), button);
    }
    evidence.replaceChildren();
    made(evidence, "h3", words(model, site));
    const address = made(evidence, "p", "", { className: "facts" });
    made(address, "code", site);
    const known = model.maps.filter((map) => Object.hasOwn(map.values, site));
    for (const task of new Set(known.map((map) => map.task))) {
      const own = known.filter((map) => map.task === task);
      made(made(evidence, "h4"), "a", task, { href: own[0].link });
      const scroll = made(evidence, "div", "", { className: "scroll" });
      const table = made(scroll, "table", "", { className: "wrap" });
      const top = table.createTHead().insertRow();
      ["number", "value", `${own[0].level} interval`, "n"].forEach((text) => made(top, "th", text, { scope: "col" }));
      const body = table.createTBody();
      for (const map of own) {
        const [, text, interval] = map.values[site];
        const row = body.insertRow();
        made(row, "th", map.title, { scope: "row" });
        made(row, "td", inUnits(text, map), { className: "value" });
        made(row, "td", map.listed ? "–" : interval ? inUnits(interval, map) : "none in the result");
        made(row, "td", map.listed ? "–" : map.n || "not in the result");
      }
    }
    const unknown = model.maps.filter((map) => !Object.hasOwn(map.values, site));
    if (!unknown.length) return;
    const details = made(evidence, "details");
    made(details, "summary", `${unknown.length} of ${model.maps.length} numbers are not known of this head`);
    const list = made(details, "ul");
    unknown.forEach((map) => made(list, "li", `${map.title} (${map.task})`));
  };
  const drawTable = (model) => {
    const scroll = behind.querySelector(".scroll");
    behind.querySelector(".take")?.remove();
    scroll.replaceChildren();
    const table = made(scroll, "table", "", { className: "sortable" });
    table.dataset.name = "heads";
    const top = table.createTHead().insertRow();
    const columns = ["head", ...model.maps.map((map) => `${map.title}${map.unit ? `, ${map.unit}` : ""} (${map.task})`)];
    for (const column of columns) made(made(top, "th", "", { scope: "col" }), "button", column, { type: "button" });
    const body = table.createTBody();
    for (const { prefix, part, layers, heads } of model.attentions) {
      for (const site of [...layers].reverse().flatMap((row) => heads.map((column) => `${prefix}.${row}.${part}.head.${column}`))) {
        const row = body.insertRow();
        made(row, "th", site, { scope: "row" });
        for (const map of model.maps) {
          const [, text, interval] = map.values[site] ?? [, "–", ""];
          made(row, "td", `${text}${interval ? ` [${interval.replace(" to ", ", ")}]` : ""}`);
        }
      }
    }
    enliven(table);
  };
  const most = (map) => Object.entries(map.values).reduce((best, each) => each[1][0] > best[1][0] ? each : best)[0];
  if (sources.length) {
    const { model: which, colour: by } = document.getElementById("choice").elements;
    const names = sources.map((_, at) => data(at).name);
    let shown = "";
    const read = () => {
      const wanted = asked();
      const notes = strange(wanted.keys(), ["model", "colour", "head"]);
      let at = names.indexOf(wanted.get("model"));
      if (at < 0) {
        if (wanted.has("model")) notes.push(absent("model", wanted.get("model")));
        at = Math.max(0, names.findIndex((_, own) => data(own).stands_out)); // whose heads say most
      }
      const model = data(at);
      let map = model.maps.find(({ id }) => id === wanted.get("colour"));
      if (!map) {
        if (wanted.has("colour")) notes.push(absent("colour", wanted.get("colour")));
        map = model.maps[0];
      }
      let site = wanted.get("head");
      if (!model.maps.some(({ values }) => Object.hasOwn(values, site))) {
        if (site !== null) notes.push(absent("head", site));
        site = model.first ?? most(map);
      }
      which.selectedIndex = at;
      verdicts.forEach((each, own) => { each.hidden = own !== at; });
      if (shown !== `${at} ${map.id}`) {
        shown = `${at} ${map.id}`;
        by.replaceChildren();
        for (const task of new Set(model.maps.map((each) => each.task))) {
          const group = made(by, "optgroup", "", { label: task });
          model.maps.filter((each) => each.task === task).forEach((each) => made(group, "option", each.title, { value: each.id }));
        }
        by.value = map.id;
        drawBar(map);
        drawMaps(model, map);
        if (behind.open) drawTable(model);
      }
      drawEvidence(model, site);
      told.textContent = notes.join(" ");
    };
    which.addEventListener("change", () => put({ model: names[which.selectedIndex], colour: null, head: null }));
    by.addEventListener("change", () => put({ colour: by.value }));
    behind.addEventListener("toggle", () => { if (behind.open) drawTable(data(which.selectedIndex)); });
    document.getElementById("choice").addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("hashchange", read);
    read();
  }
}
