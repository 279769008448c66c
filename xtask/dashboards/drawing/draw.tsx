// Draws a dashboard out of a file with Grafana's own components: frames of panels, graphs and figures. Bands, heatmaps and tables
// are no components of the library; they are drawn here with its colors, units and words.
//
// `data.js` holds the dashboards and what was found for their queries; index.html#NAME chooses one.

import {
  createTheme,
  dateTime,
  FieldType,
  formattedValueToString,
  getDisplayProcessor,
  getValueFormat,
  toDataFrame,
  type DataFrame,
  type Field,
  type GrafanaTheme2,
} from "@grafana/data";
import { BigValue, BigValueColorMode, BigValueGraphMode, GlobalStyles, PanelChrome, ThemeContext, TimeSeries } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import "uplot/dist/uPlot.min.css";

type Series = { labels: Record<string, string>; points: [number, number][]; histograms: [number, any][] };
type Found = Record<string, Record<string, Series[]>>;
declare const DASHBOARDS: { from: number; to: number; list: Record<string, { json: any; found: Found }> };

const GAP = 8;
const UNIT = 30;

function legend(format: string, labels: Record<string, string>): string {
  if (!format) return Object.values(labels).join(" ");
  return format.replace(/\{\{\s*(\w+)\s*\}\}/g, (_, name) => labels[name] ?? "").trim();
}

function frames(panel: any, found: Record<string, Series[]>, theme: GrafanaTheme2): DataFrame[] {
  let index = 0;
  const { custom, ...defaults } = panel.fieldConfig.defaults;
  return panel.targets.flatMap((target: any) =>
    (found[target.refId] ?? []).map((series) => {
      const name = series.labels.__alias ?? legend(target.legendFormat ?? "", series.labels);
      const frame = toDataFrame({
        refId: target.refId,
        fields: [
          { name: "Time", type: FieldType.time, values: series.points.map(([time]) => time * 1000) },
          {
            name: "Value",
            type: FieldType.number,
            values: series.points.map(([, value]) => value),
            labels: series.labels,
            config: { color: { mode: panel.type === "stat" ? "thresholds" : "palette-classic" }, ...defaults, custom: { ...custom }, displayName: name || panel.title },
          },
        ],
      });
      for (const field of frame.fields) {
        const [min, max] = [Math.min(...field.values), Math.max(...field.values)];
        field.state = { seriesIndex: index, displayName: field.config.displayName, range: { min, max, delta: max - min } };
        field.display = getDisplayProcessor({ field, theme, timeZone: "browser" });
      }
      index += 1;
      return frame;
    }),
  );
}

const value = (frame: DataFrame): Field => frame.fields[1];
const empty = (height: number) => (
  <div style={{ height, display: "flex", alignItems: "center", justifyContent: "center", opacity: 0.6 }}>No data</div>
);

function Now({ all, panel, width, height, theme }: any) {
  if (!all.length) return empty(height);
  const one = Math.max(60, width / all.length - 4);
  return (
    <div style={{ display: "flex", gap: 4 }}>
      {all.map((frame: DataFrame, index: number) => {
        const field = value(frame);
        const display = field.display!(field.values[field.values.length - 1]);
        const title = all.length > 1 ? field.config.displayName : undefined;
        return (
          <BigValue key={index} theme={theme} width={one} height={height} value={{ ...display, title }} colorMode={BigValueColorMode.Value}
            graphMode={BigValueGraphMode.Area} sparkline={{ y: field, x: frame.fields[0] }} />
        );
      })}
    </div>
  );
}

function Bands({ all, from, to, width, height, theme }: any) {
  if (!all.length) return empty(height);
  const names = Math.min(180, width * 0.4);
  const rows = height / all.length;
  const at = (time: number) => names + ((time / 1000 - from) / (to - from)) * (width - names);
  return (
    <svg width={width} height={height} fontSize={11} fill={theme.colors.text.primary}>
      {all.map((frame: DataFrame, row: number) => {
        const [times, field] = [frame.fields[0].values, value(frame)];
        const runs: { start: number; end: number; value: number }[] = [];
        times.forEach((time: number, index: number) => {
          const last = runs[runs.length - 1];
          if (last && last.value === field.values[index] && time - last.end < 3000) last.end = time;
          else runs.push({ start: time, end: time, value: field.values[index] });
        });
        return (
          <g key={row}>
            <text x={names - 6} y={row * rows + rows / 2 + 4} textAnchor="end">{field.config.displayName}</text>
            {runs.map((run, index) => {
              const display = field.display!(run.value);
              const wide = Math.max(2, at(run.end + 1000) - at(run.start));
              return (
                <g key={index}>
                  <rect x={at(run.start)} y={row * rows + 2} width={wide} height={rows - 4} fill={display.color} opacity={0.7} />
                  {wide > 40 && <text x={at(run.start) + 4} y={row * rows + rows / 2 + 4}>{formattedValueToString(display)}</text>}
                </g>
              );
            })}
          </g>
        );
      })}
    </svg>
  );
}

// Counts by time and by upper edge, of native buckets or of what is between cumulative ones.
function cells(series: Series[]): { time: number; low: number; high: number; count: number }[] {
  const native = series.flatMap((one) =>
    one.histograms.flatMap(([time, histogram]) =>
      (histogram.buckets ?? []).map(([, low, high, count]: any) => ({ time, low: +low, high: +high, count: +count })),
    ),
  );
  if (native.length) return native;
  const edge = (one: Series) => (one.labels.le === "+Inf" || one.labels.le === "more" ? Infinity : +(one.labels.le ?? NaN));
  const sorted = [...series].sort((one, other) => edge(one) - edge(other));
  return sorted.flatMap((one, index) =>
    one.points.map(([time, value]) => {
      const below = sorted[index - 1];
      const less = one.labels.__apart ? 0 : (below?.points.find(([at]) => at === time)?.[1] ?? 0);
      return { time, low: below ? edge(below) : edge(one) / 2.5, high: Number.isFinite(edge(one)) ? edge(one) : edge(below) * 2, count: value - less };
    }),
  );
}

function Heat({ series, panel, from, to, width, height, theme }: any) {
  const all = cells(series).filter((cell) => cell.count > 1e-9 && cell.high > 0 && cell.low > 0);
  if (!all.length) return empty(height);
  const most = Math.max(...all.map((cell) => cell.count));
  const [low, high] = [Math.min(...all.map((cell) => cell.low)), Math.max(...all.map((cell) => cell.high))];
  const left = 60;
  const x = (time: number) => left + ((time - from) / (to - from)) * (width - left);
  const y = (at: number) => (height - 16) * (1 - Math.log(at / low) / Math.log(high / low));
  const format = getValueFormat(panel.options.yAxis.unit);
  const marks = [0.0001, 0.001, 0.01, 0.1, 1, 10].filter((mark) => mark >= low && mark <= high);
  return (
    <svg width={width} height={height} fontSize={11} fill={theme.colors.text.primary}>
      {marks.map((mark) => (
        <g key={mark}>
          <line x1={left} x2={width} y1={y(mark)} y2={y(mark)} stroke={theme.colors.border.weak} />
          <text x={left - 4} y={y(mark) + 4} textAnchor="end">{formattedValueToString(format(mark))}</text>
        </g>
      ))}
      {all.map((cell, index) => (
        <rect key={index} x={x(cell.time - 0.5)} width={x(cell.time + 0.5) - x(cell.time - 0.5) + 0.5} y={y(cell.high)}
          height={Math.max(1, y(cell.low) - y(cell.high))} fill={`hsl(${260 - 260 * Math.sqrt(cell.count / most)} 80% 50%)`} />
      ))}
    </svg>
  );
}

function Rows({ series, panel }: any) {
  const shown = Object.keys(panel.transformations?.[0]?.options.indexByName ?? {}).filter((name) => name !== "Value");
  return (
    <table style={{ width: "100%", fontSize: 12, textAlign: "left" }}>
      <thead><tr>{shown.map((name) => <th key={name}>{name}</th>)}</tr></thead>
      <tbody>
        {series.map((one: Series, index: number) => <tr key={index}>{shown.map((name) => <td key={name}>{one.labels[name]}</td>)}</tr>)}
      </tbody>
    </table>
  );
}

function Panel({ panel, found, from, to, width, height, theme }: any) {
  const all = frames(panel, found, theme);
  const series = Object.values(found).flat() as Series[];
  const timeRange = { from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: "", to: "" } };
  return (
    <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
      {(width: number, height: number) => {
        const shared = { all, series, panel, from, to, width, height, theme };
        switch (panel.type) {
          case "stat": return <Now {...shared} />;
          case "state-timeline": return <Bands {...shared} />;
          case "heatmap": return <Heat {...shared} />;
          case "table": return <Rows {...shared} />;
          default:
            return all.length ? (
              <TimeSeries frames={all} structureRev={1} timeRange={timeRange} timeZone="browser" width={width} height={height}
                legend={panel.options.legend} options={panel.options} />
            ) : empty(height);
        }
      }}
    </PanelChrome>
  );
}

function Dashboard({ name, theme }: { name: string; theme: GrafanaTheme2 }) {
  const { json, found } = DASHBOARDS.list[name];
  const { from, to } = DASHBOARDS;
  const column = (innerWidth - GAP) / 24;
  const bottom = Math.max(...json.panels.map((panel: any) => panel.gridPos.y + panel.gridPos.h));
  return (
    <div style={{ position: "relative", height: bottom * (UNIT + GAP) + 40, background: theme.colors.background.canvas, color: theme.colors.text.primary }}>
      <div style={{ padding: GAP, fontSize: 18 }}>{json.title}</div>
      {json.panels.map((panel: any) => {
        const { x, y, w, h } = panel.gridPos;
        const [width, height] = [w * column - GAP, h * (UNIT + GAP) - GAP];
        return (
          <div key={panel.id} style={{ position: "absolute", left: GAP + x * column, top: 40 + y * (UNIT + GAP), width, height }}>
            {panel.type === "row" ? (
              <div style={{ fontSize: 16 }}>{(panel.collapsed ? "› " : "⌄ ") + panel.title}</div>
            ) : (
              <Panel {...{ panel, from, to, width, height, theme }} found={found[panel.id] ?? {}} />
            )}
          </div>
        );
      })}
    </div>
  );
}

const mode = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
const theme = createTheme({ colors: { mode } });
createRoot(document.getElementById("root")!).render(
  <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <Dashboard name={decodeURIComponent(location.hash.slice(1))} theme={theme} />
  </ThemeContext.Provider>,
);
