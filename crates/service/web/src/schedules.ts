// When plans are started, and what happened.

import { read, send, why, whyNot } from "./api";
import { button, el, fill, mark, redraw, setText, table } from "./dom";
import type { Page } from "./page";
import { address } from "./page";
import { openStarted } from "./run";
import type { Row } from "./types";
import { moment, NO_DATA } from "./words";

interface Schedule {
  name: string;
  plan: string;
  when: string;
  overlap: string;
  missed: string;
  paused: boolean;
  next: string | null;
  run: string | null;
  waits: string | null;
  notes: { at: string; words: string }[];
}

/** Runs of a schedule that are shown. */
const LAST = 5;

export class SchedulesPage implements Page {
  readonly element = el("div", { class: "schedules" });
  readonly title = "Schedules · Plimsoll";
  readonly under = "#/schedules";
  private readonly list = el("div", {}, el("p", { class: "none" }, "Loading…"));
  private readonly said = el("p", { role: "status" });
  private readonly timer = setInterval(() => void this.load(), 5000);
  private readonly opened = new Set<string>();
  private rows: Row[] = [];
  private refused: string | null = null;

  constructor() {
    fill(this.element, el("h1", {}, "Schedules"), this.said, this.list);
    void this.load();
  }

  destroy(): void {
    clearInterval(this.timer);
  }

  runs(rows: Row[]): void {
    this.rows = rows;
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      this.refused ??= await whyNot();
      const { schedules } = await read<{ schedules: Schedule[] }>("/api/v1/schedules");
      redraw(() => this.show(schedules));
    } catch (error) {
      fill(this.list, el("p", { class: "none" }, why(error)));
    }
  }

  private show(schedules: Schedule[]): void {
    const columns = ["Schedule", "When", "Next", "Last runs", "Notes", "Do"].map((name) => ({ name }));
    const empty = el("p", { class: "none" }, "There is no schedule: ", el("code", {}, "schedules"), " in the configuration of ", el("code", {}, "plimsoll serve"), " has them.");
    fill(
      this.list,
      this.refused !== "" && el("p", { class: "soft" }, `You cannot start or pause schedules: ${this.refused}.`),
      schedules.length > 0 ? table("Schedules", columns, schedules.map((schedule) => this.line(schedule))) : empty,
    );
  }

  private line(schedule: Schedule): (Node | string)[] {
    const { name, plan, when, next, paused } = schedule;
    const about = el(
      "div",
      {},
      name,
      el("small", {}, "starts ", el("a", { href: address(`/plans/${encodeURIComponent(plan)}`), id: `plan-of-${name}` }, plan)),
    );
    const times = el("div", {}, when.replace("_", " "), el("small", {}, policy(schedule)));
    return [about, times, this.next(schedule, next, paused), this.last(schedule), this.notes(schedule), this.buttons(schedule)];
  }

  private next(schedule: Schedule, next: string | null, paused: boolean): HTMLElement {
    const soon = next ? moment(next) : NO_DATA;
    return el("div", {}, paused ? mark("paused") : soon, schedule.waits !== null && el("small", { class: "why" }, `waits: ${schedule.waits}`));
  }

  private last({ name, run }: Schedule): HTMLElement {
    const runs = this.rows.filter((row) => row.tags["schedule"] === name).slice(0, LAST);
    const link = (row: Row) => {
      const words = row.status === "running" ? "running" : (row.verdict ?? row.status);
      const badge = mark(row.verdict);
      badge.textContent = words;
      return el("a", { href: address(`/runs/${encodeURIComponent(row.id)}`), id: `of-${name}-${row.id}`, "aria-label": `${words}, ${moment(row.started)}` }, badge);
    };
    const known = runs.some((row) => row.id === run);
    return el(
      "div",
      { class: "last" },
      run !== null && !known && el("a", { href: address(`/runs/${encodeURIComponent(run)}`), id: `run-of-${name}` }, "running"),
      ...runs.map(link),
      run === null && runs.length === 0 && NO_DATA,
    );
  }

  private notes({ name, notes }: Schedule): HTMLElement | string {
    if (notes.length === 0) return NO_DATA;
    const latest = [...notes].reverse();
    const list = el("ul", {}, ...latest.map(({ at, words }) => el("li", {}, el("small", {}, moment(at)), ` ${words}`)));
    const summary = el("summary", { id: `notes-${name}` }, notes.length === 1 ? "1 note" : `${notes.length} notes`);
    const details = el("details", { class: "why" }, summary, list);
    details.open = this.opened.has(name);
    details.addEventListener("toggle", () => {
      if (details.open) this.opened.add(name);
      else this.opened.delete(name);
    });
    return details;
  }

  private buttons({ name, paused, run }: Schedule): HTMLElement {
    const start = button("Start now", () => void this.do(name, "start"), { id: `start-${name}`, "aria-label": `Start now: ${name}` });
    const word = paused ? "Resume" : "Pause";
    const pause = button(word, () => void this.do(name, paused ? "resume" : "pause"), { id: `pause-${name}`, "aria-label": `${word}: ${name}` });
    pause.disabled = this.refused !== "";
    start.disabled = this.refused !== "" || run !== null;
    return el("div", { class: "buttons" }, start, pause);
  }

  private async do(name: string, what: "start" | "pause" | "resume"): Promise<void> {
    try {
      const path = `/api/v1/schedules/${encodeURIComponent(name)}/${what}`;
      const { body } = await send<{ id: string } | null>("POST", path);
      if (body) openStarted(body.id);
      else setText(this.said, what === "pause" ? `${name} starts nothing until it is resumed.` : `${name} goes on.`);
      this.said.classList.remove("bad");
      await this.load();
    } catch (error) {
      setText(this.said, `${name}: ${why(error)}`);
      this.said.classList.add("bad");
    }
  }
}

/** What happens where times fall together or are missed, where it is not the usual. */
function policy({ when, overlap, missed }: Schedule): string {
  if (when === "continuous" || when === "on_demand") return when === "continuous" ? "whenever no run of it goes on" : "when somebody asks";
  const busy: Record<string, string> = { skip: "left out while it runs", queue: "queued while it runs", replace: "replaces its own run" };
  return [busy[overlap], missed === "once" && "missed times are made up for once"].filter(Boolean).join(", ");
}
