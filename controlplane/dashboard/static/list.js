// All rollouts, those that may need somebody first. What is filtered stands in the address.

import { read } from "./api.js";
import { Table } from "./panel.js";
import { Banner, html, Link, Stale, useEffect, useState } from "./words.js";

const PERIOD_MS = 2000;
const SHOWS = {
  all: ["All", () => true],
  need: ["Need somebody", (r) => r.needs],
  open: ["Under way", (r) => !r.finished],
  ended: ["Ended", (r) => r.finished],
  back: ["Put back", (r) => r.finished && r.result !== "promoted"],
};

export function List({ session, ended, query, go }) {
  const [listing, setListing] = useState(null);
  const [lost, setLost] = useState("");
  useEffect(() => {
    let ended = false, timer;
    const again = async () => {
      try {
        const answer = await read("/rollouts");
        if (!ended) { setListing(answer); setLost(""); }
      } catch (error) {
        if (!ended) setLost(error.status ? error.message : "The server does not answer.");
      }
      if (!ended) timer = setTimeout(again, PERIOD_MS);
    };
    document.title = "Rollouts · Serinus";
    again();
    return () => { ended = true; clearTimeout(timer); };
  }, []);
  if (!listing) return lost ? html`<${Banner} tone="bad">${lost}<//>` : html`<p class="quiet">Reading the rollouts…</p>`;

  const show = query.get("show") in SHOWS ? query.get("show") : "all";
  const text = query.get("q") ?? "", phase = query.get("phase") ?? "";
  const filter = (changes) => {
    const next = Object.entries({ show, q: text, phase, ...changes }).filter(([, value]) => value && value !== "all");
    go(next.length ? `/?${new URLSearchParams(next)}` : "/", true);
  };
  const named = listing.rollouts.filter((r) => r.id.includes(text.trim()));
  const shown = named.filter(SHOWS[show][1]);
  const ofPhase = (word) => shown.filter((r) => r.badge.word === word);
  const matching = phase ? ofPhase(phase) : shown;
  const phases = [...new Set([...shown.map((r) => r.badge.word), phase])].filter(Boolean).sort();
  return html`<h1>Rollouts on ${session.where}</h1>
    ${(lost || listing.stale) && html`<${Stale} why=${lost ? `Not live: ${lost}` : listing.stale} since=${lost ? listing.at : listing.stale_since} ended=${ended} />`}
    ${listing.unreadable.map((u) => html`<${Banner} tone="bad" key=${u.folder}>✖ ${u.folder} cannot be read: ${u.problem}<//>`)}
    ${listing.rollouts.length > 0 && html`
      <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
        <fieldset aria-label="Which rollouts">
          ${Object.entries(SHOWS).map(([key, [word, fits]]) => html`<label key=${key} class=${key === show ? "chosen" : ""}>
            <input type="radio" name="show" value=${key} checked=${key === show} onChange=${() => filter({ show: key })} />
            ${word} <span class="count">${named.filter(fits).length}</span></label>`)}
        </fieldset>
        <div><select aria-label="Phase" value=${phase} onChange=${(event) => filter({ phase: event.target.value })}>
          <option value="">Every phase</option>
          ${phases.map((word) => html`<option key=${word} value=${word}>${word} (${ofPhase(word).length})</option>`)}</select>
          <input type="search" aria-label="Name" placeholder="Filter by name" value=${text} onInput=${(event) => filter({ q: event.target.value })} /></div>
      </form>`}
    ${listing.rollouts.length > 0 && matching.length === 0
      ? html`<p class="quiet">No rollout matches this filter. <${Link} to="/" go=${go} replace>Show all ${listing.rollouts.length}<//></p>`
      : html`<div class="card list"><${Table} panel=${{ ...listing.panel, rows: matching.map((r) => r.cells) }} go=${go} /></div>`}`;
}
