// @ts-check
// What the chosen checkpoint cannot do, and choices that do nothing with it: greyed out, each with the reason.

const MARK = "data-refused";

/** Greys out what `refused` names, "field" or "field=value", each with its sentence, and nothing else.
 *  @param {Record<string, string>} refused */
export function limit(refused) {
  wanted = refused;
  const whole = new Map(Object.entries(refused).filter(([name]) => !name.includes("=")).map(([name, why]) => [idOf(name), why]));
  for (const node of document.querySelectorAll(`[id^="field-"][${MARK}]`)) if (!whole.has(node.id)) set(node, null);
  for (const [id, why] of whole) set(document.getElementById(id), why);
  options();
}

let wanted = /** @type {Record<string, string>} */ ({});

/** Options of a dropdown that is open; Gradio draws them anew each time. */
function options() {
  for (const [name, why] of Object.entries(wanted)) {
    const [field, value] = name.split("=");
    if (value === undefined) continue;
    for (const option of document.querySelectorAll(`#${idOf(field)} [role="option"], #${idOf(field)} label`)) {
      const words = option.getAttribute("aria-label") ?? option.textContent?.trim() ?? "";
      if (words === value || words.toLowerCase().endsWith(`(${value})`)) set(option, why);
    }
  }
}

function set(node, why) {
  if (!node || node.getAttribute(MARK) === why) return;
  if (why === null) {
    node.removeAttribute(MARK);
    node.removeAttribute("title");
    node.inert = false;
    return;
  }
  node.setAttribute(MARK, why);
  node.setAttribute("title", why);
  if (node.getAttribute("role") === "option") node.setAttribute("aria-disabled", "true");
  else node.inert = true;
}

function idOf(path) {
  return `field-${path.replaceAll(".", "-")}`;
}

for (const name of ["focusin", "click", "input"]) document.addEventListener(name, () => setTimeout(options, 30));
