// Two or more runs over each other.

import { read, why } from "./api";
import { el, fill, table } from "./dom";
import { Chooser, MOST_COMPARED } from "./overview";
import type { Page } from "./page";
import { address } from "./page";
import type { Line, Range, Values } from "./plot";
import { Plot, Plots } from "./plot";
import type { Column, Points, Row, Timeline } from "./types";
import { count, moment, NO_DATA, offset, rate, share, significant, time } from "./words";

/** What is compared of a run: its course, and what it was. */
interface Compared {
  timeline: Timeline;
  about: {
    run: {
      id: string; plan: string; plan_hash: string; plimsoll: string; status: string; seed: number; target: string;
      version: string | null; environment: string | null; measured_seconds: number | null;
      machine: { host: string; fingerprint: string };
    };
    validity: { verdict: string; reasons: string[] };
    steered?: unknown[];
  };
}

const COLORS = ["--blue", "--orange", "--green", "--purple", "--teal", "--red"];
const DASHES = [[], [8, 4], [2, 3], [12, 4, 2, 4], [5, 2], [1, 4]];

export class ComparePage implements Page {
  readonly element = el("div", { class: "compare" });
  readonly title = "Compare · Plimsoll";
  readonly under = "#/compare";
  private readonly plots = new Plots();
  private readonly ids: string[];
  private readonly chooser = new Chooser();
  private readonly choice = el("div");
  private range: Range | null = null;

  constructor(query: URLSearchParams) {
    this.ids = [...new Set((query.get("runs") ?? "").split(",").filter(Boolean))];
    if (this.ids.length < 2) this.choose();
    else {
      fill(this.element, el("h1", {}, "Compare"), el("p", { class: "none" }, "Loading…"));
      void this.load();
    }
  }

  destroy(): void {
    this.plots.destroy();
  }

  runs(rows: Row[]): void {
    if (this.ids.length >= 2) return;
    const past = rows.filter((row) => row.status !== "running");
    fill(this.choice, past.length > 1 ? this.chooser.table(past) : el("p", { class: "none" }, "There are no two runs yet that could be compared."));
  }

  private choose(): void {
    for (const id of this.ids) this.chooser.tick(id);
    fill(this.element, el("h1", {}, "Compare"), el("section", { "aria-label": "Runs to choose from" }, this.choice, this.chooser.bar));
  }

  private async load(): Promise<void> {
    try {
      const ids = this.ids.slice(0, MOST_COMPARED);
      const compared = await Promise.all(ids.map((id) => ask(id)));
      if (this.element.childElementCount > 0) this.show(compared);
    } catch (error) {
      fill(this.element, el("h1", {}, "Compare"), el("p", { role: "alert" }, why(error)), el("p", {}, el("a", { href: "#/compare" }, "Choose others")));
    }
  }

  private show(compared: Compared[]): void {
    const names = compared.map(nameOf);
    const told = differences(compared);
    fill(
      this.element,
      el("h1", {}, "Compare"),
      el("ol", { class: "runs" }, ...compared.map((one, index) => legend(one, index))),
      el(
        "section",
        {},
        el("h2", {}, "What else differs"),
        told.length > 0
          ? el("ul", { class: "differs" }, ...told.map((words) => el("li", {}, words)))
          : el("p", {}, "Plan, target, machine and Plimsoll are the same, and each generator could be trusted."),
      ),
      el("section", {}, el("h2", {}, "Totals"), totals(compared, names), el("p", { class: "soft" }, "Differences are to the first run. Intervals: not available from single runs.")),
      el("section", { "aria-label": "Charts" }, el("h2", {}, "Since their start"), this.plots.element),
    );
    this.draw(compared.map(({ timeline }) => timeline.points), names);
  }

  private draw(all: Points[], names: string[]): void {
    const [middles, joined] = join(all);
    const end = Math.max(1, ...all.map((points) => (points.second.at(-1) ?? 0) + (points.seconds.at(-1) ?? 1)));
    const lines: Line[] = names.map((name, index) => ({ name, color: COLORS[index] ?? "--ink", dash: DASHES[index] ?? [] }));
    const around = {
      range: () => this.range ?? { from: 0, to: end },
      zoom: (range: Range | null) => {
        this.range = range && range.from < end && (range.from > 0 || range.to < end) ? { from: range.from, to: Math.min(range.to, end) } : null;
        this.draw(all, names);
      },
    };
    const made = DRAWN.map(({ title, id, log, words, of }) => {
      const columns = joined(of).map((values) => (log ? values.map((value) => value || null) : values));
      return new Plot({ title, id, log, words, lines }, around, [middles, ...columns]);
    });
    const focused = document.activeElement?.id;
    this.plots.show(made);
    if (focused?.startsWith("chart-")) document.getElementById(focused)?.focus();
  }
}

async function ask(id: string): Promise<Compared> {
  const base = `/api/v1/runs/${encodeURIComponent(id)}`;
  const [timeline, about] = await Promise.all([read<Timeline>(`${base}/timeline`), read<Compared["about"]>(base)]);
  return { timeline, about };
}

type Of = (points: Points, index: number) => number | null;
const column = (name: Column): Of => (points, index) => points[name][index] ?? null;

const DRAWN: { title: string; id: string; log: boolean; words: (value: number | null | undefined) => string; of: Of }[] = [
  { title: "Requests succeeded per second", id: "throughput", log: false, words: rate, of: column("succeeded") },
  { title: "p50 of response time", id: "p50", log: true, words: time, of: column("p50") },
  { title: "p99 of response time", id: "p99", log: true, words: time, of: column("p99") },
  {
    title: "Share of requests that failed", id: "error-ratio", log: false, words: share,
    of: (points, index) => {
      const good = points.good[index];
      return good == null ? null : 1 - good;
    },
  },
];

/** The middles of every point of every run in order, and each run's values at them. */
function join(all: Points[]): [number[], (of: Of) => Values[]] {
  const middles = all.map(({ second, seconds }) => second.map((at, index) => (at ?? 0) + (seconds[index] ?? 1) / 2));
  const joined = [...new Set(middles.flat())].sort((one, other) => one - other);
  const places = new Map(joined.map((middle, place) => [middle, place]));
  return [
    joined,
    (of) =>
      all.map((points, run) => {
        // Between its own points a run has no value, and its line goes on.
        const values: (number | null | undefined)[] = new Array(joined.length).fill(undefined);
        middles[run]?.forEach((middle, index) => {
          values[places.get(middle) ?? 0] = of(points, index);
        });
        return values as Values;
      }),
  ];
}

function nameOf({ about: { run } }: Compared, index: number): string {
  return `${index + 1}: ${run.version ?? run.plan}`;
}

function legend({ timeline, about: { run } }: Compared, index: number): HTMLElement {
  const labels = [run.version, run.environment, moment(timeline.started)].filter(Boolean).join(" · ");
  return el(
    "li",
    { class: `run-${index}` },
    el("a", { href: address(`/runs/${encodeURIComponent(run.id)}`) }, run.plan),
    ` ${labels}`,
    index === 0 && el("small", {}, " the others are compared with this one"),
  );
}

/** What makes figures hard to compare, in words. */
function differences(compared: Compared[]): string[] {
  const [first, ...others] = compared;
  if (!first) return [];
  const told: string[] = [];
  const differs = (what: string, of: (run: Compared["about"]["run"]) => string, shown = of) => {
    others.forEach((other, index) => {
      if (of(other.about.run) !== of(first.about.run)) {
        told.push(`${what} of run ${index + 2} is ${shown(other.about.run)}, of the first ${shown(first.about.run)}.`);
      }
    });
  };
  differs("The plan", (run) => run.plan_hash, (run) => `${run.plan} (${run.plan_hash.slice(0, 12)})`);
  differs("The target", (run) => run.target);
  differs("The machine", (run) => run.machine.fingerprint, (run) => run.machine.host);
  differs("The environment", (run) => run.environment ?? "not told");
  differs("Plimsoll", (run) => run.plimsoll);
  compared.forEach(({ about }, index) => {
    const run = `run ${index + 1}`;
    if (about.validity.verdict !== "valid") {
      const why = about.validity.reasons.length > 0 ? `: ${about.validity.reasons.join("; ")}` : "";
      told.push(`The generator of ${run} is ${about.validity.verdict}, so its figures may be the generator's own${why}.`);
    }
    if ((about.steered?.length ?? 0) > 0) told.push(`${sentence(run)} was steered: its load is not its plan's.`);
    if (about.run.status !== "completed") told.push(`${sentence(run)} is ${about.run.status}.`);
  });
  return told;
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

interface Figure {
  name: string;
  of: (timeline: Timeline) => number | null;
  words: (value: number | null) => string;
}

const FIGURES: Figure[] = [
  { name: "Requests", of: ({ totals }) => totals.requests, words: count },
  { name: "Throughput", of: ({ totals }) => totals.throughput, words: rate },
  { name: "Failed", of: ({ totals }) => totals.error_ratio, words: share },
  { name: "Dropped", of: ({ totals }) => totals.dropped, words: count },
  { name: "p50", of: ({ response_time }) => response_time.p50, words: time },
  { name: "p95", of: ({ response_time }) => response_time.p95, words: time },
  { name: "p99", of: ({ response_time }) => response_time.p99, words: time },
  { name: "Longest", of: ({ response_time }) => response_time.max, words: time },
  { name: "Lasted", of: ({ points }) => (points.second.at(-1) ?? 0) + (points.seconds.at(-1) ?? 0), words: offset },
];

function totals(compared: Compared[], names: string[]): HTMLElement {
  const columns = [{ name: "Over the measured time" }, ...names.map((name) => ({ name, number: true }))];
  const rows = FIGURES.map(({ name, of, words }) => {
    const values = compared.map(({ timeline }) => of(timeline));
    const cells = values.map((value, index) =>
      el("div", {}, words(value), index > 0 && el("small", {}, difference(values[0] ?? null, value, words))),
    );
    return [name, ...cells];
  });
  return table("Totals", columns, rows);
}

/** By how much, and what share of the first that is. */
function difference(first: number | null, other: number | null, words: (value: number | null) => string): string {
  if (first === null || other === null) return NO_DATA;
  if (first === other) return "the same";
  const by = other - first;
  const sign = by > 0 ? "+" : "−";
  const relative = first === 0 ? "" : ` (${sign}${significant((Math.abs(by) / Math.abs(first)) * 100)}%)`;
  return `${sign}${words(Math.abs(by))}${relative}`;
}
