"use strict";
(() => {
  // Heights by the room there is; text keeps its size, so a narrow chart is another drawing.
  const heightOf = (width) => (width < 460 ? 210 : width < 800 ? 230 : 270);
  const right = 8, labelRoom = 62, top = 18, thickest = 44;
  const letter = 7.6, bold = 8.4; // as wide as those of the style sheet are at most
  const si = d3.format("~s");
  const short = (value) => si(value).replace("G", "B");
  const whole = d3.format(",d"); // without the d, a large number is rounded to 1.2e+12

  // From zero to a round number, marked at whole numbers alone: everything that is counted is whole.
  // Only corrections of costs are below zero.
  function scaleTo(highest, lowest = 0) {
    const scale = d3.scaleLinear([Math.min(lowest, 0), Math.max(highest, 1)], [0, 1]).nice(4);
    const [start, end] = scale.domain();
    return { start, end, ticks: scale.ticks(4).filter(Number.isInteger) };
  }

  // Scales, grid and the areas that tell a place in words, around the marks.
  function frame({ width, scale: { start, end, ticks }, unit = "", marginRight = right, marginBottom = 24, tips }, marks) {
    const count = tips.length;
    const scaleText = (value) => short(value) + unit;
    // A minus that is cut off makes another number.
    const left = Math.max(44, 14 + letter * d3.max(ticks, (value) => scaleText(value).length));
    const step = (width - left - marginRight) / count;
    const middle = (place) => left + step * (place + 0.5);
    const fits = (text, place) => middle(place) + (letter * text.length) / 2 <= width;
    // Where a text is that may be wider than its place; Plot adds half a band.
    const inside = (text, place) => {
      const half = (bold * text.length) / 2;
      return Math.min(Math.max(middle(place), left + half), width - half) - step * 0.37;
    };
    const pad = step * 0.13;
    const spare = Math.max(0, (step * 0.74 - thickest) / 2);
    const svg = Plot.plot({
      className: "chart",
      width,
      height: heightOf(width),
      marginTop: top,
      marginRight,
      marginBottom,
      marginLeft: left,
      x: { type: "band", domain: d3.range(count), paddingInner: 0.26, paddingOuter: 0.13, round: false, axis: null },
      y: { domain: [start, end], axis: null },
      color: { type: "identity" },
      marks: [
        Plot.gridY(ticks, { stroke: "var(--rule)", strokeOpacity: 1 }),
        Plot.axisY(ticks, { tickSize: 0, tickFormat: scaleText, label: null, className: "scale" }),
        ...marks({ inset: spare, step, fits, inside }),
        Plot.barY(tips, { x: (_, i) => i, y1: start, y2: end, insetLeft: -pad, insetRight: -pad, insetTop: -top, fill: "transparent", className: "hits" }),
      ],
    });
    svg.querySelector("style").remove(); // ours has it all, and the page allows no other
    svg.querySelectorAll(".hits rect").forEach((hit, place) => { hit.dataset.tip = tips[place]; });
    svg.setAttribute("aria-hidden", "true"); // the table beside it is for reading aloud
    return svg;
  }

  const known = (values) => values.filter((value) => value !== null);
  const at = { x: (_, place) => place, y: (value) => value };
  const baseline = () => Plot.ruleY([0], { stroke: "var(--before)", strokeWidth: 1.5 });

  // A line over each run of known values; one between two gaps would hardly be seen, and is a dot.
  // A wide line lies under the others, so that both are seen where they agree.
  function line({ values, style, wide }, options) {
    const strokeWidth = wide ? 6 : 2.2;
    const isAlone = (place) => [values[place - 1], values[place + 1]].every((beside) => (beside ?? null) === null);
    return [
      Plot.lineY(values, { ...at, stroke: `var(--${style})`, strokeWidth, ...options }),
      Plot.dot(values, { ...at, filter: (value, place) => value !== null && isAlone(place), r: wide ? 5 : 2.5, fill: `var(--${style})`, className: options.className }),
    ];
  }

  const drawnLine = (series) => line(series, { className: "lines" });

  // The period before is quiet, but to be seen on bars too.
  const under = { ...at, stroke: "var(--card)", strokeWidth: 3, strokeOpacity: 0.75 };
  const quiet = { strokeWidth: 1.4, strokeDasharray: "3 3", className: "earlier" };

  function earlierLine(series) {
    return [Plot.lineY(series.values, under), ...line(series, quiet)];
  }

  function earlierTicks(values, inset) {
    const insets = { insetLeft: inset, insetRight: inset };
    return [Plot.tickY(values, { ...under, ...insets }), Plot.tickY(values, { ...at, ...quiet, ...insets, stroke: "var(--before)" })];
  }

  function valueLabels(values, filter, text, inside) {
    const x = { value: (value, place) => inside(text(value, place), place), scale: null };
    return Plot.text(values, { ...at, x, filter, text, dy: -8, fill: "var(--ink)", stroke: "var(--card)", strokeWidth: 3, className: "values" });
  }

  // Each line's name at its end, moved apart where they would touch, and above the dates.
  function endLabels(lines, end, height) {
    const gap = (14 / height) * end;
    let highest = -gap / 2;
    const ends = lines.map((series) => ({ ...series, value: series.values.at(-1), place: series.values.length - 1 }))
      .filter((series) => series.value !== null)
      .sort((a, b) => a.value - b.value);
    for (const each of ends) highest = each.at = Math.max(each.value, highest + gap);
    let room = end; // what was pushed beyond the top pushes the others down
    for (const each of d3.reverse(ends)) room = (each.at = Math.min(each.at, room)) - gap;
    return Plot.text(ends, { x: "place", y: "at", text: "label", textAnchor: "start", dx: 10, className: "ends" });
  }

  function drawDays(spec, width) {
    const count = spec.days.length;
    const gaps = d3.range(count).filter((place) => spec.days[place].gap);
    const stacked = [];
    const heights = [];
    let highest = spec.top;
    let lowest = 0;
    for (const place of d3.range(count)) {
      let from = 0;
      if (spec.bars.some((series) => series.values[place] === null)) continue; // their sum is not known
      for (const { style, values } of spec.bars) {
        stacked.push({ place, from, to: from += values[place], fill: `var(--${style})` });
      }
      if (spec.bars.length) heights[place] = from;
      highest = Math.max(highest, from);
      lowest = Math.min(lowest, from);
    }
    const tallest = d3.maxIndex(heights);
    for (const { values } of [...spec.lines, ...spec.before]) {
      highest = Math.max(highest, ...known(values));
      lowest = Math.min(lowest, ...known(values));
    }
    const scale = scaleTo(highest, lowest);
    // By the longest name, in the letters of the style sheet.
    const longest = d3.max(spec.lines, (series) => series.label.length) ?? 0;
    const marginRight = spec.lines.length ? Math.max(labelRoom, 12 + longest * bold) : right;
    const noted = d3.range(count).filter((place) => spec.days[place].mark);
    const marginBottom = noted.length ? 40 : 24;
    const { unit, tips } = spec;
    return frame({ width, scale, unit, marginRight, marginBottom, tips }, ({ inset, step, fits, inside }) => {
      const widest = letter * d3.max(spec.days, (day) => day.label.length);
      const every = Math.max(1, Math.ceil(Math.max(46, widest) / step));
      const weekly = every > 1 && count > 7;
      const dated = [];
      for (const place of d3.range(count)) {
        const due = !dated.length || place >= dated.at(-1) + every;
        if (due && (!weekly || spec.days[place].monday) && fits(spec.days[place].label, place)) dated.push(place);
      }
      const pad = -step * 0.13;
      const insets = { insetLeft: inset, insetRight: inset };
      return [
        Plot.barY(gaps, { x: Plot.identity, y1: scale.start, y2: scale.end, insetLeft: pad, insetRight: pad, fill: "url(#gap)", className: "gaps" }),
        Plot.barY(stacked, { x: "place", y1: "from", y2: "to", fill: "fill", ...insets, className: "bars" }),
        baseline(),
        ...spec.lines.filter((series) => series.wide).flatMap(drawnLine),
        ...spec.before.flatMap(earlierLine),
        ...spec.lines.filter((series) => !series.wide).flatMap(drawnLine),
        valueLabels(heights, (_, place) => place === tallest && heights[place], (height, place) => spec.texts[place] ?? whole(height), inside),
        endLabels(spec.lines, scale.end, heightOf(width) - top - marginBottom),
        Plot.text(dated, { x: Plot.identity, frameAnchor: "bottom", dy: 14, text: (place) => spec.days[place].label, className: "dates" }),
        Plot.text(noted, { x: Plot.identity, frameAnchor: "bottom", dy: 30, text: (place) => spec.days[place].mark, className: "signs" }),
      ];
    });
  }

  function drawBars(spec, width) {
    const scale = scaleTo(d3.max(known([...spec.values, ...spec.before])) ?? 0);
    const tallest = d3.maxIndex(spec.values);
    const room = (texts, wide) => 4 + wide * d3.max(texts, (text) => text.length);
    return frame({ width, scale, tips: spec.tips }, ({ inset, step, fits, inside }) => {
      const every = Math.max(1, Math.ceil(room(spec.labels, letter) / step));
      const tellsAll = step >= Math.max(24, room(spec.texts, bold));
      const told = (_, place) => spec.values[place] !== null && (tellsAll || place === tallest);
      return [
        Plot.barY(spec.values, { ...at, fill: "var(--people)", insetLeft: inset, insetRight: inset, className: "bars" }),
        baseline(),
        ...earlierTicks(spec.before, inset - 2),
        valueLabels(spec.values, told, (_, place) => spec.texts[place], inside),
        Plot.text(spec.labels, { x: (_, place) => place, filter: (label, place) => place % every === 0 && fits(label, place), frameAnchor: "bottom", dy: 14, text: Plot.identity, className: "dates" }),
      ];
    });
  }

  const specs = JSON.parse(document.getElementById("chart-data").textContent);
  const plots = [...document.querySelectorAll(".plot")];

  // Paper is narrower than most screens, and a chart that shrinks has text too small to read: it
  // has a drawing of its own, of which the style sheet shows one.
  function drawn(plot, width, medium) {
    const spec = specs[plot.dataset.chart];
    const svg = spec.days ? drawDays(spec, width) : drawBars(spec, width);
    svg.classList.add(medium);
    return svg;
  }

  for (const plot of plots) {
    const paper = plot.closest(".full") ? 680 : 330;
    plot.replaceChildren(drawn(plot, plot.clientWidth, "screen"), drawn(plot, paper, "paper"));
  }
  const resized = new ResizeObserver((entries) => {
    for (const { target: plot } of entries) {
      const [width, screen] = [plot.clientWidth, plot.firstChild];
      if (width && screen.getAttribute("width") !== `${width}`) screen.replaceWith(drawn(plot, width, "screen"));
    }
  });
  for (const plot of plots) resized.observe(plot);
})();
