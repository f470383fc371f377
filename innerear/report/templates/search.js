"use strict";
// the page of the search; what is looked for is in the address: ?q=…
{
  const entries = JSON.parse(document.getElementById("entries").textContent)
    .map(([kind, name, place, says, also]) => ({ kind, name, place, says, text: `${name} ${says} ${kind} ${also}`.toLowerCase() }));
  const field = document.querySelector("#search input");
  const [list, count] = ["found", "count"].map((id) => document.getElementById(id));
  const most = 100;
  // how good a find is: the name itself, spelt out or not, its beginning, within it, or beside it
  const rank = ({ name, says }, wanted) => {
    const own = name.toLowerCase();
    return own === wanted || says.split(", ")[0] === wanted ? 0 : own.startsWith(wanted) ? 1 : own.includes(wanted) ? 2 : 3;
  };
  const show = () => {
    const wanted = field.value.trim().toLowerCase();
    const words = wanted.split(/\s+/);
    const found = !wanted ? [] : entries.filter(({ text }) => words.every((word) => text.includes(word)))
      .map((entry, at) => [rank(entry, wanted), at, entry]).sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, , entry]) => entry);
    count.textContent = !wanted ? `Models, tasks, corpora, scores and results: ${entries.length} entries.`
      : `${found.length} found${found.length > most ? `, the first ${most} are shown` : ""}.`;
    list.replaceChildren(...found.slice(0, most).map(({ kind, name, place, says }) => element("li", {},
      element("a", { href: place, textContent: name }),
      element("small", { textContent: ` ${kind}${says ? ` · ${says}` : ""}` }))));
  };
  field.addEventListener("input", () => {
    show();
    history.replaceState(null, "", `?${new URLSearchParams({ q: field.value })}`);
  });
  field.form.addEventListener("submit", (event) => event.preventDefault());
  // arrows lead from the field through what was found
  document.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const stops = [field, ...list.querySelectorAll("a")];
    const at = stops.indexOf(document.activeElement);
    if (!step || at < 0 || !stops[at + step]) return;
    event.preventDefault();
    stops[at + step].focus();
  });
  field.value = new URLSearchParams(location.search).get("q") ?? "";
  field.focus();
  show();
}
