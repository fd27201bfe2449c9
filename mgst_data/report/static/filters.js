// Filters, sorting and the list: DataTables keeps the rows, and the wall shows what it returns.
"use strict";
const CHOICES = { dataset: "Data set", split: "Split", label: "Label", method: "Method", compression: "Compression", folder: "Folder", reasons: "Reason" };
const SORTS = [
  ["attention", "desc", "duplicates and outliers first"], ["video", "asc", "video"], ["face", "asc", "smallest faces first"], ["face", "desc", "largest faces first"],
  ["sharpness", "asc", "least sharp first"], ["score", "asc", "lowest face probability first"], ["doubt", "desc", "most landmark doubt first"],
  ["jitter", "desc", "most landmark jitter first"], ["frames", "asc", "shortest first"], ["frames", "desc", "longest first"], ["yaw", "asc", "yaw"],
];
const LISTED = { number: "Picture", video: "Video", track: "Track", label: "Label", method: "Method", split: "Split", dataset: "Data set", frames: "Frames", face: "Face, px",
  score: "Face probability", sharpness: "Sharpness", yaw: "Yaw, °", doubt: "Landmark doubt, %", jitter: "Landmark jitter, %", reasons: "Reasons" };
const listed = [...Object.keys(LISTED), "attention"];

// A menu for each property with more than one value.
for (const [name, title] of Object.entries(CHOICES)) {
  const counts = new Map();
  for (const row of rows) for (const value of [row[at[name]]].flat()) counts.set(value, (counts.get(value) ?? 0) + 1);
  if (counts.size > 1 || (name === "reasons" && counts.size)) {
    const menu = element("select", { id: `by-${name}`, "data-by": name }, element("option", { value: "" }, "all"));
    for (const [value, count] of [...counts].sort((a, b) => b[1] - a[1])) {
      menu.append(element("option", { value: JSON.stringify(value) }, `${value || "none"} (${count.toLocaleString("en")})`));
    }
    $("choices").append(element("label", {}, `${title} `, menu));
  }
}
SORTS.forEach(([, , words], place) => $("sort").append(element("option", { value: place }, words)));

const keep = () => {
  const chosen = [...document.querySelectorAll("[data-by]")].filter((menu) => menu.value).map((menu) => [at[menu.dataset.by], JSON.parse(menu.value)]);
  const limit = (id, otherwise) => ($(id).value === "" ? otherwise : Number($(id).value));
  const [from, to, doubt] = [limit("face-from", -Infinity), limit("face-to", Infinity), limit("doubt-from", -Infinity) / 100];
  return (row) => row[at.face] >= from && row[at.face] <= to && row[at.doubt] >= doubt &&
    chosen.every(([place, value]) => (Array.isArray(row[place]) ? row[place].includes(value) : row[place] === value));
};

const start = async () => {
  $("count").textContent = `${rows.length.toLocaleString("en")} tracks`;
  const { default: DataTable, set_or_remove_dark_class: followMode } = await import(MGST_DATATABLES);
  document.head.append(element("link", { rel: "stylesheet", href: MGST_DATATABLES_STYLE }));
  followMode();
  const text = DataTable.render.text().display;
  const render = {
    number: (number, kind, row) => (kind === "display" ? element("button", { type: "button", "data-track": number, "aria-label": `Film strip of ${row[at.video]}` }, sprite(number)).outerHTML : number),
    reasons: (reasons) => text(reasons.join(", ")),
    doubt: (value, kind) => (kind === "display" ? (100 * value).toFixed(1) : value),
    jitter: (value, kind) => (kind === "display" ? (100 * value).toFixed(2) : value),
    yaw: (value, kind) => value ?? (kind === "display" ? "" : -1000),
  };
  let filter = keep();
  const table = new DataTable("#list", {
    data: rows, deferRender: true, scroller: { rowHeight: 58 }, scrollY: "min(62vh, 40rem)", scrollX: true, autoWidth: false, orderClasses: false,
    layout: { topStart: null, topEnd: null, bottomStart: null, bottomEnd: null },
    order: [[listed.indexOf("attention"), "desc"]],
    columns: listed.map((name) => ({ title: LISTED[name] ?? name, data: at[name], className: name === "video" || name === "reasons" ? "long" : "", visible: name in LISTED, orderable: name !== "number",
      searchable: ["video", "method", "dataset", "split", "label", "reasons"].includes(name), render: render[name] ?? ((value, kind) => (kind === "display" ? text(value) : value)) })),
  });
  table.search.fixed("filters", (_, row) => filter(row));
  const update = () => {
    const numbers = table.rows({ search: "applied", order: "applied" }).indexes().toArray();
    if (numbers.length !== order.length || numbers.some((number, place) => number !== order[place])) reset(numbers);
  };
  table.on("order.dt search.dt", () => setTimeout(update));
  const apply = () => {
    filter = keep();
    const [name, direction] = SORTS[$("sort").value];
    table.search($("search").value).order([[listed.indexOf(name), direction]]).draw();
    update();
  };
  let typing;
  for (const kind of ["input", "change"]) {
    $("filters").addEventListener(kind, () => { clearTimeout(typing); typing = setTimeout(apply, 120); });
  }
  $("filters").addEventListener("reset", () => setTimeout(apply));
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  const view = (asList) => {
    $("list-view").hidden = !asList;
    $("wall").hidden = asList;
    $("as-list").setAttribute("aria-pressed", asList);
    $("as-wall").setAttribute("aria-pressed", !asList);
    if (asList) { table.columns.adjust(); table.scroller.measure(); } else layOut();
  };
  $("as-list").addEventListener("click", () => view(true));
  $("as-wall").addEventListener("click", () => view(false));
  reset(table.rows({ search: "applied", order: "applied" }).indexes().toArray());
  performance.mark("filters");
  document.documentElement.dataset.ready = "";
};
layOut();
performance.mark("tiles");
document.addEventListener("DOMContentLoaded", () => setTimeout(start));
