// Follows the end of the page while the reader is there, and leaves them alone otherwise.

const NEAR = 96;
const MOST_AT_THE_END = 240;

export class Follow {
  #button;
  #following = true;
  #height = 0;
  #streaming = false;

  constructor(button) {
    this.#button = button;
    addEventListener("scroll", () => this.#look(), { passive: true });
    button.addEventListener("click", () => this.jump());
  }

  set streaming(value) {
    this.#streaming = value;
    this.#show();
  }

  // Called after the page grew. What comes with the end of an answer (pictures, sources) may be a page long: then the
  // reader stays with the text.
  grew(ended = false) {
    const { scrollHeight } = document.scrollingElement;
    const tooMuch = ended && scrollHeight - this.#height > MOST_AT_THE_END;
    this.#height = scrollHeight;
    if (this.#following && !tooMuch) this.#toEnd();
  }

  // Go to the end and stay there.
  jump() {
    this.#following = true;
    this.#height = document.scrollingElement.scrollHeight;
    this.#toEnd();
    this.#show();
  }

  #toEnd() {
    document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight;
  }

  #look() {
    const { scrollHeight, scrollTop, clientHeight } = document.scrollingElement;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR;
    this.#show();
  }

  #show() {
    this.#button.hidden = this.#following || !this.#streaming;
  }
}
