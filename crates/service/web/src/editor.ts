// A plan as text: what is wrong with it is told while it is written, and what can be written is offered.

import type { Mistake } from "./api";
import { ask, Refusal, send, why, whyNot } from "./api";
import type { Completion, Schema } from "./complete";
import { completions, placeOf } from "./complete";
import { button, el, fill, setText } from "./dom";
import type { Page } from "./page";
import type { Facts, Plan } from "./plans";
import { mistakeWords, peak } from "./plans";
import { openStarted } from "./run";
import { offset } from "./words";

/** Milliseconds without a key until a text is looked at. */
const PAUSE = 400;

/** What a plan begins with that is not there yet. */
const FRESH = `name: NAME
target: http://127.0.0.1:8080
load: { stages: [{ hold: 10/s, for: 30s }] }
scenarios:
  - name: visit
    steps:
      - get: /
`;

export class EditorPage implements Page {
  readonly element = el("div", { class: "editor" });
  readonly title: string;
  readonly under = "#/plans";
  private readonly text = el("textarea", {
    id: "plan-text", spellcheck: "false", autocomplete: "off", autocapitalize: "off", wrap: "off", rows: "24",
    "aria-label": "The plan, in YAML", "aria-describedby": "editor-keys", "aria-autocomplete": "list", "aria-controls": "completions",
  });
  private readonly numbers = el("div", { class: "numbers", "aria-hidden": "true" });
  private readonly list = el("ul", { id: "completions", role: "listbox", "aria-label": "What can be written here", hidden: "" });
  private readonly state = el("p", { class: "state", role: "status" }, "Loading…");
  private readonly mistakes = el("ul", { class: "mistakes", "aria-label": "Mistakes" });
  private readonly said = el("p", { role: "status" });
  private readonly save = button("Save", () => void this.keep());
  private readonly start = button("Start", () => void this.begin());
  private schema: Schema | null = null;
  /** As it is in the folder; nothing where it is not there yet. */
  private kept: string | null = null;
  private etag: string | null = null;
  private offered: Completion[] = [];
  private chosen = 0;
  private timer = 0;
  private asking: AbortController | null = null;
  /** Has texts looked at, and keeps them. */
  private mayWrite = false;
  private mayStart = false;
  private isValid = false;

  constructor(
    private readonly name: string,
    private query: URLSearchParams = new URLSearchParams(),
  ) {
    this.title = `${name} · Plimsoll`;
    this.save.disabled = this.start.disabled = true;
    fill(
      this.element,
      el("p", {}, el("a", { href: "#/plans" }, "← All plans")),
      el("h1", {}, name),
      el("p", { id: "editor-keys", class: "soft" }, "Control and space offers what can be written; arrows choose, Enter takes, Escape leaves. Control and S saves."),
      el("div", { class: "sheet" }, this.numbers, this.text, this.list),
      el("p", { class: "buttons" }, this.save, this.start),
      this.said,
      this.state,
      this.mistakes,
    );
    this.text.addEventListener("input", () => this.typed());
    this.text.addEventListener("keydown", (event) => this.press(event));
    this.text.addEventListener("scroll", () => this.follow());
    this.text.addEventListener("blur", () => this.close());
    this.text.addEventListener("click", () => this.close());
    void this.load();
  }

  destroy(): void {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  moved(query: URLSearchParams): boolean {
    this.query = query;
    this.goTo(Number(query.get("line")), 1);
    return true;
  }

  unsaved(): string {
    return this.mayWrite && this.text.value !== (this.kept ?? "") && this.text.value !== this.fresh()
      ? `What you changed in ${this.name} is not saved.`
      : "";
  }

  private fresh(): string {
    return this.kept === null ? FRESH.replace("NAME", this.name) : "";
  }

  private async load(): Promise<void> {
    const refused = await whyNot("admin");
    this.mayWrite = refused === "";
    this.mayStart = (await whyNot("run")) === "";
    let plan: Plan | null = null;
    try {
      const { body, etag } = await ask<Plan>(`/api/v1/plans/${encodeURIComponent(this.name)}`);
      plan = body;
      if (body.text == null) {
        // To write over what nobody has seen would be worse than not to write.
        this.judge(body.errors, "Its file cannot be read as text, so there is none to change here.", []);
        this.text.readOnly = true;
        this.mayWrite = false;
        return;
      }
      [this.kept, this.etag] = [body.text, etag];
    } catch (error) {
      if (!(error instanceof Refusal) || error.status !== 404 || !this.mayWrite) {
        setText(this.state, why(error));
        this.text.readOnly = true;
        return;
      }
      setText(this.said, "This plan is not there yet; saving makes it.");
    }
    this.text.value = this.kept ?? this.fresh();
    this.text.readOnly = !this.mayWrite;
    this.number([]);
    if (!this.mayWrite) {
      setText(this.said, `You can read it and not change it: ${refused}.`);
      if (plan) this.asItStands(plan);
      this.goTo(Number(this.query.get("line")), 1);
      return;
    }
    this.schema = await ask<Schema>("/api/v1/plan-schema").then(({ body }) => body, () => null);
    await this.check();
    this.goTo(Number(this.query.get("line")), 1);
  }

  private typed(): void {
    this.number([]);
    this.offer(false);
    setText(this.state, "…");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.check(), PAUSE);
    this.tell();
  }

  /** What the service says of the text as it is now. */
  private async check(): Promise<void> {
    this.asking?.abort();
    const asking = new AbortController();
    this.asking = asking;
    const text = this.text.value;
    try {
      const body = { name: `${this.name}.yaml`, text };
      const { body: facts } = await send<Facts>("POST", "/api/v1/plans/validate", body, { signal: asking.signal });
      this.judge([], validWords(facts), facts.advice);
    } catch (error) {
      if (asking.signal.aborted) return;
      const mistakes = error instanceof Refusal ? error.mistakes : [];
      this.judge(mistakes, mistakes.length > 0 ? counted(mistakes) : why(error), []);
      this.isValid = false;
      this.tell();
    }
  }

  /** What was found when the service last read the file: whoever may not have texts looked at sees that. */
  private asItStands({ errors, facts }: Plan): void {
    // Of a file that was changed wrongly the facts are those of before.
    if (errors.length > 0) this.judge(errors, counted(errors), []);
    else this.judge([], facts ? validWords(facts) : "", facts?.advice ?? []);
  }

  private judge(mistakes: Mistake[], words: string, advice: string[]): void {
    this.isValid = mistakes.length === 0;
    setText(this.state, words);
    this.state.classList.toggle("bad", mistakes.length > 0);
    this.number(mistakes);
    fill(
      this.mistakes,
      ...mistakes.map((mistake) => {
        const { line, column } = mistake;
        const words = mistakeWords(mistake);
        return el("li", {}, line === null ? words : button(words, () => this.goTo(line, column ?? 1), { class: "link" }));
      }),
      ...advice.map((words) => el("li", { class: "soft" }, `advice: ${words}`)),
    );
    this.tell();
  }

  private tell(): void {
    const changed = this.text.value !== this.kept;
    this.save.disabled = !this.mayWrite || !changed;
    this.start.disabled = !this.mayStart || changed || !this.isValid;
    setText(this.save, changed ? "Save" : "Saved");
    this.start.title = changed ? "Save it first" : "";
  }

  private async keep(): Promise<void> {
    if (this.save.disabled) return;
    const text = this.text.value;
    setText(this.said, "Saving…");
    const seen: Record<string, string> = this.etag ? { "if-match": this.etag } : { "if-none-match": "*" };
    try {
      const init = { method: "PUT", headers: { "content-type": "text/yaml", ...seen }, body: text };
      const { etag } = await ask<Plan>(`/api/v1/plans/${encodeURIComponent(this.name)}`, init);
      [this.kept, this.etag] = [text, etag];
      setText(this.said, "Saved.");
      this.said.classList.remove("bad");
    } catch (error) {
      const refusal = error instanceof Refusal ? error : null;
      if (refusal?.mistakes.length) this.judge(refusal.mistakes, "Not saved: it has mistakes.", []);
      const conflict = "somebody else changed it since you opened it. Copy what you wrote, open the plan again and put it in";
      setText(this.said, `Not saved: ${refusal?.status === 412 ? conflict : why(error)}.`);
      this.said.classList.add("bad");
    }
    this.tell();
  }

  private async begin(): Promise<void> {
    setText(this.said, "Starting…");
    try {
      const { body } = await send<{ id: string }>("POST", "/api/v1/runs", { plan: this.name });
      openStarted(body.id);
    } catch (error) {
      setText(this.said, `Not started: ${why(error)}`);
      this.said.classList.add("bad");
    }
  }

  /** Line numbers, those with mistakes marked. */
  private number(mistakes: Mistake[]): void {
    const wrong = new Set(mistakes.map(({ line }) => line));
    const lines = this.text.value.split("\n").length;
    this.numbers.replaceChildren(
      ...Array.from({ length: lines }, (_, index) => el("div", { class: wrong.has(index + 1) ? "wrong" : "" }, String(index + 1))),
    );
    this.numbers.scrollTop = this.text.scrollTop;
  }

  private follow(): void {
    this.numbers.scrollTop = this.text.scrollTop;
    this.close();
  }

  private goTo(line: number, column: number): void {
    if (!(line >= 1)) return;
    const before = this.text.value.split("\n").slice(0, line - 1);
    const start = before.reduce((sum, text) => sum + text.length + 1, 0) + column - 1;
    this.text.focus();
    this.text.setSelectionRange(start, start);
    this.text.scrollTop = Math.max(0, (line - 4) * this.lineHeight());
  }

  private lineHeight(): number {
    return Number.parseFloat(getComputedStyle(this.text).lineHeight) || 20;
  }

  private press(event: KeyboardEvent): void {
    if ((event.ctrlKey || event.metaKey) && event.key === "s") {
      event.preventDefault();
      void this.keep();
      return;
    }
    if (event.ctrlKey && event.key === " ") {
      event.preventDefault();
      this.offer(true);
      return;
    }
    if (this.list.hidden) return;
    const moves: Record<string, number> = { ArrowDown: 1, ArrowUp: -1 };
    const move = moves[event.key];
    if (move !== undefined) {
      event.preventDefault();
      this.choose((this.chosen + move + this.offered.length) % this.offered.length);
    } else if (event.key === "Enter" || event.key === "Tab") {
      event.preventDefault();
      this.take();
    } else if (event.key === "Escape") {
      event.preventDefault();
      this.close();
    } else if (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End") this.close();
  }

  /** Offers what can be written: whenever somebody asks, else once something was begun. */
  private offer(asked: boolean): void {
    const { selectionStart: at, selectionEnd, value } = this.text;
    const place = this.schema && at === selectionEnd ? placeOf(value, at) : null;
    const offered = this.schema && place && (asked || place.begun !== "") ? completions(this.schema, place) : [];
    this.offered = offered.slice(0, 100);
    if (this.offered.length === 0) {
      this.close();
      return;
    }
    fill(
      this.list,
      ...this.offered.map(({ text, about }, index) => {
        const item = el("li", { role: "option", id: `completion-${index}` }, el("b", {}, text), about !== "" && el("small", {}, ` ${about}`));
        // The text keeps the focus.
        item.addEventListener("mousedown", (event) => {
          event.preventDefault();
          this.choose(index);
          this.take();
        });
        return item;
      }),
    );
    this.list.hidden = false;
    this.place(value.slice(0, at));
    this.choose(0);
  }

  /** Puts the list below the line that is written. */
  private place(before: string): void {
    const row = before.split("\n").length;
    const top = this.text.offsetTop + row * this.lineHeight() - this.text.scrollTop + 10;
    this.list.style.top = `${Math.min(top, this.text.offsetTop + this.text.clientHeight)}px`;
    this.list.style.left = `${this.text.offsetLeft + 8}px`;
  }

  private choose(index: number): void {
    this.chosen = index;
    [...this.list.children].forEach((item, place) => item.setAttribute("aria-selected", String(place === index)));
    this.list.children[index]?.scrollIntoView({ block: "nearest" });
    this.text.setAttribute("aria-activedescendant", `completion-${index}`);
  }

  private close(): void {
    this.list.hidden = true;
    this.text.removeAttribute("aria-activedescendant");
  }

  private take(): void {
    const completion = this.offered[this.chosen];
    const { selectionStart: at, value } = this.text;
    const place = placeOf(value, at);
    this.close();
    if (!completion || !place) return;
    const text = place.key === null ? `${completion.text}: ` : completion.text;
    this.text.setRangeText(text, at - place.begun.length, at, "end");
    this.typed();
    this.close();
  }
}

function counted(mistakes: Mistake[]): string {
  return mistakes.length === 1 ? "1 mistake" : `${mistakes.length} mistakes`;
}

function validWords(facts: Facts): string {
  return `Valid: ${peak(facts)} at its peak, ${offset(facts.duration_seconds)} long.`;
}
