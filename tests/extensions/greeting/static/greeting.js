// @ts-check
import { element, say } from "webui";
import { NAME } from "./more/name.js";

const line = element("p", "greeting", `${NAME}: ${say("page.write")}`);
document.body.append(line);
