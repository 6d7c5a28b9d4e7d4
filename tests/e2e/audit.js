// Faults of the page as it stands: what hostile text became markup, and where it turns what stands beside it.
() => {
  const BAD = `[onerror], [onload], [onclick], [onmouseover], [onfocus], a[href^="javascript" i], a[href^="data:" i], img[src="x"],
    img[src*="192.0.2"], iframe, object, embed, base, svg[onload], b[onmouseover]`;
  // (The mirror of a text box lies behind it, transparent, and has its text as it is.)
  const TURNS = /[\u202a-\u202e\u2066-\u2069\u0590-\u05ff]/;
  const MIXED = /\u202edne[^\n\u202c\u2069]*[\p{L}\p{N}]/u; // words of ours behind a turning sign, in one text
  // Texts of others as a whole, and sentences of the server, which stand isolated.
  const WHOLE = `.text, .chip bdi, .understands, .example, .history-text, .history-prompt, .history-asked, .queue-prompt, .compare-prompt, .job-prompt, dd bdi, dt bdi,
    dd, option, pre, code, .reason, .row-error, .row-note, .job-error, .models-why, .models-bad p, .queue-error, .fault, #alert span, .notice span,
    #help, .info-text, [data-testid="block-info"], .about, .card p`;
  const said = (node) => JSON.stringify(node.textContent.trim().slice(-70));
  const path = (node) => (node && node !== document.body ? `${path(node.parentElement)} ${node.localName}${node.id && `#${node.id}`}${[...node.classList].map((name) => `.${name}`).join("")}` : "");
  const faults = [...document.body.querySelectorAll(BAD)].map((node) => `markup: ${path(node)} ${node.outerHTML.slice(0, 200)}`);

  /** Whether what a text node says cannot turn its neighbours: something around it isolates it, or it is alone in its block. */
  function alone(node) {
    for (let around = node.parentElement; around; around = around.parentElement) {
      const { unicodeBidi, display } = getComputedStyle(around);
      if (/isolate|plaintext/.test(unicodeBidi)) return true;
      if (!/^(inline|contents)$/.test(display)) return around.textContent.trim() === node.textContent.trim();
    }
    return true;
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const holder = node.parentElement;
    if (!TURNS.test(node.data) || holder.closest("script, style, template, textarea, .prompt-mirror") || !holder.checkVisibility()) continue;
    if (!alone(node)) faults.push(`turns its neighbours: ${path(holder)} ${said(holder)}`);
    if (MIXED.test(node.data) && !holder.closest(WHOLE)) faults.push(`turns its sentence: ${path(holder)} ${said(node)}`);
  }
  for (const node of document.body.querySelectorAll("[title]")) {
    if (TURNS.test(node.title)) faults.push(`turns its tooltip: ${path(node)} ${JSON.stringify(node.title.slice(-70))}`);
  }
  const { scrollWidth, clientWidth } = document.documentElement;
  if (scrollWidth > clientWidth + 1) faults.push(`the page is ${scrollWidth} px wide in a window of ${clientWidth}`);
  if (document.title.includes("owned")) faults.push("a script ran");
  return [...new Set(faults)];
}
