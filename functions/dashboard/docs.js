/** The documentation of both APIs, from the server's descriptions; requests use the dashboard's key. */

const key = (() => {
  try {
    return localStorage.getItem("oee.apiKey") || "";
  } catch {
    return ""; // the browser stores nothing
  }
})();
const element = (id) => document.getElementById(id);
const made = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });

element("collection").href += `?baseUrl=${encodeURIComponent(new URL(".", location.href))}`;
element("key").textContent = key
  ? "Requests are sent with the dashboard's key."
  : "Sign in at the dashboard to send requests with your key.";

window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  onComplete: () => key && window.ui.preauthorizeApiKey("apiKey", key),
});

/** A message of the AsyncAPI document, with its summary and its examples. */
function shown(name, message, send) {
  const block = document.createDocumentFragment();
  block.append(made("h3", name), made("p", message.summary));
  for (const { payload } of message.examples) {
    const text = JSON.stringify(payload);
    const example = made("pre", text);
    if (send) {
      const use = made("button", "Use");
      use.type = "button";
      use.addEventListener("click", () => {
        element("message").value = text;
        element("message").focus();
      });
      example.append(" ", use);
    }
    block.append(example);
  }
  return block;
}

async function describe() {
  const described = await (await fetch("asyncapi.json")).json();
  const { operations, components } = described;
  const sent = Object.keys(operations).filter((name) => operations[name].action === "receive");
  const { protocol, host, pathname } = described.servers.live;
  element("about").textContent = `${protocol}://${host}${pathname}: ${described.info.description}`;
  element("message").value = JSON.stringify(components.messages[sent[0]].examples[0].payload);
  element("messages").append(made("h2", "You send"));
  for (const name of sent) element("messages").append(shown(name, components.messages[name], true));
  element("messages").append(made("h2", "You receive"));
  for (const [name, message] of Object.entries(components.messages)) {
    if (!sent.includes(name)) element("messages").append(shown(name, message, false));
  }
}

let socket = null;

function note(direction, text) {
  element("log").prepend(made("pre", `${direction} ${text}`));
}

/** The open connection, or a new one that is opened with a ticket. */
async function connected() {
  if (socket?.readyState === WebSocket.OPEN) return socket;
  const headers = { authorization: `Bearer ${key}` };
  const answer = await fetch("api/tickets", { method: "POST", headers });
  if (!answer.ok) throw new Error(`No ticket: ${answer.status}. ${element("key").textContent}`);
  const { ticket, webSocketUrl } = await answer.json();
  socket = new WebSocket(`${webSocketUrl}?ticket=${ticket}`);
  socket.addEventListener("message", ({ data }) => note("←", data));
  socket.addEventListener("close", () => note("×", "The connection has ended."));
  await new Promise((done, failed) => {
    socket.addEventListener("open", done);
    socket.addEventListener("error", () => failed(new Error("The connection was refused.")));
  });
  return socket;
}

element("try").addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = element("message").value;
  try {
    (await connected()).send(text);
    note("→", text);
  } catch (problem) {
    note("×", problem.message);
  }
});

describe().catch(() => {
  element("about").textContent = "The description of the WebSocket could not be read.";
});
