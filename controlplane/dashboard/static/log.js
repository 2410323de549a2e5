// The decision log: what happened, newest first, each with its evidence. Texts from outside are text nodes only.

import { html, useState } from "./vendor/htm-preact-3.1.1.mjs";
import { clock, moment } from "./words.js";

const KINDS = { all: "Everything", decisions: "Decisions", verdict: "Verdicts", operator: "People" };
const SHOWN = 50;
const MARKS = { pass: ["✔", "good"], fail: ["✖", "bad"], wait: ["◌", "open"] };

const matches = (kind) => (event) =>
  kind === "all" || event.event === kind || (kind === "decisions" && ["phase", "weights", "end", "alert", "git"].includes(event.event));

export function Log({ events }) {
  const [kind, setKind] = useState("all");
  const [all, setAll] = useState(false);
  const found = events.filter(matches(kind)).reverse();
  const shown = all ? found : found.slice(0, SHOWN);
  return html`<section class="card" aria-labelledby="log-title">
    <div class="head"><h2 id="log-title">Why: the decision log</h2>
      <label class="quiet">Show <select value=${kind} onChange=${(event) => setKind(event.target.value)}>
        ${Object.entries(KINDS).map(([key, word]) => html`<option key=${key} value=${key}>${word}</option>`)}</select></label></div>
    ${shown.length === 0 && html`<p class="quiet">Nothing of this kind has happened yet.</p>`}
    <ol class="log" reversed>${shown.map((event) => html`<${Entry} key=${event.id} event=${event} />`)}</ol>
    ${found.length > shown.length && html`<button type="button" onClick=${() => setAll(true)}>Show all ${found.length}</button>`}
  </section>`;
}

function Entry({ event }) {
  const [mark, tone] = markOf(event);
  const evidence = Object.entries(event.evidence ?? {}).filter(([, value]) => value !== null && value !== "");
  return html`<li>
    <time datetime=${event.at} title=${moment(event.at)}>${clock(event.at)}</time>
    <span class=${`mark ${tone}`}><span aria-hidden="true">${mark}</span> ${wordOf(event)}</span>
    <div><p>${messageOf(event)}</p>
      ${evidence.length > 0 && html`<details><summary>Evidence</summary><dl>
        ${evidence.map(([key, value]) => html`<div key=${key}><dt>${key}</dt><dd>${text(value)}</dd></div>`)}
        <div><dt>event id</dt><dd>${event.id}</dd></div></dl></details>`}</div>
  </li>`;
}

function markOf(event) {
  if (event.event === "verdict") return MARKS[event.evidence.verdict] ?? ["•", "quiet"];
  if (event.event === "alert") return ["!", "bad"];
  if (event.event === "operator") return ["☞", "busy"];
  if (["RollingBack", "RolledBack"].includes(event.phase) && event.event !== "weights") return ["✖", "bad"];
  if (event.phase === "Succeeded") return ["✔", "good"];
  return event.event === "weights" ? ["⇄", "busy"] : ["●", "busy"];
}

const wordOf = (event) => (event.event === "verdict" ? event.evidence.verdict : event.event);

function messageOf(event) {
  if (event.event !== "end") return event.message;
  const parts = [String(event.result ?? "ended").replaceAll("_", " ")];
  if (event.decided_to_zero != null) parts.push(`no traffic ${Math.round(event.decided_to_zero * 1000)} ms after the verdict`);
  if (event.requests) parts.push(...Object.entries(event.requests).filter(([, n]) => n != null)
    .map(([who, n]) => (who === "failed_by_shift" ? `${n} lost by shifts` : `${Math.round(n).toLocaleString()} requests on ${who}`)));
  return `${parts.join("; ")}.`;
}

const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

// Who asked for what, and what became of it.
export function Audit({ events, waiting }) {
  const asked = events.filter((event) => event.event === "operator").reverse();
  return html`<section class="card" aria-labelledby="audit-title"><h2 id="audit-title">Requests of people</h2>
    ${asked.length + waiting.length === 0 && html`<p class="quiet">Nobody has asked this rollout for anything.</p>`}
    <ul class="plain">
      ${waiting.map((r) => html`<li key=${r.at + r.verb}><time datetime=${r.at}>${moment(r.at)}</time> <span class="badge open">◌ waits for an answer</span> ${r.by}: ${r.verb}</li>`)}
      ${asked.map((e) => html`<li key=${e.id}><time datetime=${e.at}>${moment(e.at)}</time> ${e.message}</li>`)}
    </ul></section>`;
}
