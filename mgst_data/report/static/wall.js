// The wall of tracks: DataTables filters, sorts and lists; this file draws tiles that are in view, and film strips.
"use strict";
const { columns, rows, grid, thumbnail } = mgst.data("wall-data");
const at = Object.fromEntries(columns.map((name, place) => [name, place]));
const $ = (id) => document.getElementById(id);
const element = (name, attributes = {}, ...children) => {
  const made = /^(svg|image|circle|rect|g)$/.test(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const percent = (value) => `${+(100 * value).toFixed(2)} %`;
const known = (value, unit = "") => (value === null || value === 0 && unit === " fps" ? "unknown" : `${value}${unit}`);

// One thumbnail of a sprite sheet.
const showThumbnail = (made, number) => {
  const [x, y] = [number % grid, Math.floor(number / grid) % grid];
  made.style.backgroundImage = `url(sheets/${Math.floor(number / (grid * grid))}.jpg)`;
  made.style.backgroundPosition = `${-x * thumbnail}px ${-y * thumbnail}px`;
  return made;
};
const sprite = (number) => showThumbnail(element("span", { class: "sprite" }), number);

// The wall. `order` holds the numbers of the tracks that match, sorted. Only tiles in view, and two rows around, exist;
// a tile that leaves the view is used again.
const WIDTH = 134, HEIGHT = 172, AROUND = 2;
let order = rows.map((_, number) => number).sort((a, b) => rows[b][at.attention] - rows[a][at.attention]);
let perRow = 1, current = 0;
const live = new Map(), spare = [];

const newTile = () => {
  const button = element("button", { type: "button", tabindex: -1 }, element("span", { class: "sprite" }),
    element("span", { class: "name" }, element("bdi")), element("span", { class: "meta" }, element("b"), element("span")));
  return element("div", { role: "listitem" }, button);
};

const fill = (made, place) => {
  const row = rows[order[place]], fake = row[at.label] === "fake", odd = row[at.reasons].length > 0;
  const button = made.firstChild, [picture, name, meta] = button.children;
  made.setAttribute("aria-setsize", order.length);
  made.setAttribute("aria-posinset", place + 1);
  made.style.left = `${6 + (place % perRow) * WIDTH}px`;
  made.style.top = `${6 + Math.floor(place / perRow) * HEIGHT}px`;
  button.className = `tile${fake ? " fake" : ""}${odd ? " odd" : ""}`;
  button.dataset.track = row[at.number];
  button.title = [row[at.video], ...row[at.reasons]].join(", ");
  button.setAttribute("aria-label", `${row[at.video]}, track ${row[at.track]}, ${row[at.label]}, ${row[at.method]}, face ${row[at.face]} pixels${odd ? `, ${row[at.reasons].join(", ")}` : ""}`);
  showThumbnail(picture, row[at.number]);
  name.firstChild.textContent = row[at.video];
  meta.firstChild.textContent = fake ? row[at.method] : "real";
  meta.lastChild.textContent = `${Math.round(row[at.face])} px`;
  return made;
};

const paint = () => {
  const wall = $("wall"), { scrollTop, clientHeight } = wall;
  const top = Math.floor(scrollTop / HEIGHT);
  const first = Math.max(0, (top - AROUND) * perRow);
  const last = Math.min(order.length, (Math.ceil((scrollTop + clientHeight) / HEIGHT) + AROUND) * perRow);
  for (const [place, made] of live) {
    if (place >= first && place < last) continue;
    live.delete(place);
    // The focus must not move to another track.
    if (made.contains(document.activeElement)) made.remove();
    else spare.push(made);
  }
  for (let place = first; place < last; place += 1) {
    if (!live.has(place)) {
      const made = fill(spare.pop() ?? newTile(), place);
      live.set(place, made);
      if (!made.isConnected) $("tiles").append(made);
    }
  }
  while (spare.length) spare.pop().remove();
  // One tile takes the focus of the Tab key: the one that had it last, or the first in view.
  const inView = live.has(current) ? current : Math.min(Math.max(0, top * perRow), order.length - 1);
  for (const [place, made] of live) {
    const index = place === inView ? 0 : -1;
    if (made.firstChild.tabIndex !== index) made.firstChild.tabIndex = index;
  }
};

// Places all tiles again: after filters, sorting, and changes of the window.
const layOut = () => {
  const wall = $("wall");
  if (!wall.clientWidth) return; // hidden
  perRow = Math.max(1, Math.floor((wall.clientWidth - 4) / WIDTH));
  const height = Math.ceil(order.length / perRow) * HEIGHT + 8;
  $("tiles").style.height = `${height}px`;
  wall.style.maxHeight = `${Math.max(height, HEIGHT) + 2}px`;
  live.forEach((made) => made.remove());
  live.clear();
  paint();
};

const reset = (numbers) => {
  order = numbers;
  current = 0;
  $("wall").scrollTop = 0;
  $("count").textContent = `${order.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} tracks`;
  layOut();
};

const focusTile = (place) => {
  current = Math.min(Math.max(0, place), order.length - 1);
  const wall = $("wall"), y = Math.floor(current / perRow) * HEIGHT;
  if (y < wall.scrollTop) wall.scrollTop = y;
  if (y + HEIGHT + 8 > wall.scrollTop + wall.clientHeight) wall.scrollTop = y + HEIGHT + 8 - wall.clientHeight;
  paint();
  live.get(current)?.firstChild.focus({ preventScroll: true });
};

$("wall").addEventListener("keydown", (event) => {
  const page = perRow * Math.max(1, Math.floor($("wall").clientHeight / HEIGHT));
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
  if (event.key in steps && order.length) {
    event.preventDefault();
    focusTile(current + steps[event.key]);
  }
});
$("tiles").addEventListener("focusin", (event) => {
  const found = event.target.closest("[aria-posinset]");
  if (found) current = found.getAttribute("aria-posinset") - 1;
});
let waiting = false;
$("wall").addEventListener("scroll", () => {
  if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; paint(); }); }
}, { passive: true });
let width = 0;
new ResizeObserver(() => { if ($("wall").clientWidth !== width) { width = $("wall").clientWidth; layOut(); } else paint(); }).observe($("wall"));

// Film strips. A script of each track calls film(); pages of files cannot read other data.
const strips = new Map();
let open = -1;
const film = (number, content) => { strips.set(number, content); if (number === open) showStrip(number); };

const frame = (number, content, place) => {
  const shown = content.frames[place], count = content.frames.length;
  const picture = (suffix, kind) => element("image", { href: `tracks/${number}.${suffix}`, x: -1000 * place, y: 0, width: 1000 * count, height: 1000, preserveAspectRatio: "none", class: kind });
  const [x0, y0, x1, y1] = shown.b, bad = new Set(shown.x);
  const words = [`frame ${shown.n}`, `${shown.t.toFixed(2)} s`, shown.f ? "fake" : "", shown.d ? "damaged" : ""].filter(Boolean);
  const svg = element("svg", { viewBox: "0 0 1000 1000", role: "img", "aria-label": words.join(", ") }, picture("jpg", "crop"));
  if (content.masks) svg.append(picture("png", "mask"));
  svg.append(element("rect", { class: "box", x: x0, y: y0, width: Math.max(0, x1 - x0), height: Math.max(0, y1 - y0) }));
  for (let i = 0; i < shown.p.length; i += 2) {
    svg.append(element("circle", { cx: shown.p[i], cy: shown.p[i + 1], r: 9, ...(bad.has(i / 2) ? { class: "invalid" } : {}) }));
  }
  const caption = element("figcaption", {}, words.join(" · "), element("br"), `score ${shown.s.toFixed(3)} · sharp ${Math.round(shown.h)}`,
    ...(bad.size ? [element("br"), `${bad.size} invalid landmarks`] : []));
  return element("figure", shown.f ? { class: "fake" } : {}, svg, caption);
};

const showStrip = (number) => {
  const content = strips.get(number);
  $("film-frames").replaceChildren(...content.frames.map((_, place) => frame(number, content, place)));
};

const openStrip = (number) => {
  open = number;
  const row = rows[number], value = (name) => row[at[name]];
  $("film-title").textContent = `${value("video")}, track ${value("track")}`;
  const numbers = {
    "folder": value("folder"), "data set": value("dataset"), "split": value("split") || "none", "label": value("label"), "method": value("method"),
    "compression": value("compression") || "unknown", "frames": value("frames"), "frame rate": known(value("fps"), " fps"), "frame": value("size"),
    "face size": `${value("face")} px`, "face probability": value("score"), "sharpness": value("sharpness"), "yaw": known(value("yaw"), "°"),
    "pitch": known(value("pitch"), "°"), "roll": known(value("roll"), "°"), "landmark doubt": percent(value("doubt")), "landmark jitter": percent(value("jitter")),
  };
  $("film-numbers").replaceChildren(...Object.entries(numbers).map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, `${text}`))));
  $("film-about").replaceChildren(...value("about").map((line) => element("li", {}, line)));
  const place = order.indexOf(number);
  $("film-back").disabled = place <= 0;
  $("film-next").disabled = place < 0 || place >= order.length - 1;
  if (strips.has(number)) showStrip(number);
  else {
    $("film-frames").replaceChildren("Loading the frames");
    const script = element("script", { src: `tracks/${number}.js` });
    script.onerror = () => { if (open === number) $("film-frames").replaceChildren(`The file tracks/${number}.js is missing.`); };
    document.head.append(script);
  }
  if (!$("film").open) $("film").showModal();
};
const step = (by) => { const next = order[order.indexOf(open) + by]; if (order.includes(open) && next !== undefined) openStrip(next); };
document.addEventListener("click", (event) => {
  const found = event.target.closest("[data-track]");
  if (found) openStrip(Number(found.dataset.track));
  if (event.target === $("film")) $("film").close();
});
$("film-close").addEventListener("click", () => $("film").close());
$("film-back").addEventListener("click", () => step(-1));
$("film-next").addEventListener("click", () => step(1));
$("film").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
$("film").addEventListener("close", () => {
  const place = order.indexOf(open);
  open = -1;
  if (place >= 0 && !$("wall").hidden && $("wall").contains(document.activeElement)) focusTile(place);
});
