// Speaks to the API: reads, acts, follows. Every answer that is no success becomes an Error with the problem's words.

let session = null;

export async function read(path) {
  return answered(await fetch(`/api/v1${path}`, { headers: { accept: "application/json" } }));
}

export async function openSession() {
  session = await read("/session");
  return session;
}

export async function ask(id, verb, full) {
  return answered(
    await fetch(`/api/v1/rollouts/${encodeURIComponent(id)}/requests`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-serinus-token": session ? session.token : "" },
      body: JSON.stringify({ verb, full }),
    }),
  );
}

async function answered(response) {
  if (response.ok) return response.json();
  const problem = await response.json().catch(() => ({}));
  const error = new Error(problem.detail || `The server answered ${response.status}.`);
  error.status = response.status;
  throw error;
}

// Follows one rollout. The browser reconnects by itself and says which event it had last; where it gives up (the
// server was restarted), we begin anew. `link(true|false)` says whether news arrive. Answers a function that ends it.
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
    source.addEventListener("problem", (message) => { alive(); problem(JSON.parse(message.data).detail); });
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
