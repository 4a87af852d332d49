// The few things every view does with the document.

// The element a template's author named with data-slot.
export function slot(root, name) {
  return root.querySelector(`[data-slot="${name}"]`);
}

// Enter, neither for a new line nor for the end of a composition.
export function asks(event) {
  const composing = event.isComposing || event.keyCode === 229; // Safari ends composition before this Enter
  return event.key === "Enter" && !event.shiftKey && !composing;
}

export function clone(templateId) {
  return document.getElementById(templateId).content.firstElementChild.cloneNode(true);
}

export function setText(root, name, text) {
  const element = slot(root, name);
  if (element && element.textContent !== text) element.textContent = text ?? "";
}

// HTML that this server rendered and sanitised: the only kind that is ever parsed here.
export function fromServer(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content;
}

// A time as a person reads it: 12 ms, 0.4 s.
export function seconds(milliseconds) {
  return milliseconds >= 100 ? `${(milliseconds / 1000).toFixed(1)} s` : `${Math.round(milliseconds)} ms`;
}

// A conversation's address, through one message of it when `through` is given.
export function conversationUrl(id, through = null) {
  const address = document.body.dataset.conversations + encodeURIComponent(id);
  return through ? `${address}?m=${encodeURIComponent(through)}` : address;
}
