// Prose: plain text with `code` in it, and blocks of code, as elements.

import { h } from "./dom.js";

/** Text with what stands between backticks as code. */
export function inline(text) {
  return text.split("`").map((part, i) => (i % 2 ? h("code", { textContent: part }) : part));
}

/** Paragraphs, parted by empty lines; those whose every line is indented by four spaces are code. */
export function prose(text) {
  const merged = [];
  for (const block of text.split(/\n{2,}/).filter((each) => each.trim())) {
    const code = block.split("\n").every((line) => line.startsWith("    ") || !line.trim());
    if (code && merged.at(-1)?.code) merged.at(-1).text += `\n\n${block}`;
    else merged.push({ code, text: block });
  }
  return merged.map((block) => (block.code
    ? h("pre", { textContent: block.text.replace(/^ {4}/gm, "") })
    : h("p", {}, ...inline(block.text.trim()))));
}
