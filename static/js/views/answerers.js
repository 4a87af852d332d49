// Who can answer: the menu of providers and models, and the line at the foot of the rail. The server drew both; how each
// provider is now is asked for again when the menu is opened, and when a turn has shown it.

import { setText, slot } from "../dom.js";

const FRESH = 5_000;

export class Answerers {
  #select;
  #foot;
  #asked = -Infinity;

  // `select` is null where there is no choice, and then there is nothing to ask for either.
  constructor(select, foot) {
    this.#select = select;
    this.#foot = foot;
    for (const name of ["pointerenter", "focus"]) select?.addEventListener(name, () => performance.now() - this.#asked > FRESH && this.refresh());
  }

  // Who shall answer: { provider, model }, or nothing for automatic. A model's name may hold slashes.
  get choice() {
    const value = this.#select?.value ?? "";
    const slash = value.indexOf("/");
    return value === "" ? {} : { provider: value.slice(0, slash), model: value.slice(slash + 1) };
  }

  // What one change of the store means here.
  apply({ type }) {
    if (["provider_switch", "chat_completed", "error", "reload"].includes(type)) this.refresh();
  }

  async refresh() {
    if (!this.#select) return;
    const asked = (this.#asked = performance.now());
    const found = await states(this.#select.dataset.states);
    if (!found || asked !== this.#asked) return; // what was said before stays, or is asked for anew
    for (const group of this.#select.querySelectorAll("optgroup")) {
      const state = found.providers.find(({ name }) => name === group.dataset.provider);
      if (state) group.label = `${group.dataset.name}: ${how(state)}`;
    }
    slot(this.#foot, "provider-light").dataset.state = found.line.state;
    setText(this.#foot, "provider-line", found.line.text);
  }
}

async function states(address) {
  try {
    const response = await fetch(address);
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

// blueprints/answerers.py says the same when it draws the menu.
function how({ state, embedded, retryIn }) {
  if (state === "closed") return embedded ? "no model" : "ready";
  return retryIn ? `not answering now, back in ${Math.ceil(retryIn)} s` : "not answering now";
}
