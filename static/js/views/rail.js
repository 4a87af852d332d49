// The rail beside the transcript: theme, and which conversation is open. Its list is the server's.

export class Rail {
  constructor(root) {
    root.addEventListener("click", (event) => {
      if (event.target.closest("[data-action=theme]")) toggleTheme();
    });
  }
}

// The cookie lets the server draw the page in the right colours from its first byte.
export function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  document.cookie = `theme=${root.dataset.theme}; path=/; max-age=34560000; samesite=lax`;
}
