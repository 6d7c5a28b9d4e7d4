// @ts-check
// Runs before the page is drawn: sets theme and palette on <html>, and translates Gradio's controls.

{
  const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "{}");
  const look = read("tdw-look");
  const { language = "auto", languages = {} } = read("tdw-strings");
  const wanted = language === "auto" ? navigator.languages.map((one) => one.split("-")[0]) : [language];
  const chosen = wanted.find((one) => one in languages) ?? "en";
  const words = { ...languages.en, ...languages[chosen] };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;

  /** Applies a theme ("auto", "light", "dark") and a palette. */
  const applyLook = ({ theme = look.theme, palette = look.palette } = {}) => {
    Object.assign(look, { theme, palette });
    root.dataset.theme = theme === "light" || theme === "dark" ? theme : dark.matches ? "dark" : "light";
    root.dataset.palette = palette ?? "standard";
    root.style.colorScheme = root.dataset.theme;
    mark();
  };
  /** Sets Gradio's class "dark", which it sets by the system's theme. */
  const mark = () => {
    const body = document.body;
    if (body && body.classList.contains("dark") !== (root.dataset.theme === "dark")) body.classList.toggle("dark");
  };
  document.addEventListener("DOMContentLoaded", () => {
    mark();
    new MutationObserver(mark).observe(document.body, { attributeFilter: ["class"] });
  });
  // Keeps the browser from opening a dropped file in place of the page; restore.js, which handles it, loads later.
  for (const name of ["dragover", "drop"]) {
    document.addEventListener(/** @type {"drop"} */ (name), (event) => event.dataTransfer?.types.includes("Files") && event.preventDefault());
  }
  dark.addEventListener("change", () => applyLook());
  applyLook();
  let labels = {}, titles = {}; // of fields by their paths, with default, step and whether the value is a field's path; of extensions
  const many = new Map(); // how many fields have a label
  /** A field's name, by its path such as "extension.option"; with its extension's where another field has the same name.
   *  "prompt.text" and "prompt.order", axes of a grid, are what they do with the field. */
  const nameOfField = (path) => {
    const [, field, way] = path in labels ? [] : /^(.+)\.(text|order)$/.exec(path) ?? [];
    if (field in labels) return words[`axis.${way}`].replace("{field}", () => nameOfField(field));
    const label = labels[path]?.[0];
    if (!label) return path;
    const extension = path.split(".")[0];
    return many.get(label) > 1 && path.includes(".") ? `${words[`extension.${extension}.title`] ?? titles[extension] ?? extension}: ${label}` : label;
  };

  const setLanguage = () => root.lang === chosen || (root.lang = chosen);
  setLanguage();
  new MutationObserver(setLanguage).observe(root, { attributeFilter: ["lang"] }); // Gradio sets the browser's language
  window.tdwStart = { look, applyLook, language: chosen, nameOfField };
  root.toggleAttribute("data-quick", Boolean(look.quick_settings?.length)); // keeps room for the row on top: see quick.js

  // Gradio ignores every event after one call that did not get through, and then loads the page anew: for it such a call is an answer.
  const send = window.fetch;
  window.fetch = async (...asked) => {
    try {
      return await send(...asked);
    } catch (error) {
      const url = asked[0] instanceof Request ? asked[0].url : String(asked[0]);
      if (!url.includes("/gradio_api/run/")) throw error;
      return Response.json({ error: String(error) }, { status: 503 });
    }
  };

  // Behind a reverse proxy the page may have a path that the server does not know: Gradio calls the server where the page is.
  if (window.gradio_config) window.gradio_config.root = new URL(".", location.href).href.replace(/\/$/, "");

  const components = window.gradio_config?.components ?? [];
  const canvas = components.find(({ props }) => props.elem_id === "canvas")?.props;
  if (canvas) {
    const node = new DOMParser().parseFromString(canvas.value, "text/html").querySelector("tdw-canvas");
    const found = Object.entries(JSON.parse(node.dataset.labels));
    labels = Object.fromEntries(found.map(([path, [label, ...rest]]) => [path, [words[`field.${path}.label`] ?? label, ...rest]]));
    titles = JSON.parse(node.dataset.titles);
    node.dataset.labels = JSON.stringify(labels);
    canvas.value = node.outerHTML;
  }
  for (const [label] of Object.values(labels)) many.set(label, (many.get(label) ?? 0) + 1);

  /** Translates labels, help and choices in Gradio's configuration, which Gradio reads after this. */
  for (const { props } of components) {
    const key = props.elem_id?.startsWith("field-") ? `field.${props.elem_id.slice(6).replaceAll("-", ".")}` : null;
    if (key) {
      props.label = words[`${key}.label`] ?? props.label;
      props.info = words[`${key}.help`] ?? props.info;
      props.placeholder = words[`${key}.placeholder`] ?? (props.placeholder === "preset" ? words["page.preset"] : props.placeholder);
      const nothing = words[props.choices?.some(([name]) => name === "preset") ? "page.preset" : "page.empty"]; // see controls.py
      const named = labels[key.slice(6)]?.[3] && ((path) => `${nameOfField(path)} · ${path}`);
      props.choices = props.choices?.map(([name, value]) => [value === "" ? nothing : named ? named(value) : words[`${key}.${value}`] ?? name, value]);
    } else if (props.elem_id) {
      const text = words[`page.${props.elem_id}`] ?? words[props.elem_id.replace(/^extension-(.+)$/, "extension.$1.title")];
      if (text && "label" in props) props.label = text;
      if (text && props.name !== "html" && typeof props.value === "string" && props.variant) props.value = text;
    }
  }
}
