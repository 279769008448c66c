// What the API answers. No data is null, never zero.

export type Verdict = "met" | "missed" | "inconclusive";
export type Validity = "valid" | "suspect" | "invalid";
export type Status = "running" | "completed" | "aborted" | "interrupted" | "failed";

export interface Row {
  id: string;
  plan: string;
  plan_hash: string;
  version: string | null;
  environment: string | null;
  tags: Record<string, string>;
  target: string;
  started: string;
  duration_seconds: number | null;
  status: Status;
  verdict: Verdict | null;
  validity: Validity | null;
  requests: number | null;
  throughput: number | null;
  error_ratio: number | null;
  p95: number | null;
  lost_seconds: number;
  crosses: string[];
}

export interface Sla {
  name: string;
  objective: string;
  severity: "critical" | "warning";
  verdict: Verdict | null;
  observed_words: string | null;
  why: string | null;
  missed_windows?: number;
  windows?: number;
  missing_for_seconds?: number;
  /** What breaks it right now, of an objective over the whole run. */
  breach?: { since_second: number; delay_seconds: number; why: string } | null;
}

export const COLUMNS = [
  "second", "seconds", "offered", "arrivals", "requests", "succeeded", "failed", "dropped", "in_flight", "users",
  "p50", "p95", "p99", "max", "good",
] as const;
export type Column = (typeof COLUMNS)[number];
export type Point = Record<Column, number | null>;
/** How many requests failed in a second, by kind; null where kinds are not known. */
export type Errors = Record<string, number> | null;
/** Columns; where points span several seconds, the least and most of some among them too (`requests_most`). */
export type Points = Record<Column, (number | null)[]> & { heat?: (number[] | null)[]; errors?: Errors[] } & Record<
    `${string}_${"least" | "most"}`,
    (number | null)[] | undefined
  >;

export interface Stage {
  kind: string;
  started: number;
  ended: number;
  from: number;
  to: number;
}

export interface Steered {
  effective: number;
  scenario: string | null;
  by: string;
  words: string;
}

/** What an Alertmanager told, and where it lies in a run, in seconds from its start. */
export interface Alert {
  fingerprint: string;
  name: string;
  severity: string | null;
  status: "firing" | "resolved";
  starts: string;
  ends: string | null;
  summary: string | null;
  labels: Record<string, string>;
  link: string | null;
  told: string;
  from_seconds: number;
  to_seconds: number | null;
}

export interface Timeline {
  run: string;
  plan: string;
  model: "open" | "closed";
  target: string;
  version: string | null;
  environment: string | null;
  started: string;
  status: Status;
  reason: string | null;
  verdict: Verdict | null;
  validity: { verdict: Validity; reasons: string[] };
  planned_seconds: number;
  iterations: number | null;
  warmup_seconds: number;
  stages: Stage[];
  sla: Sla[];
  bounds: { name: string; seconds: number }[];
  errors: { kind: string; count: number; message: string | null }[];
  notes: { at: number; text: string }[];
  /** How it was steered. */
  steered?: Steered[];
  /** What can be steered: the load that scenarios share (`null`), and those that they have of their own. */
  loads?: { scenario: string | null; model: "open" | "closed" }[];
  /** Seconds between the buckets of `points.heat`. */
  heat_edges?: number[];
  /** Over all phases, as a live run counts. */
  so_far: { requests: number; failed: number };
  /** Over the measured phase and grace. */
  totals: { requests: number; failed: number; dropped: number; throughput: number | null; error_ratio: number | null };
  response_time: { p50: number | null; p95: number | null; p99: number | null; max: number | null };
  points: Points;
}

export interface Second {
  run: string;
  second: number;
  point: (Point & { heat?: number[] | null; errors?: Errors }) | null;
  /** How often it was steered so far. */
  steered?: number;
  requests: number;
  failed: number;
  sla: Sla[];
  validity: Validity;
}
