// What every view uses: times as people read them, with their zone; small pieces; Preact.

import { duration } from "./units.js";
import { html, useEffect, useState } from "./vendor/htm-preact-3.1.1.mjs";
export * from "./vendor/htm-preact-3.1.1.mjs";

export const format = (fields) => new Intl.DateTimeFormat(undefined, fields);
const CLOCK = format({ hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = format({ year: "numeric", month: "short", day: "numeric" });
const ZONE = format({ timeZoneName: "short" });

export const zone = (date = new Date()) =>
  ZONE.formatToParts(date).find((part) => part.type === "timeZoneName")?.value ?? "";

export const clock = (iso) => CLOCK.format(new Date(iso));

export const moment = (iso) => {
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  return `${today ? "" : `${DAY.format(date)}, `}${CLOCK.format(date)} ${zone(date)}`;
};

export function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  return now;
}

export const ago = (iso, now) => `${duration(Math.max(0, Math.floor((now - new Date(iso)) / 1000)))} ago`;

// A click stays on this page; one that opens another tab is the browser's.
export function Link({ to, go, replace, children, ...more }) {
  const follow = (click) => {
    if (click.metaKey || click.ctrlKey || click.shiftKey || click.button) return;
    click.preventDefault();
    go(to, replace);
  };
  return html`<a href=${to} ...${more} onClick=${follow}>${children}</a>`;
}

export const Out = ({ to, children }) =>
  /^https?:\/\//.test(to) ? html`<a href=${to} target="_blank" rel="noopener noreferrer">${children}</a>` : children;

export const Mark = ({ symbol, tone, children, kind = "mark" }) =>
  html`<span class=${`${kind} ${tone}`}><span aria-hidden="true">${symbol}</span> ${children}</span>`;

export const Badge = ({ badge }) => html`<${Mark} kind="badge" ...${badge}>${badge.word}<//>`;

export const Time = ({ iso }) => html`<time datetime=${iso}>${moment(iso)}</time>`;

export const Banner = ({ tone = "open", children }) => html`<p role="alert" class=${`banner ${tone}`}>${children}</p>`;

export const here = () => location.pathname + location.search;
export const signIn = () => `/sign-in?next=${encodeURIComponent(here())}`;

export const Stale = ({ why, since, ended }) =>
  html`<${Banner}>◌ ${ended ? "Your sign-in has ended." : why} What is shown is from <${Time} iso=${since} />.${
    ended && html` <a href=${signIn()}>Sign in again</a>`}<//>`;

export function Command({ children }) {
  const [copied, setCopied] = useState(false);
  const copy = () => navigator.clipboard?.writeText(children).then(() => setCopied(true), () => {});
  return html`<span class="command"><code>${children}</code> <button type="button" class="small" onClick=${copy}
    aria-label=${`${copied ? "Copied" : "Copy"} ${children}`}>${copied ? "Copied" : "Copy"}</button></span>`;
}
