// @ts-check
// Markdown as the server renders it. The server sanitizes it; it is sanitized here again by a list of allowed elements.

const ALLOWED = new Set(
  "a blockquote br code del em h1 h2 h3 h4 h5 h6 hr li ol p pre s strong table tbody td th thead tr ul".split(" "),
);

/** A text's Markdown as nodes. Throws if the server does not answer. */
export async function rendered(text) {
  const reply = await fetch("api/v1/markdown", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text }),
  });
  if (!reply.ok) throw new Error(reply.statusText);
  const shell = document.createElement("template"); // inert: it runs and loads nothing
  shell.innerHTML = (await reply.json()).html;
  for (const node of shell.content.querySelectorAll("*")) clean(node);
  return shell.content;
}

/** Keeps an allowed element, of its attributes only a link's address; replaces any other by its text. */
function clean(node) {
  if (!ALLOWED.has(node.localName)) return node.replaceWith(node.textContent);
  for (const { name } of [...node.attributes]) if (!(node.localName === "a" && name === "href")) node.removeAttribute(name);
  if (node.localName !== "a") return;
  if (!/^(https?:|mailto:)/i.test(node.getAttribute("href") ?? "")) node.removeAttribute("href");
  Object.assign(node, { rel: "noopener noreferrer nofollow", target: "_blank" });
}
