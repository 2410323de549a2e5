// Times as people read them, always with their zone; small pieces that every view uses.

import { html, useEffect, useState } from "./vendor/htm-preact-3.1.1.mjs";

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric" });
const ZONE = new Intl.DateTimeFormat(undefined, { timeZoneName: "short" });

export const zone = (date = new Date()) =>
  ZONE.formatToParts(date).find((part) => part.type === "timeZoneName")?.value ?? "";

export const clock = (iso) => CLOCK.format(new Date(iso));

export const moment = (iso) => {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return `${today ? "" : `${DAY.format(date)}, `}${CLOCK.format(date)} ${zone(date)}`;
};

export function span(seconds) {
  const s = Math.max(0, seconds);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (s >= 2 * size) return `${Math.floor(s / size)} ${unit}`;
  }
  return `${Math.floor(s)} s`;
}

// Draws again every second, for ages.
export function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export const ago = (iso, now) => `${span((now - new Date(iso)) / 1000)} ago`;

export const Badge = ({ badge }) =>
  html`<span class=${`badge ${badge.tone}`}><span aria-hidden="true">${badge.symbol}</span> ${badge.word}</span>`;

export const Time = ({ iso }) => html`<time datetime=${iso}>${moment(iso)}</time>`;

export const Command = ({ children }) => html`<code class="command">${children}</code>`;
