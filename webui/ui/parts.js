// Small pieces of the page: elements, buttons, the list of a result's parameters.

/** An element with a class and children; strings become text nodes, never markup. */
export function element(tag, className = "", ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function button(label, press) {
  const node = element("button", "", label);
  node.type = "button";
  node.addEventListener("click", press);
  return node;
}

/** What made a result, folded: every field that is not at its default, then what the run cost. */
export function parameters(result, labels, use) {
  const list = element("dl");
  const add = (name, value, mark) => {
    const cell = element("dd", "", String(value));
    if (mark) cell.append(element("small", "", mark));
    list.append(element("div", "", element("dt", "", name), cell));
  };
  for (const [path, value] of flat(result.request)) {
    const [label, standard] = labels[path] ?? [path, null];
    const same = JSON.stringify(value) === JSON.stringify(standard);
    if (value === null || value === "" || (same && path !== "seed") || path === "count") continue;
    add(label, typeof value === "object" ? JSON.stringify(value) : value, result.preset?.includes(path) ? "preset" : "");
  }
  const { forwards = 0, tokens = 0, prompt_tokens = 0, seconds = 0 } = result.statistics ?? {};
  const from = result.provenance;
  add("Read", `${prompt_tokens} tokens of prompt`);
  add("Written", `${tokens} tokens in ${forwards} model calls, ${(tokens / Math.max(forwards, 1)).toFixed(1)} each`);
  add("Time", `${seconds.toFixed(2)} s`);
  if (from) add("Made by", `${from.checkpoint} ${from.fingerprint}, ${from.family}, ${from.device} ${from.dtype}`);
  const reuse = button("Use these", () => use(result.request));
  reuse.title = "Put these parameters, seed and prompt into the controls";
  return element("details", "", element("summary", "", "Parameters"), list, reuse);
}

/** [path, value] of every field, an extension's options as "extension.option". */
function* flat(request, prefix = "") {
  for (const [name, value] of Object.entries(request)) {
    const nested = value !== null && typeof value === "object" && !Array.isArray(value);
    if (nested) yield* flat(value, `${prefix}${name}.`);
    else yield [prefix + name, value];
  }
}
