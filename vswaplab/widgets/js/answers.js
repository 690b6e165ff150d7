// Answers on a page without a kernel: in the browser's storage, under the question's id, heard by all views of it.

const heard = new Map();
const unkept = new Map(); // what the browser has not taken yet: it keeps nothing for this page, or is full

const key = (id) => `vswaplab:${id}`;
const blank = () => ({ answer: null, attempts: 0, hints: 0, shown: false, revealed: false });

/** What is kept of a question; nothing where it was another one (`asked`) under the same id. */
export function recall(id, asked) {
  let found = unkept.get(id);
  try {
    found ??= JSON.parse(localStorage.getItem(key(id)));
  } catch {
    // no storage, or not ours
  }
  return found?.asked === asked ? { ...blank(), ...found } : { ...blank(), asked };
}

/** Keep what is known of a question, and what could not be kept before; tell the views of all that is concerned. */
export function keep(id, given) {
  unkept.set(id, given);
  const concerned = [...unkept.keys()];
  for (const each of concerned) {
    try {
      localStorage.setItem(key(each), JSON.stringify(unkept.get(each)));
      unkept.delete(each);
    } catch {
      // the next answer tries again
    }
  }
  for (const each of concerned) for (const listener of heard.get(each) ?? []) listener();
}

/** Whether what is known of a question will outlive the page. */
export const isKept = (id) => !unkept.has(id);

/** Call `listener` when what is kept of a question changes; returns how to stop that. */
export function listen(id, listener) {
  heard.set(id, [...(heard.get(id) ?? []), listener]);
  return () => heard.set(id, heard.get(id).filter((each) => each !== listener));
}
