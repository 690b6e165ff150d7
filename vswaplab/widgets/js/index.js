// The views by name, and `render`, which JupyterLab (through anywidget) and a page without a kernel both call.

import { BreakIt } from "./breakit.js";
import { complain } from "./dom.js";
import { SlotExplorer } from "./explorer.js";
import { BackingFlow } from "./flow.js";
import { ByteLedger } from "./ledger.js";
import { Question, Verdict } from "./question.js";
import { SwapoffRace } from "./race.js";
import { savingRow } from "./saving.js";
import { StateMachine } from "./statemachine.js";
import { Stepper } from "./stepper.js";
import { TwinPlayer } from "./twin.js";
import { ZswapPool } from "./zswappool.js";

export const VIEWS = {
  breakit: BreakIt,
  explorer: SlotExplorer,
  flow: BackingFlow,
  ledger: ByteLedger,
  question: Question,
  race: SwapoffRace,
  statemachine: StateMachine,
  stepper: Stepper,
  twin: TwinPlayer,
  verdict: Verdict,
  zswappool: ZswapPool,
};

/** A key in a view is the view's: JupyterLab has commands for arrows and letters, even where a slider has the focus.
 *  Escape gives the keys back to the notebook: its cell has the focus then, and the arrow keys go from cell to cell. */
function keep(event) {
  if (event.key === "Escape") {
    event.currentTarget.closest(".jp-Cell")?.focus();
    return;
  }
  const command = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key === "Enter");
  const written = event.target.matches("textarea, input[type=text]"); // running its cell would lose what is written there
  if (!command || (written && event.key === "Enter")) event.stopPropagation();
}

/** Show a model's view in an element; returns how to take it down. `model` has get, set, on, off, save_changes. */
export function render({ model, el }) {
  el.classList.add("vswaplab");
  el.addEventListener("keydown", keep);
  try {
    const view = new VIEWS[model.get("view")](model, el), root = el.querySelector(".vswaplab-view");
    if (root?.querySelector("canvas")) root.append(savingRow(model, root));
    return () => view.close();
  } catch (error) {
    complain(el, error);
    return () => {};
  }
}

export default { render };
