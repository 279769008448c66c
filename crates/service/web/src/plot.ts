// One chart over seconds. Colours come from the style sheet, so they follow light and dark.

import uPlot from "uplot";
import { el } from "./dom";
import { offset } from "./words";

export interface Range {
  from: number;
  to: number;
}

export type Values = (number | null)[];

export interface Line {
  name: string;
  color: string;
  dash?: number[];
  width?: number;
  /** Says a value in words, where it is not said as the chart's are. */
  words?: (value: number | null, index: number) => string;
  /** Is read and not drawn. */
  hidden?: boolean;
}

export interface Figure {
  title: string;
  id: string;
  log: boolean;
  words: (value: number | null | undefined) => string;
  lines: Line[];
  /** Areas between two lines, by their index. */
  areas?: { between: [number, number]; color: string }[];
  /** The least and most of its axis, where the values do not say. */
  extent?: () => [number, number];
  /** What is said where it has nothing to draw; without it that there is no data where no line has any. */
  empty?: () => string;
}

/** What a chart asks of whoever has it. */
export interface Around {
  /** The seconds that are shown. */
  range: () => Range;
  zoom: (range: Range | null) => void;
  below?: (plot: uPlot) => void;
  above?: (plot: uPlot) => void;
}

const HEIGHT = 220;

/** Seconds between labels: whole ones, and those that clocks have. */
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800];

/** Less than this cannot be zoomed into. */
const LEAST = 2;

const probe = el("span", { hidden: "" });

/** A colour of the style sheet as it is now, for a canvas. */
export function color(name: string): string {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

export class Plot {
  readonly element: HTMLElement;
  private readonly box = el("div", { class: "plot" });
  private plot: uPlot;
  private data: uPlot.AlignedData;

  constructor(
    private figure: Figure,
    private readonly around: Around,
    data: Values[],
  ) {
    this.data = data as uPlot.AlignedData;
    this.element = el(
      "figure",
      {
        id: `chart-${figure.id}`,
        tabindex: "0",
        "aria-label": `${figure.title}. The arrow keys read values, plus and minus zoom, zero shows the whole.`,
      },
      el("figcaption", {}, figure.title),
      this.box,
    );
    this.plot = this.made();
    this.element.addEventListener("keydown", (event) => this.press(event));
  }

  set(data: Values[]): void {
    this.data = data as uPlot.AlignedData;
    this.plot.setData(this.data);
  }

  /** Other lines under the same title. Whoever reads it by keyboard stays there. */
  change(figure: Figure, data: Values[]): void {
    this.figure = figure;
    this.data = data as uPlot.AlignedData;
    this.build();
  }

  /** Draws what is around the values anew. */
  redraw(): void {
    this.plot.redraw(false, false);
  }

  /** Draws with the colours and the width of now. */
  build(): void {
    this.plot.destroy();
    this.plot = this.made();
  }

  resize(): void {
    const width = this.box.clientWidth;
    if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: HEIGHT });
  }

  destroy(): void {
    this.plot.destroy();
  }

  private made(): uPlot {
    return new uPlot(this.options(), this.data, this.box);
  }

  private options(): uPlot.Options {
    const { figure, around } = this;
    const axis: uPlot.Axis = {
      stroke: color("--soft"),
      grid: { stroke: color("--faint"), width: 1 },
      ticks: { stroke: color("--line"), width: 1, size: 4 },
      font: "12px system-ui, sans-serif",
    };
    const extent = figure.extent;
    const y: uPlot.Scale = extent
      ? { distr: figure.log ? 3 : 1, range: () => extent() }
      : figure.log
        ? { distr: 3 }
        : { range: (_plot, _low, high) => [0, high ? high * 1.08 : 1] };
    return {
      width: Math.max(this.box.clientWidth, 280),
      height: HEIGHT,
      // A name has the look of its line.
      legend: { live: true, markers: { dash: (_plot, line) => (figure.lines[line - 1]?.dash?.length ? "dashed" : "solid") } },
      cursor: { drag: { x: true, y: false, setScale: false, dist: 8 }, points: { size: 6 } },
      select: { show: true, left: 0, top: 0, width: 0, height: 0 },
      scales: {
        x: {
          time: false,
          range: () => {
            const { from, to } = around.range();
            return [from, Math.max(to, from + 1)];
          },
        },
        y,
      },
      axes: [
        { ...axis, size: 30, incrs: STEPS, values: (_plot, values) => values.map((value) => offset(value)), space: 60 },
        { ...axis, size: 66, values: (_plot, values) => values.map((value) => (value == null ? "" : figure.words(value))) },
      ],
      series: [
        { label: "at", value: (_plot, value) => (value == null ? "" : offset(Math.floor(value))) },
        ...figure.lines.map((line) => this.series(line)),
      ],
      bands: (figure.areas ?? []).map(({ between: [one, other], color: name }) => ({
        series: [one + 1, other + 1] as [number, number],
        fill: color(name),
      })),
      hooks: {
        drawClear: [(plot) => around.below?.(plot)],
        draw: [(plot) => around.above?.(plot), (plot) => this.nothing(plot)],
        setSelect: [(plot) => this.selected(plot)],
      },
    };
  }

  /** An empty chart says that it is. */
  private nothing(plot: uPlot): void {
    const { empty } = this.figure;
    const words = empty ? empty() : plot.data.slice(1).every((values) => [...values].every((value) => value == null)) ? "no data" : "";
    if (words === "") return;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.fillStyle = color("--soft");
    ctx.textAlign = "center";
    ctx.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
    ctx.fillText(words, bbox.left + bbox.width / 2, bbox.top + bbox.height / 2);
    ctx.restore();
  }

  private series(line: Line): uPlot.Series {
    const { figure } = this;
    return {
      label: line.name,
      stroke: line.hidden ? "transparent" : color(line.color),
      width: line.width ?? 1.8,
      dash: line.dash ?? [],
      // One point alone makes no line.
      points: { show: (plot) => !line.hidden && plot.data[0].length < 2 },
      value: (_plot, value: number | null, _series, index) =>
        line.words ? line.words(value, index ?? -1) : figure.words(value),
    };
  }

  private selected(plot: uPlot): void {
    const { left, width } = plot.select;
    if (width <= 0) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.around.zoom(whole(from, to));
  }

  private press(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { range, zoom } = this.around;
    const zooms: Record<string, () => void> = {
      "+": () => zoom(closer(range(), this.at())), "=": () => zoom(closer(range(), this.at())),
      "-": () => zoom(farther(range())), "0": () => zoom(null),
    };
    const zooming = zooms[event.key];
    if (zooming) {
      event.preventDefault();
      zooming();
    } else this.step(event);
  }

  /** The second under the cursor. */
  private at(): number | null {
    const { idx } = this.plot.cursor;
    return idx == null ? null : (this.plot.data[0][idx] ?? null);
  }

  /** Moves the cursor by keys, within what is shown. */
  private step(event: KeyboardEvent): void {
    const { plot } = this;
    const { from, to } = this.around.range();
    const shown = [...plot.data[0].keys()].filter((index) => {
      const x = plot.data[0][index] ?? -1;
      return x >= from && x <= to;
    });
    const [first, last] = [shown[0], shown.at(-1)];
    if (first === undefined || last === undefined) return;
    const at = plot.cursor.idx ?? first - 1;
    const moves: Record<string, number> = {
      ArrowLeft: at - 1, ArrowRight: at + 1, PageUp: at - 10, PageDown: at + 10, Home: first, End: last,
    };
    const move = moves[event.key];
    const x = plot.data[0][Math.max(first, Math.min(last, move ?? 0))];
    if (move === undefined || x === undefined) return;
    event.preventDefault();
    plot.setCursor({ left: plot.valToPos(x, "x"), top: 10 });
  }
}

/** Whole seconds, far enough apart to be a stretch. */
function whole(from: number, to: number): Range {
  const start = Math.max(0, Math.floor(from));
  return { from: start, to: Math.max(start + LEAST, Math.ceil(to)) };
}

/** Half of a range, around a second of it. */
export function closer({ from, to }: Range, around: number | null): Range {
  const quarter = (to - from) / 4;
  const middle = around ?? (from + to) / 2;
  const start = Math.max(from, Math.min(to - 2 * quarter, middle - quarter));
  return whole(start, start + Math.max(2 * quarter, LEAST));
}

/** Twice a range. */
export function farther({ from, to }: Range): Range {
  const half = (to - from) / 2;
  return whole(from - half, to + half);
}

/** Half a range earlier (-1) or later (1). */
export function aside({ from, to }: Range, direction: -1 | 1): Range {
  const by = Math.max(1, Math.round((to - from) / 2)) * direction;
  const start = Math.max(0, from + by);
  return { from: start, to: start + (to - from) };
}

/** Several charts that are shown, sized and coloured together. */
export class Plots {
  readonly element = el("div", { class: "charts" });
  private plots: Plot[] = [];
  private readonly resized = new ResizeObserver(() => this.plots.forEach((plot) => plot.resize()));
  private readonly dark = matchMedia("(prefers-color-scheme: dark)");
  private readonly redraw = () => this.plots.forEach((plot) => plot.build());

  constructor() {
    this.resized.observe(this.element);
    this.dark.addEventListener("change", this.redraw);
  }

  show(plots: Plot[]): void {
    this.plots.forEach((plot) => plot.destroy());
    this.plots = plots;
    this.element.replaceChildren(...plots.map((plot) => plot.element));
    plots.forEach((plot) => plot.resize());
  }

  destroy(): void {
    this.resized.disconnect();
    this.dark.removeEventListener("change", this.redraw);
    this.plots.forEach((plot) => plot.destroy());
  }
}
