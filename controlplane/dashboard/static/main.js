// The page: finds out who asks, reads the address, shows the list or one rollout.

import { html, render, useEffect, useErrorBoundary, useState } from "./vendor/htm-preact-3.1.1.mjs";
import { openSession } from "./api.js";
import { List } from "./list.js";
import { Rollout } from "./rollout.js";
import { Banner, Command, Link, zone } from "./words.js";

function usePlace() {
  const [place, setPlace] = useState(location.pathname + location.search);
  useEffect(() => {
    const changed = () => setPlace(location.pathname + location.search);
    addEventListener("popstate", changed);
    return () => removeEventListener("popstate", changed);
  }, []);
  const go = (address, replace = false) => {
    if (replace) history.replaceState(null, "", address);
    else history.pushState(null, "", address);
    setPlace(location.pathname + location.search);
    if (!replace) scrollTo(0, 0);
  };
  return [place, go];
}

function Closed({ error }) {
  if (error.status !== 401) return html`<${Banner} tone="bad">${error.message}<//>`;
  if (error.message.includes("/sign-in")) return html`<h1><a href=${`/sign-in?next=${location.pathname}`}>Sign in</a></h1>`;
  return html`<section class="empty">
    <h1>Who are you?</h1>
    <p>This page shows rollouts to whoever started it. Open the address that this command prints:</p>
    <p><${Command}>serinus dashboard<//></p>
  </section>`;
}

function App() {
  const [place, go] = usePlace();
  const [session, setSession] = useState(null);
  const [error, setError] = useState(null);
  const [broken] = useErrorBoundary();
  useEffect(() => { openSession().then(setSession, setError); }, []);
  const id = place.match(/^\/rollouts\/([^/?]+)/)?.[1];
  const query = new URLSearchParams(place.split("?")[1] ?? "");
  let body = html`<p class="quiet">Reading the rollouts…</p>`;
  if (broken) body = html`<${Banner} tone="bad">This page failed: ${String(broken.message)}. Reload it; rollouts are not touched by that.<//>`;
  else if (error) body = html`<${Closed} error=${error} />`;
  else if (session && id) body = html`<${Rollout} key=${id} id=${decodeURIComponent(id)} session=${session} query=${query} go=${go} />`;
  else if (session) body = html`<${List} session=${session} query=${query} go=${go} />`;
  return html`<a class="skip" href="#content">Skip to content</a>
    <header class="top">
      <${Link} class="brand" to="/" go=${go}><img src="/static/icon.svg" alt="" width="24" height="24" /> Serinus<//>
      <span class="quiet">${session ? `${session.user}${session.read_only ? " · read-only" : ""} · ` : ""}times in ${zone()}</span>
    </header>
    <main id="content" tabindex="-1">${body}</main>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
