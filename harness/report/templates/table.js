"use strict";
/* The table: sorting, filters, columns; what was chosen is in the address, so that a link shows the same view. */
const board = (() => {
  const table = document.getElementById("board"), form = document.getElementById("controls");
  if (!table) return null;
  const body = document.body, tbody = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  const keys = heads.map((head) => head.dataset.key), at = (key) => keys.indexOf(key);
  const unscored = [...document.querySelectorAll("#unscored-rows > tr[id]")], causes = [...document.querySelectorAll("#unscored-rows > tr.cause")];
  const rows = [...tbody.rows], secondary = keys.filter((key, i) => "secondary" in heads[i].dataset);
  const fields = [...form.querySelectorAll("[name=limit]")], limitable = fields.map((field) => field.dataset.key);
  const fresh = () => ({ sort: "rank", dir: "ascending", q: "", status: "", team: "", pareto: false, baselines: true, hide: [...secondary], limits: {}, row: "" });
  let state = fresh();
  const say = (what) => document.dispatchEvent(new CustomEvent("board", { detail: what }));

  /* Reading cells: once, as it is done for every row whenever a limit moves. The rows come in the order of rank. */
  rows.forEach((row, place) => {
    row.dataset.at = place;
    row.cells[at("rank")].dataset.v = place;
    if (row.dataset.ties) row.cells[at("rank")].title = `cannot be told apart from ${row.dataset.ties} other${row.dataset.ties === "1" ? "" : "s"}`;
  });
  const raw = (row, index) => row.cells[index].dataset.v;
  const cache = new Map(rows.map((row) => [row, new Map(keys.map((key, i) => [key, raw(row, i)]).filter(([, text]) => text !== undefined).map(([key, text]) => [key, Number(text)]))]));
  const naming = (row) => row.querySelector(".name").textContent;
  const number = (row, key) => cache.get(row)?.get(key) ?? null;
  const words = new Map([...rows, ...unscored].map((row) => [row, `${naming(row)} ${row.dataset.team ?? ""}`.toLocaleLowerCase()]));

  /* Sorting: stable, rows without a value last */
  const collator = new Intl.Collator(undefined, { numeric: true });
  const sort = () => {
    const text = state.sort === "model", sign = state.dir === "ascending" ? 1 : -1;
    const found = [...tbody.rows].map((row) => [text ? naming(row) : number(row, state.sort), Number(row.dataset.at), row]);
    const compare = text ? collator.compare : (a, b) => a - b;
    found.sort(([a, i], [b, j]) => a === null || b === null ? (a === null) - (b === null) || i - j : sign * compare(a, b) || i - j);
    const before = [...tbody.rows];
    if (found.some((entry, place) => entry[2] !== before[place])) tbody.append(...found.map((entry) => entry[2]));
    heads.forEach((head, i) => i === at(state.sort) ? head.setAttribute("aria-sort", state.dir) : head.removeAttribute("aria-sort"));
    body.dataset.order = state.sort === "rank" && state.dir === "ascending" ? "rank" : "other";
    reach = step;
    reveal();
  };

  /* A long table shows its first rows, and the others when asked to: so the wheel reaches what is below the table */
  const step = 80, more = document.getElementById("more");
  let reach = step;
  const reveal = () => {
    let place = 0;
    for (const row of tbody.rows) row.classList.toggle("later", !row.hidden && ++place > reach);
    more.hidden = place <= reach;
    more.firstElementChild.textContent = `Show ${place - reach} more rows`;
  };
  const all = () => { reach = Infinity; reveal(); };
  more.firstElementChild.addEventListener("click", all);
  addEventListener("beforeprint", all);

  /* Filters */
  const marks = Map.groupBy(document.querySelectorAll("[data-row]"), (mark) => mark.dataset.row);
  const atMost = (key) => heads[at(key)].dataset.better === "low";
  const within = (value, key, limit) => value !== null && (atMost(key) ? value <= limit : value >= limit);
  const says = (row) => (state.team === "" || row.dataset.team === state.team) && words.get(row).includes(state.q.trim().toLocaleLowerCase());
  const passes = (row) => (state.status === "" || state.status === "ok")
    && (state.baselines || !row.classList.contains("baseline"))
    && (!state.pareto || row.hasAttribute("data-pareto"))
    && Object.entries(state.limits).every(([key, limit]) => within(number(row, key), key, limit))
    && says(row);
  const filter = () => {
    let shown = 0;
    for (const row of rows) {
      const hidden = !passes(row);
      shown += !hidden;
      if (hidden === row.hidden) continue; /* touching what stays the same costs the browser most */
      row.hidden = hidden;
      for (const mark of marks.get(row.id) ?? []) mark.classList.toggle("dim", hidden);
    }
    reach = step;
    reveal();
    for (const row of unscored) row.hidden = !says(row) || !["", row.dataset.status].includes(state.status);
    for (const cause of causes) { let row = cause.nextElementSibling, any = false; for (; row?.id; row = row.nextElementSibling) any ||= !row.hidden; cause.hidden = !any; }
    document.getElementById("none").hidden = shown > 0;
    document.getElementById("count").textContent = `${shown} of ${rows.length} rows`;
    const active = Object.keys(state.limits).length + (state.team !== "") + (state.status !== "");
    document.getElementById("active").textContent = active ? ` (${active})` : "";
    say("filter");
  };

  /* Columns */
  const sheet = document.head.appendChild(document.createElement("style"));
  const columns = () => {
    sheet.textContent = state.hide.map((key) => `#board tr > :nth-child(${at(key) + 1}) { display: none; }`).join("\n");
    fit();
  };
  /* A table that fits has a head that stays in view; a wider one scrolls sideways inside, and its head is moved along */
  const box = table.closest(".board"), bar = document.querySelector(".contents");
  const fit = () => { box.classList.remove("fits"); box.classList.toggle("fits", table.offsetWidth <= box.clientWidth); follow(); };
  const follow = () => {
    const past = box.classList.contains("fits") ? 0 : bar.getBoundingClientRect().bottom - box.getBoundingClientRect().top;
    const most = box.offsetHeight - 2 * table.tHead.offsetHeight;
    table.tHead.style.setProperty("--past", `${Math.max(0, Math.min(most, past))}px`);
  };
  addEventListener("scroll", follow, { passive: true });
  addEventListener("resize", fit);

  /* The address */
  const write = () => {
    const found = new URLSearchParams();
    if (state.sort !== "rank" || state.dir !== "ascending") { found.set("sort", state.sort); found.set("dir", state.dir); }
    for (const key of ["q", "status", "team", "row"]) if (state[key]) found.set(key, state[key]);
    if (state.pareto) found.set("pareto", "1");
    if (!state.baselines) found.set("baselines", "0");
    if (state.hide.join() !== secondary.join()) found.set("hide", state.hide.join(","));
    for (const [key, limit] of Object.entries(state.limits)) found.set(key, String(limit));
    const hash = found.toString();
    if (hash !== location.hash.slice(1)) history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  };
  const read = () => {
    const found = new URLSearchParams(location.hash.slice(1));
    state = fresh();
    if (!location.hash.includes("=")) return;
    if (keys.includes(found.get("sort"))) state.sort = found.get("sort");
    if (found.get("dir") === "descending" || found.get("dir") === "ascending") state.dir = found.get("dir");
    for (const key of ["q", "status", "team", "row"]) state[key] = found.get(key) ?? "";
    state.pareto = found.get("pareto") === "1";
    state.baselines = found.get("baselines") !== "0";
    if (found.has("hide")) state.hide = keys.filter((key) => found.get("hide").split(",").includes(key) && key !== "model");
    for (const key of limitable) if (found.has(key) && found.get(key) !== "" && Number.isFinite(Number(found.get(key)))) state.limits[key] = Number(found.get(key));
  };

  /* Controls show the state, and change it */
  const mirror = () => {
    for (const name of ["q", "status", "team"]) form.elements[name].value = state[name];
    form.elements.pareto.checked = state.pareto;
    form.elements.baselines.checked = state.baselines;
    for (const item of form.querySelectorAll("[name=column]")) item.checked = !state.hide.includes(item.value);
    for (const field of fields) if (field !== document.activeElement) field.value = state.limits[field.dataset.key] ?? "";
  };
  const change = () => {
    for (const name of ["q", "status", "team"]) state[name] = form.elements[name].value;
    state.pareto = form.elements.pareto.checked;
    state.baselines = form.elements.baselines.checked;
    const hide = [...form.querySelectorAll("[name=column]")].filter((item) => !item.checked).map((item) => item.value);
    const moved = hide.join() !== state.hide.join();
    state.hide = hide;
    state.limits = Object.fromEntries(fields.filter((field) => field.value !== "" && Number.isFinite(field.valueAsNumber)).map((field) => [field.dataset.key, field.valueAsNumber]));
    filter(); write();
    if (moved) columns();
  };
  const limit = (key, value) => {
    if (value === null) delete state.limits[key]; else state.limits[key] = value;
    mirror(); filter(); write();
  };
  const light = (scroll) => {
    for (const row of tbody.querySelectorAll(".lit")) { row.classList.remove("lit"); row.removeAttribute("aria-current"); }
    const row = state.row && (document.getElementById(`m-${state.row}`) ?? document.getElementById(`u-${state.row}`));
    if (row) {
      if (row.classList.contains("later")) all();
      row.classList.add("lit");
      row.setAttribute("aria-current", "true");
      if (scroll) row.scrollIntoView({ block: "center" });
    }
    say("pick");
  };
  const apply = () => { read(); mirror(); sort(); filter(); columns(); light(true); table.classList.remove("fresh"); };

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
  for (const field of fields) field.closest("label").hidden = !rows.some((row) => number(row, field.dataset.key) !== null);
  const reset = () => { history.replaceState(null, "", location.pathname + location.search); apply(); };
  form.addEventListener("input", change);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); document.activeElement.blur(); reset(); });
  document.querySelector("#none button").addEventListener("click", reset);
  form.querySelector("[data-columns]").addEventListener("click", () => { for (const item of form.querySelectorAll("[name=column]")) item.checked = true; change(); });
  form.hidden = false;
  addEventListener("hashchange", () => { if (location.hash.includes("=")) apply(); });
  apply();

  const rank = (row) => row.cells[at("rank")].firstChild?.textContent.trim() ?? "";
  /* What is seen, for copying */
  const shown = () => {
    const visible = keys.map((key, index) => index).filter((index) => !state.hide.includes(keys[index]));
    const cell = (row, index) => {
      const place = row.cells[index], text = keys[index] === "rank" ? rank(row) : (place.querySelector(".n, .name") ?? place).textContent.trim();
      return { text, raw: place.dataset.v ?? "", place: place.classList.contains("best") ? 1 : place.classList.contains("second-best") ? 2 : 0 };
    };
    return {
      heads: visible.map((index) => ({ key: keys[index], title: heads[index].querySelector("button").textContent.trim(), unit: heads[index].querySelector(".unit")?.textContent.trim() ?? "" })),
      rows: [...tbody.rows].filter((row) => !row.hidden).map((row) => visible.map((index) => cell(row, index))),
    };
  };
  const pick = (key, scroll = true) => { state.row = key; write(); light(scroll); };
  const title = (key) => heads[at(key)].querySelector("button").textContent.trim();
  const unit = (key) => heads[at(key)].querySelector(".unit")?.textContent.trim() ?? "";
  /* The figures of a row in words, for the boxes that appear under the pointer */
  const describe = (row) => [row.querySelector(".name").textContent, ...keys.map((key, index) => {
    const text = ["model", "reparam"].includes(key) ? "" : key === "rank" ? rank(row) : (row.cells[index].querySelector(".n") ?? row.cells[index]).textContent.trim();
    return text && text !== "–" ? `${key === "rank" ? "Rank" : title(key)}  ${text} ${unit(key)}`.trim() : "";
  }).filter(Boolean)].join("\n");
  return {
    shown, pick, limit, rows, number, title, unit, atMost, describe,
    key: (row) => row.id.slice(2),
    limits: () => state.limits,
    picked: () => state.row,
    axes: keys.filter((key) => !["rank", "model", "reparam"].includes(key) && rows.some((row) => number(row, key) !== null)),
    limitable,
  };
})();
