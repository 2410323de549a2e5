// A table of the server's making: titles, words, tones and links; times in our own zone.

import { ago, Command, html, Link, Mark, Out, Time, useNow } from "./words.js";

export const Panel = ({ panel }) => html`<section class="card panel" aria-labelledby=${`panel-${panel.id}`}>
  <h2 id=${`panel-${panel.id}`}>${panel.title}</h2>
  ${panel.note && html`<p class="quiet">${panel.note}</p>`}
  <${Table} panel=${panel} />
</section>`;

export function Table({ panel: { columns, rows, empty, command }, go }) {
  const now = useNow();
  if (!rows.length) return html`<p class="quiet">${empty}</p>${command && html`<p><${Command}>${command}<//></p>`}`;
  return html`<table>${columns.length > 0 && html`<thead><tr>${columns.map((name) => html`<th scope="col" key=${name}>${name}</th>`)}</tr></thead>`}
    <tbody>${rows.map((row, line) => html`<tr key=${go ? row[0].text : line}>${row.map((cell, index) => index
      ? html`<td key=${index} data-label=${columns[index]}><${Cell} cell=${cell} now=${now} /></td>`
      : html`<th scope="row" key=${index}><${Cell} cell=${cell} now=${now} go=${go} /></th>`)}</tr>`)}</tbody></table>`;
}

function Cell({ cell: { at, symbol, tone, text, link }, now, go }) {
  if (at) return html`<${Time} iso=${at} /> <span class="quiet">${ago(at, now)}</span>`;
  const shown = symbol ? html`<${Mark} symbol=${symbol} tone=${tone}>${text}<//>` : text;
  if (/^https?:/.test(link)) return html`<${Out} to=${link}>${shown}<//>`;
  return /^(\?|\/\w)/.test(link) ? (go ? html`<${Link} to=${link} go=${go}>${shown}<//>` : html`<a href=${link}>${shown}</a>`) : shown;
}
