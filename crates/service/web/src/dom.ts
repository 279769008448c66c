// Elements are made, never parsed from text: what a plan or a target says stays text.

export type Child = Node | string | null | undefined | false;

export function el<K extends keyof HTMLElementTagNameMap>(
  name: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  for (const child of children) if (child) made.append(child);
  return made;
}

/** Puts these children, those that are there, in the place of all before. */
export function fill(node: HTMLElement, ...children: Child[]): void {
  node.replaceChildren(...children.filter((child): child is Node | string => Boolean(child)));
}

/** Changes a text only where it differs, so that screen readers and selections are left alone. */
export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

export function byId(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}

/** A word with the colour of what it says. */
export function mark(word: string | null): HTMLElement {
  return el("span", { class: `mark ${word ?? "none"}` }, word ?? "undecided");
}

export function button(text: string, act: () => void, attributes: Record<string, string> = {}): HTMLButtonElement {
  const made = el("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", act);
  return made;
}

/** Draws anew, and whoever was somewhere by keyboard stays there: what takes the focus has an id. */
export function redraw(draw: () => void): void {
  const { id } = document.activeElement ?? {};
  draw();
  if (id && document.activeElement?.id !== id) document.getElementById(id)?.focus();
}

export interface Column {
  name: string;
  number?: boolean;
}

/** A table that becomes a list on a telephone, where each cell says what it is. The first cell of a row names it. */
export function table(label: string, columns: Column[], rows: (Node | string)[][]): HTMLElement {
  const kind = (index: number) => (columns[index]?.number ? "n" : "");
  const head = columns.map(({ name }, index) => el("th", { scope: "col", class: kind(index) }, name));
  const body = rows.map(([first, ...rest]) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, first),
      ...rest.map((cell, index) =>
        el("td", { "data-name": columns[index + 1]?.name ?? "", class: kind(index + 1) }, el("div", {}, cell)),
      ),
    ),
  );
  return el(
    "div",
    { class: "scroll", role: "region", "aria-label": label, tabindex: "0" },
    el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)),
  );
}

/** Asks before something that cannot be taken back. */
export function confirmed(question: string, about: string, yes: string, no: string): Promise<boolean> {
  return new Promise((resolve) => {
    const heading = el("h2", { id: "question" }, question);
    const dialog = el("dialog", { "aria-labelledby": "question" }, heading, el("p", {}, about));
    dialog.append(
      el(
        "p",
        { class: "buttons" },
        button(no, () => dialog.close("no"), { autofocus: "" }),
        button(yes, () => dialog.close("yes"), { class: "danger" }),
      ),
    );
    // Escape closes it too, and means no.
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
