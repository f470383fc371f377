"use strict";
// draws each chart when it comes into view, by the description that stands beside it
const theme = document.getElementById("theme").textContent;
const place = document.currentScript.src;
let loaded;
const vega = () => loaded ??= new Promise((resolve, reject) => {
  const script = document.createElement("script");
  script.src = new URL("vega.js", place);
  script.addEventListener("load", resolve);
  script.addEventListener("error", () => reject(new Error(`${script.src} is missing`)));
  document.head.append(script);
});
// colours of the page, which may be light or dark
const config = () => {
  const style = getComputedStyle(document.documentElement);
  return JSON.parse(theme.replace(/"(--\w+)"/g, (_, name) => JSON.stringify(style.getPropertyValue(name).trim())));
};
const drawn = [];
let chosen = null; // models that a page lets its reader choose; series of others are left out
const without = (chart) => [...new Set([...chart.off, ...chart.others])];
const choose = (chart) => {
  const legend = chart.spec.usermeta?.legend ?? [];
  const other = ([, , , model]) => chosen !== null && model !== "" && !chosen.includes(model);
  chart.others = legend.filter(other).map(([name]) => name);
  chart.buttons.forEach((button, at) => { button.hidden = other(legend[at]); });
  if (chosen === null) return;
  // the table behind it: without series that are left out, and chosen models first
  const body = chart.plot.parentElement.querySelector("details tbody");
  const rows = [...body.rows].map((row) => [chosen.includes(row.cells[0].textContent), row]);
  rows.forEach(([, row]) => { row.hidden = chart.others.includes(row.cells[0].textContent); });
  body.append(...rows.sort(([a], [b]) => b - a).map(([, row]) => row));
};
const draw = async (chart) => {
  await vega();
  const { spec, plot } = chart;
  const own = spec.usermeta?.legend ? { ...config(), legend: { disable: true } } : config();
  chart.view?.finalize();
  const options = { config: own, ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true } };
  const { view } = await vegaEmbed(plot, spec, options);
  chart.view = view;
  if (without(chart).length) await view.signal("off", without(chart)).runAsync();
  plot.classList.remove("waiting");
  if (plot.scrollWidth > plot.clientWidth) plot.parentElement.classList.add("wide");
};
// a switch for each series, for the mouse and the keyboard
const legend = (chart) => {
  const row = element("div", { className: "legend" });
  row.setAttribute("role", "group");
  row.setAttribute("aria-label", "What is shown");
  for (const [name, colour, sign] of chart.spec.usermeta.legend) {
    const mark = element("span", { textContent: sign });
    mark.style.color = colour;
    const button = element("button", { type: "button" }, mark, name);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      const shown = chart.off.has(name);
      shown ? chart.off.delete(name) : chart.off.add(name);
      button.setAttribute("aria-pressed", String(shown));
      chart.view?.signal("off", without(chart)).runAsync();
    });
    row.append(button);
    chart.buttons.push(button);
  }
  chart.plot.before(row);
};
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    const chart = { plot: target, spec: JSON.parse(target.nextElementSibling.textContent), off: new Set(), others: [], buttons: [] };
    if (chart.spec.usermeta?.legend) legend(chart);
    choose(chart);
    drawn.push(chart);
    draw(chart);
  }
}, { rootMargin: "300px" });
for (const plot of document.querySelectorAll(".plot")) {
  plot.classList.add("waiting");
  seen.observe(plot);
}
document.addEventListener("models", (event) => {
  chosen = event.detail;
  for (const chart of drawn) {
    choose(chart);
    chart.view?.signal("off", without(chart)).runAsync();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawn.forEach(draw));
