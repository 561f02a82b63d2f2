"use strict";
(() => {
  const form = document.getElementById("filter");
  if (!form) return;
  const step = 100;
  const rows = [...document.getElementById("answers").tBodies[0].rows];
  const pictures = JSON.parse(document.getElementById("pictures").textContent);
  const more = document.getElementById("more");
  const { task, arm, side, text, count } = form.elements;
  const texts = new Map();
  let limit = step;

  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  const fits = (row, wanted) =>
    (!task.value || row.dataset.task === task.value) &&
    (!arm.value || row.dataset.arm === arm.value) &&
    (!side.value || row.dataset.side === side.value) &&
    (!wanted || textOf(row).includes(wanted));

  const show = (row) => {
    row.hidden = false;
    const image = row.querySelector("img[data-image]");
    if (image && !image.src && pictures[image.dataset.image]) {
      image.src = pictures[image.dataset.image];
      image.hidden = false;
    }
  };

  const update = () => {
    const wanted = text.value.trim().toLowerCase();
    const fitting = new Set(rows.filter((row) => fits(row, wanted)));
    const shown = new Set([...fitting].slice(0, limit));
    for (const row of rows) {
      if (shown.has(row)) show(row);
      else row.hidden = true;
    }
    const rest = fitting.size - shown.size;
    more.hidden = rest === 0;
    more.textContent = `Show ${Math.min(step, rest)} more`;
    count.value =
      `${fitting.size.toLocaleString("en")} of ${rows.length.toLocaleString("en")} changed answers` +
      (rest ? `, the first ${shown.size} shown` : "");
  };

  const restart = () => {
    limit = step;
    update();
  };

  for (const select of [task, arm, side]) select.addEventListener("change", restart);
  text.addEventListener("input", restart);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The controls have their old values until the reset is over.
  form.addEventListener("reset", () => setTimeout(restart));
  more.addEventListener("click", () => {
    limit += step;
    update();
  });
  form.hidden = false;
  update();
})();
