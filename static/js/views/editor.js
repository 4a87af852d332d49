// The editor below a question. Opened, one can write at once; Enter asks, Shift+Enter is a new line, Escape leaves it as it was.

import { asks, slot } from "../dom.js";
import { checkLength } from "./length.js";

// `most` is how many characters a question has.
export function watchEditors(root, most) {
  root.addEventListener("toggle", (event) => opened(event.target), true); // it does not bubble
  root.addEventListener("keydown", (event) => key(event, most));
  root.addEventListener("input", ({ target }) => target.matches("[data-slot=editor]") && look(target, most));
}

function opened(details) {
  if (!details.matches(".edit[open]")) return;
  const field = slot(details, "editor");
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function look(field, most) {
  field.form.querySelector("button").disabled = !checkLength(field, most);
}

function key(event, most) {
  const form = event.target.closest("[data-edit]");
  if (!form) return;
  if (asks(event) && event.target.matches("textarea")) {
    event.preventDefault();
    form.requestSubmit();
  } else if (event.key === "Escape" && !event.isComposing) {
    event.stopPropagation(); // else it would stop an answer
    form.reset();
    look(slot(form, "editor"), most);
    const details = form.closest("details");
    details.open = false;
    details.querySelector("summary").focus();
  }
}
