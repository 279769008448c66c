// Steering a run that goes on.

import { send, why, whyNot } from "./api";
import { button, confirmed, el, fill, setText } from "./dom";
import type { Timeline } from "./types";

export class Controls {
  readonly element = el("section", { class: "controls", "aria-label": "Steer this run" });
  private readonly said = el("p", { role: "status" });
  private readonly load = el("select", { id: "steer-load" });
  private readonly level = el("input", { id: "steer-level", type: "text", autocomplete: "off", spellcheck: "false", size: "10" });
  private readonly name = el("label", { for: "steer-level" });
  private readonly all: (HTMLButtonElement | HTMLInputElement | HTMLSelectElement)[];

  constructor(
    private readonly timeline: Timeline,
    private readonly steered: () => void,
  ) {
    const { load, level } = this;
    const loads = timeline.loads ?? [{ scenario: null, model: timeline.model }];
    loads.forEach(({ scenario }, index) => {
      load.append(el("option", { value: String(index) }, scenario ?? (loads.length > 1 ? "all others" : "everything")));
    });
    load.addEventListener("change", () => this.ask());
    const set = button("Set", () => this.set());
    level.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.set();
    });
    const plain = ["Pause", "Resume"].map((word) => button(word, () => void this.steer(word.toLowerCase())));
    const plan = button("As planned", () => void this.steer(this.kind(), "plan"));
    const stop = button("Stop…", () => void this.stop(), { class: "danger" });
    this.all = [load, level, set, plan, ...plain, stop];
    fill(
      this.element,
      el("h2", {}, "Steer"),
      el(
        "div",
        { class: "steer" },
        loads.length > 1 && el("span", {}, el("label", { for: "steer-load" }, "Load of"), load),
        el("span", {}, this.name, level, set),
        el("span", { class: "buttons" }, plan, ...plain, stop),
      ),
      this.said,
    );
    this.ask();
    void this.check();
  }

  /** Says why nothing can be steered, where that is so. */
  private async check(): Promise<void> {
    const why = await whyNot();
    if (!why) return;
    for (const one of this.all) one.disabled = true;
    setText(this.said, `Not for you to steer: ${why}.`);
  }

  private chosen(): { scenario: string | null; model: "open" | "closed" } {
    return this.timeline.loads?.[Number(this.load.value || 0)] ?? { scenario: null, model: this.timeline.model };
  }

  private kind(): "rate" | "users" {
    return this.chosen().model === "open" ? "rate" : "users";
  }

  private ask(): void {
    const rate = this.kind() === "rate";
    setText(this.name, rate ? "Rate" : "Users");
    this.level.placeholder = rate ? "800/s or x1.5" : "200 or 50%";
  }

  private set(): void {
    const value = this.level.value.trim();
    if (value === "") {
      this.say(`Say how much: ${this.level.placeholder}.`, true);
      this.level.focus();
    } else void this.steer(this.kind(), value);
  }

  private async stop(): Promise<void> {
    const { scenario } = this.chosen();
    const about =
      scenario == null
        ? "Nothing more is offered. Requests in flight have their grace, then teardown, record and report are made; the run is interrupted."
        : `Nothing more is offered of ${scenario}, and it cannot go on again. The others go on.`;
    const question = scenario == null ? `Stop ${this.timeline.plan}?` : `Stop ${scenario}?`;
    if (await confirmed(question, about, "Stop it", "Go on")) await this.steer("stop");
  }

  private async steer(command: string, value?: string): Promise<void> {
    const { scenario } = this.chosen();
    this.say("Asking…", false);
    try {
      const path = `/api/v1/runs/${encodeURIComponent(this.timeline.run)}/control`;
      const { body } = await send<{ from: number; text: string }>("POST", path, {
        command, ...(value === undefined ? {} : { value }), ...(scenario == null ? {} : { scenario }),
      });
      this.say(body.text, false);
      this.level.value = "";
      this.steered();
    } catch (error) {
      this.say(`Not done: ${why(error)}`, true);
    }
  }

  private say(words: string, bad: boolean): void {
    setText(this.said, words);
    this.said.classList.toggle("bad", bad);
  }
}
