// Lines over time with uPlot, fetched when the first chart is drawn. One cursor for all charts of a rollout.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-3.1.1.mjs";

let loading = null;
function library() {
  loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = "/static/vendor/uplot-1.6.32.min.js";
    script.onload = () => resolve(globalThis.uPlot);
    script.onerror = () => { loading = null; reject(new Error("The chart library could not be read.")); };
    document.head.append(script);
  });
  return loading;
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const digits = (value) => String(Number(value.toPrecision(3)));
export const FORMATS = {
  share: (v) => `${digits(v * 100)} %`,
  seconds: (v) => (v < 0.9995 ? `${digits(v * 1000)} ms` : `${digits(v)} s`),
  dollars: (v) => `$${digits(v)}`,
  number: digits,
};

// `columns` is [times in seconds since the epoch, values…]; `lines` names each column: {label, colour, step, dash}.
export function Chart({ columns, lines, unit, label, height = 120, zero = false }) {
  const place = useRef(null);
  const chart = useRef(null);
  const newest = useRef(columns);
  const [theme, setTheme] = useState(dark.matches);
  const [failed, setFailed] = useState(false);
  newest.current = columns;

  useEffect(() => {
    const changed = () => setTheme(dark.matches);
    dark.addEventListener("change", changed);
    return () => dark.removeEventListener("change", changed);
  }, []);

  useEffect(() => {
    let gone = false;
    const sized = new ResizeObserver(([entry]) => chart.current?.setSize({ width: Math.floor(entry.contentRect.width), height }));
    library().then((uPlot) => {
      if (gone || !place.current) return;
      chart.current = new uPlot(options(uPlot, lines, unit, height, zero, place.current.clientWidth), newest.current, place.current);
      sized.observe(place.current);
    }, () => setFailed(true));
    return () => {
      gone = true;
      sized.disconnect();
      chart.current?.destroy();
      chart.current = null;
    };
  }, [theme, unit, height]);

  useEffect(() => { chart.current?.setData(columns); }, [columns]);

  return html`<figure class="chart">
    <div ref=${place} role="img" aria-label=${label}></div>
    ${failed && html`<p class="quiet">The chart could not be drawn.</p>`}
    <figcaption>${lines.map((line) => html`<span key=${line.label}><span class=${`key ${line.key}`} aria-hidden="true"></span>${line.label}</span>`)}</figcaption>
  </figure>`;
}

function options(uPlot, lines, unit, height, zero, width) {
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const format = FORMATS[unit] ?? digits;
  return {
    width: Math.max(width, 80),
    height,
    legend: { show: false },
    cursor: { sync: { key: "rollout" }, drag: { x: false, y: false }, y: false },
    scales: { y: { range: (_, low, high) => range(low, high, zero) } },
    axes: [
      { ...axis, size: 26, space: 70, values: clockTicks },
      { ...axis, size: 58, space: 28, values: (_, ticks) => ticks.map((v) => (v == null ? "" : format(v))) },
    ],
    series: [
      {},
      ...lines.map((line) => ({
        label: line.label,
        stroke: colour(`--${line.key}`),
        width: line.key === "limit" ? 1.5 : 2,
        dash: line.key === "limit" ? [5, 4] : line.key === "asked" ? [2, 3] : undefined,
        spanGaps: true,
        paths: line.step ? uPlot.paths.stepped({ align: 1 }) : undefined,
        points: { show: (self) => self.data[0].length < 40, size: 4 },
      })),
    ],
  };
}

function range(low, high, zero) {
  if (low == null) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [zero || (low >= 0 && low < room * 6) ? 0 : low - room, high + room];
}

function clockTicks(_, ticks) {
  const apart = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  const fields = apart >= 86400
    ? { month: "short", day: "numeric" }
    : { hour: "2-digit", minute: "2-digit", hour12: false, ...(apart < 60 ? { second: "2-digit" } : {}) };
  const words = new Intl.DateTimeFormat(undefined, fields);
  return ticks.map((t) => words.format(new Date(t * 1000)));
}
