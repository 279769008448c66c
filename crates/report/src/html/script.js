"use strict";
// Reads values off a chart: with a pointer, or with the arrow keys. A page may draw its charts anew meanwhile.
const charts = new WeakMap();
const chartOf = (event) => event.target.closest?.("svg[data-values]");
const known = (svg) => {
  const text = svg.dataset.values;
  if (charts.get(svg)?.text !== text) charts.set(svg, { text, values: JSON.parse(text), at: -1 });
  return charts.get(svg);
};
const show = (svg, index) => {
  const chart = known(svg);
  chart.at = Math.max(0, Math.min(chart.values.length - 1, index));
  const [x, words] = chart.values[chart.at];
  svg.querySelector(".cursor").setAttribute("transform", `translate(${x} 0)`);
  svg.nextElementSibling.textContent = words;
  svg.classList.add("reading");
};
const hide = (event) => {
  const svg = chartOf(event);
  if (!svg || svg.contains(event.relatedTarget)) return;
  svg.classList.remove("reading");
  svg.nextElementSibling.textContent = "";
};
const nearest = (values, x) => {
  let low = 0, high = values.length - 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (values[middle][0] < x) low = middle; else high = middle;
  }
  return x - values[low][0] < values[high][0] - x ? low : high;
};
addEventListener("pointermove", (event) => {
  const svg = chartOf(event);
  if (!svg) return;
  const box = svg.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
  show(svg, nearest(known(svg).values, x));
});
addEventListener("pointerout", hide);
addEventListener("focusout", hide);
addEventListener("keydown", (event) => {
  const svg = chartOf(event);
  if (!svg) return;
  const { at, values } = known(svg);
  const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
  if (event.key in steps) show(svg, at + steps[event.key]);
  else if (event.key === "Home") show(svg, 0);
  else if (event.key === "End") show(svg, values.length - 1);
  else return;
  event.preventDefault();
  svg.nextElementSibling.setAttribute("aria-live", "polite");
});
