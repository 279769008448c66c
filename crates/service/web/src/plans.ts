// The plans that can be started.

import type { Mistake } from "./api";
import { read, Refusal, send, why, whyNot } from "./api";
import { button, el, fill, mark, redraw, setText, table } from "./dom";
import type { Page } from "./page";
import { address } from "./page";
import { openStarted } from "./run";
import { NO_DATA, offset, rate, significant } from "./words";

export interface Facts {
  plan: string;
  sha256: string;
  peak_rate: number;
  peak_users: number;
  duration_seconds: number;
  advice: string[];
}

export interface Plan {
  name: string;
  file: string;
  facts: Facts | null;
  wrong: string | null;
  errors: Mistake[];
  text?: string | null;
}

/** What a plan asks for at its peak. */
export function peak(facts: Facts): string {
  const parts = [facts.peak_rate > 0 && rate(facts.peak_rate), facts.peak_users > 0 && `${significant(facts.peak_users)} users`];
  return parts.filter(Boolean).join(" and ") || NO_DATA;
}

/** Where in a text, and what. */
export function mistakeWords({ line, column, message }: Mistake): string {
  const place = line === null ? "" : column === null ? `Line ${line}: ` : `Line ${line}, column ${column}: `;
  return place + message;
}

export class PlansPage implements Page {
  readonly element = el("div", { class: "plans" });
  readonly title = "Plans · Plimsoll";
  readonly under = "#/plans";
  private readonly list = el("div", {}, el("p", { class: "none" }, "Loading…"));
  private readonly said = el("p", { role: "status" });
  private readonly fresh = el("input", { id: "new-plan", type: "text", pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*", autocomplete: "off", spellcheck: "false" });
  private readonly timer = setInterval(() => void this.load(), 5000);
  private refused: string | null = null;

  constructor() {
    this.fresh.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.create();
    });
    fill(
      this.element,
      el("h1", {}, "Plans"),
      this.said,
      this.list,
      el("p", { class: "steer" }, el("label", { for: "new-plan" }, "New plan, by the name of its file"), this.fresh, button("Write it", () => this.create())),
    );
    void this.load();
  }

  destroy(): void {
    clearInterval(this.timer);
  }

  private async load(): Promise<void> {
    try {
      this.refused ??= await whyNot();
      this.fresh.disabled = (await whyNot("admin")) !== "";
      const { plans, trouble } = await read<{ plans: Plan[]; trouble: string | null }>("/api/v1/plans");
      redraw(() => this.show(plans, trouble));
    } catch (error) {
      fill(this.list, el("p", { class: "none" }, why(error)));
    }
  }

  private show(plans: Plan[], trouble: string | null): void {
    const columns = [{ name: "Plan" }, { name: "State" }, { name: "At its peak", number: true }, { name: "Takes", number: true }, { name: "Do" }];
    fill(
      this.list,
      trouble !== null && el("p", { class: "reason" }, trouble),
      this.refused !== "" && el("p", { class: "soft" }, `You cannot start plans: ${this.refused}.`),
      plans.length > 0
        ? table("Plans", columns, plans.map((plan) => this.line(plan)))
        : el("p", { class: "none" }, "The folder has no plan yet."),
    );
  }

  private line(plan: Plan): (Node | string)[] {
    const { name, facts, errors } = plan;
    const link = el("a", { href: address(`/plans/${encodeURIComponent(name)}`), id: `plan-${name}` }, name);
    const start = button("Start", () => void this.start(name), { id: `start-${name}`, "aria-label": `Start: ${name}` });
    start.disabled = this.refused !== "" || !facts;
    const wrong = el(
      "ul",
      { class: "mistakes" },
      ...errors.map((mistake) => {
        const there = address(`/plans/${encodeURIComponent(name)}`, mistake.line === null ? {} : { line: mistake.line });
        return el("li", {}, el("a", { href: there }, mistakeWords(mistake)));
      }),
    );
    const advice = el("ul", { class: "advice" }, ...(facts?.advice ?? []).map((words) => el("li", {}, words)));
    const state = el(
      "div",
      { class: "why" },
      stateOf(plan),
      errors.length > 0 && wrong,
      (facts?.advice.length ?? 0) > 0 && advice,
    );
    const about = facts && facts.plan !== name ? el("div", {}, link, el("small", {}, facts.plan)) : link;
    return [about, state, facts ? peak(facts) : NO_DATA, facts ? offset(facts.duration_seconds) : NO_DATA, start];
  }

  private async start(plan: string): Promise<void> {
    setText(this.said, `Starting ${plan}…`);
    try {
      const { body } = await send<{ id: string }>("POST", "/api/v1/runs", { plan });
      openStarted(body.id);
    } catch (error) {
      setText(this.said, `${plan} is not started: ${why(error)}`);
      this.said.classList.toggle("bad", error instanceof Refusal);
    }
  }

  private create(): void {
    if (this.fresh.disabled) return;
    const name = this.fresh.value.trim().replace(/\.ya?ml$/, "");
    if (name === "" || !this.fresh.checkValidity()) {
      setText(this.said, "A plan's file is named with letters, digits, “.”, “-” and “_”, beginning with one of the first two.");
      this.fresh.focus();
    } else location.hash = address(`/plans/${encodeURIComponent(name)}`);
  }
}

function stateOf({ facts, errors }: Plan): HTMLElement {
  if (errors.length === 0) return mark("valid");
  const words = mark("invalid");
  words.textContent = facts ? "wrong edit, the one before it is kept" : "wrong";
  return words;
}
