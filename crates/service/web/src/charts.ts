// The charts of one run.

import type uPlot from "uplot";
import type { Marked } from "./alerts";
import { isBad } from "./alerts";
import { button, el, setText } from "./dom";
import type { Figure, Line, Range, Values } from "./plot";
import { aside, closer, color, farther, Plot, Plots } from "./plot";
import type { Column, Points, Timeline } from "./types";
import { count, kindOf, offset, rate, share, time } from "./words";

interface Drawn extends Figure {
  lines: (Line & { column: Column })[];
  /** The column whose least and most in each point are shaded, where points span several seconds. */
  spread?: Column;
}

const DRAWN: Drawn[] = [
  {
    title: "Response time", id: "latency", log: true, words: time,
    lines: [
      { column: "p50", name: "p50", color: "--blue" },
      { column: "p95", name: "p95", color: "--orange" },
      { column: "p99", name: "p99", color: "--red" },
      { column: "max", name: "max", color: "--grey", dash: [2, 3], width: 1 },
    ],
  },
  {
    title: "Load and throughput per second", id: "rate", log: false, words: rate, spread: "requests",
    lines: [
      { column: "offered", name: "iterations asked for", color: "--ink", dash: [6, 4] },
      { column: "arrivals", name: "iterations due", color: "--grey" },
      { column: "succeeded", name: "requests succeeded", color: "--blue" },
    ],
  },
  {
    title: "Failed and dropped per second", id: "errors", log: false, words: rate, spread: "failed",
    lines: [
      { column: "failed", name: "requests failed", color: "--red" },
      { column: "dropped", name: "iterations dropped", color: "--orange", dash: [6, 3] },
    ],
  },
  {
    title: "In flight", id: "in-flight", log: false, words: count, spread: "in_flight",
    lines: [
      { column: "in_flight", name: "requests", color: "--blue" },
      { column: "users", name: "users", color: "--orange", dash: [6, 3] },
    ],
  },
];

/** How each kind of failure is drawn, wherever there are any: no two look the same without colour. */
const KINDS: Record<string, { color: string; dash: number[] }> = {
  status: { color: "--red", dash: [] },
  timeout: { color: "--orange", dash: [8, 4] },
  connect: { color: "--blue", dash: [2, 3] },
  reset: { color: "--purple", dash: [10, 3, 2, 3] },
  expectation: { color: "--teal", dash: [4, 4] },
  capture: { color: "--green", dash: [14, 4] },
  tls: { color: "--doubt", dash: [12, 3, 2, 3, 2, 3] },
  dns: { color: "--grey", dash: [6, 2, 2, 2, 2, 2] },
  protocol: { color: "--soft", dash: [8, 8] },
  too_large: { color: "--ink", dash: [3, 3] },
};

/** Of the bar of an alert and the space above it, in pixels of the style sheet. */
const BAR = 5;
const LANE = 15;

/** Alerts that lie above each other; further ones share the last lane. */
const LANES = 4;

/** The charts of one run: made once, then fed. */
export class Charts {
  readonly element = el("section", { "aria-label": "Charts" });
  private readonly plots = new Plots();
  private readonly words = el("span", { role: "status" });
  private readonly zoomed: HTMLButtonElement[];
  private drawn: { plot: Plot; columns: () => Values[] }[] = [];
  private kinds: { plot: Plot; shown: string[] } | null = null;
  private due = 0;
  private alerts: { alert: Marked; lane: number }[] = [];

  constructor(
    private readonly timeline: Timeline,
    private points: Points,
    private range: Range | null,
    private readonly go: (range: Range | null) => void,
  ) {
    const zoom = (to: (range: Range) => Range | null) => () => this.zoom(to(this.shown()));
    this.zoomed = [
      button("Zoom out", zoom(farther)),
      button("Earlier", zoom((range) => aside(range, -1))),
      button("Later", zoom((range) => aside(range, 1))),
      button("Whole run", () => this.zoom(null)),
    ];
    const tools = el("div", { class: "zoom", role: "group", "aria-label": "Range of the charts" }, this.words);
    tools.append(button("Zoom in", zoom((range) => closer(range, null))), ...this.zoomed);
    this.element.append(tools, this.plots.element);
    this.build();
    this.tell();
  }

  /** Other points, maybe of another range. */
  update(points: Points, range: Range | null): void {
    const before = this.has("requests");
    this.points = points;
    this.range = range;
    this.tell();
    if (before !== this.has("requests")) {
      this.build();
      return;
    }
    // Many seconds may come at once when a page catches up: they are drawn together.
    if (!this.due) {
      this.due = requestAnimationFrame(() => {
        this.due = 0;
        this.changeKinds();
        for (const { plot, columns } of this.drawn) plot.set(columns());
      });
    }
  }

  /** Marks what others told on every axis. */
  mark(alerts: Marked[]): void {
    this.alerts = lanes(alerts);
    for (const { plot } of this.drawn) plot.redraw();
  }

  destroy(): void {
    cancelAnimationFrame(this.due);
    this.plots.destroy();
  }

  /** Whether the least and the most of a column are known. */
  private has(column: Column): boolean {
    return this.points[`${column}_most`] !== undefined;
  }

  private build(): void {
    const around = {
      range: () => this.shown(),
      zoom: (range: Range | null) => this.zoom(range),
      below: (plot: uPlot) => this.bands(plot),
    };
    const [first, ...others] = DRAWN.map((about) => {
      const figure = this.figure(about);
      const above = (plot: uPlot) => this.marks(plot, about.id === "latency");
      const columns = () => this.columns(about);
      return { plot: new Plot(figure, { ...around, above }, columns()), columns };
    });
    const heat = this.points.heat
      ? [{ plot: new Plot(this.heatFigure(), { ...around, above: (plot: uPlot) => this.drawHeat(plot) }, this.heat()), columns: () => this.heat() }]
      : [];
    const shown = this.kindsThere();
    const above = (plot: uPlot) => this.marks(plot, false);
    this.kinds = this.points.errors ? { plot: new Plot(this.kindsFigure(shown), { ...around, above }, this.kindsColumns(shown)), shown } : null;
    const { kinds } = this;
    const failures = kinds ? [{ plot: kinds.plot, columns: () => this.kindsColumns(kinds.shown) }] : [];
    this.drawn = first ? [first, ...heat, ...others, ...failures] : [];
    this.plots.show(this.drawn.map(({ plot }) => plot));
  }

  /** With the least and the most of each point, where they are known. */
  private figure(about: Drawn): Figure {
    const { spread, lines } = about;
    if (!spread || !this.has(spread)) return about;
    const edge = { color: "--grey", hidden: true };
    return {
      ...about,
      lines: [...lines, { ...edge, name: "most in a second" }, { ...edge, name: "least in a second" }],
      areas: [{ between: [lines.length, lines.length + 1], color: "--area" }],
    };
  }

  private columns(about: Drawn): Values[] {
    const columns = about.lines.map(({ column }) => {
      const values = this.points[column];
      // A logarithm has no place for zero.
      return about.log ? values.map((value) => value || null) : values;
    });
    const { spread } = about;
    const edges = spread && this.has(spread) ? [this.points[`${spread}_most`] ?? [], this.points[`${spread}_least`] ?? []] : [];
    return [this.middles(), ...columns, ...edges];
  }

  private middles(): number[] {
    const { second, seconds } = this.points;
    return second.map((second, index) => (second ?? 0) + (seconds[index] ?? 1) / 2);
  }

  /** The seconds that are shown: a live run grows into its chart as planned. */
  private shown(): Range {
    if (this.range) return this.range;
    const { second, seconds } = this.timeline.points;
    const end = (second.at(-1) ?? 0) + (seconds.at(-1) ?? 1);
    const planned = this.timeline.status === "running" ? this.timeline.planned_seconds : 0;
    return { from: 0, to: Math.max(end, planned, 1) };
  }

  private zoom(range: Range | null): void {
    const whole = this.range ? null : this.shown();
    const end = this.end();
    const beyond = range && (range.from <= 0 && range.to >= end);
    if (range && range.from >= end) return;
    if (!range || beyond || (whole && range.from <= whole.from && range.to >= whole.to)) this.go(null);
    else this.go({ from: range.from, to: Math.min(range.to, Math.ceil(end)) });
  }

  private end(): number {
    const range = this.range;
    this.range = null;
    const { to } = this.shown();
    this.range = range;
    return to;
  }

  private tell(): void {
    const { from, to } = this.shown();
    setText(this.words, this.range ? `${offset(from)} to ${offset(to)} of ${offset(this.end())}` : "Drag over a chart to zoom.");
    for (const one of this.zoomed) one.disabled = !this.range;
  }

  private bands(plot: uPlot): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const band = (from: number, to: number, fill: string) => {
      const start = Math.max(plot.valToPos(from, "x", true), left);
      const end = Math.min(plot.valToPos(to, "x", true), left + width);
      ctx.fillStyle = fill;
      if (end > start) ctx.fillRect(start, top, end - start, height);
    };
    ctx.save();
    this.timeline.stages.forEach((stage, index) => {
      if (index % 2 === 1) band(stage.started, stage.ended, color("--faint"));
    });
    if (this.timeline.warmup_seconds > 0) band(0, this.timeline.warmup_seconds, color("--warmup"));
    // As one shape: however many alerts there are at once, the curves are to be seen.
    ctx.globalAlpha = 0.07;
    for (const bad of [false, true]) {
      ctx.fillStyle = color(bad ? "--red" : "--orange");
      ctx.beginPath();
      for (const { alert } of this.alerts) {
        const span = isBad(alert) === bad && this.span(plot, alert);
        if (span) ctx.rect(span.start, top, span.end - span.start, height);
      }
      ctx.fill();
    }
    ctx.restore();
  }

  /** Where an alert lies in a plot, in its pixels: from begin to end, or as far as the run is. */
  private span(plot: uPlot, alert: Marked): { start: number; end: number } | null {
    const { left, width } = plot.bbox;
    const { second, seconds } = this.timeline.points;
    const now = (second.at(-1) ?? 0) + (seconds.at(-1) ?? 1);
    const [from, to] = [Math.max(0, alert.from_seconds), Math.min(alert.to_seconds ?? now, now)];
    const start = Math.max(plot.valToPos(from, "x", true), left);
    if (start >= left + width || plot.valToPos(to, "x", true) < left) return null;
    // What was over at once is to be seen, too.
    const end = Math.min(Math.max(plot.valToPos(to, "x", true), start + 2 * devicePixelRatio), left + width);
    return { start, end };
  }

  /** Alerts as bars on the axis, each with its name: from begin to end, or as far as the run is. */
  private spans(plot: uPlot): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const pixel = devicePixelRatio;
    ctx.save();
    ctx.textBaseline = "alphabetic";
    ctx.textAlign = "left";
    ctx.font = `600 ${10 * pixel}px system-ui, sans-serif`;
    ctx.strokeStyle = color("--paper");
    ctx.lineWidth = 3 * pixel;
    ctx.lineJoin = "round";
    for (const { alert, lane } of this.alerts) {
      const span = this.span(plot, alert);
      if (!span) continue;
      const { start, end } = span;
      const bottom = top + height - lane * LANE * pixel;
      ctx.fillStyle = color(isBad(alert) ? "--red" : "--orange");
      ctx.fillRect(start, bottom - BAR * pixel, end - start, BAR * pixel);
      const [x, y] = [Math.min(start + pixel, left + width - 18 * pixel), bottom - (BAR + 2) * pixel];
      // Its name is read over whatever is drawn below.
      ctx.strokeText(alert.mark, x, y);
      ctx.fillText(alert.mark, x, y);
    }
    ctx.restore();
  }

  /** When the run was steered, and what was promised. */
  private marks(plot: uPlot, promises: boolean): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    ctx.save();
    ctx.textBaseline = "alphabetic";
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.strokeStyle = ctx.fillStyle = color("--purple");
    ctx.setLineDash([2, 3]);
    (this.timeline.steered ?? []).forEach(({ effective }, index) => {
      const x = plot.valToPos(effective, "x", true);
      if (x < left || x > left + width) return;
      line(ctx, x, top, x, top + height);
      ctx.textAlign = x > left + width - 20 ? "right" : "left";
      ctx.fillText(String(index + 1), x + (ctx.textAlign === "right" ? -3 : 3), top + 11 * devicePixelRatio);
    });
    ctx.strokeStyle = ctx.fillStyle = color("--red");
    ctx.setLineDash([8, 5]);
    ctx.textAlign = "left";
    for (const { name, seconds } of promises ? this.timeline.bounds : []) {
      const y = plot.valToPos(seconds, "y", true);
      if (y < top || y > top + height) continue;
      line(ctx, left, y, left + width, y);
      ctx.fillText(`${name}: ${time(seconds)}`, left + 4, y - 4);
    }
    ctx.restore();
    this.spans(plot);
  }

  /** The kinds of failures that there are, in the order of their styles. */
  private kindsThere(): string[] {
    const there = new Set((this.points.errors ?? []).flatMap((errors) => Object.keys(errors ?? {})));
    return [...new Set([...Object.keys(KINDS), ...there])].filter((kind) => there.has(kind));
  }

  /** A kind that was not there before has a line of its own from now on. */
  private changeKinds(): void {
    const { kinds } = this;
    if (!kinds) return;
    const shown = this.kindsThere();
    if (shown.join() === kinds.shown.join()) return;
    kinds.shown = shown;
    kinds.plot.change(this.kindsFigure(shown), this.kindsColumns(shown));
  }

  private kindsFigure(shown: string[]): Figure {
    const lines = shown.map((kind) => ({ name: kindOf(kind), color: "--grey", ...KINDS[kind] }));
    return {
      title: "Errors by kind per second", id: "kinds", log: false, words: rate,
      lines: lines.length > 0 ? lines : [{ name: "all kinds", color: "--grey", hidden: true }],
      empty: () => (shown.length > 0 ? "" : this.withoutKinds()),
    };
  }

  /** Why no kind is drawn. */
  private withoutKinds(): string {
    const { second, errors = [] } = this.points;
    if (second.length === 0) return "no data";
    return errors.some((kinds) => kinds === null) ? "not recorded by kind" : "no errors";
  }

  private kindsColumns(shown: string[]): Values[] {
    const errors = this.points.errors ?? [];
    const of = (kind: string) => errors.map((kinds) => kinds && (kinds[kind] ?? 0));
    return [this.middles(), ...(shown.length > 0 ? shown.map(of) : [this.points.failed])];
  }

  private heatFigure(): Figure {
    const about = (_value: number | null, index: number) => this.hottest(index);
    return {
      title: "How response times were spread", id: "heat", log: true, words: time,
      lines: [{ name: "most requests took", color: "--blue", hidden: true, words: about }],
      extent: () => this.extent(),
    };
  }

  private edges(): number[] {
    return this.timeline.heat_edges ?? [];
  }

  /** The buckets that anything is in. */
  private extent(): [number, number] {
    const edges = this.edges();
    let [first, last] = [edges.length, 0];
    for (const counts of this.points.heat ?? []) {
      counts?.forEach((count, bucket) => {
        if (count > 0) [first, last] = [Math.min(first, bucket), Math.max(last, bucket)];
      });
    }
    if (first > last) return [1e-3, 1];
    return [low(edges, first), high(edges, last)];
  }

  private heat(): Values[] {
    const edges = this.edges();
    const tops = (this.points.heat ?? []).map((counts) => {
      const most = hottest(counts);
      return most < 0 ? null : Math.sqrt(low(edges, most) * high(edges, most));
    });
    return [this.middles(), tops];
  }

  private hottest(index: number): string {
    const counts = this.points.heat?.[index];
    const most = hottest(counts);
    if (!counts || most < 0) return "–";
    const edges = this.edges();
    const all = counts.reduce((sum, count) => sum + count, 0);
    return `${time(low(edges, most))} to ${time(high(edges, most))} (${share((counts[most] ?? 0) / all)})`;
  }

  private drawHeat(plot: uPlot): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    const { second, seconds, heat } = this.points;
    const edges = this.edges();
    ctx.save();
    ctx.beginPath();
    ctx.rect(left, top, width, height);
    ctx.clip();
    ctx.fillStyle = color("--blue");
    heat?.forEach((counts, index) => {
      const from = second[index] ?? 0;
      const [start, end] = [plot.valToPos(from, "x", true), plot.valToPos(from + (seconds[index] ?? 1), "x", true)];
      if (!counts || end < left || start > left + width) return;
      const all = counts.reduce((sum, count) => sum + count, 0);
      counts.forEach((count, bucket) => {
        if (count === 0) return;
        // A share of one percent is to be seen beside one of ninety.
        ctx.globalAlpha = 0.1 + 0.9 * Math.sqrt(count / all);
        const [above, below] = [plot.valToPos(high(edges, bucket), "y", true), plot.valToPos(low(edges, bucket), "y", true)];
        ctx.fillRect(start, above, Math.max(1, end - start + 0.5), below - above);
      });
    });
    ctx.restore();
    this.marks(plot, true);
  }
}

/** Puts each alert where none lies yet, as far as there is room. */
function lanes(alerts: Marked[]): { alert: Marked; lane: number }[] {
  const ends: number[] = [];
  return alerts.map((alert) => {
    const free = ends.findIndex((end) => end < alert.from_seconds);
    const lane = free >= 0 ? free : Math.min(ends.length, LANES - 1);
    ends[lane] = Math.max(ends[lane] ?? 0, alert.to_seconds ?? Number.POSITIVE_INFINITY);
    return { alert, lane };
  });
}

function line(ctx: CanvasRenderingContext2D, x: number, y: number, toX: number, toY: number): void {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(toX, toY);
  ctx.stroke();
}

function hottest(counts: number[] | null | undefined): number {
  if (!counts) return -1;
  const most = Math.max(0, ...counts);
  return most > 0 ? counts.indexOf(most) : -1;
}

/** The ends of a bucket: the first begins at half its end, the last ends at twice its beginning. */
function low(edges: number[], bucket: number): number {
  return edges[bucket - 1] ?? (edges[0] ?? 1e-3) / 2;
}

function high(edges: number[], bucket: number): number {
  return edges[bucket] ?? (edges.at(-1) ?? 1) * 2;
}
