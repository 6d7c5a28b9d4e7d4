// @ts-check
// What the scripts of extensions may use of the page: import { say } from "webui".

export { call } from "./call.js";
export { block, choicesOf } from "./gradio.js";
export { showError, showNotice } from "./notice.js";
export { button, element } from "./parts.js";
export { popover } from "./popover.js";
export { nameOfExtension, nameOfField, nameOfValue, nameValues } from "./names.js";
export { currentRequest, generate } from "./request.js";
export { shown } from "./shown.js";
export { formatNumber, say } from "./strings.js";
export { open, whenVisible } from "./views.js";
export { addPromptTool } from "../prompts/tools.js";
export { addResultAction, whenFinished } from "../results/actions.js";
export { fieldOf, isPrompt, promptAreas, replaceText } from "../prompts/fields.js";
