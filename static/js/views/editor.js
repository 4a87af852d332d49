// The editor below a question. Opened, one can write at once; Enter asks, Shift+Enter is a new line, Escape leaves it as it was.

import { asks, slot } from "../dom.js";

export function watchEditors(root) {
  root.addEventListener("toggle", (event) => opened(event.target), true); // it does not bubble
  root.addEventListener("keydown", (event) => key(event));
}

function opened(details) {
  if (!details.matches(".edit[open]")) return;
  const field = slot(details, "editor");
  field.focus();
  field.setSelectionRange(field.value.length, field.value.length);
}

function key(event) {
  const form = event.target.closest("[data-edit]");
  if (!form) return;
  if (asks(event) && event.target.matches("textarea")) {
    event.preventDefault();
    form.requestSubmit();
  } else if (event.key === "Escape" && !event.isComposing) {
    event.stopPropagation(); // else it would stop an answer
    form.reset();
    const details = form.closest("details");
    details.open = false;
    details.querySelector("summary").focus();
  }
}
