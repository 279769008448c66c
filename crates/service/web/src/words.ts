// How figures read. What has no data is a dash.

export const NO_DATA = "–";

/** About three significant digits, thousands apart. */
export function significant(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 99.95) return Math.round(value).toLocaleString("en-US");
  return String(Number(value.toPrecision(3)));
}

/** Seconds as 312 µs, 12.4 ms, 1.24 s. */
export function time(seconds: number | null | undefined): string {
  if (seconds == null) return NO_DATA;
  if (seconds === 0) return "0 s";
  const size = Math.abs(seconds);
  const [factor, unit] = size < 999.5e-6 ? [1e6, "µs"] : size < 0.9995 ? [1e3, "ms"] : [1, "s"];
  return `${significant(seconds * (factor as number))} ${unit}`;
}

export function rate(value: number | null | undefined): string {
  return value == null ? NO_DATA : `${significant(value)}/s`;
}

export function count(value: number | null | undefined): string {
  return value == null ? NO_DATA : value.toLocaleString("en-US");
}

export function share(value: number | null | undefined): string {
  return value == null ? NO_DATA : `${significant(value * 100)}%`;
}

/** A place in a run, or how long something took: 0:45, 12:30, 1:02:03. */
export function offset(seconds: number | null | undefined): string {
  if (seconds == null) return NO_DATA;
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

/** How requests failed, as it is read. */
export function kindOf(label: string): string {
  return label.replaceAll("_", " ");
}

export function moment(text: string): string {
  return text.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
}
