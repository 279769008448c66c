// Charts over the seconds of a run. Colours come from the style sheet, so they follow light and dark.

import uPlot from "uplot";
import { el } from "./dom";
import type { Column, Points, Timeline } from "./types";
import { count, offset, rate, time } from "./words";

interface Plotted {
  title: string;
  id: string;
  log: boolean;
  words: (value: number | null | undefined) => string;
  lines: { column: Column; name: string; color: string; dash?: number[]; width?: number }[];
}

const PLOTS: Plotted[] = [
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
    title: "Load and throughput per second", id: "rate", log: false, words: rate,
    lines: [
      { column: "offered", name: "iterations asked for", color: "--ink", dash: [6, 4] },
      { column: "arrivals", name: "iterations due", color: "--grey" },
      { column: "succeeded", name: "requests succeeded", color: "--blue" },
    ],
  },
  {
    title: "Failed and dropped per second", id: "errors", log: false, words: rate,
    lines: [
      { column: "failed", name: "requests failed", color: "--red" },
      { column: "dropped", name: "iterations dropped", color: "--orange", dash: [6, 3] },
    ],
  },
  {
    title: "In flight", id: "in-flight", log: false, words: count,
    lines: [
      { column: "in_flight", name: "requests", color: "--blue" },
      { column: "users", name: "users", color: "--orange", dash: [6, 3] },
    ],
  },
];

const HEIGHT = 220;

/** Seconds between labels: whole ones, and those that clocks have. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

/** The charts of one run: made once, then fed. */
export class Charts {
  readonly element = el("section", { class: "charts", "aria-label": "Charts" });
  private plots: { plot: uPlot; box: HTMLElement; about: Plotted }[] = [];
  private points: Points;
  private readonly resized = new ResizeObserver(() => this.resize());
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly redraw = () => this.build();
  private due = 0;

  constructor(private readonly timeline: Timeline) {
    this.points = timeline.points;
    this.build();
    this.resized.observe(this.element);
    this.dark.addEventListener("change", this.redraw);
  }

  update(points: Points): void {
    this.points = points;
    // Many seconds may come at once when a page catches up: they are drawn together.
    if (!this.due) {
      this.due = requestAnimationFrame(() => {
        this.due = 0;
        for (const { plot, about } of this.plots) plot.setData(this.data(about));
      });
    }
  }

  destroy(): void {
    cancelAnimationFrame(this.due);
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    for (const { plot } of this.plots) plot.destroy();
  }

  private build(): void {
    for (const { plot } of this.plots) plot.destroy();
    this.element.replaceChildren();
    this.plots = PLOTS.map((about) => {
      const box = el("div", { class: "plot" });
      const figure = el(
        "figure",
        { id: `chart-${about.id}`, tabindex: "0", "aria-label": `${about.title}. The arrow keys read values.` },
        el("figcaption", {}, about.title),
        box,
      );
      this.element.append(figure);
      const plot = new uPlot(this.options(about, box), this.data(about), box);
      figure.addEventListener("keydown", (event) => step(plot, event));
      return { plot, box, about };
    });
    this.resize();
  }

  private resize(): void {
    for (const { plot, box } of this.plots) {
      const width = box.clientWidth;
      if (width > 0 && width !== plot.width) plot.setSize({ width, height: HEIGHT });
    }
  }

  private data(about: Plotted): uPlot.AlignedData {
    const middles = this.points.second.map((second, index) => (second ?? 0) + (this.points.seconds[index] ?? 1) / 2);
    const columns = about.lines.map((line) => {
      const values = this.points[line.column];
      // A logarithm has no place for zero.
      return about.log ? values.map((value) => (value ? value : null)) : values;
    });
    return [middles, ...columns] as uPlot.AlignedData;
  }

  private options(about: Plotted, box: HTMLElement): uPlot.Options {
    const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
      stroke: color("--soft"),
      grid: { stroke: color("--faint"), width: 1 },
      ticks: { stroke: color("--line"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif",
    };
    const ticks = (values: (number | null)[]) => values.map((value) => (value == null ? "" : about.words(value)));
    return {
      width: Math.max(box.clientWidth, 280),
      height: HEIGHT,
      legend: { live: true },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: false, range: (_plot, _low, high) => [0, Math.max(high ?? 0, this.end())] },
        y: about.log
          ? { distr: 3 }
          : { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.08, 1)] },
      },
      axes: [
        { ...axis, size: 30, incrs: STEPS, values: (_plot, values) => values.map((value) => offset(value)), space: 60 },
        { ...axis, size: 66, values: (_plot, values) => ticks(values) },
      ],
      series: [
        { label: "at", value: (_plot, value) => (value == null ? "" : offset(Math.floor(value))) },
        ...about.lines.map((line) => ({
          label: line.name,
          stroke: color(line.color),
          width: line.width ?? 1.8,
          dash: line.dash ?? [],
          points: { show: false },
          value: (_plot: uPlot, value: number | null) => about.words(value),
        })),
      ],
      hooks: {
        drawClear: [(plot) => this.bands(plot, color)],
        draw: [(plot) => about.id === "latency" && this.bounds(plot, color)],
      },
    };
  }

  /** The run as planned, so that a live run grows into its chart. */
  private end(): number {
    return this.timeline.status === "running" ? this.timeline.planned_seconds : 0;
  }

  private bands(plot: uPlot, color: (name: string) => string): void {
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
    ctx.restore();
  }

  private bounds(plot: uPlot, color: (name: string) => string): void {
    const { ctx } = plot;
    const { left, top, width, height } = plot.bbox;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = color("--red");
    ctx.setLineDash([8, 5]);
    ctx.textAlign = "left";
    ctx.textBaseline = "alphabetic";
    ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
    for (const { name, seconds } of this.timeline.bounds) {
      const y = plot.valToPos(seconds, "y", true);
      if (y < top || y > top + height) continue;
      ctx.beginPath();
      ctx.moveTo(left, y);
      ctx.lineTo(left + width, y);
      ctx.stroke();
      ctx.fillText(`${name}: ${time(seconds)}`, left + 4, y - 4);
    }
    ctx.restore();
  }
}

/** Moves the cursor by keys. */
function step(plot: uPlot, event: KeyboardEvent): void {
  const last = plot.data[0].length - 1;
  const at = plot.cursor.idx ?? -1;
  const moves: Record<string, number> = {
    ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: 0, End: last,
  };
  const move = moves[event.key];
  const x = plot.data[0][Math.max(0, Math.min(last, move ?? 0))];
  if (move === undefined || x === undefined) return;
  event.preventDefault();
  plot.setCursor({ left: plot.valToPos(x, "x"), top: 10 });
}
