// The sign-in page: hands the pasted token over for a cookie that no script can read, then goes on.

const [form, token, problem] = ["sign-in", "token", "problem"].map((id) => document.getElementById(id));

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  say("");
  try {
    const answer = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token: token.value.trim() }),
    });
    if (answer.ok) location.replace(next());
    else say((await answer.json().catch(() => ({}))).detail || `The server answered ${answer.status}.`);
  } catch {
    say("The server does not answer. Your token was not kept.");
  }
});

function say(sentence) {
  problem.textContent = sentence;
  problem.hidden = !sentence;
  if (sentence) token.focus();
}

// Only pages of this server.
function next() {
  const wanted = new URLSearchParams(location.search).get("next") ?? "/";
  return /^\/(rollouts\/[^/?#\\]+)?$/.test(wanted) ? wanted : "/";
}
