// One rollout, live: the verdict in a sentence first, then what it rests on.

import { html, useEffect, useMemo, useRef, useState } from "./vendor/htm-preact-3.1.1.mjs";
import { follow, read } from "./api.js";
import { Actions } from "./actions.js";
import { Chart } from "./charts.js";
import { Audit, Log } from "./log.js";
import { ago, Badge, Time, useNow } from "./words.js";

const MOST_POINTS = 4000;

export function Rollout({ id, session, go }) {
  const [detail, setDetail] = useState(null);
  const [state, setState] = useState(null);
  const [events, setEvents] = useState([]);
  const [points, setPoints] = useState(null);
  const [error, setError] = useState("");
  const [live, setLive] = useState(true);
  const [problem, setProblem] = useState("");
  const [retry, setRetry] = useState(0);
  const known = useRef(new Map());
  const attempt = useRef(0);
  const path = `/rollouts/${encodeURIComponent(id)}`;

  const refresh = () => read(path).then(setDetail, () => {});
  useEffect(() => {
    let stop = () => {}, timer, ended = false;
    Promise.all([read(path), read(`${path}/series`)]).then(([found, series]) => {
      if (ended) return;
      attempt.current = found.state.attempt;
      setError("");
      setDetail(found);
      setState(found.state);
      setPoints(fromSeries(series, found.state));
      let batch = null;
      stop = follow(id, {
        event: (line) => {
          known.current.set(line.id, line);
          batch ??= setTimeout(() => { batch = null; setEvents([...known.current.values()].filter((e) => attemptOf(e) === attempt.current)); }, 20);
          if (line.event === "operator") refresh();
        },
        state: (next) => {
          setProblem("");
          if (next.attempt !== attempt.current) { setRetry((n) => n + 1); return; }
          setState(next);
          setPoints((before) => withState(before, next));
        },
        problem: setProblem,
        link: setLive,
      });
    }, (failure) => {
      if (ended) return;
      setError(failure.message);
      if (failure.status !== 404) timer = setTimeout(() => setRetry((n) => n + 1), 3000);
    });
    return () => { ended = true; clearTimeout(timer); stop(); };
  }, [id, retry]);
  useEffect(() => {
    if (state) document.title = `${state.badge.symbol} ${state.name}: ${state.badge.word} · Serinus`;
  }, [state?.phase]);

  if (error && !state) return html`<p role="alert" class="banner bad">${error}</p><p><a href="/" onClick=${home(go)}>All rollouts</a></p>`;
  if (!state) return html`<p class="quiet">Reading ${id}…</p>`;
  return html`
    <nav aria-label="Breadcrumb" class="crumbs"><a href="/" onClick=${home(go)}>← All rollouts</a></nav>
    <${Banners} state=${state} live=${live} problem=${problem} />
    <${Header} state=${state} />
    ${state.finished ? html`<p class="quiet">It has ended: nothing can be asked of it any more. The same <code>serinus run</code> with a changed plan begins anew.</p>` : html`<${Actions} state=${state} session=${session} events=${events} />`}
    <${Rail} state=${state} />
    <${Arms} state=${state} />
    <${Weights} points=${points} />
    <${Gates} state=${state} points=${points} />
    <${Log} events=${events} />
    <${Audit} events=${events} waiting=${detail.waiting} />
    <section class="card" aria-labelledby="plan-title"><h2 id="plan-title">Plan</h2>
      <p class="quiet">Revision <code>${state.revision.slice(0, 12)}</code>. Values of variables and options that may be secret are hidden.</p>
      <pre tabindex="0" aria-labelledby="plan-title">${detail.plan}</pre></section>`;
}

const home = (go) => (click) => {
  if (click.metaKey || click.ctrlKey || click.shiftKey || click.button) return;
  click.preventDefault();
  go("/");
};
const attemptOf = (event) => Number(event.id.split("/").at(-2));

function Banners({ state, live, problem }) {
  const now = useNow();
  return html`
    ${!live && html`<p role="alert" class="banner open">◌ Not live: the connection is lost and tried again. What is shown is from ${ago(state.at, now)}.</p>`}
    ${live && problem && html`<p role="alert" class="banner bad">✖ ${problem}</p>`}
    ${!state.finished && !state.controller.running && html`<p role="alert" class="banner open">◌ ${state.controller.text}</p>`}
    ${state.problem && !state.finished && html`<p role="alert" class="banner open">◌ Metrics: ${state.problem}</p>`}`;
}

function Header({ state }) {
  const canary = state.arms.find((arm) => arm.arm === "canary");
  const moving = canary.in_force.value !== canary.asked.value;
  const ending = state.ending;
  return html`<section class=${`card verdict ${state.badge.tone}`} aria-labelledby="name">
    <div>
      <h1 id="name">${state.name} <span class="quiet">#${state.attempt}</span> <${Badge} badge=${state.badge} /></h1>
      <p class="sentence" aria-live="polite">${state.sentence}</p>
      ${state.waits_for !== state.sentence && html`<p>${capital(state.waits_for)}.</p>`}
      ${state.follows && html`<p class="quiet">Next: ${state.follows}.</p>`}
      ${ending && html`<p class="quiet">${[
        ending.harm_to_verdict.value !== null && `Decided ${ending.harm_to_verdict.text} after the harm began (estimated)`,
        ending.verdict_to_zero.value !== null && `no traffic ${ending.verdict_to_zero.text} later`,
        `at most ${ending.peak.text} of the traffic`].filter(Boolean).join(" · ")}</p>`}
      <p class="quiet">Began <${Time} iso=${state.began} /> · ${state.finished ? "took" : "for"} ${state.age.text}${
        state.evidence_age.value !== null ? ` · metrics ${state.evidence_age.text} old` : ""}</p>
    </div>
    <div class="weight">
      <strong>${canary.in_force.value === null ? canary.asked.text : canary.in_force.text}</strong>
      <span>${canary.in_force.value === null ? "asked for the canary; not seen in force yet" : "to the canary, in force"}</span>
      ${moving && canary.in_force.value !== null && html`<span class="badge open">◌ ${canary.asked.text} asked for</span>`}
    </div>
  </section>`;
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/\.$/, "");
const STEPS = { passed: ["✔", "passed", "good"], failed: ["✖", "failed", "bad"], now: ["◑", "now", "busy"], ahead: ["○", "ahead", "quiet"] };

const Rail = ({ state }) => html`<section class="card" aria-labelledby="rail-title"><h2 id="rail-title">Stages</h2>
  <ol class="rail">${state.stages.map((stage, index) => {
    const [mark, word, tone] = STEPS[stage.state];
    const done = stage.hold.value ? Math.min(1, stage.held.value / stage.hold.value) : stage.state === "passed" ? 1 : 0;
    return html`<li key=${index} class=${tone} aria-current=${stage.state === "now" ? "step" : undefined}>
      <div class="bar"><span style=${{ width: `${100 * done}%` }}></span></div>
      <strong>${stage.share.text}</strong> <span class=${`mark ${tone}`}><span aria-hidden="true">${mark}</span> ${word}</span>
      <div class="quiet">${stage.state === "now" ? `${stage.held.text} of ${stage.hold.text}` : `hold ${stage.hold.text}`} · ${
        stage.gates === 0 ? "watched" : `${stage.gates} gate${stage.gates === 1 ? "" : "s"}`}</div></li>`;
  })}</ol></section>`;

const Arms = ({ state }) => html`<section class="card" aria-labelledby="arms-title"><h2 id="arms-title">Variants</h2>
  <table class="arms"><thead><tr><th scope="col">Arm</th><th scope="col">Variant</th><th scope="col" class="number">Traffic</th>
    <th scope="col" class="number">Rate</th><th scope="col" class="number">Answered</th><th scope="col">Ready</th></tr></thead>
  <tbody>${state.arms.map((arm) => html`<tr key=${arm.arm}>
    <th scope="row"><span class=${`key ${arm.arm}`} aria-hidden="true"></span>${arm.arm}</th><td data-label="Variant">${arm.name}</td>
    <td data-label="Traffic" class="number">${arm.in_force.value === null ? `${arm.asked.text} asked` : arm.in_force.text}</td>
    <td data-label="Rate" class="number">${arm.rate.text}</td><td data-label="Answered" class="number">${arm.served.text}</td>
    <td data-label="Ready">${arm.ready === null ? "–" : arm.ready >= arm.wanted ? html`<span class="mark good">✔ ${arm.ready} of ${arm.wanted}</span>`
      : html`<span class="mark open">◌ ${arm.ready} of ${arm.wanted}${arm.problem ? `: ${arm.problem}` : ""}</span>`}</td></tr>`)}</tbody></table>
  ${state.unrouted > 0 && html`<p class="mark bad">✖ ${state.unrouted} requests could be sent to neither variant.</p>`}</section>`;

const WEIGHT_LINES = [{ label: "in force", key: "canary", step: true }, { label: "asked for", key: "asked", step: true }];
const GATE_LINES = [{ label: "stable", key: "stable" }, { label: "canary", key: "canary" }, { label: "limit", key: "limit" }];

function Weights({ points }) {
  // Where only events are known, nobody has noted what was in force.
  const columns = useMemo(() => points && [points.at, ...(points.in_force.some((v) => v !== null) ? [points.in_force] : []), points.asked], [points]);
  if (!points || points.at.length < 2) return null;
  return html`<section class="card" aria-labelledby="weights-title"><h2 id="weights-title">The canary's share of traffic</h2>
    <${Chart} columns=${columns} lines=${WEIGHT_LINES.slice(-columns.length + 1)} unit="share" zero label="The canary's share of traffic over time" height=${130} /></section>`;
}

const Gates = ({ state, points }) => html`<section aria-labelledby="gates-title"><h2 id="gates-title">Gates of stage ${state.stage + 1}</h2>
  ${state.gates.length === 0 && html`<p class="quiet">No gate judges this stage; the rules for plain outages still do.</p>`}
  <div class="gates">${state.gates.map((gate) => html`<${Gate} key=${gate.gate} gate=${gate} points=${points} />`)}</div></section>`;

function Gate({ gate, points }) {
  const columns = useMemo(() => {
    const values = points?.gates.get(gate.gate);
    return values && [points.at, values.stable, values.canary, values.limit];
  }, [points, gate.gate]);
  const drawn = columns && columns[2].filter((v) => v !== null).length > 1;
  return html`<article class="card gate">
    <div class="head"><h3>${gate.gate}</h3><${Badge} badge=${gate.badge} /></div>
    <dl class="values"><div><dt>stable</dt><dd>${gate.stable.text}</dd></div><div><dt>canary</dt><dd class="big">${gate.canary.text}</dd></div>
      <div><dt>limit</dt><dd>${gate.limit.text}</dd></div></dl>
    <p>${gate.why}</p>
    <p class="quiet">Samples: ${gate.samples_text}${gate.eta.value ? ` · about ${gate.eta.text} more` : ""} · ${gate.spoke === "data" ? "too little data so far" : `rule: ${gate.spoke}`}</p>
    ${drawn && html`<${Chart} columns=${columns} lines=${GATE_LINES} unit=${gate.unit} label=${`${gate.gate} over time: stable, canary and the limit`} />`}
  </article>`;
}

// Columns for the charts, from what the server has kept; states that arrive are added at the end.
function fromSeries(series, state) {
  const began = new Date(state.began) / 1000;
  const points = { at: series.t.map((t) => began + t), asked: series.asked, in_force: series.in_force, gates: new Map() };
  if (series.source === "events") points.in_force = points.in_force.map(() => null);
  for (const gate of series.gates) points.gates.set(gate.gate, { stable: gate.stable, canary: gate.canary, limit: gate.limit });
  return state.finished ? points : withState(points, state);
}

function withState(before, state) {
  if (!before || state.finished) return before;
  const at = new Date(state.at) / 1000;
  if (before.at.length && at <= before.at.at(-1)) return before;
  const from = Math.max(0, before.at.length + 1 - MOST_POINTS);
  const add = (column, value) => [...column.slice(from), value ?? null];
  const canary = state.arms.find((arm) => arm.arm === "canary");
  const gates = new Map();
  const empty = before.at.map(() => null);
  const none = { stable: empty, canary: empty, limit: empty };
  const now = new Map(state.gates.map((gate) => [gate.gate, gate]));
  for (const name of new Set([...before.gates.keys(), ...now.keys()])) {
    const past = before.gates.get(name) ?? none, gate = now.get(name);
    gates.set(name, { stable: add(past.stable, gate?.stable.value), canary: add(past.canary, gate?.canary.value), limit: add(past.limit, gate?.limit.value) });
  }
  return { at: add(before.at, at), asked: add(before.asked, canary.asked.value), in_force: add(before.in_force, canary.in_force.value), gates };
}
