// What is written and not yet asked, kept in this tab over reloads: a draft for each conversation, and for each account,
// because another person may sign in here. A browser may refuse to keep anything.

export class Draft {
  #account;
  #conversation;

  constructor(account, conversation) {
    this.#account = account;
    this.#conversation = conversation;
  }

  get text() {
    try {
      return sessionStorage.getItem(this.#key) ?? "";
    } catch {
      return "";
    }
  }

  set text(value) {
    try {
      if (value === "") sessionStorage.removeItem(this.#key);
      else sessionStorage.setItem(this.#key, value);
    } catch {} // it is on the page all the same
  }

  // A conversation has an id once its first question was asked; what was typed since goes with it.
  set conversation(id) {
    if (id === this.#conversation) return;
    const { text } = this;
    this.text = "";
    this.#conversation = id;
    this.text = text;
  }

  get #key() {
    return `draft ${this.#account} ${this.#conversation}`;
  }
}
