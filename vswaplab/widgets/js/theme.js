// Theme: light or dark as the page is, with the colours that Python's palette gives.

/** Whether what stands behind an element is dark. */
export function isDark(element) {
  const lab = document.body.dataset.jpThemeLight;
  if (lab !== undefined) return lab === "false";
  const named = document.documentElement.dataset.theme ?? document.body.dataset.theme;
  if (named === "dark" || named === "light") return named === "dark";
  for (let at = element; at; at = at.parentElement) {
    const parts = getComputedStyle(at).backgroundColor.match(/[\d.]+/g)?.map(Number);
    if (parts && (parts[3] ?? 1) > 0.5) return parts[0] * 0.299 + parts[1] * 0.587 + parts[2] * 0.114 < 128;
  }
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Call `changed` whenever light and dark may have changed places; returns how to stop that. */
export function watchTheme(changed) {
  const observer = new MutationObserver(changed);
  const filter = { attributes: true, attributeFilter: ["data-jp-theme-light", "data-theme", "class"] };
  observer.observe(document.body, filter);
  observer.observe(document.documentElement, filter);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", changed);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", changed);
  };
}

/** The colour of a mark by its look: a backing's number, or "present", "swapped", "reserved", "none". */
export function colourOf(theme, look) {
  if (typeof look === "number") return theme.backing[look];
  if (look === "reserved") return theme.backing[0];
  if (look === "broken") return theme.broken;
  return look === "none" ? theme.highlight : theme.pte;
}
