// Columns for the charts, from what the server has kept; states that arrive are added at the end.

const MOST_POINTS = 4000;
const ends = (pair, empty) => (pair?.[0].length ? pair : [empty, empty]);

// By gate seven columns: stable, canary, limit, then the lowest and highest value that stable's and the canary's counts allow.
export function fromSeries(series, state) {
  const began = new Date(state.began) / 1000, empty = series.t.map(() => null);
  const points = { at: series.t.map((t) => began + t), asked: series.asked, in_force: series.source === "events" ? empty : series.in_force, gates: new Map() };
  for (const g of series.gates) points.gates.set(g.gate, [g.stable, g.canary, g.limit, ...ends(g.bands.stable, empty), ...ends(g.bands.canary, empty)]);
  return withState(points, state);
}

export function withState(before, state) {
  const at = new Date(state.at) / 1000;
  if (!before || state.finished || (before.at.length && at <= before.at.at(-1))) return before;
  const from = Math.max(0, before.at.length + 1 - MOST_POINTS);
  const add = (column, value) => [...column.slice(from), value ?? null];
  const { asked, in_force } = state.arms.find((arm) => arm.arm === "canary");
  const empty = before.at.map(() => null), gates = new Map();
  const now = new Map(state.gates.map((g) => [g.gate, [g.stable.value, g.canary.value, g.limit.value,
    g.bands.stable?.low, g.bands.stable?.high, g.bands.canary?.low, g.bands.canary?.high]]));
  for (const name of new Set([...before.gates.keys(), ...now.keys()])) {
    const past = before.gates.get(name) ?? Array(7).fill(empty);
    gates.set(name, past.map((column, index) => add(column, now.get(name)?.[index])));
  }
  return { at: add(before.at, at), asked: add(before.asked, asked.value), in_force: add(before.in_force, in_force.value), gates };
}

// What charts mark: shifts, the canary's start, alerts, people, git.
export const marksOf = (events) => events.filter((event) => event.shown.marks)
  .map(({ at, shown }) => ({ ...shown, t: new Date(at) / 1000 }));
