"use strict";
/* The interactive plot: every network as a mark, on axes that the reader chooses. It follows the table and leads it. */
const plot = (() => {
  const figure = document.getElementById("explore"), source = document.getElementById("explore-data");
  if (!board || !figure || !source) return null;
  const stage = document.getElementById("stage"), form = document.getElementById("axes"), live = figure.querySelector(".live");
  const data = JSON.parse(source.textContent), margin = { l: 58, r: 14, t: 8, b: 46 };
  const coarse = matchMedia("(pointer: coarse)").matches;
  const listeners = [];
  let view = null, points = [], home = null, at = -1;

  const axis = (side) => form.elements[side].value, logged = (side) => form.elements[`${side}log`].checked;
  const color = (name) => { const probe = document.createElement("i"); probe.style.color = `var(${name})`; figure.append(probe); const found = getComputedStyle(probe).color; probe.remove(); return found; };
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("$", "&#36;"); /* the last: not a formula */
  const scale = (side, value) => logged(side) ? Math.log10(value) : value;

  /* What is drawn */
  const collect = () => {
    const x = axis("x"), y = axis("y"), usable = (side, value) => value !== null && (!logged(side) || value > 0);
    points = board.rows.map((row) => ({ row, x: board.number(row, x), y: board.number(row, y), name: row.querySelector(".name").textContent }))
      .filter((point) => usable("x", point.x) && usable("y", point.y)).sort((a, b) => a.x - b.x);
  };
  const gates = (side) => data.gates.filter((gate) => gate.keys.includes(axis(side)));
  const levels = (side) => [data.levels[axis(side)], ...gates(side).map((gate) => gate.level)].filter((level) => level !== undefined);
  const span = (side) => {
    const values = points.map((point) => scale(side, point[side]));
    for (const level of levels(side)) if (!logged(side) || level > 0) values.push(scale(side, level));
    const low = Math.min(...values), high = Math.max(...values), room = 0.07 * (high - low) || 0.5;
    return [low - room, high + room];
  };
  /* The networks that no other beats in both figures; baselines do not count */
  const front = () => {
    const sign = (side) => board.atMost(axis(side)) ? 1 : -1;
    const known = points.filter((point) => !point.row.classList.contains("baseline") && !point.row.hidden).sort((a, b) => sign("x") * (a.x - b.x) || sign("y") * (a.y - b.y));
    let best = Infinity;
    return known.filter((point) => { const cost = sign("y") * point.y, better = cost < best; if (better) best = cost; return better; });
  };
  const pixel = (side, value) => {
    const [low, high] = view[side], share = (scale(side, value) - low) / (high - low);
    return side === "x" ? margin.l + share * (stage.clientWidth - margin.l - margin.r) : stage.clientHeight - margin.b - share * (stage.clientHeight - margin.t - margin.b);
  };
  const valueAt = (side, place) => {
    const [low, high] = view[side];
    const share = side === "x" ? (place - margin.l) / (stage.clientWidth - margin.l - margin.r) : (stage.clientHeight - margin.b - place) / (stage.clientHeight - margin.t - margin.b);
    const value = low + share * (high - low);
    return logged(side) ? 10 ** value : value;
  };
  const brush = document.createElement("canvas").getContext("2d");
  const width = (text) => { brush.font = `11px ${getComputedStyle(figure).fontFamily}`; return brush.measureText(text).width + 4; };
  /* Names where there is room for them, best rows first */
  const labels = () => {
    const taken = points.map((point) => [pixel("x", point.x) - 4, pixel("y", point.y) - 4, 8, 8]);
    const order = points.map((point, i) => i).filter((i) => !points[i].row.hidden).sort((a, b) => points[a].row.dataset.at - points[b].row.dataset.at).slice(0, 120);
    const text = points.map(() => ""), position = points.map(() => "top center");
    for (const i of order) {
      const name = points[i].name.length > 22 ? `${points[i].name.slice(0, 21)}…` : points[i].name, wide = width(name), x = pixel("x", points[i].x), y = pixel("y", points[i].y);
      const choices = [["middle right", x + 6, y - 7], ["middle left", x - 6 - wide, y - 7], ["top center", x - wide / 2, y - 19], ["bottom center", x - wide / 2, y + 6]];
      for (const [where, left, top] of choices) {
        const inside = left > margin.l && left + wide < stage.clientWidth - 2 && top > margin.t - 6 && top + 14 < stage.clientHeight - margin.b + 6;
        if (!inside || taken.some(([l, t, w, h], j) => j !== i && left < l + w && left + wide > l && top < t + h && top + 14 > t)) continue;
        taken.push([left, top, wide, 14]);
        text[i] = escaped(name);
        position[i] = where;
        break;
      }
    }
    return { text, position };
  };
  const marks = (ink) => {
    const base = points.map((point) => point.row.classList.contains("baseline")), named = form.elements.labels.checked ? labels() : null;
    return {
      x: points.map((point) => point.x), y: points.map((point) => point.y), customdata: points.map((point, i) => i), type: "scatter", hoverinfo: "none",
      mode: named ? "markers+text" : "markers", text: named?.text, textposition: named?.position, textfont: { size: 11, color: ink.ink }, cliponaxis: false,
      marker: { size: points.length > 150 ? 6 : 9, symbol: base.map((one) => one ? "square-open" : "circle"), color: base.map((one) => one ? ink.base : ink.mark), opacity: opacities(), line: { width: 1, color: ink.ground } },
    };
  };
  const opacities = () => points.map((point) => point.row.hidden ? 0.12 : 1);
  const line = (x, y, ink, more) => ({ x, y, type: "scatter", mode: "lines", hoverinfo: "skip", line: { color: ink, width: 1.2, ...more } });
  const curved = () => form.elements.curves.checked && axis("x") === data.x && axis("y") === data.y;
  const traces = (ink) => {
    const best = front(), picked = points.filter((point) => board.key(point.row) === board.picked());
    const joined = (side) => curved() ? data.curves.flatMap((curve) => [...curve[side], null]) : [];
    return [
      line(joined("x"), joined("y"), ink.curve, { width: 1 }),
      line(best.map((point) => point.x), best.map((point) => point.y), ink.front, { shape: board.atMost(axis("x")) ? "hv" : "vh" }),
      marks(ink),
      { x: picked.map((point) => point.x), y: picked.map((point) => point.y), type: "scatter", mode: "markers", hoverinfo: "skip", cliponaxis: false, marker: { size: 17, symbol: "circle-open", color: ink.ink, line: { width: 2 } } },
    ];
  };
  /* The label of a curve stands at its last point within the plot */
  const named = (curve, ink) => {
    const seen = (side, value) => { const place = scale(side, value); return place > view[side][0] && place < view[side][1]; };
    const last = curve.x.map((x, i) => i).filter((i) => seen("x", curve.x[i]) && seen("y", curve.y[i])).at(-1);
    return last === undefined ? null : { x: scale("x", curve.x[last]), y: scale("y", curve.y[last]), text: curve.label, showarrow: false, xanchor: "right", yanchor: "top", font: { size: 10, color: ink.muted } };
  };
  const heading = (side) => `${board.title(axis(side))}${board.unit(axis(side)) ? `, ${board.unit(axis(side))}` : ""}`;
  const layout = (ink) => {
    const one = (side) => ({ title: { text: escaped(heading(side)), standoff: 6 }, type: logged(side) ? "log" : "linear", range: [...view[side]], gridcolor: ink.rule, linecolor: ink.muted, zeroline: false, tickfont: { color: ink.muted }, dtick: logged(side) && view[side][1] - view[side][0] > 0.4 ? "D2" : undefined, exponentformat: "none", separatethousands: true, nticks: 9 });
    const level = data.levels[axis("y")];
    const rule = (side, at, ink, more) => ({ type: "line", [`${side}ref`]: side, [`${side}0`]: at, [`${side}1`]: at, ...(side === "y" ? { xref: "paper", x0: 0, x1: 1 } : { yref: "paper", y0: 0, y1: 1 }), line: { color: ink, width: 1, ...more }, layer: "below" });
    const barriers = ["x", "y"].flatMap((side) => gates(side).filter((gate) => !logged(side) || gate.level > 0).map((gate) => ({ side, gate })));
    const gateName = ({ side, gate }) => ({ text: escaped(gate.text), showarrow: false, font: { size: 10, color: ink.muted }, ...(side === "y" ? { xref: "paper", x: 0, xanchor: "left", yref: "y", y: scale("y", gate.level), yanchor: "bottom" } : { yref: "paper", y: 1, yanchor: "top", xref: "x", x: scale("x", gate.level), xanchor: "left" }) });
    const names = curved() ? data.curves.map((curve) => named(curve, ink)).filter(Boolean) : [];
    return {
      width: stage.clientWidth, height: stage.clientHeight, margin, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { family: getComputedStyle(figure).fontFamily, size: 12, color: ink.ink },
      separators: ".\u202f", showlegend: false, hovermode: "closest", hoverdistance: 14, dragmode: coarse ? false : "zoom", xaxis: one("x"), yaxis: one("y"), annotations: [...names, ...barriers.map(gateName)],
      shapes: [...(level === undefined ? [] : [rule("y", level, ink.base, { dash: "dash" })]), ...barriers.map(({ side, gate }) => rule(side, gate.level, ink.muted, { dash: "dot" }))],
    };
  };
  const inks = () => Object.fromEntries([["ink", "--ink"], ["muted", "--muted"], ["rule", "--fig-rule"], ["mark", "--fig-mark"], ["base", "--fig-base"], ["front", "--fig-front"], ["curve", "--fig-curve"], ["ground", "--raised"]].map(([name, variable]) => [name, color(variable)]));
  const draw = () => {
    const ink = inks();
    Plotly.react(stage, traces(ink), layout(ink), { displayModeBar: false, doubleClick: false, scrollZoom: false, responsive: false });
    figure.dataset.marks = points.length;
    for (const listener of listeners) listener();
  };
  const fit = () => { collect(); home = { x: span("x"), y: span("y") }; view = { ...home }; draw(); };
  const zoom = (factor) => {
    view = Object.fromEntries(["x", "y"].map((side) => { const [low, high] = view[side], middle = (low + high) / 2, half = factor * (high - low) / 2; return [side, [middle - half, middle + half]]; }));
    draw();
  };

  /* What the reader does */
  const describe = (i) => { const box = stage.getBoundingClientRect(); tip.show(board.describe(points[i].row), box.left + pixel("x", points[i].x), box.top + pixel("y", points[i].y)); };
  const listen = () => {
    stage.on("plotly_hover", (event) => { const found = event.points.find((point) => point.customdata !== undefined); if (found) describe(found.customdata); });
    stage.on("plotly_unhover", tip.hide);
    stage.on("plotly_click", (event) => { const found = event.points.find((point) => point.customdata !== undefined); if (found) { at = found.customdata; board.pick(board.key(points[at].row)); } });
    stage.on("plotly_doubleclick", fit);
    stage.on("plotly_relayout", (change) => {
      let moved = false;
      for (const side of ["x", "y"]) {
        const low = change[`${side}axis.range[0]`], high = change[`${side}axis.range[1]`];
        if (low !== undefined) { view[side] = [low, high]; moved = true; }
      }
      if (moved) draw();
    });
    stage.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (step) {
        const seen = points.map((point, i) => i).filter((i) => !points[i].row.hidden);
        if (!seen.length) return;
        at = seen[(seen.indexOf(at) + step + seen.length) % seen.length] ?? seen[0];
        describe(at);
      } else if (event.key === "Enter" && points[at]) board.pick(board.key(points[at].row), false);
      else if (event.key === "Escape") tip.hide();
      else return;
      event.preventDefault();
    });
    stage.addEventListener("blur", tip.hide);
    form.addEventListener("input", (event) => {
      if (["x", "y"].includes(event.target.name)) form.elements[`${event.target.name}log`].checked = wide(event.target.value);
      if (["labels", "curves"].includes(event.target.name)) draw(); else fit();
    });
    form.addEventListener("click", (event) => {
      const what = event.target.dataset?.zoom;
      if (what === "in") zoom(0.6); else if (what === "out") zoom(1 / 0.6); else if (what === "reset") fit();
    });
    document.addEventListener("board", (event) => { if (event.detail === "filter") refilter(); else draw(); });
    addEventListener("theme", draw);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    new ResizeObserver(() => { if (stage.clientWidth && stage.clientWidth !== stage._fullLayout?.width) draw(); }).observe(stage);
  };
  /* A filter dims marks at once; the front, and names, are drawn when the reader pauses: drawing takes long */
  let pause = 0;
  const refilter = () => {
    const shown = opacities(), drawn = [...stage.querySelectorAll(".scatterlayer .trace")].map((trace) => trace.querySelectorAll(".points path"));
    drawn.find((nodes) => nodes.length === shown.length)?.forEach((node, i) => { if (node.style.opacity !== String(shown[i])) node.style.opacity = shown[i]; });
    stage.data[2].marker.opacity = shown;
    for (const listener of listeners) listener();
    clearTimeout(pause);
    pause = setTimeout(draw, 120);
  };
  /* A figure that spans more than a factor of ten is shown on a logarithmic axis at first */
  const wide = (key) => { const values = board.rows.map((row) => board.number(row, key)).filter((value) => value > 0); return values.length > 1 && Math.max(...values) / Math.min(...values) > 10 && !key.startsWith("delta"); };
  const begin = () => {
    if (!window.Plotly || figure.classList.contains("drawn")) return;
    for (const side of ["x", "y"]) {
      form.elements[side].replaceChildren(...board.axes.map((key) => new Option(heading_of(key), key)));
      form.elements[side].value = board.axes.includes(data[side]) ? data[side] : board.axes[side === "x" ? 0 : 1] ?? board.axes[0];
      form.elements[`${side}log`].checked = wide(axis(side));
    }
    form.elements.labels.checked = board.rows.length <= 40;
    live.hidden = false;
    figure.classList.add("drawn");
    fit();
    listen();
  };
  const heading_of = (key) => `${board.title(key)}${board.unit(key) ? `, ${board.unit(key)}` : ""}`;
  const library = document.getElementById("library");
  const started = { begin, stage, margin, pixel, valueAt, axis, view: () => view, changed: (listener) => { listeners.push(listener); }, name: (side) => heading_of(axis(side)) };
  setTimeout(() => { if (window.Plotly) begin(); else library.addEventListener("load", begin); });
  return started;
})();
