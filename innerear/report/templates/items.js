"use strict";
// the page of items: a list of those that fit; all choices are in the address: #table=…&models=a,b&item=…
{
  const { load, column, opened, short, marks, unitsOf } = window.explorer;
  const { tables, start, most } = JSON.parse(document.getElementById("index").textContent);
  const form = document.getElementById("choose");
  const list = document.getElementById("list");
  const count = document.getElementById("count");
  const more = document.getElementById("more");
  const page = 100;
  let now = {}; // what is loaded: the table, its columns, its chosen models
  let rows = 0; // how many rows are shown
  const read = () => Object.fromEntries(location.hash.slice(1).split("&").filter(Boolean).map((part) => {
    const at = part.indexOf("=");
    const [name, value] = at < 0 ? [part, ""] : [part.slice(0, at), part.slice(at + 1)];
    return [decoded(name), name === "models" ? value.split(",").filter(Boolean).map(decoded) : decoded(value)];
  }));
  const address = (state) => `#${Object.entries(state).filter(([, value]) => value && value.length).map(([name, value]) =>
    `${encodeURIComponent(name)}=${Array.isArray(value) ? value.map(encodeURIComponent).join(",") : encodeURIComponent(value)}`).join("&")}`;
  const go = (changes, replace = false) => {
    const made = address({ ...read(), table: now.entry.name, models: now.models.map(({ name }) => name), ...changes });
    if (replace) { history.replaceState(null, "", made); show(); } else location.hash = made;
  };
  const chosenOf = (entry, asked) => {
    const names = entry.models.map(([name]) => name);
    const known = [...new Set(asked)].filter((name) => names.includes(name));
    const models = entry.models.filter(([, , kind]) => kind === "model" || kind === "method").map(([name]) => name);
    return known.length ? known : [...new Set([...start.filter((name) => names.includes(name)), ...models, ...names])].slice(0, 2);
  };
  // outcomes of one model by unit
  const modelOf = (name, data, units) => {
    const at = new Int32Array(units).fill(-1);
    unitsOf(data, units).forEach((unit, row) => { at[unit] = row; });
    const [outcome, weight] = [column(data.outcome), data.weight ? column(data.weight) : () => 1];
    const answer = data.answer ? column(data.own[data.answer]) : () => null;
    return { name, data, at, outcome: (unit) => (at[unit] < 0 ? null : outcome(at[unit])), weight: (unit) => weight(at[unit]), answer: (unit) => (at[unit] < 0 ? null : answer(at[unit])) };
  };
  const right = (model, unit) => {
    const value = model.outcome(unit);
    if (value === null || now.kind === "number") return null;
    return now.kind === "right" ? value === 1 : value === 0;
  };
  const worth = (model, unit) => {
    const value = model.outcome(unit);
    return value === null || now.kind !== "errors" ? value : value / model.weight(unit);
  };
  const difference = (unit) => {
    const values = now.models.map((model) => worth(model, unit)).filter((value) => value !== null);
    return values.length < 2 ? null : Math.max(...values) - Math.min(...values);
  };
  const fitting = (state) => {
    const wanted = (state.text ?? "").toLowerCase();
    const [verdict, who] = [(state.outcome ?? "").split(" ", 1)[0], (state.outcome ?? "").replace(/^\S+ /, "")];
    const [low, high] = ["from", "to"].map((name) => (state[name] ? Number(state[name]) : null));
    const given = Object.entries(now.columns).filter(([name]) => state[`is.${name}`]).map(([name, value]) => [value, state[`is.${name}`]]);
    const fits = (unit) => {
      const judged = now.models.map((model) => right(model, unit));
      if (judged.length && now.models.every((model) => model.at[unit] < 0)) return false;
      if (given.some(([value, asked]) => String(value(unit)) !== asked)) return false;
      if (verdict === "all" && judged.some((each) => each !== (who === "right"))) return false;
      if ((verdict === "right" || verdict === "wrong") && judged[now.models.findIndex(({ name }) => name === who)] !== (verdict === "right")) return false;
      if ((low !== null || high !== null) && !now.models.some((model) => {
        const value = worth(model, unit);
        return value !== null && (low === null || value >= low) && (high === null || value <= high);
      })) return false;
      if (state.show) {
        const gap = difference(unit);
        if (gap === null || (state.show === "outcomes" && gap === 0) || (state.show === "same" && gap !== 0)) return false;
        if (state.show === "answers" && new Set(now.models.map((model) => model.answer(unit)).filter((each) => each !== null)).size < 2) return false;
      }
      if (!wanted) return true;
      const texts = [...Object.values(now.columns), ...now.models.map((model) => model.answer)].map((value) => String(value(unit) ?? ""));
      return texts.some((text) => text.toLowerCase().includes(wanted));
    };
    const found = [...Array(now.units).keys()].filter(fits);
    if (state.order === "difference") found.sort((a, b) => (difference(b) ?? -1) - (difference(a) ?? -1) || a - b);
    return found;
  };
  const verdict = (model, unit) => {
    const value = model.outcome(unit);
    if (value === null) return [element("span", { className: "note", textContent: "–" })];
    const judged = right(model, unit);
    if (judged === null) return [short(value)];
    const says = now.kind === "errors" ? `${value} of ${model.weight(unit)}` : "";
    return [element("span", { className: judged ? "right" : "wrong" }, element("span", { className: "unheard", textContent: judged ? "right" : "wrong" }), says)];
  };
  const answer = (model, unit) => {
    const said = model.data.marks?.[model.at[unit]];
    if (said) return marks(said);
    const value = model.answer(unit);
    return value === null ? [] : [typeof value === "number" ? short(value) : value || "(nothing)"];
  };
  const texts = () => Object.entries(now.columns).filter(([name]) => !["unit", "item"].includes(name) && !Array.isArray(now.shared.columns[name]));
  const draw = (state, found) => {
    const several = now.models.length > 1 && !["right", "wrong"].includes(now.kind);
    const names = ["item", ...texts().map(([name]) => name.replaceAll("_", " ")), ...now.models.map(({ name }) => name), ...(several ? [`difference in ${now.entry.measured}`] : [])];
    const head = element("tr", { role: "row" }, ...names.map((name) => element("th", { scope: "col", role: "columnheader", textContent: name })));
    const body = element("tbody", { role: "rowgroup" }, ...found.slice(0, rows).map((unit) => {
      const name = now.columns.unit(unit);
      const row = element("tr", { role: "row" },
        element("th", { scope: "row", role: "rowheader" }, element("a", { href: address({ ...state, item: name }), textContent: name })),
        ...texts().map(([, value]) => element("td", { textContent: value(unit) ?? "", className: String(value(unit)).length > 24 ? "long" : "" })),
        ...now.models.map((model) => {
          const said = answer(model, unit);
          return element("td", { className: "value" }, ...verdict(model, unit), ...(said.length ? [" ", element(now.kind === "errors" ? "div" : "span", {}, ...said)] : []));
        }),
        ...(several ? [element("td", { textContent: difference(unit) === null ? "–" : short(difference(unit)) })] : []));
      [...row.cells].slice(1).forEach((cell, at) => { // on a narrow screen a row is a block, and each value has its column's name
        cell.role = "cell";
        cell.dataset.column = names[at + 1];
      });
      if (name === state.item) row.setAttribute("aria-current", "true");
      return row;
    }));
    if (!found.length) body.append(element("tr", {}, element("td", { colSpan: head.cells.length, textContent: "No item fits these choices." })));
    list.replaceChildren(element("thead", { role: "rowgroup" }, head), body);
    more.hidden = found.length <= rows;
    more.textContent = `Show ${Math.min(page, found.length - rows)} more`;
  };
  const plainly = (name) => `${name[0].toUpperCase()}${name.slice(1).replaceAll("_", " ")}`;
  const option = (value, text = value) => element("option", { value, textContent: text });
  // sets the controls to what the address asks for; what is not there is told, and left out of the state
  const controls = (state) => {
    const { entry, models } = now;
    form.elements.table.value = entry.name;
    const about = document.getElementById("about");
    about.href = entry.page;
    const chosen = models.map(({ name }) => name);
    const focus = document.activeElement?.closest?.("#models label, #given label")?.dataset.name;
    document.querySelectorAll("#models label").forEach((label) => label.remove());
    document.getElementById("models").append(...entry.models.map(([name, , kind]) => {
      const box = element("input", { type: "checkbox", value: name, checked: chosen.includes(name) });
      const label = element("label", {}, box, ` ${name}${kind === "model" ? "" : ` (${kind})`} `);
      label.dataset.name = name;
      return label;
    }));
    const kinds = form.elements.outcome;
    kinds.replaceChildren(option("", "any"), ...(now.kind === "number" ? [] : [option("all right"), option("all wrong")]),
      ...(now.kind === "number" ? [] : chosen).flatMap((name) => [option(`right ${name}`, `${name} right`), option(`wrong ${name}`, `${name} wrong`)]));
    form.querySelectorAll(".judged").forEach((label) => { label.hidden = now.kind === "number"; });
    form.querySelectorAll(".ranged").forEach((label) => { label.hidden = ["right", "wrong"].includes(now.kind); });
    form.querySelectorAll(".measured").forEach((each) => { each.textContent = plainly(entry.measured); });
    const selects = texts().map(([name]) => [name, now.shared.columns[name].of]).filter(([name, of]) => of.length > 1 && of.length <= 600 && name !== "reference");
    document.getElementById("given").replaceChildren(...selects.map(([name, of]) => {
      const select = element("select", { name: `is.${name}` }, option("", "any"), ...[...of].sort().map((each) => option(String(each))));
      select.dataset.what = name.replaceAll("_", " ");
      const label = element("label", {}, `${plainly(name)} `, select);
      label.dataset.name = `is.${name}`;
      return label;
    }));
    const menus = [...form.querySelectorAll("select")].filter(({ name }) => name !== "table");
    const fields = ["from", "to", "text"];
    const notes = strange(Object.keys(state), ["table", "models", "item", ...fields, ...menus.map(({ name }) => name)]);
    for (const menu of menus) {
      offer(menu, state[menu.name], notes);
      state[menu.name] = menu.value;
    }
    for (const name of ["from", "to"]) {
      if (Number.isNaN(Number(state[name] ?? 0))) {
        notes.push(absent("number", state[name]));
        state[name] = "";
      }
    }
    for (const name of fields) if (document.activeElement !== form.elements[name]) form.elements[name].value = state[name] ?? "";
    if (focus) [...document.querySelectorAll("#models label, #given label")].find((label) => label.dataset.name === focus)?.querySelector("input, select").focus();
    return notes;
  };
  let asked = 0;
  const show = async () => {
    const state = read();
    const mine = ++asked;
    const entry = tables.find(({ name }) => name === state.table) ?? tables.find(({ beside }) => beside === "transcription") ?? tables[0];
    const unknown = (state.models ?? []).filter((name) => !entry.models.some(([each]) => each === name));
    const names = chosenOf(entry, state.models ?? []).slice(0, most);
    const fileOf = (name) => entry.models.find(([each]) => each === name)[1];
    const [shared, ...loaded] = await Promise.all([load(`items/${entry.name}`), ...names.map((name) => load(fileOf(name)))]);
    if (mine !== asked) return; // another choice was made meanwhile
    const units = shared.columns.unit.at.length;
    now = {
      entry, shared, units, kind: shared.kind,
      columns: Object.fromEntries(Object.entries(shared.columns).map(([name, values]) => [name, column(values)])),
      models: names.map((name, at) => modelOf(name, loaded[at], units)),
    };
    rows = page;
    const notes = [
      ...(state.table && entry.name !== state.table ? [absent("table", state.table)] : []),
      ...unknown.map((name) => absent("model", name)),
      ...controls(state),
    ];
    const found = fitting(state);
    draw(state, found);
    more.onclick = () => { rows += page; draw(state, found); };
    document.getElementById("csv").onclick = () => { rows = found.length; draw(state, found); download(list); };
    const what = shared.own ? "clips" : "items";
    count.textContent = [
      `${found.length.toLocaleString("en")} of ${units.toLocaleString("en")} ${what}.`,
      names.length < 2 && entry.models.length > 1 ? "Choose a second model to see where they differ." : "",
      (state.models ?? []).length > most ? `At most ${most} models are shown.` : "",
    ].filter(Boolean).join(" ");
    const unit = state.item ? [...Array(units).keys()].find((each) => now.columns.unit(each) === state.item) : undefined;
    if (state.item && unit === undefined) notes.push(absent("item", state.item));
    document.getElementById("told").textContent = notes.join(" ");
    const at = found.indexOf(unit);
    const link = (other) => (at < 0 || other === undefined ? "" : address({ ...state, item: now.columns.unit(other) }));
    await opened({ tables, now, unit, verdict, links: { Previous: link(found[at - 1]), Next: link(found[at + 1]), Close: address({ ...state, item: "" }) } });
  };
  form?.addEventListener("submit", (event) => event.preventDefault());
  form?.addEventListener("input", ({ target }) => {
    if (target.closest("#models")) {
      const chosen = [...document.querySelectorAll("#models input")].filter((box) => box.checked).map((box) => box.value);
      if (chosen.length > most || !chosen.length) {
        target.checked = !target.checked;
        count.textContent = chosen.length ? `At most ${most} models are shown.` : "Choose at least one model.";
      } else go({ models: chosen, outcome: "" });
    } else if (target.name === "table") {
      location.hash = address({ table: target.value, models: now.models.map(({ name }) => name), show: read().show });
    } else go({ [target.name]: target.value, item: "" }, ["text", "from", "to"].includes(target.name));
  });
  document.getElementById("clear")?.addEventListener("click", () => {
    location.hash = address({ table: now.entry.name, models: now.models.map(({ name }) => name) });
  });
  window.addEventListener("hashchange", () => show());
  if (form) show();
}
