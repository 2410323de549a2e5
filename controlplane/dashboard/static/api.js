// Speaks to the API: reads, acts, follows. Every answer that is no success becomes an Error with the problem's words.

let session;

export const read = (path) => call("GET", path);

export const openSession = async () => (session = await read("/session"));

export const signOut = () => call("DELETE", "/session");

export const ask = (id, verb, full) => call("POST", `/rollouts/${encodeURIComponent(id)}/requests`, { verb, full });

async function call(method, path, body) {
  const headers = { "content-type": "application/json", "x-serinus-token": session?.token ?? "" };
  const response = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const said = await response.json().catch(() => ({}));
  if (response.ok) return said;
  throw Object.assign(new Error(said.detail || `The server answered ${response.status}.`), { status: response.status });
}

// Follows one rollout. The browser reconnects by itself and says which event it had last; where it gives up, we begin
// anew. `link` hears whether news arrive. Answers a function that ends it.
export function follow(id, { event, state, problem, link }) {
  const QUIET_MS = 15000;
  let source, again, watchdog, ended = false;
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(() => link(false), QUIET_MS);
    link(true);
  };
  const open = () => {
    if (ended) return;
    source = new EventSource(`/api/v1/rollouts/${encodeURIComponent(id)}/stream`);
    source.addEventListener("event", (message) => { alive(); event(JSON.parse(message.data)); });
    source.addEventListener("state", (message) => { alive(); state(JSON.parse(message.data)); });
    source.addEventListener("problem", (message) => { alive(); problem(JSON.parse(message.data)); });
    source.onerror = () => {
      clearTimeout(watchdog);
      link(false);
      if (source.readyState === EventSource.CLOSED) again = setTimeout(open, 2000);
    };
  };
  open();
  return () => {
    ended = true;
    clearTimeout(again);
    clearTimeout(watchdog);
    source.close();
  };
}
