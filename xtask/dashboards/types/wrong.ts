// Mistakes that must be found: where the types let one through, the compiler says that an error was expected.

import type { Board } from "./board";

type Graph = Extract<Board["panels"][number], { type: "timeseries" }>;

const board: Board = { schemaVersion: 39, panels: [], annotations: { list: [] } };
const graph: Graph = {
  type: "timeseries",
  fieldConfig: { defaults: { custom: { drawStyle: "line" } }, overrides: [] },
  options: { legend: { displayMode: "list", placement: "bottom", showLegend: true, calcs: [] }, tooltip: { mode: "multi", sort: "desc" } },
};

export const wrong: Board[] = [
  // @ts-expect-error a version is a number
  { ...board, schemaVersion: "39" },
  // @ts-expect-error there is no such setting
  { ...board, refreshEvery: "5s" },
  // @ts-expect-error there is no such kind of panel
  { ...board, panels: [{ ...graph, type: "graph" }] },
  // @ts-expect-error a place is made of numbers
  { ...board, panels: [{ ...graph, gridPos: { h: 8, w: 12, x: 0, y: "0" } }] },
  // @ts-expect-error there is no such way of drawing
  { ...board, panels: [{ ...graph, fieldConfig: { defaults: { custom: { drawStyle: "lines" } }, overrides: [] } }] },
  // @ts-expect-error a panel has options of its own kind
  { ...board, panels: [{ ...graph, options: { calculate: false } }] },
  // @ts-expect-error there is no such mode
  { ...board, panels: [{ ...graph, fieldConfig: { defaults: { thresholds: { mode: "relative", steps: [] } }, overrides: [] } }] },
];
