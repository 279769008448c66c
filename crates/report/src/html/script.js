"use strict";
// Reads values off a chart: with a pointer, or with the arrow keys.
for (const svg of document.querySelectorAll("svg[data-values]")) {
  const values = JSON.parse(svg.dataset.values);
  const cursor = svg.querySelector(".cursor");
  const words = svg.nextElementSibling;
  let at = -1;
  const show = (index) => {
    at = Math.max(0, Math.min(values.length - 1, index));
    cursor.setAttribute("transform", `translate(${values[at][0]} 0)`);
    words.textContent = values[at][1];
    svg.classList.add("reading");
  };
  const hide = () => { svg.classList.remove("reading"); words.textContent = ""; };
  const nearest = (x) => {
    let low = 0, high = values.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (values[middle][0] < x) low = middle; else high = middle;
    }
    return x - values[low][0] < values[high][0] - x ? low : high;
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    show(nearest((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width));
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key in steps) show(at + steps[event.key]);
    else if (event.key === "Home") show(0);
    else if (event.key === "End") show(values.length - 1);
    else return;
    event.preventDefault();
    words.setAttribute("aria-live", "polite");
  });
}
