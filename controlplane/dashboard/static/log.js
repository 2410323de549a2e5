// The decision log: what happened, newest first, with its evidence. Texts are only text.

import { clock, html, Link, Mark, moment, useEffect, useRef, useState } from "./words.js";

const KINDS = { all: "Everything", decisions: "Decisions", verdict: "Verdicts", operator: "People" };
const SHOWN = 50;

// `here` (seconds): the moment in the address; the last entry until then is marked.
export function Log({ events, here, link, go }) {
  const [kind, setKind] = useState("all");
  const [all, setAll] = useState(false);
  const found = events.filter((event) => kind === "all" || event.shown.kind === kind).reverse();
  const named = here && found.find((event) => new Date(event.at) / 1000 <= here + 0.001);
  const shown = all || named ? found : found.slice(0, SHOWN);
  return html`<section class="card" aria-labelledby="log-title">
    <div class="head"><h2 id="log-title">Why: the decision log</h2>
      <label class="quiet">Show <select value=${kind} onChange=${(event) => setKind(event.target.value)}>
        ${Object.entries(KINDS).map(([key, word]) => html`<option key=${key} value=${key}>${word}</option>`)}</select></label></div>
    ${shown.length === 0 && html`<p class="quiet">Nothing of this kind has happened yet.</p>`}
    <ol class="log" reversed>${shown.map((event) => html`<${Entry} key=${event.id} event=${event} here=${event === named} to=${link(event.at)} go=${go} />`)}</ol>
    ${found.length > shown.length && html`<button type="button" onClick=${() => setAll(true)}>Show all ${found.length}</button>`}
  </section>`;
}

function Entry({ event: { id, at, shown }, here, to, go }) {
  const line = useRef(null);
  useEffect(() => { if (here) line.current.scrollIntoView({ block: "center" }); }, [here]);
  return html`<li ref=${line} class=${here ? "here" : ""} aria-current=${here}>
    <${Link} to=${to} go=${go} replace title=${`Link to ${moment(at)}`}><time datetime=${at}>${clock(at)}</time><//>
    <${Mark} symbol=${shown.symbol} tone=${shown.tone}>${shown.word}<//>
    <div><p>${shown.text}</p>
      ${shown.evidence.length > 0 && html`<details><summary>Evidence</summary><dl>
        ${[...shown.evidence, ["event id", id]].map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd>${value}</dd></div>`)}</dl></details>`}</div>
  </li>`;
}
