// What runs now, and what ran.

import { el, mark } from "./dom";
import type { Row, Second } from "./types";
import { count, moment, offset, rate, share, time, NO_DATA } from "./words";

export class Overview {
  readonly element = el("div", { class: "overview" });
  private readonly running = el("div", { class: "cards" });
  private readonly past = el("div");
  private readonly cards = new Map<string, HTMLElement>();

  constructor() {
    this.element.append(
      el("h1", {}, "Runs"),
      el("section", { "aria-label": "Running now" }, el("h2", {}, "Running now"), this.running),
      el("section", { "aria-label": "Past runs" }, el("h2", {}, "Past runs"), this.past),
    );
  }

  runs(rows: Row[], seconds: Map<string, Second>): void {
    const focused = document.activeElement?.getAttribute("href");
    const live = rows.filter((row) => row.status === "running");
    this.cards.clear();
    this.running.replaceChildren(...live.map((row) => this.card(row)));
    if (live.length === 0) {
      this.running.append(el("p", { class: "none" }, "Nothing runs. ", el("code", {}, "plimsoll run PLAN"), " in any terminal shows up here."));
    }
    const past = rows.filter((row) => row.status !== "running");
    this.past.replaceChildren(past.length > 0 ? table(past) : el("p", { class: "none" }, "No run is recorded yet."));
    live.forEach((row) => {
      const second = seconds.get(row.id);
      if (second) this.second(second);
    });
    // The list is new, but whoever was going through it by keyboard stays where they were.
    if (focused) this.element.querySelector<HTMLElement>(`a[href="${CSS.escape(focused)}"]`)?.focus();
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

  destroy(): void {}

  private card(row: Row): HTMLElement {
    const facts = el("dl", { class: "facts" });
    this.cards.set(row.id, facts);
    return el(
      "article",
      { class: "card" },
      el("h3", {}, el("a", { href: `#/runs/${row.id}` }, row.plan)),
      el("p", { class: "soft" }, [row.version, row.environment, row.target].filter(Boolean).join(" · ")),
      facts,
    );
  }
}

function fact(name: string, value: string): HTMLElement {
  return el("div", {}, el("dt", {}, name), el("dd", {}, value));
}

function table(rows: Row[]): HTMLElement {
  const heads = ["Plan", "Started", "Took", "Ended", "Verdict", "Generator", "Requests", "Throughput", "Errors", "p95"];
  const body = rows.map((row) => {
    const labels = [row.version, row.environment].filter(Boolean).join(" · ");
    const crosses = row.crosses.map((what) => CROSSES[what] ?? what).join(", ");
    const cells: [string, Node | string][] = [
      ["Started", moment(row.started)],
      ["Took", offset(row.duration_seconds)],
      ["Ended", row.lost_seconds > 0 ? `${row.status}, ${row.lost_seconds} s lost` : row.status],
      ["Verdict", row.verdict ? mark(row.verdict) : NO_DATA],
      ["Generator", row.validity ? mark(row.validity) : NO_DATA],
      ["Requests", count(row.requests)],
      ["Throughput", rate(row.throughput)],
      ["Errors", share(row.error_ratio)],
      ["p95", time(row.p95)],
    ];
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("a", { href: `#/runs/${row.id}` }, row.plan),
        labels !== "" && el("small", {}, labels),
        crosses !== "" && el("small", { class: "crosses" }, `since the run before: ${crosses}`),
      ),
      ...cells.map(([name, value], index) =>
        el("td", { "data-name": name, class: index > 4 ? "n" : "" }, value),
      ),
    );
  });
  const head = el("tr", {}, ...heads.map((name, index) => el("th", { scope: "col", class: index > 5 ? "n" : "" }, name)));
  return el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
}

/** Why a run may not be comparable with the one of the same plan before it. */
const CROSSES: Record<string, string> = {
  hash: "the plan changed",
  plimsoll: "Plimsoll changed",
  machine: "another machine",
};
