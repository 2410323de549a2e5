// All rollouts, those that may need somebody first. What is filtered stands in the address, so it can be kept and sent.

import { html, useEffect, useState } from "./vendor/htm-preact-3.1.1.mjs";
import { read } from "./api.js";
import { Badge, Command, moment, span, useNow } from "./words.js";

const PERIOD_MS = 2000;
const SHOWS = { all: () => true, open: (r) => !r.finished, ended: (r) => r.finished, back: (r) => r.finished && r.result !== "promoted" };
const WORDS = { all: "All", open: "Under way", ended: "Ended", back: "Put back" };

export function List({ place, go }) {
  const [listing, setListing] = useState(null);
  const [lost, setLost] = useState("");
  const now = useNow();
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
    again();
    return () => { ended = true; clearTimeout(timer); };
  }, []);
  useEffect(() => { document.title = "Rollouts · Serinus"; }, []);
  if (!listing) return lost ? html`<p role="alert" class="banner bad">${lost}</p>` : html`<p class="quiet">Reading the rollouts…</p>`;

  const query = new URLSearchParams(place.split("?")[1] ?? "");
  const show = query.get("show") in SHOWS ? query.get("show") : "all";
  const text = query.get("q") ?? "";
  const filter = (changes) => {
    const next = new URLSearchParams({ show, q: text, ...changes });
    if (next.get("show") === "all") next.delete("show");
    if (!next.get("q")) next.delete("q");
    go(next.size ? `/?${next}` : "/", true);
  };
  const matching = listing.rollouts.filter((r) => r.id.includes(text.trim()) && SHOWS[show](r));
  return html`<h1>Rollouts on this machine</h1>
    ${lost && html`<p role="alert" class="banner open">◌ Not live: ${lost} What is shown was read ${span((now - new Date(listing.at)) / 1000)} ago.</p>`}
    ${listing.unreadable.map((u) => html`<p role="alert" class="banner bad" key=${u.folder}>✖ ${u.folder} cannot be read: ${u.problem}</p>`)}
    ${listing.rollouts.length === 0 ? html`<${Empty} />` : html`
      <form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
        <fieldset><legend class="hidden">Which rollouts</legend>
          ${Object.keys(SHOWS).map((key) => html`<label key=${key} class=${key === show ? "chosen" : ""}>
            <input type="radio" name="show" value=${key} checked=${key === show} onChange=${() => filter({ show: key })} />
            ${WORDS[key]} <span class="count">${listing.rollouts.filter(SHOWS[key]).length}</span></label>`)}
        </fieldset>
        <label class="search"><span class="hidden">Name</span>
          <input type="search" placeholder="Filter by name" value=${text} onInput=${(event) => filter({ q: event.target.value })} /></label>
      </form>
      ${matching.length ? html`<${Table} rollouts=${matching} go=${go} />` : html`<p class="quiet">No rollout matches this filter.</p>`}`}`;
}

const Table = ({ rollouts, go }) => html`<div class="card flush"><table class="list">
  <thead><tr><th scope="col">Rollout</th><th scope="col">Phase</th><th scope="col" class="number">Canary's share</th>
    <th scope="col">Stage</th><th scope="col">Why</th><th scope="col">Began</th><th scope="col" class="number">Age</th></tr></thead>
  <tbody>${rollouts.map((r) => html`<${Row} key=${r.id} r=${r} go=${go} />`)}</tbody>
</table></div>`;

function Row({ r, go }) {
  const address = `/rollouts/${encodeURIComponent(r.id)}`;
  const open = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    go(address);
  };
  return html`<tr>
    <th scope="row"><a href=${address} onClick=${open}>${r.id}</a>${r.attempt > 1 && html` <span class="quiet">#${r.attempt}</span>`}</th>
    <td data-label="Phase"><${Badge} badge=${r.badge} /></td>
    <td data-label="Canary's share" class="number">${r.weight.text}</td>
    <td data-label="Stage" class="stage">${r.stage}</td>
    <td data-label="Why" class="why">${!r.finished && !r.running && html`<span class="badge open">◌ not running</span> `}${r.sentence}</td>
    <td data-label="Began"><time datetime=${r.began}>${moment(r.began)}</time></td>
    <td data-label="Age" class="number">${r.age.text}</td>
  </tr>`;
}

const Empty = () => html`<section class="empty">
  <h2>There is no rollout here yet</h2>
  <p>See two of them in about a minute, one promoted and one put back:</p>
  <p><${Command}>serinus demo<//></p>
  <p>Or carry out your own; it appears here as soon as it begins:</p>
  <p><${Command}>serinus run canary.yml<//></p>
</section>`;
