// What runs now, and what ran.

import { read } from "./api";
import { button, el, fill, mark, redraw, setText, table } from "./dom";
import type { Page } from "./page";
import { address } from "./page";
import type { Row, Second } from "./types";
import { count, moment, offset, rate, share, time, NO_DATA } from "./words";

/** Milliseconds between two looks at the SLAs, whose page takes as long. */
const SLAS_EVERY = 10_000;

interface SlaRow {
  label: string;
  state: string;
  why: string;
  composite?: boolean;
}

/** How the states of SLAs look. */
const LOOKS: Record<string, string> = { ok: "met", breaching: "missed", exhausted: "missed" };

export class Overview implements Page {
  readonly element = el("div", { class: "overview" });
  readonly title = "Plimsoll";
  readonly under = "#/runs";
  private readonly running = el("div", { class: "cards" });
  private readonly slas = el("section", { "aria-label": "SLAs", hidden: "" });
  private readonly past = el("div");
  private readonly timer = setInterval(() => void this.askForSlas(), SLAS_EVERY);
  private readonly cards = new Map<string, HTMLElement>();
  private readonly chooser = new Chooser();

  constructor() {
    this.element.append(
      el("h1", {}, "Runs"),
      el("section", { "aria-label": "Running now" }, el("h2", {}, "Running now"), this.running),
      this.slas,
      el("section", { "aria-label": "Past runs" }, el("h2", {}, "Past runs"), this.past, this.chooser.bar),
    );
    void this.askForSlas();
  }

  destroy(): void {
    clearInterval(this.timer);
  }

  private async askForSlas(): Promise<void> {
    const { slas } = await read<{ slas: SlaRow[] }>("/api/v1/slas").catch(() => ({ slas: [] }));
    this.slas.hidden = slas.length === 0;
    const one = ({ label, state, why }: SlaRow) => {
      const word = mark(LOOKS[state] ?? "inconclusive");
      word.textContent = state;
      const link = el("a", { href: `/sla/${encodeURIComponent(label)}`, id: `sla-${label}` }, label);
      return el("li", {}, word, " ", link, el("small", {}, ` ${why}`));
    };
    redraw(() => fill(this.slas, el("h2", {}, "SLAs"), el("ul", { class: "slas" }, ...slas.filter(({ composite }) => !composite).map(one))));
  }

  runs(rows: Row[], seconds: Map<string, Second>): void {
    // The list is new, but whoever was going through it by keyboard stays where they were.
    redraw(() => this.draw(rows));
    for (const second of seconds.values()) this.second(second);
  }

  private draw(rows: Row[]): void {
    const live = rows.filter((row) => row.status === "running");
    this.cards.clear();
    this.running.replaceChildren(...live.map((row) => this.card(row)));
    if (live.length === 0) {
      this.running.append(el("p", { class: "none" }, "Nothing runs. ", el("code", {}, "plimsoll run PLAN"), " in any terminal shows up here."));
    }
    const past = rows.filter((row) => row.status !== "running");
    this.chooser.bar.hidden = true;
    this.past.replaceChildren(past.length > 0 ? this.chooser.table(past) : el("p", { class: "none" }, "No run is recorded yet."));
  }

  second(second: Second): void {
    const facts = this.cards.get(second.run);
    if (!facts) return;
    const point = second.point;
    const missed = second.sla.filter((sla) => sla.verdict === "missed");
    facts.replaceChildren(
      fact("at", offset(second.second + 1)),
      fact("requests done", rate(point?.succeeded)),
      fact("p95", time(point?.p95)),
      fact("failed", count(second.failed)),
      fact("objectives", second.sla.length === 0 ? NO_DATA : missed.length === 0 ? "none missed" : `${missed.length} missed`),
      fact("generator", second.validity),
    );
    facts.classList.toggle("bad", missed.length > 0);
  }

  private card(row: Row): HTMLElement {
    const facts = el("dl", { class: "facts" });
    this.cards.set(row.id, facts);
    return el(
      "article",
      { class: "card" },
      el("h3", {}, el("a", { href: `#/runs/${row.id}`, id: `card-${row.id}` }, row.plan)),
      el("p", { class: "soft" }, [row.version, row.environment, row.target].filter(Boolean).join(" · ")),
      facts,
    );
  }
}

function fact(name: string, value: string): HTMLElement {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

/** As many runs as colours that tell them apart. */
export const MOST_COMPARED = 6;

/** A list of runs, some of which are chosen to be compared. */
export class Chooser {
  readonly bar = el("p", { class: "chosen" });
  private readonly chosen = new Set<string>();
  private readonly words = el("span", { role: "status" });
  private readonly compare = button("Compare", () => {
    location.hash = address("/compare", { runs: [...this.chosen].join(",") });
  });

  constructor() {
    this.bar.hidden = true;
    this.bar.append(this.compare, " ", this.words);
    this.tell();
  }

  /** Ticks a run before the list is there. */
  tick(id: string): void {
    this.chosen.add(id);
  }

  private choose(id: string, box: HTMLInputElement): void {
    if (box.checked) this.chosen.add(id);
    else this.chosen.delete(id);
    this.tell();
  }

  private tell(): void {
    const { size } = this.chosen;
    this.compare.disabled = size < 2 || size > MOST_COMPARED;
    const words =
      size === 0 ? "Tick two or more runs to compare them." :
      size === 1 ? "One run is ticked: tick another." :
      size > MOST_COMPARED ? `${size} runs are ticked, and at most ${MOST_COMPARED} can be told apart.` :
      `${size} runs are ticked; the one ticked first is what the others are compared with.`;
    setText(this.words, words);
  }

  table(rows: Row[]): HTMLElement {
    for (const id of [...this.chosen]) if (!rows.some((row) => row.id === id)) this.chosen.delete(id);
    this.tell();
    this.bar.hidden = rows.length < 2;
    const names = ["Plan", "Started", "Took", "Ended", "Verdict", "Generator", "Requests", "Throughput", "Errors", "p95"];
    const columns = names.map((name, index) => ({ name, number: index > 5 }));
    return table("Runs", columns, rows.map((row) => this.line(row, rows.length > 1)));
  }

  private line(row: Row, choosable: boolean): (Node | string)[] {
    const labels = [row.version, row.environment].filter(Boolean).join(" · ");
    const crosses = row.crosses.map((what) => CROSSES[what] ?? what).join(", ");
    const box = el("input", { type: "checkbox", id: `choose-${row.id}`, "aria-label": `Compare ${row.plan}, ${moment(row.started)}` });
    box.checked = this.chosen.has(row.id);
    box.addEventListener("change", () => this.choose(row.id, box));
    const name = el(
      "div",
      { class: "run-name" },
      choosable && box,
      el(
        "div",
        {},
        el("a", { href: `#/runs/${row.id}`, id: `run-${row.id}` }, row.plan),
        labels !== "" && el("small", {}, labels),
        crosses !== "" && el("small", { class: "crosses" }, `since the run before: ${crosses}`),
      ),
    );
    return [
      name,
      moment(row.started),
      offset(row.duration_seconds),
      row.lost_seconds > 0 ? `${row.status}, ${row.lost_seconds} s lost` : row.status,
      row.verdict ? mark(row.verdict) : NO_DATA,
      row.validity ? mark(row.validity) : NO_DATA,
      count(row.requests),
      rate(row.throughput),
      share(row.error_ratio),
      time(row.p95),
    ];
  }
}

/** Why a run may not be comparable with the one of the same plan before it. */
const CROSSES: Record<string, string> = {
  hash: "the plan changed",
  plimsoll: "Plimsoll changed",
  machine: "another machine",
};
