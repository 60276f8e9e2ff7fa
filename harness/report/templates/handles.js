"use strict";
/* Limits as lines over the plot: dragged or moved with the arrow keys, they filter the table. */
(() => {
  if (!plot) return;
  const stage = plot.stage.parentElement;
  for (const side of ["x", "y"]) {
    const grip = stage.querySelector(`.limit.${side}`);
    const size = () => side === "x" ? [plot.margin.l, plot.stage.clientWidth - plot.margin.r] : [plot.margin.t, plot.stage.clientHeight - plot.margin.b];
    const open = () => { const [low, high] = size(), most = board.atMost(plot.axis(side)); return (side === "x") === most ? high : low; }; /* where a limit excludes nothing */
    const limit = () => board.limits()[plot.axis(side)];
    const place = () => { const [low, high] = size(); return limit() === undefined ? open() : Math.max(low, Math.min(high, plot.pixel(side, limit()))); };
    const draw = () => {
      const key = plot.axis(side), able = board.limitable.includes(key), [low, high] = size();
      grip.hidden = !able;
      if (!able) return;
      grip.style.setProperty("--at", `${place()}px`);
      const away = Math.abs(open() - place());
      grip.style.setProperty("--cut", `${away}px`);
      grip.classList.toggle("far", open() === high);
      grip.classList.toggle("set", limit() !== undefined);
      grip.setAttribute("aria-label", `Limit of ${plot.name(side)}`);
      grip.setAttribute("aria-valuenow", String(Math.round(100 * (side === "x" ? place() - low : high - place()) / (high - low))));
      grip.setAttribute("aria-valuetext", limit() === undefined ? "no limit" : `${board.atMost(key) ? "at most" : "at least"} ${limit()}`);
      grip.title = limit() === undefined ? `Drag to limit ${plot.name(side)}` : `${board.atMost(key) ? "≤" : "≥"} ${limit()}`;
    };
    const rounded = (value) => Number(value.toPrecision(4));
    const move = (to) => {
      const [low, high] = size(), inside = Math.max(low, Math.min(high, to));
      board.limit(plot.axis(side), Math.abs(inside - open()) < 3 ? null : rounded(plot.valueAt(side, inside)));
    };
    let held = false, queued = null;
    grip.addEventListener("pointerdown", (event) => { held = true; grip.setPointerCapture(event.pointerId); event.preventDefault(); grip.focus(); });
    grip.addEventListener("pointermove", (event) => {
      if (!held) return;
      const box = plot.stage.getBoundingClientRect(), to = side === "x" ? event.clientX - box.left : event.clientY - box.top;
      if (queued === null) requestAnimationFrame(() => { move(queued); queued = null; });
      queued = to;
    });
    for (const name of ["pointerup", "pointercancel"]) grip.addEventListener(name, () => { held = false; });
    grip.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 4, ArrowUp: side === "x" ? 4 : -4, ArrowLeft: -4, ArrowDown: side === "x" ? -4 : 4 }[event.key];
      if (step) move(place() + step);
      else if (event.key === "Delete" || event.key === "Backspace") board.limit(plot.axis(side), null);
      else return;
      event.preventDefault();
    });
    plot.changed(draw);
  }
})();
