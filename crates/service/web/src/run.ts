// One run, live or past.

import type { Marked } from "./alerts";
import { Alerts } from "./alerts";
import { read, Refusal, why } from "./api";
import { Charts } from "./charts";
import { Controls } from "./controls";
import { el, fill, mark, setText, table } from "./dom";
import type { Page } from "./page";
import { address } from "./page";
import type { Range } from "./plot";
import type { Points, Row, Second, Sla, Stage, Timeline } from "./types";
import { COLUMNS } from "./types";
import { count, kindOf, moment, offset, rate, share, significant, time } from "./words";

/** Milliseconds between two questions for what was said of failures. */
const WORDS_EVERY = 3000;

/** Points of a stretch: more than a chart is wide in most windows. */
const POINTS = 800;

/** Runs that were started here and are not recorded yet. */
const starting = new Set<string>();

/** Opens the page of a run that begins. */
export function openStarted(id: string): void {
  starting.add(id);
  location.hash = address(`/runs/${encodeURIComponent(id)}`);
}

export class RunPage implements Page {
  readonly element = el("div", { class: "run" });
  readonly under = "#/runs";
  title = "Plimsoll";
  private timeline: Timeline | null = null;
  private charts: Charts | null = null;
  private controls: Controls | null = null;
  private alerts: Alerts | null = null;
  private readonly verdict = el("p", { class: "verdict", role: "status" });
  private readonly figures = el("dl", { class: "key" });
  private readonly strip = el("ul", { class: "strip", "aria-label": "Objectives" });
  private readonly progress = el("progress", { "aria-label": "Progress" });
  private readonly clock = el("span", { class: "soft" });
  private readonly stages = el("ol", { class: "stages", "aria-label": "Stages" });
  private readonly errors = el("div");
  private readonly notes = el("div");
  private marked: Marked[] = [];
  private range: Range | null;
  /** The points of the range, where they were asked for; they are of `range`. */
  private stretch: Points | null = null;
  private loading = 0;
  /** It was asked for and is not there, or not yet. */
  private isMissing = false;
  /** Failures and changes when errors and notes were last asked for, and when that was. */
  private asked = { failed: 0, steered: 0, at: 0 };

  constructor(
    private readonly id: string,
    query: URLSearchParams,
  ) {
    this.range = rangeOf(query);
    this.element.append(el("p", { class: "none" }, "Loading…"));
    void this.load();
  }

  destroy(): void {
    this.loading = -1;
    this.charts?.destroy();
    this.alerts?.destroy();
  }

  /** Another range of the same run. */
  moved(query: URLSearchParams): boolean {
    this.range = rangeOf(query);
    this.stretch = null;
    if (this.timeline) {
      this.draw();
      void this.askForStretch();
    }
    return true;
  }

  /** The list changed: this run may have begun or ended. */
  runs(rows: Row[]): void {
    const row = rows.find((known) => known.id === (this.timeline?.run ?? this.id));
    if (!this.timeline && !this.isMissing) return;
    if (row && row.status !== this.timeline?.status) void this.load();
  }

  missed(): void {
    void this.load();
  }

  second(second: Second): void {
    const { timeline } = this;
    if (!timeline || second.run !== timeline.run || !second.point) return;
    append(timeline.points, second.point);
    // A stretch stays as it was asked for.
    if (!this.stretch) this.draw();
    this.live(second.sla, second.validity);
    this.showFigures(second.requests, second.failed);
    this.showProgress(second.second + 1);
    const steered = second.steered ?? 0;
    const news = second.failed !== this.asked.failed || steered !== this.asked.steered;
    if (steered > this.asked.steered || (news && performance.now() - this.asked.at > WORDS_EVERY)) {
      this.asked = { failed: second.failed, steered, at: performance.now() };
      void this.askForWords();
    }
  }

  /** What was said of failures is no part of a second. */
  private async askForWords(): Promise<void> {
    const turn = this.loading;
    const timeline = await this.ask().catch(() => null);
    if (!timeline || turn !== this.loading || !this.timeline) return;
    this.timeline.steered = timeline.steered ?? [];
    this.draw();
    this.showWords(timeline);
  }

  private ask(query = ""): Promise<Timeline> {
    return read<Timeline>(`/api/v1/runs/${encodeURIComponent(this.id)}/timeline${query}`);
  }

  /** Finer points than those of the whole run, with the least and the most of each. */
  private async askForStretch(): Promise<void> {
    const { range, timeline, loading: turn } = this;
    if (!timeline) return;
    const isLive = timeline.status === "running";
    const coarse = timeline.points.seconds.some((seconds) => (seconds ?? 1) > 1);
    // The whole of a live run grows by itself, and what has every second has nothing finer.
    if (!coarse || (!range && isLive)) return;
    const query = range ? `?from=${range.from}&to=${range.to}&points=${POINTS}` : `?points=${POINTS}`;
    const answer = await this.ask(query).catch(() => null);
    if (!answer || turn !== this.loading || range !== this.range) return;
    this.stretch = answer.points;
    this.draw();
  }

  private draw(): void {
    const { timeline } = this;
    if (timeline) this.charts?.update(this.stretch ?? timeline.points, this.range);
  }

  private zoom(range: Range | null): void {
    location.hash = address(`/runs/${encodeURIComponent(this.id)}`, range ? { ...range } : {});
  }

  private showWords(timeline: Timeline): void {
    fill(this.errors, errors(timeline));
    fill(this.notes, notes(timeline));
  }

  private async load(): Promise<void> {
    const turn = ++this.loading;
    const answer = await this.ask().catch((error: unknown) => error);
    // Whoever asked later, or left the page, has made this answer stale.
    if (turn !== this.loading) return;
    this.isMissing = answer instanceof Error;
    if (!(answer instanceof Error)) this.show(answer as Timeline);
    else if (answer instanceof Refusal && answer.status === 404 && starting.has(this.id)) {
      fill(this.element, el("h1", {}, "Starting…"), el("p", { role: "status" }, "The run shows up here as soon as it is recorded."));
    } else {
      fill(this.element, el("h1", {}, "No such run"), el("p", {}, why(answer)), el("p", {}, el("a", { href: "#/" }, "All runs")));
    }
  }

  private show(timeline: Timeline): void {
    starting.delete(timeline.run);
    this.timeline = timeline;
    this.stretch = null;
    this.charts?.destroy();
    this.charts = new Charts(timeline, timeline.points, this.range, (range) => this.zoom(range));
    document.title = this.title = `${timeline.plan} · Plimsoll`;
    const running = timeline.status === "running";
    if (!running) this.controls = null;
    else this.controls ??= new Controls(timeline, () => void this.askForWords());
    this.alerts ??= new Alerts(timeline.run, (alerts) => {
      this.marked = alerts;
      this.charts?.mark(alerts);
    });
    if (this.marked.length > 0) this.charts.mark(this.marked);
    this.alerts.follow(running);
    this.asked.steered = timeline.steered?.length ?? 0;
    const about = [moment(timeline.started), timeline.target, timeline.version, timeline.environment, `${timeline.model} model`];
    const base = `/api/v1/runs/${encodeURIComponent(timeline.run)}`;
    const { activeElement } = document;
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
      this.stages,
      this.controls?.element,
      this.figures,
      el("section", { "aria-label": "Objectives" }, this.strip),
      this.charts.element,
      this.alerts.element,
      this.errors,
      this.notes,
      el(
        "p",
        { class: "links" },
        el("a", { href: `${base}/report`, target: "_blank", rel: "noopener" }, "Report"),
        el("a", { href: base, target: "_blank", rel: "noopener" }, "JSON"),
        el("a", { href: address("/compare", { runs: timeline.run }) }, "Compare with another"),
      ),
    );
    // What was moved with the focus on it lost it.
    if (activeElement instanceof HTMLElement && this.element.contains(activeElement)) activeElement.focus();
    this.showWords(timeline);
    this.progress.hidden = !running;
    if (running) this.live(timeline.sla, timeline.validity.verdict);
    else this.final(timeline);
    this.showFigures(timeline.so_far.requests, timeline.so_far.failed);
    this.stages.replaceChildren(...timeline.stages.map((stage) => stageOf(stage, timeline)));
    this.stages.hidden = timeline.stages.length < 2;
    this.showProgress((timeline.points.second.at(-1) ?? -1) + (timeline.points.seconds.at(-1) ?? 1));
    void this.askForStretch();
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
    timeline.stages.forEach((stage, index) => {
      const item = this.stages.children[index];
      const now = timeline.status === "running" && done > stage.started && done <= stage.ended;
      if (now) item?.setAttribute("aria-current", "step");
      else item?.removeAttribute("aria-current");
      item?.classList.toggle("over", done > stage.ended);
    });
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
  const columns = [{ name: "Kind" }, { name: "Requests", number: true }, { name: "Most often" }];
  const rows = timeline.errors.map((error) => [kindOf(error.kind), count(error.count), el("span", { class: "why" }, error.message ?? "")]);
  return el("section", {}, el("h2", {}, "Errors"), table("Errors", columns, rows));
}

function notes(timeline: Timeline): HTMLElement {
  const said = [
    ...timeline.validity.reasons.map((reason) => el("li", {}, `generator: ${reason}`)),
    ...timeline.notes.map((note) => el("li", {}, `${offset(note.at)} ${note.text}`)),
  ];
  const steered = (timeline.steered ?? []).map((change) => el("li", {}, change.words));
  return el(
    "div",
    {},
    steered.length > 0 && el("section", {}, el("h2", {}, "Steered"), el("ol", { class: "steered" }, ...steered)),
    said.length > 0 && el("section", {}, el("h2", {}, "Notes"), el("ul", {}, ...said)),
  );
}

/** A stage, as long as its time. */
function stageOf(stage: Stage, timeline: Timeline): HTMLElement {
  const level = (value: number) => (timeline.model === "open" ? rate(value) : `${significant(value)} users`);
  const levels = stage.from === stage.to ? level(stage.to) : `${level(stage.from)} → ${level(stage.to)}`;
  const item = el("li", {}, el("b", {}, stage.kind), ` ${levels} `, el("small", {}, `${offset(stage.started)}–${offset(stage.ended)}`));
  item.style.flexGrow = String(Math.max(1, stage.ended - stage.started));
  return item;
}

/** The range of an address; none where it is not one. */
function rangeOf(query: URLSearchParams): Range | null {
  const [from, to] = [Number(query.get("from") ?? 0), Number(query.get("to") ?? Number.NaN)];
  return Number.isInteger(from) && Number.isInteger(to) && from >= 0 && to > from ? { from, to } : null;
}

/** Takes a second in: a point of several seconds grows until the next one begins. */
function append(points: Points, point: NonNullable<Second["point"]>): void {
  const last = points.second.at(-1) ?? -1;
  const at = point.second ?? 0;
  if (at < last) return;
  const put = <T>(column: T[], value: T) => {
    if (at === last) column[column.length - 1] = value;
    else column.push(value);
  };
  if (points.heat) put(points.heat, point.heat ?? null);
  if (points.errors) put(points.errors, point.errors ?? null);
  for (const name of COLUMNS) if (name !== "second") put(points[name], point[name]);
  put(points.second, at);
}
