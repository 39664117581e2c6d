// Makes pages livelier; each works without it. It never sends anything by itself.
"use strict";

const language = document.documentElement.lang || "en";

function unit(number, name) {
  const style = { style: "unit", unit: name, unitDisplay: "long" };
  return new Intl.NumberFormat(language, style).format(number);
}

// The two largest units, as the page itself writes them; seconds in the last hour.
function span(seconds) {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  let parts;
  if (days) parts = [[days, "day"], [hours, "hour"]];
  else if (hours) parts = [[hours, "hour"], [minutes, "minute"]];
  else parts = [[minutes, "minute"], [seconds % 60, "second"]];
  const words = parts.filter(([number]) => number).map(([number, name]) => unit(number, name));
  return language.startsWith("zh") ? words.join("").replace(/\s/g, "") : words.join(" ");
}

function countDown(element) {
  // What the server's clock said when it made the page; this machine's may be wrong.
  const ahead = Date.parse(element.dataset.now) - Date.now();
  const until = Date.parse(element.dataset.until);
  function show() {
    const left = Math.floor((until - Date.now() - ahead) / 1000);
    const text = left > 0 ? element.dataset.in.replace("{}", span(left)) : element.dataset.over;
    if (element.textContent !== text) element.textContent = text;
    if (left > 0) setTimeout(show, 1000);
  }
  show();
}

function filterLive(field, rows, status) {
  const shown = status && status.dataset.shown;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    const digits = wanted.replace(/[\s:]/g, "");
    let count = 0;
    for (const row of rows) {
      const text = row.dataset.row.toLowerCase();
      row.hidden = !(text.includes(wanted) || (digits && text.includes(digits)));
      if (!row.hidden) count += 1;
    }
    if (shown) status.textContent = shown.replace("{}", count);
  });
}

function pickMany(list, rows, picks) {
  const status = picks.querySelector("[data-ticked]");
  const boxes = rows.map((row) => row.querySelector("input[type=checkbox]")).filter(Boolean);
  function say() {
    const ticked = boxes.filter((box) => box.checked).length;
    status.textContent = status.dataset.ticked.replace("{}", ticked);
  }
  picks.addEventListener("click", (event) => {
    const pick = event.target.dataset.pick;
    if (!pick) return;
    for (const box of boxes) {
      if (pick === "none") box.checked = false;
      else if (!box.closest("[data-row]").hidden) box.checked = true;
    }
    say();
  });
  list.addEventListener("change", say);
  picks.hidden = false;
  say();
}

const again = document.querySelector("[data-again]");
if (again) setTimeout(() => location.reload(), Number(again.dataset.again));
for (const element of document.querySelectorAll("[data-until]")) countDown(element);
for (const list of document.querySelectorAll("[data-choices]")) {
  const rows = [...list.querySelectorAll("[data-row]")];
  const field = document.getElementById("find");
  if (field) filterLive(field, rows, document.querySelector(".sifted"));
  const picks = list.querySelector("[data-picks]");
  if (picks) pickMany(list, rows, picks);
}
