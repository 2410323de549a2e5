// The page: finds out who asks, reads the address, shows the list or one rollout.

import { openSession, signOut } from "./api.js";
import { List } from "./list.js";
import { Rollout } from "./rollout.js";
import { Banner, here, html, Link, render, signIn, useEffect, useErrorBoundary, useState, zone } from "./words.js";

function usePlace() {
  const [place, setPlace] = useState(here);
  useEffect(() => addEventListener("popstate", () => setPlace(here())), []);
  const go = (address, replace) => {
    history[replace ? "replaceState" : "pushState"](null, "", address);
    setPlace(here());
    if (!replace) scrollTo(0, 0);
  };
  return [place, go];
}

function Closed({ error }) {
  if (error.status !== 401) return html`<${Banner} tone="bad">${error.message}<//>`;
  const to = error.message.includes("/sign-in") && html`<a href=${signIn()}>Sign in</a>`;
  return html`<section class="empty"><h1>Who are you?</h1><p>${error.message} ${to}</p></section>`;
}

function App() {
  const [place, go] = usePlace();
  const [session, setSession] = useState(null);
  const [ended, setEnded] = useState(false);
  const [error, setError] = useState(null);
  const [broken] = useErrorBoundary();
  useEffect(() => { openSession(setEnded).then(setSession, setError); }, []);
  const id = place.match(/^\/rollouts\/([^/?]+)/)?.[1];
  const query = new URLSearchParams(place.split("?")[1] ?? "");
  const leave = () => signOut().then(() => location.assign(signIn()), setError);
  const shared = { session, ended, query, go };
  let body = html`<p class="quiet">Reading the rollouts…</p>`;
  if (broken) body = html`<${Banner} tone="bad">This page failed: ${String(broken.message)}. Reload it; rollouts are not touched by that.<//>`;
  else if (error) body = html`<${Closed} error=${error} />`;
  else if (session && id) body = html`<${Rollout} key=${id} id=${decodeURIComponent(id)} ...${shared} />`;
  else if (session) body = html`<${List} ...${shared} />`;
  return html`<a class="skip" href="#content">Skip to content</a>
    <header class="top">
      <${Link} class="brand" to="/" go=${go}><img src="/static/icon.svg" alt="" width="24" height="24" /> Serinus<//>
      <span class="quiet">${session ? `${session.user}${session.read_only ? " · read-only" : ""} · ` : ""}times in ${zone()}
        ${session?.signs_out && html` <button type="button" class="small" onClick=${leave}>Sign out</button>`}</span>
    </header>
    <main id="content" tabindex="-1">${body}</main>`;
}

const root = document.getElementById("app");
root.replaceChildren();
render(html`<${App} />`, root);
