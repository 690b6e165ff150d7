// Answers on a page without a kernel: in the browser's storage, under the question's id, heard by all views of it.

const heard = new Map();
const session = new Map(); // where the browser keeps nothing for this page

const key = (id) => `vswaplab:${id}`;
const blank = () => ({ answer: null, attempts: 0, hints: 0, shown: false, revealed: false });

/** What is kept of a question; nothing where it was another one (`asked`) under the same id. */
export function recall(id, asked) {
  let found = session.get(id);
  try {
    found = JSON.parse(localStorage.getItem(key(id))) ?? found;
  } catch {
    // no storage, or not ours
  }
  return found?.asked === asked ? { ...blank(), ...found } : { ...blank(), asked };
}

/** Keep what is known of a question, and tell its other views; whether it will outlive the page. */
export function keep(id, given) {
  session.set(id, given);
  let kept = true;
  try {
    localStorage.setItem(key(id), JSON.stringify(given));
  } catch {
    kept = false;
  }
  for (const listener of heard.get(id) ?? []) listener();
  return kept;
}

/** Call `listener` when what is kept of a question changes; returns how to stop that. */
export function listen(id, listener) {
  heard.set(id, [...(heard.get(id) ?? []), listener]);
  return () => heard.set(id, heard.get(id).filter((each) => each !== listener));
}
