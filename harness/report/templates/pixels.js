"use strict";
/* Pictures of one piece: all zoomed and moved together, two of them under a slider, or their errors on one scale. */
(() => {
  const main = document.getElementById("pixels"), form = document.getElementById("view"), duel = document.getElementById("duel");
  const slider = duel.querySelector("input"), sections = [...document.querySelectorAll(".piece")];
  if (!sections.length) return;
  const sides = { left: duel.querySelector("[data-side=left]"), right: duel.querySelector("[data-side=right]") };
  const items = () => [...current().querySelectorAll("li")];
  const current = () => sections.find((section) => section.dataset.piece === form.elements.piece.value) ?? sections[0];
  const item = (key) => items().find((one) => one.dataset.key === key);
  const title = (one) => one.querySelector(".name").textContent;
  let place = { x: 0, y: 0 };

  /* The error is |picture - truth|: the truth laid over it in difference mode, then brightened */
  const dress = (shot, image, truth) => {
    const error = form.elements.error.checked;
    shot.classList.toggle("error", error);
    for (const old of shot.querySelectorAll(".truth")) old.remove();
    if (!error || !image || image.src === truth.src) { shot.classList.toggle("exact", error); return; }
    shot.classList.remove("exact");
    const over = truth.cloneNode();
    over.classList.add("truth");
    over.alt = "";
    over.loading = "eager";
    shot.append(over);
  };
  const fill = (shot, one) => {
    const image = one.querySelector("img").cloneNode();
    image.loading = "eager";
    shot.replaceChildren(image);
    return image;
  };
  const options = () => {
    for (const [name, fallback] of [["left", "reference"], ["right", items()[2]?.dataset.key ?? "hr"]]) {
      const select = form.elements[name], before = select.value;
      select.replaceChildren(...items().map((one) => new Option(title(one), one.dataset.key)));
      select.value = item(before) ? before : fallback;
    }
  };
  const draw = () => {
    for (const section of sections) section.hidden = section !== current();
    const truth = item("hr").querySelector("img");
    for (const one of items()) dress(one.querySelector(".shot"), one.querySelector("img"), truth);
    const names = duel.querySelectorAll(".sides bdi");
    ["left", "right"].forEach((side, at) => {
      const one = item(form.elements[side].value);
      dress(sides[side], fill(sides[side], one), truth);
      names[at].textContent = title(one);
    });
    const zoom = Number(form.elements.zoom.value);
    form.elements.zoom.nextElementSibling.textContent = `${zoom}×`;
    main.style.setProperty("--zoom", zoom);
    move(0, 0);
    write();
  };
  const move = (dx, dy) => {
    const room = 50 * (1 - 1 / Number(form.elements.zoom.value));
    place = { x: Math.max(-room, Math.min(room, place.x + dx)), y: Math.max(-room, Math.min(room, place.y + dy)) };
    main.style.setProperty("--x", `${place.x}%`);
    main.style.setProperty("--y", `${place.y}%`);
  };
  const cut = () => { duel.style.setProperty("--cut", `${slider.value}%`); };

  const write = () => {
    const words = new URLSearchParams();
    for (const name of ["piece", "left", "right", "zoom"]) words.set(name, form.elements[name].value);
    if (form.elements.error.checked) words.set("error", "1");
    history.replaceState(null, "", `#${words}`);
  };
  const read = () => {
    const words = new URLSearchParams(location.hash.slice(1));
    if (sections.some((section) => section.dataset.piece === words.get("piece"))) form.elements.piece.value = words.get("piece");
    options();
    for (const side of ["left", "right"]) if (item(words.get(side))) form.elements[side].value = words.get(side);
    if (words.get("zoom")) form.elements.zoom.value = words.get("zoom");
    form.elements.error.checked = words.get("error") === "1";
  };

  form.addEventListener("input", (event) => { if (event.target.name === "piece") options(); draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());
  slider.addEventListener("input", cut);
  let drag = null;
  main.addEventListener("pointerdown", (event) => {
    const shot = event.target.closest(".shot");
    if (!shot) return;
    drag = { x: event.clientX, y: event.clientY, far: 0, shot };
    event.preventDefault();
  });
  addEventListener("pointermove", (event) => {
    if (!drag) return;
    const dx = event.clientX - drag.x, dy = event.clientY - drag.y, unit = 100 / (drag.shot.clientWidth * Number(form.elements.zoom.value));
    drag = { ...drag, x: event.clientX, y: event.clientY, far: drag.far + Math.abs(dx) + Math.abs(dy) };
    move(dx * unit, dy * unit);
  });
  addEventListener("pointerup", () => {
    const one = drag && drag.far < 4 ? drag.shot.closest("li") : null;
    drag = null;
    if (one) { form.elements.right.value = one.dataset.key; draw(); }
  });
  addEventListener("hashchange", () => { read(); draw(); });

  form.hidden = false;
  duel.hidden = false;
  read(); draw(); cut();
})();
