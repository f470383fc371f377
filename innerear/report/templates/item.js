"use strict";
// what the page of items shows of an opened one, and what its scripts share
window.explorer = {};
{
  const place = document.currentScript.src;
  const waiting = new Map();
  // data are scripts that call this: a page that is opened from a folder may load nothing else
  window.give = (name, text) => waiting.get(name).give(JSON.parse(text));
  const load = (name) => {
    if (!waiting.has(name)) {
      const one = {};
      one.data = new Promise((give, fail) => {
        one.give = give;
        const script = document.createElement("script");
        script.src = new URL(`${name.split("/").map(encodeURIComponent).join("/")}.js`, place);
        script.addEventListener("error", () => fail(new Error(`${script.src} is missing`)));
        document.head.append(script);
      });
      waiting.set(name, one);
    }
    return waiting.get(name).data;
  };
  // a column: a list of values, or `of` what there is and `at` which it is
  const column = (values) => (Array.isArray(values) ? (at) => values[at] : (at) => (values.at[at] < 0 ? null : values.of[values.at[at]]));
  // the unit of each row of a model: all of them in order, if nothing else is said
  const unitsOf = ({ rows }, units) => rows ?? [...Array(units).keys()];
  const drawn = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const short = (value) => (typeof value !== "number" ? String(value ?? "–") : Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3))));
  const unheard = (text) => element("span", { className: "unheard", textContent: text });
  // a transcript in its alignment: what was said and not written is struck out, what was written instead underlined
  const marks = (pairs) => pairs.flatMap(([said, written], at) => [...(at ? [" "] : []), ...(written === undefined ? [said] : [
    ...(said ? [element("del", {}, unheard("[said "), said, unheard("]"))] : []), ...(said && written ? [" "] : []),
    ...(written ? [element("ins", {}, unheard("[written "), written, unheard("]"))] : [])])]);
  const table = (name, columns, rows, className = "") => element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: name },
    element("table", { className }, element("thead", {}, element("tr", {}, ...columns.map((each) => (each instanceof Node ? each : element("th", { scope: "col", textContent: each }))))),
      element("tbody", {}, ...rows.map(([head, ...cells]) => element("tr", {}, element("th", { scope: "row", textContent: head }),
        ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : element("td", {}, ...[cell ?? "–"].flat()))))))));
  const folded = (summary, content) => element("details", {}, element("summary", { textContent: summary }), content);
  // the layers at which something is right, such as "1, 3–6"
  const ranges = (layers) => layers.reduce((made, layer) => {
    const last = made.at(-1);
    if (last && last[1] === layer - 1) last[1] = layer; else made.push([layer, layer]);
    return made;
  }, []).map(([from, to]) => (from === to ? from : `${from}–${to}`)).join(", ") || "none";
  const layerOf = (site) => site.split(".").slice(1).join(".") || site;
  const layersRight = ({ sites }, digits) => {
    const found = sites.filter((_, at) => digits[at] === "1").map(layerOf);
    return found.every((each) => /^\d+$/.test(each)) ? ranges(found.map(Number)) : found.join(", ");
  };

  // tracks over the time of a clip; all are as wide as its spectrogram
  const percent = (seconds, whole) => `${((100 * seconds) / whole).toFixed(3)}%`;
  const track = (name, height, ...shapes) => drawn("svg", { class: "track", height, role: "img", "aria-label": name }, ...shapes);
  const titled = (shape, title) => { shape.append(drawn("title", {}, title)); return shape; };
  const segments = (name, spans, whole, here) => track(`${name}: ${spans.map(([label]) => label).join(" ")}`, 20, ...spans.flatMap(([label, start, end]) => [
    titled(drawn("rect", { class: start <= here && here < end ? "span here" : "span", x: percent(start, whole), width: percent(end - start, whole), y: 1, height: 18 }), `${label}, ${start} to ${end} s`),
    drawn("text", { x: percent((start + end) / 2, whole), y: 14 }, label)]));
  // stretches of phones whose middles alone are known: half the way to their neighbours, 60 ms at most
  const stretches = (rows) => rows.map(({ time, truth }, at) => {
    const half = (other) => Math.min(0.06, other ? Math.abs(other.time - time) / 2 : 0.06);
    return [truth, time - half(rows[at - 1]), time + half(rows[at + 1])];
  });
  const stepOf = ({ sites }) => Math.max(5, Math.min(11, 88 / sites.length));
  // numbers of layers beside their rows; where rows are low, of some
  const layerNumbers = (layers) => {
    const step = stepOf(layers);
    const every = Math.ceil(10 / step);
    return element("div", { className: "layers", ariaHidden: "true" }, ...layers.sites.flatMap((site, at) => {
      if (at % every) return [];
      const number = element("span", { textContent: layerOf(site) });
      number.style.top = `${(layers.sites.length - 1 - at + 0.5) * step}px`;
      return [number];
    }));
  };
  const probeTrack = ({ model, rows }, phones, whole) => {
    const layers = model.data.layers.correct;
    const step = stepOf(layers);
    const shapes = rows.flatMap(({ time, truth, answer, digits, here }) => {
      const [, start, end] = phones.find((each) => each[1] <= time && time < each[2]) ?? stretches([{ time, truth }])[0];
      const box = { x: percent(start, whole), width: percent(end - start, whole) };
      const cells = layers.sites.map((site, at) => titled(drawn("rect", { ...box, class: digits[at] === "1" ? "yes" : "no", y: (layers.sites.length - 1 - at) * step, height: step - 1 }),
        `${truth} at ${time.toFixed(2)} s, ${site}: ${digits[at] === "1" ? "right" : "wrong"}; answer of the model's chosen layer: ${answer}`));
      return here ? [...cells, drawn("rect", { ...box, class: "here", y: 1, height: layers.sites.length * step - 2 })] : cells;
    });
    const correct = rows.filter(({ truth, answer }) => truth === answer).length;
    return track(`${model.name}: ${correct} of ${rows.length} phones right at the chosen layer; by layer in the table below`, layers.sites.length * step, ...shapes);
  };
  const peakTrack = ({ model, rows }, whole) => track(`${model.name}: peaks of the best heads, ${rows.filter(({ hit }) => hit).length} of ${rows.length} in their word`, 22,
    ...rows.map(({ start, end }) => drawn("rect", { class: "span", x: percent(start, whole), width: percent(end - start, whole), y: 3, height: 16 })),
    ...rows.map(({ word, start, end, peak, hit }) => titled(drawn("line", { class: hit ? "hit" : "miss", x1: percent(peak, whole), x2: percent(peak, whole), y1: 0, y2: 22 }),
      `${word}, ${start} to ${end} s: peak at ${peak.toFixed(2)} s, ${hit ? "in the word" : "outside it"}`)));
  const timeline = (name, whole, picture, tracks, sound) => {
    const inside = element("div", { className: "time" }, ...(picture ? [element("div", { className: "picture" }, element("img", { className: "spectrogram", src: picture, alt: `Spectrogram of ${name}: 0 Hz at the bottom to 8 kHz at the top, ${short(whole)} s` }),
      ...["8 kHz", "0"].map((textContent) => element("span", { ariaHidden: "true", textContent })))] : []),
      ...tracks.flatMap(([label, made, beside]) => [element("p", { className: "name", textContent: label }), ...(beside ? [beside] : []), made]));
    inside.style.minWidth = `${Math.round(Math.max(20, whole * 230))}px`;
    if (sound) {
      const head = element("div", { className: "playhead" });
      const move = () => { head.style.left = percent(sound.currentTime, whole); };
      const follow = () => { move(); if (!sound.paused && sound.isConnected) requestAnimationFrame(follow); };
      sound.addEventListener("play", follow);
      for (const event of ["timeupdate", "seeked"]) sound.addEventListener(event, move);
      inside.addEventListener("click", ({ clientX }) => {
        const { left, width } = inside.getBoundingClientRect();
        sound.currentTime = Math.max(0, Math.min(whole, ((clientX - left) / width) * whole));
      });
      inside.append(head);
    }
    return element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "The clip over time" }, inside);
  };

  // tables whose items are of the same clip, with their chosen models
  const besides = (tables, now) => Promise.all(tables.filter(({ beside, sources }) => beside && sources.some((each) => now.entry.sources.includes(each))).map(async (entry) => {
    const chosen = now.models.map(({ name }) => entry.models.find(([each]) => each === name)).filter(Boolean);
    const [shared, ...models] = await Promise.all([load(`items/${entry.name}`), ...chosen.map(([, file]) => load(file))]);
    const columns = Object.fromEntries(Object.entries(shared.columns).map(([name, values]) => [name, column(values)]));
    return { entry, shared, columns, models: models.map((data, at) => ({ name: chosen[at][0], data })) };
  }));
  // rows of each model that are of a clip
  const rowsOf = ({ columns, models, shared }, clip, make) => models.map((model) => ({
    model,
    rows: unitsOf(model.data, shared.columns.unit.at.length).map((unit, row) => [unit, row]).filter(([unit]) => columns.item(unit) === clip).map(([unit, row]) => make(model, unit, row)),
  })).filter(({ rows }) => rows.length);
  const phonesOf = (found, clip, here) => rowsOf(found, clip, ({ data }, unit, row) => ({
    time: Number(found.columns.unit(unit).slice(clip.length + 1)), truth: found.columns.truth(unit), here: found.columns.unit(unit) === here,
    answer: column(data.own.predicted)(row), digits: column(data.layers.correct.digits)(row),
  }));
  const wordsOf = (found, clip) => rowsOf(found, clip, ({ data }, unit, row) => ({
    word: found.columns.word(unit), start: found.columns.start(unit), end: found.columns.end(unit),
    peak: column(data.own.peak)(row), hit: column(data.own.on_word)(row),
  }));
  const writtenOf = (found, clip) => rowsOf(found, clip, ({ data }, unit, row) => ({
    reference: found.columns.reference(unit), errors: column(data.own[data.errors])(row), words: column(data.weight)(row),
    text: [column(data.own.written)(row) || "(nothing)", ...(data.marks[row] ? [element("div", {}, ...marks(data.marks[row]))] : [])],
  })).map(({ model, rows }) => ({ model, row: rows[0] }));
  const link = (entry, text) => element("p", { className: "facts" }, text, " ", element("a", { href: entry.page, textContent: entry.heading }));

  const written = (found, clip) => {
    const rows = writtenOf(found, clip);
    if (!rows.length) return [];
    const unmarked = rows.some(({ model }) => model.data.unmarked);
    return [element("h3", { textContent: "What each model wrote" }),
      link(found.entry, `Struck out: said, and not written. Underlined: written instead. Where there are errors, the words stand below as they are scored.${unmarked ? " Errors in languages other than English are not marked." : ""}`),
      table("What each model wrote", ["", "text", "errors"], [["said", rows[0].row.reference, ""], ...rows.map(({ model, row }) => [model.name, element("td", {}, ...row.text), `${row.errors} of ${row.words}`])])];
  };
  const lens = (found, clip) => {
    const shown = found.models.filter(({ data }) => data.tokens.clips[clip]);
    if (!shown.length) return [];
    return [element("h3", { textContent: "What each layer would write, token by token" }),
      link(found.entry, "Shaded: the layer read through the model's own output would write the same token. A token in a field is what it would write, where that was kept. Wavy lines: tokens of wrong words. A number stands for a token whose text the results do not have."),
      ...shown.flatMap(({ name, data }) => {
        const { tokens, digits, right, top } = data.tokens.clips[clip];
        const heads = tokens.map((each, at) => element("th", { scope: "col", textContent: each, className: right?.[at] && right[at] !== "right" ? "error" : "", title: right?.[at] ?? "" }));
        const rows = data.tokens.sites.map((site, layer) => [site, ...tokens.map((_, at) => {
          const same = digits[at][layer] === "1";
          return element("td", { className: same ? "yes" : "", title: same ? "the token that is written" : "another token" }, top ? top[at]?.[layer] ?? "" : same ? "✓" : "·");
        })]).reverse();
        return [element("h4", { textContent: name }), table(`Lens of ${name}`, [name, ...heads], rows, "lens")];
      })];
  };
  const fromLayers = (found, clip) => {
    const shown = rowsOf(found, clip, ({ data }, _, row) => data.layers.written.values.map((values) => column(values)(row)));
    if (!shown.length) return [];
    const sites = [...new Set(shown.flatMap(({ model }) => model.data.layers.written.sites))];
    return [element("h3", { textContent: "What the decoder writes from each encoder layer" }), link(found.entry, ""),
      table("Written from each encoder layer", ["layer", ...shown.map(({ model }) => model.name)], sites.map((site) => [site, ...shown.map(({ model, rows }) => {
        const at = model.data.layers.written.sites.indexOf(site);
        return at < 0 ? "–" : rows[0][at] || "(nothing)";
      })]).reverse())];
  };
  const phoneTable = (summary, shown) => {
    const units = new Map();
    for (const { model, rows } of shown) for (const row of rows) units.set(row.time, { ...units.get(row.time), truth: row.truth, [`of ${model.name}`]: `${row.answer}; right at ${layersRight(model.data.layers.correct, row.digits)}` });
    return folded(summary, table("Phones", ["seconds", "phone", ...shown.map(({ model }) => `${model.name}: answer, and layers at which it is right`)],
      [...units].sort(([a], [b]) => a - b).map(([time, row]) => [time.toFixed(2), row.truth, ...shown.map(({ model }) => row[`of ${model.name}`])])));
  };
  const wordTable = (summary, shown) => folded(summary, table("Peaks of the best heads", ["model", "word", "from, s", "to, s", "peak, s", "in the word"],
    shown.flatMap(({ model, rows }) => rows.map((row) => [model.name, row.word, short(row.start), short(row.end), row.peak.toFixed(2), row.hit ? "yes" : "no"]))));

  // what the chosen table has of the item: every column of each model
  const answers = (now, unit, verdict) => {
    const has = now.models.filter(({ at }) => at[unit] >= 0);
    const names = [...new Set(has.flatMap(({ data }) => Object.keys(data.own)))];
    const layered = [...new Set(has.flatMap(({ data }) => Object.keys(data.layers)))];
    const cell = ({ data, at }, name) => {
      if (!(name in data.own)) return "–";
      const value = column(data.own[name])(at[unit]);
      return name === "written" && data.marks?.[at[unit]] ? element("td", {}, ...marks(data.marks[at[unit]])) : value === "" ? "(nothing)" : typeof value === "boolean" ? (value ? "yes" : "no") : short(value);
    };
    const byLayer = ({ data, at }, name) => {
      const layers = data.layers[name];
      if (!layers) return "–";
      if (layers.digits) return layersRight(layers, column(layers.digits)(at[unit]));
      return element("td", {}, ...layers.sites.map((site, layer) => element("div", { textContent: `${site}: ${short(column(layers.values[layer])(at[unit]))}` })));
    };
    return table("Outcomes and answers", ["", ...has.map(({ name }) => name)], [
      ["outcome", ...has.map((model) => element("td", {}, ...verdict(model, unit)))],
      ...names.map((name) => [name, ...has.map((model) => cell(model, name))]),
      ...layered.filter((name) => name !== "written").map((name) => [has.some(({ data }) => data.layers[name]?.digits) ? `${name} at layers` : `${name}, by layer`, ...has.map((model) => byLayer(model, name))])]);
  };
  let turn = 0;
  let last = null;
  const opened = async ({ tables, now, unit, verdict, links }) => {
    const section = document.getElementById("item");
    const mine = ++turn;
    if (unit === undefined) {
      section.hidden = true;
      section.replaceChildren();
      last = null;
      return;
    }
    const { entry, columns } = now;
    const [name, clip] = [columns.unit(unit), columns.item(unit)];
    const [clips, others] = await Promise.all([entry.clips ? load(entry.clips) : {}, besides(tables, now)]);
    if (mine !== turn) return;
    const own = clips[clip];
    const here = entry.timed ? Number(name.slice(clip.length + 1)) : columns.start?.(unit) ?? null; // where in the clip the item is
    const of = (protocol) => others.filter(({ entry: each }) => each.beside === protocol);
    const phones = of("phone-probing").map((found) => ({ found, shown: phonesOf(found, clip, name) })).filter(({ shown }) => shown.length);
    const peaks = of("alignment-heads").map((found) => ({ found, shown: wordsOf(found, clip) })).filter(({ shown }) => shown.length);
    const ends = [...phones.flatMap(({ shown }) => shown.flatMap(({ rows }) => rows.map(({ time }) => time + 0.1))), ...peaks.flatMap(({ shown }) => shown.flatMap(({ rows }) => rows.map(({ end, peak }) => Math.max(end, peak))))];
    const whole = own?.seconds ?? Math.max(0, ...ends);
    const sound = own ? element("audio", { controls: true, preload: "metadata", src: `${own.files}.mp3`, ariaLabel: `Sound of ${clip}` }) : null;
    const several = phones.length > 1 || peaks.length > 1;
    const labelOf = (text, found) => (several ? `${text} (${found.entry.heading})` : text);
    const heard = peaks.flatMap(({ shown }) => shown)[0]?.rows ?? [];
    const said = [...(phones.flatMap(({ shown }) => shown)[0]?.rows ?? [])].sort((a, b) => a.time - b.time);
    const spans = own?.phones ?? stretches(said);
    const tracks = [
      ...(own?.words.length ? [["Words", segments("Words", own.words, whole, here)]] : heard.length ? [["Words", segments("Words", heard.map(({ word, start, end }) => [word, start, end]), whole, here)]] : []),
      ...(spans.length ? [[own ? "Phones" : "Phones that are probed, about their middles", segments("Phones", spans, whole, here)]] : []),
      ...phones.flatMap(({ found, shown }) => shown.map((each) => [labelOf(`Phone probe of ${each.model.name}: right (blue) or wrong (orange) by layer, deepest on top`, found), probeTrack(each, spans, whole), layerNumbers(each.model.data.layers.correct)])),
      ...peaks.flatMap(({ found, shown }) => shown.map((each) => [labelOf(`Where the best heads of ${each.model.name} look at each word`, found), peakTrack(each, whole)])),
    ];
    const facts = [...Object.entries(columns).filter(([each]) => !["unit", "item", ...(own ? ["reference", "start", "end"] : [])].includes(each)).map(([each, value]) => [each, short(value(unit))]), ...Object.entries(own?.about ?? {}), ...(own ? [["said", own.text || "(no speech)"], ["length", `${short(own.seconds)} s`]] : [])];
    const heading = element("h2", { textContent: name, tabIndex: -1 });
    const bar = Object.entries(links).map(([text, href]) => {
      const button = element("button", { type: "button", textContent: text, disabled: !href });
      button.addEventListener("click", () => { location.hash = href; });
      return button;
    });
    const why = entry.why || (own ? "" : "No sound: the task made this item from clips of the corpus, and it is not one of them.");
    section.replaceChildren(
      element("div", { className: "bar" }, ...bar), heading,
      element("dl", { className: "facts" }, ...[...new Map(facts)].flatMap(([each, value]) => element("div", {}, element("dt", { textContent: each.replaceAll("_", " ") }), element("dd", { textContent: value })))),
      ...(sound ? [sound] : [element("p", { className: "note", textContent: why })]),
      ...(whole && (own || tracks.length) ? [timeline(clip, whole, own && `${own.files}.jpg`, tracks, sound)] : []),
      ...phones.map(({ found, shown }) => phoneTable(labelOf("Phones as a table", found), shown)),
      ...peaks.map(({ found, shown }) => wordTable(labelOf("Peaks of the best heads as a table", found), shown)),
      ...of("transcription").flatMap((found) => written(found, clip)),
      element("h3", { textContent: "Outcome and answers in this table" }), answers(now, unit, verdict),
      ...of("logit-lens").flatMap((found) => lens(found, clip)),
      ...of("encoder-lens").flatMap((found) => fromLayers(found, clip)),
    );
    section.hidden = false;
    if (here !== null && whole) {
      const view = section.querySelector(".time")?.parentElement;
      if (view) view.scrollLeft = (here / whole) * view.scrollWidth - view.clientWidth / 2;
      if (sound) sound.addEventListener("loadedmetadata", () => { sound.currentTime = Math.max(0, here - 0.3); }, { once: true });
    }
    if (last !== name) heading.focus();
    last = name;
  };
  Object.assign(window.explorer, { load, column, opened, short, marks, unitsOf });
}
