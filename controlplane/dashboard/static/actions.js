// What a person may do: each action says its effect before it is asked for, and why where it is not possible.

import { ask } from "./api.js";
import { html, useEffect, useRef, useState } from "./words.js";

export function Actions({ state, session, may, events }) {
  const [chosen, setChosen] = useState(null);
  const [asked, setAsked] = useState(null);
  const [said, setSaid] = useState("");
  const answer = asked && events.find((e) => e.event === "operator" && e.evidence.id === asked.id);

  const choose = (action, why) => {
    setAsked(null);
    setSaid(why && `${action.label} is not possible now: ${why}`);
    if (!why) setChosen(action);
  };
  const confirm = async () => {
    const action = chosen;
    setChosen(null);
    try {
      setAsked(await ask(state.id, action.verb, action.full));
    } catch (error) {
      setSaid(`${action.label} was not asked for: ${error.message}`);
    }
  };
  const waits = asked && `${asked.sentence}${state.controller.running ? "" : ` ${state.controller.text}`}`;
  return html`<section class="actions" aria-label="Actions">
    <div class="buttons">
      ${state.actions.map((action, index) => {
        const why = whyNot(action, session, may);
        return html`<button type="button" key=${index} class=${action.verb === "abort" ? "danger" : ""} aria-disabled=${String(why !== "")}
            title=${why || action.effect} onClick=${() => choose(action, why)}>${action.label}</button>`;
      })}
    </div>
    <p role="status" class="quiet status">${answer?.message ?? waits ?? said}</p>
    ${chosen && html`<${Confirm} action=${chosen} name=${state.name} confirm=${confirm} cancel=${() => setChosen(null)} />`}
  </section>`;
}

function whyNot(action, session, may) {
  if (session.read_only) return "This dashboard is read-only.";
  if (!session.token) return "This tab can only look: to act, open the address that `serinus dashboard` has printed.";
  if (may.includes(action.verb) || !action.allowed) return action.reason;
  return `${session.user} may not ask for that here. It needs the role edit, or create on modelcanaries/${action.verb}.`;
}

function Confirm({ action, name, confirm, cancel }) {
  const dialog = useRef(null);
  useEffect(() => { dialog.current.showModal(); }, []);
  return html`<dialog ref=${dialog} aria-labelledby="confirm-title" onClose=${cancel}>
    <h2 id="confirm-title">${action.label} ${name}?</h2>
    <p>${action.effect}</p>
    <div class="buttons">
      <button type="button" class=${action.harmful ? "danger" : "primary"} onClick=${confirm}>${action.label}</button>
      <button type="button" autofocus onClick=${cancel}>Cancel, change nothing</button>
    </div>
  </dialog>`;
}
