// What the charts draw: a row for each moment, the server's first; states that arrive are added.

const MOST_ROWS = 4000;
const seconds = (iso) => new Date(iso) / 1000;

export function fromSeries({ t, asked, in_force, gates, source }, state) {
  const at = (index) => gates.map(({ gate, stable, canary, limit, bands }) =>
    [gate, [stable, canary, limit, ...bands.stable, ...bands.canary].map((column) => column[index])]);
  return withState(t.map((passed, index) => ({
    at: seconds(state.began) + passed, asked: asked[index], in_force: source === "events" ? null : in_force[index], gates: new Map(at(index)),
  })), state);
}

export function withState(rows, { at, finished, arms, gates }) {
  if (finished || seconds(at) <= rows.at(-1)?.at) return rows;
  const { asked, in_force } = arms.find(({ arm }) => arm === "canary");
  const values = ({ gate, stable, canary, limit, bands }) =>
    [gate, [stable.value, canary.value, limit.value, bands.stable?.low, bands.stable?.high, bands.canary?.low, bands.canary?.high]];
  return [...rows.slice(1 - MOST_ROWS), { at: seconds(at), asked: asked.value, in_force: in_force.value, gates: new Map(gates.map(values)) }];
}

export const columns = (rows, ...values) => [({ at }) => at, ...values].map((value) => rows.map((row) => value(row) ?? null));

export const marksOf = (events) => events.filter((event) => event.shown.marks).map(({ at, shown }) => ({ ...shown, t: seconds(at) }));
