// The menu of providers and models. The server drew it; how each provider is now is asked for again when it is opened.

const FRESH = 5_000;

export class Answerers {
  #select;
  #asked = 0;

  constructor(select) {
    this.#select = select;
    for (const name of ["pointerenter", "focus"]) select.addEventListener(name, () => this.#refresh());
  }

  // `provider/model`; a model's name may hold slashes.
  get choice() {
    const { value } = this.#select;
    const slash = value.indexOf("/");
    return value === "" ? {} : { provider: value.slice(0, slash), model: value.slice(slash + 1) };
  }

  async #refresh() {
    if (Date.now() - this.#asked < FRESH) return;
    this.#asked = Date.now();
    const response = await fetch(this.#select.dataset.states).catch(() => null);
    if (!response?.ok) return; // what the page said when it was loaded stays
    const { providers } = await response.json();
    for (const group of this.#select.querySelectorAll("optgroup")) {
      const state = providers.find(({ name }) => name === group.dataset.provider);
      if (state) group.label = `${group.dataset.name}: ${how(state)}`;
    }
  }
}

// blueprints/answerers.py says the same when it draws the menu.
function how({ state, embedded, retryIn }) {
  if (state === "closed") return embedded ? "no model" : "ready";
  return retryIn ? `not answering now, back in ${Math.ceil(retryIn)} s` : "not answering now";
}
