"use strict";
/* The table: sorting, filters, columns; what was chosen is in the address, so that a link shows the same view. */
const board = (() => {
  const table = document.getElementById("board"), form = document.getElementById("controls");
  if (!table) return null;
  const body = document.body, tbody = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key), at = (key) => keys.indexOf(key);
  const unscored = [...document.querySelectorAll("#unscored-rows > tr")];
  const fresh = () => ({ sort: "rank", dir: "ascending", q: "", status: "", team: "", fps: "", pareto: false, baselines: true, hide: [], limits: {}, row: "" });
  let state = fresh();
  const budgets = ["runtime_ms", "params_k", "macs_g"];

  /* Reading a cell */
  const raw = (row, index) => row.cells[index].dataset.v;
  const number = (row, index) => { const value = raw(row, index); return value === undefined ? null : Number(value); };

  /* Sorting: stable, rows without a value last */
  const collator = new Intl.Collator(undefined, { numeric: true });
  const sort = () => {
    const index = at(state.sort), text = state.sort === "model", sign = state.dir === "ascending" ? 1 : -1;
    const rows = [...tbody.rows].map((row) => [text ? raw(row, index) : number(row, index), Number(row.dataset.at), row]);
    const compare = text ? collator.compare : (a, b) => a - b;
    rows.sort(([a, i], [b, j]) => a === null || b === null ? (a === null) - (b === null) || i - j : sign * compare(a, b) || i - j);
    const before = [...tbody.rows];
    if (rows.some((entry, place) => entry[2] !== before[place])) tbody.append(...rows.map((entry) => entry[2]));
    heads.forEach((head, i) => i === index ? head.setAttribute("aria-sort", state.dir) : head.removeAttribute("aria-sort"));
    body.dataset.order = state.sort === "rank" && state.dir === "ascending" ? "rank" : "other";
    reach = step;
    reveal();
  };

  /* A long table shows its first rows, and more as one scrolls: laying out thousands of cells takes a browser long */
  const step = 80, more = document.getElementById("more");
  let reach = step;
  const reveal = () => {
    let place = 0;
    for (const row of tbody.rows) row.classList.toggle("later", !row.hidden && ++place > reach);
    more.hidden = place <= reach;
  };
  new IntersectionObserver((seen) => {
    if (more.hidden || !seen.some((entry) => entry.isIntersecting)) return;
    reach += step;
    reveal();
  }, { rootMargin: "600px" }).observe(more);
  addEventListener("beforeprint", () => { reach = Infinity; reveal(); });

  /* Filters */
  const passes = (row) => {
    const fps = number(row, at("fps"));
    return (state.status === "" || state.status === "ok")
      && (state.baselines || !row.classList.contains("baseline"))
      && (!state.pareto || row.hasAttribute("data-pareto"))
      && (state.fps === "" || (fps !== null && fps >= Number(state.fps)))
      && Object.entries(state.limits).every(([key, limit]) => { const value = number(row, at(key)); return value !== null && value <= limit; })
      && says(row);
  };
  const says = (row) => (state.team === "" || row.dataset.team === state.team)
    && row.dataset.find.includes(state.q.trim().toLocaleLowerCase());
  const filter = () => {
    let shown = 0;
    for (const row of tbody.rows) { row.hidden = !passes(row); shown += !row.hidden; }
    reach = step;
    reveal();
    for (const row of unscored) row.hidden = !says(row) || !["", row.dataset.status].includes(state.status);
    document.getElementById("count").textContent = `${shown} of ${tbody.rows.length} scored rows`;
    for (const mark of document.querySelectorAll("[data-row]")) mark.classList.toggle("dim", document.getElementById(mark.dataset.row)?.hidden ?? false);
  };

  /* Columns */
  const sheet = document.head.appendChild(document.createElement("style"));
  const columns = () => {
    sheet.textContent = state.hide.map((key) => `#board tr > :nth-child(${at(key) + 1}) { display: none; }`).join("\n");
  };

  /* Budgets: a logarithmic slider from the smallest to the largest figure of its column */
  const spans = new Map(budgets.map((key) => {
    const values = [...tbody.rows].map((row) => number(row, at(key))).filter((value) => value > 0);
    return [key, values.length ? [Math.min(...values), Math.max(...values)] : null];
  }));
  const limitAt = (key, place) => {
    const [low, high] = spans.get(key), exact = low * (high / low) ** (place / 100), unit = 10 ** (Math.floor(Math.log10(exact)) - 2);
    return Number((Math.ceil(exact / unit) * unit).toPrecision(3)); /* upwards, so that the smallest figure stays within */
  };
  const placeOf = (key, limit) => { const [low, high] = spans.get(key); return high > low ? Math.round(100 * Math.log(limit / low) / Math.log(high / low)) : 100; };

  /* The address */
  const write = () => {
    const words = new URLSearchParams();
    if (state.sort !== "rank" || state.dir !== "ascending") { words.set("sort", state.sort); words.set("dir", state.dir); }
    for (const key of ["q", "status", "team", "fps", "row"]) if (state[key]) words.set(key, state[key]);
    if (state.pareto) words.set("pareto", "1");
    if (!state.baselines) words.set("baselines", "0");
    if (state.hide.length) words.set("hide", state.hide.join(","));
    for (const [key, limit] of Object.entries(state.limits)) words.set(key, String(limit));
    const hash = words.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };
  const read = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    state = fresh();
    if (!location.hash.includes("=")) return;
    if (keys.includes(words.get("sort"))) state.sort = words.get("sort");
    if (words.get("dir") === "descending" || words.get("dir") === "ascending") state.dir = words.get("dir");
    for (const key of ["q", "status", "team", "fps", "row"]) state[key] = words.get(key) ?? "";
    state.pareto = words.get("pareto") === "1";
    state.baselines = words.get("baselines") !== "0";
    state.hide = (words.get("hide") ?? "").split(",").filter((key) => keys.includes(key) && key !== "model");
    for (const key of budgets) if (Number(words.get(key)) > 0 && spans.get(key)) state.limits[key] = Number(words.get(key));
  };

  /* Controls show the state, and change it */
  const mirror = () => {
    for (const name of ["q", "status", "team", "fps"]) if (form.elements[name]) form.elements[name].value = state[name];
    form.elements.pareto.checked = state.pareto;
    form.elements.baselines.checked = state.baselines;
    for (const box of form.querySelectorAll("[name=column]")) box.checked = !state.hide.includes(box.value);
    for (const key of budgets) {
      const slider = form.elements[key], limit = state.limits[key];
      slider.value = limit === undefined ? 100 : placeOf(key, limit);
      slider.nextElementSibling.textContent = limit === undefined ? "any" : `≤ ${limit}`;
    }
  };
  const change = () => {
    for (const name of ["q", "status", "team", "fps"]) if (form.elements[name]) state[name] = form.elements[name].value;
    state.pareto = form.elements.pareto.checked;
    state.baselines = form.elements.baselines.checked;
    state.hide = [...form.querySelectorAll("[name=column]")].filter((box) => !box.checked).map((box) => box.value);
    state.limits = Object.fromEntries(budgets.filter((key) => spans.get(key) && Number(form.elements[key].value) < 100)
      .map((key) => [key, limitAt(key, Number(form.elements[key].value))]));
    mirror(); filter(); columns(); write();
  };
  const light = () => {
    for (const row of tbody.querySelectorAll(".lit")) row.classList.remove("lit");
    const row = state.row && document.getElementById(state.row);
    if (row) { if (row.classList.contains("later")) { reach = Infinity; reveal(); } row.classList.add("lit"); row.scrollIntoView({ block: "center" }); }
  };
  const apply = () => { read(); mirror(); sort(); filter(); columns(); light(); table.classList.remove("fresh"); };

  heads.forEach((head, index) => {
    const control = document.createElement("button"), unit = head.querySelector(".unit");
    control.type = "button";
    control.append(...[...head.childNodes].filter((node) => node !== unit));
    head.prepend(control);
    control.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      state.sort = keys[index];
      state.dir = now === null ? head.dataset.first : now === "ascending" ? "descending" : "ascending";
      sort(); write();
    });
  });
  for (const key of budgets) form.elements[key].closest("label").hidden = !spans.get(key);
  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); history.replaceState(null, "", location.pathname + location.search); apply(); });
  form.hidden = false;
  addEventListener("hashchange", apply);
  apply();

  /* What is seen, for copying */
  const shown = () => {
    const visible = keys.map((key, index) => index).filter((index) => !state.hide.includes(keys[index]));
    const cell = (row, index) => {
      const place = row.cells[index];
      return { text: (place.querySelector(".n, .name") ?? place).textContent.trim(), raw: place.dataset.v ?? "", place: place.classList.contains("best") ? 1 : place.classList.contains("second-best") ? 2 : 0 };
    };
    return {
      heads: visible.map((index) => ({ key: keys[index], title: heads[index].querySelector("button").textContent.trim(), unit: heads[index].querySelector(".unit")?.textContent.trim() ?? "" })),
      rows: [...tbody.rows].filter((row) => !row.hidden).map((row) => visible.map((index) => cell(row, index))),
    };
  };
  const pick = (anchor) => { state.row = anchor; write(); light(); };
  return { shown, pick };
})();
