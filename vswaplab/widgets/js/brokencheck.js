// Break-it mode: what a learner's answer is worth. Nothing here draws.

const MISSING = "missing", WORKING = "keep working", ALMOST = "almost";
export const CORRECT = "correct";

/** The feedback to {event, place, invariant} (each may be ""): [[what, kind, message]]. `quiz` comes from Python. */
export function judge(quiz, answer) {
  return [["event", ...judgeEvent(quiz, answer.event)], ["place", ...judgePlace(quiz, answer.place)],
    ["invariant", ...judgeInvariant(quiz, answer.invariant)]];
}

/** Whether all of it is found. */
export const solved = (feedback) => feedback.every(([, kind]) => kind === CORRECT);

function judgeEvent(quiz, given) {
  if (given === "" || given === null || Number.isNaN(Number(given))) return [MISSING, "At which event does it go wrong?"];
  const event = Number(given), [first, last] = quiz.within;
  if (event === quiz.event) return [CORRECT, `Event ${event} is the first that a sound machine does not have.`];
  if (event >= first && event <= last) {
    return [ALMOST, `The right operation; it goes wrong at ${event < quiz.event ? "a later" : "an earlier"} event.`];
  }
  return [WORKING, `The check after events ${first} to ${last} is the first that fails.`];
}

function judgePlace(quiz, given) {
  if (!given) return [MISSING, "Which link or book is wrong?"];
  if (given === quiz.edge) return [CORRECT, quiz.places[given]];
  return [WORKING, "Compare what both ends say of each other at the event you chose."];
}

function judgeInvariant(quiz, given) {
  if (!given) return [MISSING, "Which invariant does not hold?"];
  if (given === quiz.invariant) return [CORRECT, quiz.detail];
  const near = quiz.edges[given] === quiz.edge;
  return near ? [ALMOST, "It speaks of the right place, but of something else there."]
    : [WORKING, "That one holds here: it speaks of another place."];
}
