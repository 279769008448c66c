// What Grafana's published types say of a dashboard, joined: the dashboard, and of each kind of panel its options.

import type { AnnotationQuery, Dashboard, FieldConfig, Panel, RowPanel } from "@grafana/schema/dist/esm/raw/dashboard/x/Dashboard_types.gen";
import type * as Heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// The types have enums, which refuse plain text; JSON has nothing else.
type Loose<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends Array<infer U>
      ? Loose<U>[]
      : T extends object
        ? { [K in keyof T]: Loose<T[K]> }
        : T;

type PanelOf<Kind, Options, Custom> = Omit<Panel, "type" | "options" | "fieldConfig"> & {
  type: Kind;
  options: Options;
  fieldConfig: {
    defaults: Omit<FieldConfig, "custom"> & { custom?: Custom };
    overrides: NonNullable<Panel["fieldConfig"]>["overrides"];
  };
};

type AnyPanel =
  | (RowPanel & { type: "row" })
  | PanelOf<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>
  | PanelOf<"stat", Stat.Options, undefined>
  | PanelOf<"heatmap", Heatmap.Options, Heatmap.FieldConfig>
  | PanelOf<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>
  | PanelOf<"table", Table.Options, Partial<Table.FieldConfig>>;

// What data sources read of an annotation beyond what all have is in no published type; the published target is Grafana's own.
type Annotation = Omit<AnnotationQuery, "target"> & {
  target?: Record<string, unknown>;
  expr?: string;
  query?: string;
  step?: string;
  titleFormat?: string;
  textFormat?: string;
  textColumn?: string;
};

export type Board = Loose<
  Omit<Dashboard, "panels" | "annotations"> & { panels: AnyPanel[]; annotations: { list: Annotation[] } }
>;
