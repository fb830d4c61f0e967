// The one way in which scripts ask the server.

// The JSON at `url`; null if it has not changed since (304). Throws an Error with the server's words.
export async function get(url, signal) {
  return read(await fetch(url, { headers: { Accept: "application/json" }, credentials: "same-origin", signal }));
}

// Sends a form or JSON; returns the JSON of the answer.
export async function post(url, body, headers = {}) {
  const all = { Accept: "application/json", ...headers };
  return read(await fetch(url, { method: "POST", body, headers: all, credentials: "same-origin" }));
}

async function read(response) {
  if (response.status === 304 || response.status === 204) return null;
  if (response.status === 401) { location.assign(`/login?next=${encodeURIComponent(location.pathname + location.search)}`); }
  const type = response.headers.get("content-type") || "";
  const answer = type.includes("json") ? await response.json() : { error: (await response.text()).slice(0, 500) };
  if (!response.ok) throw new Error(words(answer) || `the server answered ${response.status}`);
  return answer;
}

function words(answer) {
  return typeof answer.error === "string" ? answer.error : typeof answer.detail === "string" ? answer.detail : "";
}
