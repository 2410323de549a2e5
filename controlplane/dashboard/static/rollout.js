// One rollout, live: the verdict first, then what it rests on. An earlier attempt is shown as it ended.

import { follow, read } from "./api.js";
import { Actions } from "./actions.js";
import { Chart } from "./charts.js";
import { Log } from "./log.js";
import { Panel } from "./panel.js";
import { columns, fromSeries, marksOf, withState } from "./points.js";
import { Badge, Banner, Command, html, Link, Mark, Out, Stale, Time, useEffect, useMemo, useRef, useState } from "./words.js";

export function Rollout({ id, session, ended, query, go }) {
  const [{ detail, state, events, points, error, live, problem }, setPage] = useState({ events: [], points: [], live: true });
  const [retry, setRetry] = useState(0);
  const put = (news) => setPage((page) => ({ ...page, ...news }));
  const known = useRef(new Map());
  const attempt = useRef(0);
  const path = `/rollouts/${encodeURIComponent(id)}`;
  const asked = query.get("attempt") ? `?attempt=${encodeURIComponent(query.get("attempt"))}` : "";

  useEffect(() => {
    let stop = () => {}, timer, ended = false;
    Promise.all([read(path + asked), read(`${path}/series${asked}`)]).then(([found, series]) => {
      if (ended) return;
      attempt.current = found.state.attempt;
      put({ detail: found, state: found.state, events: found.events, points: fromSeries(series, found.state), error: "" });
      if (found.earlier) return;
      let batch = null;
      stop = follow(id, {
        event: (line) => {
          known.current.set(line.id, line);
          batch ??= setTimeout(() => { batch = null; put({ events: [...known.current.values()].filter((e) => Number(e.id.split("/").at(-2)) === attempt.current) }); }, 20);
          if (line.event === "operator") read(path).then((detail) => put({ detail }), () => {});
        },
        state: (next) => {
          if (next.attempt === attempt.current) setPage((page) => ({ ...page, problem: null, state: next, points: withState(page.points, next) }));
          else setRetry((n) => n + 1);
        },
        problem: (problem) => put({ problem }),
        link: (live) => put({ live }),
      });
    }).catch((failure) => {
      if (ended) return;
      put({ error: failure.message });
      if (failure.status !== 404) timer = setTimeout(() => setRetry((n) => n + 1), 3000);
    });
    return () => { ended = true; clearTimeout(timer); stop(); };
  }, [id, asked, retry]);
  useEffect(() => {
    if (state) document.title = `${state.badge.symbol} ${state.name}: ${state.badge.word} · Serinus`;
  }, [state?.phase]);
  const marks = useMemo(() => marksOf(events), [events]);

  const crumbs = html`<nav aria-label="Breadcrumb" class="crumbs"><${Link} to="/" go=${go}>← All rollouts<//></nav>`;
  if (error && !state) return html`${crumbs}<${Banner} tone="bad">${error}<//>`;
  if (!state) return html`<p class="quiet">Reading ${id}…</p>`;
  const at = new Date(query.get("at") ?? NaN), here = at / 1000 || null;
  const moment = (iso) => `${path}?attempt=${state.attempt}${iso ? `&at=${iso}` : ""}`;
  const charts = { points, marks, here, pick: (iso) => go(moment(iso), true) };
  const [variants, ...around] = state.panels;
  return html`<div>${crumbs}
    <${Banners} ...${{ state, live, problem, ended }} />
    ${detail.earlier && html`<p class="banner quiet">Attempt #${state.attempt} as it ended. <a href="?">Show the newest</a></p>`}
    ${here && html`<p class="banner quiet">▼ Marked in the charts and the log: <${Time} iso=${at.toISOString()} />. <${Link} to=${moment()} go=${go} replace>Unmark it<//></p>`}
    <${Header} state=${state} />
    ${(!state.finished || state.actions.some((action) => action.allowed)) && html`<${Actions} state=${state} session=${session} may=${detail.may} events=${events} />`}
    <${Rail} state=${state} />
    <${Panel} panel=${variants} />
    <${Weights} ...${charts} />
    <${Gates} state=${state} ...${charts} />
    <${Log} events=${events} here=${here} link=${moment} go=${go} />
    <div>${[...detail.panels, ...around].map((panel) => html`<${Panel} key=${panel.id} panel=${panel} />`)}</div>
    ${detail.plan && html`<section class="card" aria-labelledby="plan-title"><h2 id="plan-title">Plan</h2>
      <p class="quiet">Revision <code>${state.revision.slice(0, 12)}</code>. Values of variables and options that may be secret are hidden.</p>
      <pre tabindex="0" aria-labelledby="plan-title">${detail.plan}</pre></section>`}
    <p class="foot"><button type="button" onClick=${() => print()}>Print this report</button></p></div>`;
}

function Banners({ state, live, problem, ended }) {
  const lost = live ? problem ?? (state.stale && { detail: state.stale, since: state.stale_since })
    : { detail: "Not live: the connection is lost and tried again.", since: state.at };
  return html`<div>
    ${lost && (lost.since ? html`<${Stale} why=${lost.detail} since=${lost.since} ended=${ended} />` : html`<${Banner} tone="bad">✖ ${lost.detail}<//>`)}
    ${state.banners.map(({ tone, text }) => html`<${Banner} key=${text} tone=${tone}>${text}<//>`)}</div>`;
}

function Header({ state: { badge, weight, evidence_age: metrics, ...state } }) {
  return html`<section class=${`card verdict ${badge.tone}`} aria-labelledby="name">
    <div>
      <h1 id="name">${state.name} <span class="quiet">#${state.attempt}</span> <${Badge} badge=${badge} /></h1>
      <p class="sentence" aria-live="polite">${state.sentence}</p>
      ${state.notes.map((note, index) => html`<p key=${index} class=${index ? "quiet" : ""}>${note}.</p>`)}
      <p class="quiet">Began <${Time} iso=${state.began} /> · ${state.finished ? "took" : "for"} ${state.age.text}${
        metrics.value !== null ? ` · metrics ${metrics.text} old` : ""}</p>
    </div>
    <div class="weight">
      <strong>${weight.big}</strong> <span>${weight.text}</span>
      ${weight.also && html`<${Mark} kind="badge" tone="open" symbol="◌">${weight.also}<//>`}
    </div>
  </section>`;
}

const Rail = ({ state }) => html`<section class="card" aria-labelledby="rail-title"><h2 id="rail-title">Stages</h2>
  <ol class="rail">${state.stages.map((stage, index) => html`<li key=${index} class=${stage.badge.tone} aria-current=${stage.state === "now" ? "step" : undefined}>
    <div class="bar"><span style=${{ width: `${100 * stage.done}%` }}></span></div>
    <strong>${stage.share.text}</strong> <${Mark} ...${stage.badge}>${stage.badge.word}<//>
    <div class="quiet">${stage.text}</div></li>`)}</ol></section>`;

const ASKED = [{ label: "asked for", key: "asked", step: true }];
const WEIGHTS = [{ label: "in force", key: "canary", step: true }, ...ASKED];
const GATE = [{ label: "stable", key: "stable" }, { label: "canary", key: "canary" }, { label: "limit", key: "limit" }, { band: "stable" }, {}, { band: "canary" }, {}];

function Weights({ points, ...more }) {
  const seen = points.some((row) => row.in_force !== null);
  const drawn = useMemo(() => columns(points, ...(seen ? [(row) => row.in_force] : []), (row) => row.asked), [points]);
  if (points.length < 2) return null;
  return html`<section class="card" aria-labelledby="weights-title"><h2 id="weights-title">The canary's share of traffic</h2>
    <${Chart} columns=${drawn} lines=${seen ? WEIGHTS : ASKED} unit="share" zero label="The canary's share of traffic over time" ...${more} /></section>`;
}

const Gates = ({ state, ...more }) => html`<section aria-labelledby="gates-title"><h2 id="gates-title">Gates of stage ${state.stage + 1}</h2>
  ${state.gates.length === 0 && html`<p class="quiet">No gate judges this stage; the rules for plain outages still do.</p>`}
  <div class="gates">${state.gates.map((gate) => html`<${Gate} key=${gate.gate} gate=${gate} ...${more} />`)}</div></section>`;

function Gate({ gate, points, ...more }) {
  const drawn = useMemo(() => columns(points, ...GATE.map((_, index) => (row) => row.gates.get(gate.gate)?.[index])), [points, gate.gate]);
  const value = (name, shown, band) => html`<div><dt>${name}</dt><dd class=${name === "canary" ? "big" : ""}>${shown.text}</dd>${band && html`<dd class="quiet">${band.text}</dd>`}</div>`;
  return html`<article class="card gate">
    <div class="head"><h3>${gate.gate}</h3><${Badge} badge=${gate.badge} /></div>
    <dl class="values">${value("stable", gate.stable, gate.bands.stable)}${value("canary", gate.canary, gate.bands.canary)}${value("limit", gate.limit)}</dl>
    <p>${gate.why}</p>
    <p class="quiet">${gate.gathered}</p>
    ${gate.query && html`<details><summary>Query</summary><${Command}>${gate.query}<//>${
      gate.query_link && html` <${Out} to=${gate.query_link}>Open in Prometheus<//>`}</details>`}
    ${drawn[2].filter((v) => v !== null).length > 1 && html`<${Chart} columns=${drawn} lines=${GATE} unit=${gate.unit} label=${`${gate.gate} over time: stable, canary and the limit`} ...${more} />`}
  </article>`;
}
