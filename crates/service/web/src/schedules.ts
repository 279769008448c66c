// When plans, searches and reports are started, and what happened.

import { read, send, why, whyNot } from "./api";
import { button, el, fill, mark, redraw, setText, table } from "./dom";
import type { Page } from "./page";
import { address } from "./page";
import { openStarted } from "./run";
import type { Row } from "./types";
import { moment, NO_DATA } from "./words";

type Kind = "plan" | "limit" | "capacity" | "sla";

interface Schedule {
  name: string;
  kind: Kind;
  /** Of the folder, or as its runs are called (`capacity`). */
  plan: string | null;
  most: string | null;
  when: string;
  overlap: string;
  missed: string;
  paused: boolean;
  next: string | null;
  run: string | null;
  search: string | null;
  report: string | null;
  last: { at: string; words: string; report: string | null } | null;
  waits: string | null;
  notes: { at: string; words: string }[];
}

/** A report that a schedule has made. */
interface Made {
  schedule: string;
  at: string;
  href: string;
}

/** Runs and reports of a schedule that are shown. */
const LAST = 5;

/** What is said when it is done. */
const SAID = {
  start: (name: string) => `${name} has begun.`,
  stop: (name: string) => `${name} is asked to stop.`,
  pause: (name: string) => `${name} starts nothing until it is resumed.`,
  resume: (name: string) => `${name} goes on.`,
};

export class SchedulesPage implements Page {
  readonly element = el("div", { class: "schedules" });
  readonly title = "Schedules · Plimsoll";
  readonly under = "#/schedules";
  private readonly list = el("div", {}, el("p", { class: "none" }, "Loading…"));
  private readonly said = el("p", { role: "status" });
  private readonly timer = setInterval(() => void this.load(), 5000);
  private readonly opened = new Set<string>();
  private rows: Row[] = [];
  private made: Made[] = [];
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
      if (schedules.some(({ kind }) => kind !== "plan")) {
        this.made = (await read<{ reports: Made[] }>("/api/v1/reports")).reports;
      }
      redraw(() => this.show(schedules));
    } catch (error) {
      fill(this.list, el("p", { class: "none" }, why(error)));
    }
  }

  private show(schedules: Schedule[]): void {
    const columns = ["Schedule", "When", "Next", "Last", "Notes", "Do"].map((name) => ({ name }));
    const empty = el("p", { class: "none" }, "There is no schedule: ", el("code", {}, "schedules"), " in the configuration of ", el("code", {}, "plimsoll serve"), " has them.");
    fill(
      this.list,
      this.refused !== "" && el("p", { class: "soft" }, `You cannot start or pause schedules: ${this.refused}.`),
      schedules.length > 0 ? table("Schedules", columns, schedules.map((schedule) => this.line(schedule))) : empty,
    );
  }

  private line(schedule: Schedule): (Node | string)[] {
    const { name, when, next, paused } = schedule;
    const about = el("div", {}, name, el("small", {}, ...subject(schedule)));
    const times = el("div", {}, when.replace("_", " "), el("small", {}, policy(schedule)));
    return [about, times, this.next(schedule, next, paused), this.last(schedule), this.notes(schedule), this.buttons(schedule)];
  }

  private next(schedule: Schedule, next: string | null, paused: boolean): HTMLElement {
    const soon = next ? moment(next) : NO_DATA;
    return el("div", {}, paused ? mark("paused") : soon, schedule.waits !== null && el("small", { class: "why" }, `waits: ${schedule.waits}`));
  }

  private last(schedule: Schedule): HTMLElement {
    return schedule.kind === "plan" ? this.lastRuns(schedule) : this.outcome(schedule);
  }

  /** How the last search or report ended, and the reports that are there. */
  private outcome({ name, run, search, report, last }: Schedule): HTMLElement {
    const trial = this.rows.find((row) => search !== null && row.tags["limit"] === search && row.status === "running");
    const searching = trial ? el("a", { href: address(`/runs/${encodeURIComponent(trial.id)}`), id: `trial-of-${name}` }, "searching") : "searching";
    // Names are moments. One that is there while its process still ends is not told before it.
    const isEarlier = ({ href }: Made) => (last?.report == null || href < last.report) && (report === null || !href.endsWith(`/${report}`));
    const earlier = this.made.filter((made) => made.schedule === name && isEarlier(made)).slice(0, LAST);
    const open = (href: string, id: string, words: string) => el("a", { href, id, target: "_blank", rel: "noopener" }, words);
    const link = ({ href, at }: Made) => open(href, `made-${href}`, moment(at));
    return el(
      "div",
      { class: "outcome" },
      search !== null && searching,
      // Of a search whose service was killed.
      run !== null && el("a", { href: address(`/runs/${encodeURIComponent(run)}`), id: `run-of-${name}` }, "a run of it ends"),
      report !== null && "a report is being made",
      last !== null && el("div", {}, `${moment(last.at)}: ${last.words} `, last.report !== null && open(last.report, `report-of-${name}`, "Report")),
      earlier.length > 0 && el("small", {}, last === null ? "Reports: " : "Earlier: ", ...earlier.flatMap((made, index) => (index > 0 ? [", ", link(made)] : [link(made)]))),
      run === null && search === null && report === null && last === null && earlier.length === 0 && NO_DATA,
    );
  }

  private lastRuns({ name, run }: Schedule): HTMLElement {
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

  private buttons({ name, kind, paused, run, search, report }: Schedule): HTMLElement {
    const start = button("Start now", () => void this.do(name, "start", kind), { id: `start-${name}`, "aria-label": `Start now: ${name}` });
    const word = paused ? "Resume" : "Pause";
    const pause = button(word, () => void this.do(name, paused ? "resume" : "pause", kind), { id: `pause-${name}`, "aria-label": `${word}: ${name}` });
    pause.disabled = this.refused !== "";
    start.disabled = this.refused !== "" || [run, search, report].some((one) => one !== null);
    const stop = button("Stop", () => void this.do(name, "stop", kind), { id: `stop-${name}`, "aria-label": `Stop: ${name}`, class: "danger" });
    stop.disabled = this.refused !== "";
    // A run is stopped where it is seen, after a question.
    return el("div", { class: "buttons" }, start, pause, (search ?? report) !== null && stop);
  }

  private async do(name: string, what: "start" | "stop" | "pause" | "resume", kind: Kind): Promise<void> {
    try {
      const path = `/api/v1/schedules/${encodeURIComponent(name)}/${what}`;
      const { body } = await send<{ id: string } | null>("POST", path);
      if (body && kind === "plan") openStarted(body.id);
      else setText(this.said, SAID[what](name));
      this.said.classList.remove("bad");
      await this.load();
    } catch (error) {
      setText(this.said, `${name}: ${why(error)}`);
      this.said.classList.add("bad");
    }
  }
}

/** What it starts, in words. */
function subject({ name, kind, plan, most }: Schedule): (Node | string)[] {
  const link = (href: string, words: string) => el("a", { href, id: `plan-of-${name}` }, words);
  const file = () => link(address(`/plans/${encodeURIComponent(plan ?? "")}`), plan ?? "");
  switch (kind) {
    case "plan":
      return ["starts ", file()];
    case "limit":
      return ["searches the limit of ", file(), `, up to ${most ?? ""}`];
    case "capacity":
      return ["reports the ", link("/capacity", "capacity"), ` of ${plan ?? ""}`];
    case "sla":
      return ["reports a month of ", link("/sla", "SLAs")];
  }
}

/** What happens where times fall together or are missed, where it is not the usual. */
function policy({ when, overlap, missed }: Schedule): string {
  if (when === "continuous" || when === "on_demand") return when === "continuous" ? "whenever no run of it goes on" : "when somebody asks";
  const busy: Record<string, string> = { skip: "left out while it runs", queue: "queued while it runs", replace: "replaces its own run" };
  return [busy[overlap], missed === "once" && "missed times are made up for once"].filter(Boolean).join(", ");
}
