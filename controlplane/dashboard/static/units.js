// Numbers as text, as canary/format.py has them: a test holds the two together.

const places = (v, digits = 3) => Math.min(9, Math.max(0, digits - 1 - v.toExponential().split("e")[1])) || 0;
const fixed = (v, most, least = 0) =>
  Number.isFinite(v) && Math.abs(v) >= 1e15 ? `${v < 0 ? "-" : ""}over 10^15`
    : v.toLocaleString("en", { maximumFractionDigits: most, minimumFractionDigits: least, signDisplay: "negative" });
const number = (v, digits) => fixed(v, places(v, digits));
const ms = (v, digits) => (v && v < 0.9995 ? `${number(v * 1000, digits)} ms` : "");
const sizes = [["d", 86400], ["h", 3600], ["min", 60]];

export function duration(v) {
  const [unit, size] = (v < Infinity && sizes.find(([, size]) => v >= 2 * size || (v >= size && v % size === 0))) || ["s", 1];
  return ms(v, 2) || `${fixed(v / size, size > 1 || v < 10 ? 1 : 0)} ${unit}`;
}

const FORMATS = {
  share: (v) => `${fixed(v * 100, Math.max(places(v * 100), places((1 - v) * 100)))} %`,
  seconds: (v) => ms(v) || (v < 60 ? `${number(v)} s` : duration(v)),
  dollars: (v) => `$${v < 0.1 ? number(v) : fixed(v, v < 1000 ? 2 : 0, v < 1000 && v % 1 ? 2 : 0)}`,
};

export function measure(v, unit) {
  const signed = unit === "seconds" || unit === "dollars";
  return signed && v < 0 ? `-${measure(-v, unit)}` : (FORMATS[unit] ?? number)(v);
}
