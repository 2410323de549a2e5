// Speaks to the API: reads, acts, follows. An answer that is no success becomes an Error with the problem's words.

let session, over;

// The key for actions comes once, behind the `#`, and stays in this tab: other ports of this machine cannot ask for it.
const KEY = "serinus-key";
const given = location.hash.match(/^#key=([0-9a-f]{64})$/)?.[1];
if (given) {
  sessionStorage.setItem(KEY, given);
  history.replaceState(null, "", location.pathname + location.search);
}

export const read = (path) => call("GET", path);

// `ended` hears when the sign-in has ended (the error), and when there is one again.
export async function openSession(ended) {
  session = await read("/session");
  over = ended;
  return session;
}

export const signOut = () => call("DELETE", "/session");

export const ask = (id, verb, full) => call("POST", `/rollouts/${encodeURIComponent(id)}/requests`, { verb, full });

async function call(method, path, body) {
  const headers = { "content-type": "application/json", "x-serinus-token": session?.token || sessionStorage.getItem(KEY) || "" };
  const response = await fetch(`/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  const said = await response.json().catch(() => ({}));
  const { ok, status } = response;
  const error = !ok && Object.assign(new Error(said.detail || `The server answered ${status}.`), { status });
  if (ok || status === 401) over?.(error);
  if (error) throw error;
  return said;
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
    for (const [kind, told] of Object.entries({ event, state, problem })) {
      source.addEventListener(kind, ({ data }) => { alive(); told(JSON.parse(data)); });
    }
    source.onerror = () => {
      clearTimeout(watchdog);
      link(false);
      if (source.readyState !== EventSource.CLOSED) return;
      read("/session").catch(() => {}); // it says why
      again = setTimeout(open, 2000);
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
