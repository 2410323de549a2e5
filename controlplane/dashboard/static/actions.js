// What a person may do: each action says its effect before it is asked for, and why where it is not possible.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact-3.1.1.mjs";
import { ask } from "./api.js";

const ANSWER_MS = 10000;

export function Actions({ state, session, may, events }) {
  const [chosen, setChosen] = useState(null);
  const [asked, setAsked] = useState(null);
  const [said, setSaid] = useState("");
  const answer = asked && events.find((e) => e.event === "operator" && e.evidence.id === asked.id);

  useEffect(() => {
    if (!asked) return undefined;
    const timer = setTimeout(() => setAsked((now) => now && { ...now, late: true }), ANSWER_MS);
    return () => clearTimeout(timer);
  }, [asked?.id]);

  const choose = (action) => {
    setSaid("");
    const why = whyNot(action, session, may);
    if (why) setSaid(`${action.label} is not possible now: ${why}`);
    else setChosen(action);
  };
  const confirm = async () => {
    const action = chosen;
    setChosen(null);
    try {
      setAsked(await ask(state.id, action.verb, action.full));
    } catch (error) {
      setAsked(null);
      setSaid(`${action.label} was not asked for: ${error.message}`);
    }
  };
  let status = said;
  if (answer) status = answer.message;
  else if (asked?.late) status = `${asked.sentence} No answer yet. ${state.controller.text}`;
  else if (asked) status = asked.sentence;

  return html`<section class="actions" aria-label="Actions">
    <div class="buttons">
      ${state.actions.map((action, index) => {
        const why = whyNot(action, session, may), effect = why || action.effect;
        return html`<button type="button" key=${index} class=${action.verb === "abort" ? "danger" : ""} aria-disabled=${String(why !== "")}
            aria-describedby=${`effect-${index}`} title=${effect} onClick=${() => choose(action)}>${action.label}</button>
          <span class="hidden" id=${`effect-${index}`}>${effect}</span>`;
      })}
    </div>
    <p role="status" class="quiet status">${status}</p>
    ${chosen && html`<${Confirm} action=${chosen} name=${state.name} confirm=${confirm} cancel=${() => setChosen(null)} />`}
  </section>`;
}

function whyNot(action, session, may) {
  if (session.read_only) return "This dashboard is read-only.";
  return may.includes(action.verb) || !action.allowed ? action.reason : "You may not ask for that here.";
}

function Confirm({ action, name, confirm, cancel }) {
  const dialog = useRef(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onCancel=${cancel} onClose=${cancel}>
    <h2 id="confirm-title">${action.label} ${name}?</h2>
    <p>${action.effect}</p>
    <div class="buttons">
      <button type="button" class=${action.harmful ? "danger" : "primary"} onClick=${confirm}>${action.label}</button>
      <button type="button" autofocus onClick=${cancel}>Cancel, change nothing</button>
    </div>
  </dialog>`;
}
