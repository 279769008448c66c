// One run, live or past.

import { Charts } from "./charts";
import { el, fill, mark, setText } from "./dom";
import type { Points, Row, Second, Sla, Timeline } from "./types";
import { COLUMNS } from "./types";
import { count, moment, offset, rate, share, time } from "./words";

/** Milliseconds between two questions for what was said of failures. */
const WORDS_EVERY = 3000;

export class RunPage {
  readonly element = el("div", { class: "run" });
  private timeline: Timeline | null = null;
  private charts: Charts | null = null;
  private readonly verdict = el("p", { class: "verdict", role: "status" });
  private readonly figures = el("dl", { class: "key" });
  private readonly strip = el("ul", { class: "strip", "aria-label": "Objectives" });
  private readonly progress = el("progress", { "aria-label": "Progress" });
  private readonly clock = el("span", { class: "soft" });
  private readonly errors = el("div");
  private readonly notes = el("div");
  private loading = 0;
  /** Failures when errors and notes were last asked for, and when that was. */
  private asked = { failed: 0, at: 0 };

  constructor(private readonly id: string) {
    this.element.append(el("p", { class: "none" }, "Loading…"));
    void this.load();
  }

  destroy(): void {
    this.loading = -1;
    this.charts?.destroy();
  }

  /** The list changed: this run may have ended. */
  runs(rows: Row[]): void {
    const row = rows.find((known) => known.id === this.timeline?.run);
    if (row && this.timeline && row.status !== this.timeline.status) void this.load();
  }

  missed(): void {
    void this.load();
  }

  second(second: Second): void {
    const { timeline } = this;
    if (!timeline || second.run !== timeline.run || !second.point) return;
    const { points } = timeline;
    const last = points.second.at(-1) ?? -1;
    const at = second.point.second ?? 0;
    if (at < (last ?? -1)) return;
    for (const name of COLUMNS) {
      // A point of several seconds grows until the next one begins.
      if (at === last) points[name][points[name].length - 1] = second.point[name];
      else points[name].push(second.point[name]);
    }
    this.charts?.update(points);
    this.live(second.sla, second.validity);
    this.showFigures(second.requests, second.failed);
    this.showProgress(second.second + 1);
    if (second.failed !== this.asked.failed && performance.now() - this.asked.at > WORDS_EVERY) {
      this.asked = { failed: second.failed, at: performance.now() };
      void this.askForWords();
    }
  }

  /** What was said of failures is no part of a second. */
  private async askForWords(): Promise<void> {
    const turn = this.loading;
    const answer = await this.ask();
    const timeline = answer?.ok ? ((await answer.json().catch(() => null)) as Timeline | null) : null;
    if (timeline && turn === this.loading) this.showWords(timeline);
  }

  private ask(): Promise<Response | null> {
    return fetch(`/api/v1/runs/${encodeURIComponent(this.id)}/timeline`).catch(() => null);
  }

  private showWords(timeline: Timeline): void {
    fill(this.errors, errors(timeline));
    fill(this.notes, notes(timeline));
  }

  private async load(): Promise<void> {
    const turn = ++this.loading;
    const answer = await this.ask();
    const body: unknown = await answer?.json().catch(() => null);
    // Whoever asked later, or left the page, has made this answer stale.
    if (turn !== this.loading) return;
    if (!answer?.ok || !body) {
      const why = (body as { detail?: string } | null)?.detail ?? "the service does not answer";
      this.element.replaceChildren(el("h1", {}, "No such run"), el("p", {}, why), el("p", {}, el("a", { href: "#/" }, "All runs")));
      return;
    }
    this.show(body as Timeline);
  }

  private show(timeline: Timeline): void {
    this.timeline = timeline;
    this.charts?.destroy();
    this.charts = new Charts(timeline);
    document.title = `${timeline.plan} · Plimsoll`;
    const running = timeline.status === "running";
    const about = [moment(timeline.started), timeline.target, timeline.version, timeline.environment, `${timeline.model} model`];
    const base = `/api/v1/runs/${encodeURIComponent(timeline.run)}`;
    fill(
      this.element,
      el("p", {}, el("a", { href: "#/" }, "← All runs")),
      el(
        "header",
        { class: `banner ${running ? "running" : (timeline.verdict ?? "none")}` },
        el("div", {}, el("h1", {}, timeline.plan), el("p", { class: "soft" }, about.filter(Boolean).join(" · "))),
        this.verdict,
        timeline.reason && el("p", { class: "reason" }, timeline.reason),
        el("div", { class: "progress" }, this.progress, this.clock),
      ),
      this.figures,
      el("section", { "aria-label": "Objectives" }, this.strip),
      this.charts.element,
      this.errors,
      this.notes,
      el(
        "p",
        { class: "links" },
        el("a", { href: `${base}/report`, target: "_blank", rel: "noopener" }, "Report"),
        el("a", { href: base, target: "_blank", rel: "noopener" }, "JSON"),
      ),
    );
    this.showWords(timeline);
    this.progress.hidden = !running;
    if (running) this.live(timeline.sla, timeline.validity.verdict);
    else this.final(timeline);
    this.showFigures(timeline.so_far.requests, timeline.so_far.failed);
    this.showProgress((timeline.points.second.at(-1) ?? -1) + (timeline.points.seconds.at(-1) ?? 1));
  }

  private live(sla: Sla[], validity: string): void {
    const missing = sla.filter((one) => one.verdict === "missed" && one.severity === "critical");
    this.say("running", missing.length > 0 ? `${missing.length} missed now` : "", validity, missing.length > 0);
    this.showObjectives(sla, true);
  }

  private final(timeline: Timeline): void {
    this.say(timeline.verdict ?? "no objectives", timeline.status, timeline.validity.verdict, timeline.verdict === "missed");
    this.showObjectives(timeline.sla, false);
  }

  private say(word: string, beside: string, validity: string, bad: boolean): void {
    const key = [word, beside, validity].join("|");
    // Only a change is announced, not every second.
    if (this.verdict.dataset["said"] === key) return;
    this.verdict.dataset["said"] = key;
    this.verdict.classList.toggle("bad", bad);
    const trust = mark(validity);
    trust.textContent = `generator ${validity}`;
    fill(this.verdict, el("b", {}, word), beside !== "" && el("span", {}, beside), trust);
  }

  private showFigures(requests: number, failed: number): void {
    const { timeline } = this;
    if (!timeline) return;
    const shown = timeline.status === "running" ? now(timeline.points, requests, failed) : whole(timeline);
    if (this.figures.childElementCount !== shown.length) {
      this.figures.replaceChildren(...shown.map(() => el("div", {}, el("dt"), el("dd"))));
    }
    shown.forEach((pair, index) => {
      const cells = this.figures.children[index]?.children ?? [];
      pair.forEach((text, place) => setText(cells[place] as HTMLElement, text));
    });
  }

  private showObjectives(sla: Sla[], live: boolean): void {
    const items = sla.map((one) => {
      const windows = one.windows ? `${one.missed_windows} of ${one.windows} windows missed` : "";
      const breach = live ? one.breach : null;
      const beside = breach ? breach.why : live ? windows : (one.why ?? "");
      const stands = breach ? "missed" : (one.verdict ?? "none");
      return el(
        "li",
        { class: `objective ${stands} ${one.severity}` },
        el("div", {}, el("strong", {}, one.name), breach ? mark("breaching") : mark(one.verdict)),
        el("code", {}, one.objective),
        el("p", {}, "observed ", el("b", {}, one.observed_words ?? "–"), one.severity === "warning" && " · warning only"),
        beside !== "" && el("p", { class: "soft" }, beside),
      );
    });
    this.strip.replaceChildren(...items);
    this.strip.hidden = items.length === 0;
  }

  private showProgress(done: number): void {
    const { timeline } = this;
    if (!timeline) return;
    const planned = timeline.planned_seconds;
    // A run that ends by a number of iterations has no planned end.
    const endless = timeline.iterations != null;
    if (endless) this.progress.removeAttribute("value");
    else {
      this.progress.max = planned;
      this.progress.value = Math.min(done, planned);
    }
    const left = Math.max(0, planned - done);
    const running = timeline.status === "running";
    setText(this.clock, !running || endless ? offset(done) : `${offset(done)} of ${offset(planned)}, ${offset(left)} left`);
  }
}

/** The last second of a run that goes on, and its counts so far. */
function now(points: Points, requests: number, failed: number): [string, string][] {
  const last = <T>(column: T[]) => column.at(-1);
  return [
    ["requests so far", count(requests)],
    ["failed so far", `${count(failed)} (${share(requests > 0 ? failed / requests : null)})`],
    ["iterations asked for", rate(last(points.offered))],
    ["requests done", rate(last(points.succeeded))],
    ["p50", time(last(points.p50))],
    ["p95", time(last(points.p95))],
    ["p99", time(last(points.p99))],
    ["in flight", count(last(points.in_flight))],
  ];
}

/** A run that has ended. */
function whole({ totals, response_time }: Timeline): [string, string][] {
  return [
    ["requests", count(totals.requests)],
    ["failed", `${count(totals.failed)} (${share(totals.error_ratio)})`],
    ["dropped", count(totals.dropped)],
    ["throughput", rate(totals.throughput)],
    ["p50", time(response_time.p50)],
    ["p95", time(response_time.p95)],
    ["p99", time(response_time.p99)],
    ["longest", time(response_time.max)],
  ];
}

function errors(timeline: Timeline): HTMLElement | false {
  if (timeline.errors.length === 0) return false;
  const rows = timeline.errors.map((error) =>
    el(
      "tr",
      {},
      el("th", { scope: "row" }, error.kind.replace("_", " ")),
      el("td", { class: "n", "data-name": "Requests" }, count(error.count)),
      el("td", { class: "why", "data-name": "Most often" }, error.message ?? ""),
    ),
  );
  const head = el("tr", {}, el("th", { scope: "col" }, "Kind"), el("th", { scope: "col", class: "n" }, "Requests"), el("th", { scope: "col" }, "Most often"));
  return el(
    "section",
    {},
    el("h2", {}, "Errors"),
    el("div", { class: "scroll" }, el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows))),
  );
}

function notes(timeline: Timeline): HTMLElement | false {
  const said = [
    ...timeline.validity.reasons.map((reason) => el("li", {}, `generator: ${reason}`)),
    ...timeline.notes.map((note) => el("li", {}, `${offset(note.at)} ${note.text}`)),
  ];
  return said.length > 0 && el("section", {}, el("h2", {}, "Notes"), el("ul", {}, ...said));
}
