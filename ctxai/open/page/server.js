// The way to the server. An answer of bad input is {error: one line}.

async function answered(request) {
  try {
    const answer = await request;
    if (answer.headers.get("Content-Type") === "application/json") return await answer.json();
    return { error: (await answer.text()).trim() || `the server answers ${answer.status}` };
  } catch {
    return { error: "the server does not answer: is `ctxai open` still running?" };
  }
}

export const ask = (path) => answered(fetch(path));

export const tell = (path, content) =>
  answered(fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) }));
