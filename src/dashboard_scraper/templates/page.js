"use strict";
(() => {
  const tip = document.getElementById("tip");
  let lit = null;

  function hide() {
    tip.classList.remove("on");
    if (lit) lit.classList.remove("on");
    lit = null;
  }

  function show(target, x, y) {
    if (lit !== target) {
      hide();
      tip.textContent = target.dataset.tip;
      lit = target;
      target.classList.add("on");
    }
    tip.classList.add("on");
    const box = tip.getBoundingClientRect();
    const left = Math.min(Math.max(8, x + 14), window.innerWidth - box.width - 8);
    const above = y - box.height - 14;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : y + 18}px`;
  }

  document.addEventListener("pointermove", (event) => {
    const target = event.target.closest("[data-tip]");
    if (target) show(target, event.clientX, event.clientY);
    else if (lit && !document.activeElement.contains(lit)) hide();
  });
  document.addEventListener("scroll", hide, { passive: true });

  for (const plot of document.querySelectorAll(".plot")) {
    let at = -1;
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const hits = plot.querySelectorAll(".screen .hits rect");
      at = Math.min(Math.max(at + step, 0), hits.length - 1);
      const box = hits[at].getBoundingClientRect();
      show(hits[at], box.left + box.width / 2, box.top + 40);
    });
    plot.addEventListener("blur", () => {
      at = -1;
      hide();
    });
  }

  // Search, order and pages of one source's users.
  function tabulate(section) {
    const rows = JSON.parse(section.querySelector("script").textContent);
    const table = section.querySelector("table");
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const size = Number(table.dataset.rows);
    const search = section.querySelector("input");
    const found = section.querySelector(".found");
    const range = section.querySelector(".range");
    const previous = section.querySelector(".previous");
    const next = section.querySelector(".next");
    const rateColumn = Number(table.dataset.rate);
    // Capitals of small letters, since those of ß are SS, and those of ẞ are not: a name is found in
    // every spelling that is one person's.
    const folded = (name) => name.normalize("NFC").toLowerCase().toUpperCase();
    const searched = rows.map((row) => folded(row[0]));
    const numbers = new Intl.NumberFormat("en-US");
    const names = new Intl.Collator("en");
    let shown = rows.map((_, index) => index);
    let column = heads.findIndex((head) => head.ariaSort === "descending");
    let down = true;
    let page = 0;

    function text(value, place) {
      if (value === null) return "?";
      if (typeof value !== "number") return value;
      if (place !== rateColumn) return numbers.format(value);
      return `${value.toFixed(1)}%`;
    }

    function draw() {
      const first = page * size;
      const some = shown.slice(first, first + size);
      body.replaceChildren(...some.map((index) => {
        const line = document.createElement("tr");
        heads.forEach((_, place) => {
          const cell = document.createElement(place ? "td" : "th");
          if (place) cell.textContent = text(rows[index][place], place);
          else {
            cell.scope = "row";
            rows[index][0].split("@").forEach((part, at) => {
              if (at) cell.append(document.createElement("wbr"), "@");
              cell.append(part);
            });
            if (rows[index][heads.length]) {
              const badge = document.createElement("span");
              badge.className = "badge";
              badge.textContent = "service account";
              cell.append(" ", badge);
            }
          }
          line.append(cell);
        });
        return line;
      }));
      const last = first + some.length;
      range.textContent = some.length ? `${numbers.format(first + 1)}\u2013${numbers.format(last)} of ${numbers.format(shown.length)}` : "";
      previous.disabled = !page;
      next.disabled = last >= shown.length;
    }

    // What is unknown or blank comes last, whichever way the others are.
    function compare(left, right) {
      const [a, b] = [rows[left][column], rows[right][column]];
      const [noA, noB] = [a === null || a === "", b === null || b === ""];
      if (noA || noB) return noA - noB || left - right;
      const order = typeof a === "number" ? a - b : names.compare(a, b);
      return (down ? -order : order) || left - right;
    }

    function select() {
      const wanted = folded(search.value.trim());
      shown = rows.map((_, index) => index).filter((index) => searched[index].includes(wanted));
      shown.sort(compare);
      page = 0;
      const total = `${numbers.format(rows.length)} user${rows.length === 1 ? "" : "s"}`;
      found.textContent = wanted ? `${numbers.format(shown.length)} of ${total}` : total;
      draw();
    }

    heads.forEach((head, place) => {
      head.firstElementChild.addEventListener("click", () => {
        down = place === column ? !down : place > 0;
        column = place;
        for (const other of heads) other.ariaSort = "none";
        head.ariaSort = down ? "descending" : "ascending";
        select();
      });
    });
    search.addEventListener("input", select);
    previous.addEventListener("click", () => { page -= 1; draw(); });
    next.addEventListener("click", () => { page += 1; draw(); });
    select();
  }

  for (const section of document.querySelectorAll(".users")) tabulate(section);
})();
