// What all pages need: data, and charts in the colours of the page. Classic script: pages are opened from files.
"use strict";
const mgst = (() => {
  const drawn = new Map();

  // The value of an element <script type="application/json" id="NAME">.
  const data = (name) => JSON.parse(document.getElementById(name).textContent);

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  // Colours of a layout, as keys that Plotly.relayout takes.
  const theme = (layout) => {
    const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key));
    const all = new Set([...axes, "xaxis", "yaxis"]);
    const keys = {
      "font.color": colour("ink"), "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
      "hoverlabel.bgcolor": colour("paper"), "hoverlabel.font.color": colour("ink"), "hoverlabel.bordercolor": colour("line"),
    };
    for (const axis of all) {
      keys[`${axis}.gridcolor`] = keys[`${axis}.zerolinecolor`] = colour("grid");
      keys[`${axis}.linecolor`] = colour("line");
    }
    return keys;
  };

  // Sets "a.b" in nested objects.
  const put = (target, path, value) => {
    const names = path.split(".");
    const last = names.pop();
    for (const name of names) target = target[name] = typeof target[name] === "object" ? target[name] : {};
    target[last] = value;
  };

  // Large libraries load last, so that the page is there before them.
  const library = typeof Plotly === "undefined" ? new Promise((done) => document.addEventListener("DOMContentLoaded", done)) : Promise.resolve();

  // Draws a chart once. Resolves to its element, which then has the events of Plotly.
  const draw = (name) => {
    if (!drawn.has(name)) {
      const { data: traces, layout } = JSON.parse(document.querySelector(`script[data-chart="${name}"]`).textContent);
      const full = { margin: { l: 48, r: 12, t: 8, b: 40 }, hovermode: "closest", ...layout, autosize: true };
      for (const axis of ["xaxis", "yaxis"]) full[axis] = { automargin: true, ...full[axis] };
      full.font = { family: getComputedStyle(document.body).fontFamily, size: 12, ...full.font };
      for (const [path, value] of Object.entries(theme(full))) put(full, path, value);
      const options = { responsive: true, displayModeBar: false };
      drawn.set(name, library.then(() => Plotly.newPlot(document.getElementById(name), traces, full, options)));
    }
    return drawn.get(name);
  };

  const start = () => {
    const plots = [...document.querySelectorAll(".plot")].filter((plot) => document.querySelector(`script[data-chart="${plot.id}"]`));
    const seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting) {
          seen.unobserve(entry.target);
          draw(entry.target.id);
        }
      }
    }, { rootMargin: "300px" });
    plots.forEach((plot) => seen.observe(plot));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      for (const made of drawn.values()) made.then((plot) => Plotly.relayout(plot, theme(plot.layout)));
    });
    addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot.id)));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
  return { data, draw, colour };
})();
