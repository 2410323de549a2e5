// Lines over time with uPlot, fetched for the first chart. One crosshair for all charts of a rollout.

import { measure } from "./units.js";
import { format, html, moment, useEffect, useRef, useState } from "./words.js";

let loading = null;
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/uplot-1.6.32.min.js";
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => { loading = null; reject(); };
    document.head.append(script);
  });
  return loading;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const NEAR = 8, HEIGHT = 120;

// `columns` is [times, values…]; of `lines`, {label, key, step} draws one, {band} a band's lower end, the next its upper.
// `here`: the moment in the address; `pick(iso)`: one was clicked.
export function Chart({ columns, lines, unit, label, marks, here, pick, zero }) {
  const place = useRef(null), chart = useRef(null), said = useRef(null), newest = useRef(null);
  const [theme, setTheme] = useState();
  newest.current = { columns, marks, here, pick };

  useEffect(() => {
    const changed = () => setTheme(dark.matches);
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);

  useEffect(() => {
    let gone = false;
    const sized = new ResizeObserver(([entry]) => chart.current?.setSize({ width: Math.floor(entry.contentRect.width), height: HEIGHT }));
    library().then((uPlot) => {
      if (gone || !place.current) return;
      const shown = options(uPlot, { lines, unit, zero, newest, said }, place.current.clientWidth);
      chart.current = new uPlot(shown, columns, place.current);
      sized.observe(place.current);
      point(chart.current, here);
    }, () => said.current?.replaceChildren("The chart could not be drawn."));
    return () => {
      gone = true;
      sized.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [theme, unit, lines]);

  useEffect(() => { chart.current?.setData(columns); }, [columns]);
  useEffect(() => { chart.current?.redraw(false); }, [marks]);
  useEffect(() => { point(chart.current, here); }, [here]);

  return html`<figure class="chart">
    <div ref=${place} role="img" aria-label=${label}></div>
    <figcaption><span ref=${said} class="said"></span>${lines.map((line) => line.label && html`<span key=${line.label}><span class=${`key ${line.key}`} aria-hidden="true"></span>${line.label}</span>`)}</figcaption>
  </figure>`;
}

function point(chart, here) {
  if (!chart) return;
  chart.redraw(false);
  if (here) chart.setCursor({ left: chart.valToPos(here, "x"), top: 1 });
}

function options(uPlot, { lines, unit, zero, newest, said }, width) {
  const axis = { stroke: colour("quiet"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const show = (value) => measure(value, unit);
  const told = (chart) => {
    const { idx, left } = chart.cursor;
    const at = chart.data[0][idx];
    if (at == null) { said.current?.replaceChildren(); return; }
    const value = (index) => chart.data[index + 1][idx];
    const values = lines.flatMap(({ label, key }, index) => {
      if (!label || value(index) == null) return [];
      const low = lines.findIndex(({ band }) => band === key);
      return `${label} ${show(value(index))}${low < 0 || value(low) == null ? "" : ` (${show(value(low))} to ${show(value(low + 1))})`}`;
    });
    const mark = newest.current.marks.findLast((each) => Math.abs(chart.valToPos(each.t, "x") - left) < NEAR);
    said.current?.replaceChildren([moment(at * 1000), ...values, mark && `${mark.symbol} ${mark.text}`].filter(Boolean).join(" · "));
  };
  return {
    width: Math.max(width, 80),
    height: HEIGHT,
    legend: { show: false },
    cursor: { sync: { key: "rollout" }, drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_, low, high) => range(low, high, zero) } },
    axes: [
      { ...axis, size: 26, space: 70, values: clockTicks },
      { ...axis, size: 58, space: 28, values: (_, ticks) => ticks.map((v) => (v == null ? "" : show(v))) },
    ],
    hooks: {
      draw: [(chart) => drawMarks(chart, newest.current)],
      setCursor: [told],
      ready: [(chart) => chart.over.addEventListener("click", () => {
        const at = chart.data[0][chart.cursor.idx];
        if (at != null) newest.current.pick(new Date(at * 1000).toISOString());
      })],
    },
    bands: lines.flatMap((line, index) => (line.band ? [{ series: [index + 2, index + 1], fill: colour(`${line.band}-band`) }] : [])),
    series: [{}, ...lines.map(({ label, key, step }) => ({
      spanGaps: true,
      ...(label ? {
        stroke: colour(key),
        width: 2,
        dash: { limit: [5, 4], asked: [2, 3] }[key],
        paths: step && uPlot.paths.stepped({ align: 1 }),
        points: { show: (self) => self.data[0].length < 40, size: 4 },
      } : { auto: false, width: 0, points: { show: false } }),
    }))],
  };
}

function drawMarks(chart, { marks, here }) {
  const { ctx, bbox: { left, top, width, height } } = chart, size = devicePixelRatio;
  ctx.save();
  ctx.font = `${11 * size}px system-ui`;
  ctx.textAlign = "center";
  for (const { t, symbol, tone } of here ? [...marks, { t: here, symbol: "▼", tone: "ink" }] : marks) {
    const x = Math.round(chart.valToPos(t, "x", true));
    if (x < left || x > left + width) continue;
    ctx.strokeStyle = ctx.fillStyle = colour(tone);
    ctx.lineWidth = size;
    ctx.setLineDash(tone === "ink" ? [] : [2 * size, 3 * size]);
    ctx.beginPath();
    ctx.moveTo(x, top + 12 * size);
    ctx.lineTo(x, top + height);
    ctx.stroke();
    ctx.fillText(symbol, x, top + 9 * size);
  }
  ctx.restore();
}

function range(low, high, zero) {
  if (low == null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [zero || (low >= 0 && low < room * 6) ? 0 : low - room, high + 2 * room];
}

function clockTicks(_, ticks) {
  const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  const fields = apart >= 86400
    ? { month: "short", day: "numeric" }
    : { hour: "2-digit", minute: "2-digit", hour12: false, ...(apart < 60 ? { second: "2-digit" } : {}) };
  const words = format(fields);
  return ticks.map((t) => words.format(new Date(t * 1000)));
}
