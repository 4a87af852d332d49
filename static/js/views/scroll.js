// Follows the end of the page while the reader is there, and leaves them alone otherwise.

const NEAR = 96;

export class Follow {
  #button;
  #following = true;
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

  // Called after the page grew.
  grew() {
    if (this.#following) this.#toEnd();
  }

  // Go to the end and stay there.
  jump() {
    this.#following = true;
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
