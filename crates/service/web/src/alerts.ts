// What others told of the time of a run: a table beside the charts, which mark the same spans.

import { read } from "./api";
import { el, fill, setText, table } from "./dom";
import type { Alert } from "./types";
import { count, moment, NO_DATA, offset } from "./words";

/** Milliseconds between two questions while a run goes on. */
const EVERY = 5000;

/** Milliseconds for which it is asked on when the run has ended: ends are told late. */
const AFTER = 600_000;

/** Labels of one alert that are shown. */
const LABELS = 6;

/** Words for how bad something is that people act on at once. */
const BAD = new Set(["critical", "page", "emergency", "error", "high"]);

/** An alert and its name on the charts. */
export interface Marked extends Alert {
  mark: string;
}

/** Asks for the alerts of a run, again and again while it goes on and somebody looks. */
export class Alerts {
  readonly element = el("section", { class: "alerts" });
  private readonly told = el("p", { role: "status" });
  private readonly list = el("div");
  private timer = 0;
  private until = Infinity;
  private asking = false;
  private last = "";
  private readonly seen = () => {
    if (Date.now() > this.until) clearInterval(this.timer);
    else if (this.timer && !document.hidden) void this.ask();
  };

  constructor(
    private readonly run: string,
    private readonly changed: (alerts: Marked[]) => void,
  ) {
    this.element.hidden = true;
    this.element.append(el("h2", {}, "Alerts while it ran"), this.told, this.list);
    document.addEventListener("visibilitychange", this.seen);
  }

  /** Asks now, and again while the run goes on and for a while after its end. */
  follow(running: boolean): void {
    if (!running && this.timer) this.until = Date.now() + AFTER;
    if (running && !this.timer) this.timer = setInterval(this.seen, EVERY);
    void this.ask();
  }

  destroy(): void {
    clearInterval(this.timer);
    this.timer = 0;
    document.removeEventListener("visibilitychange", this.seen);
  }

  private async ask(): Promise<void> {
    const path = `/api/v1/runs/${encodeURIComponent(this.run)}/annotations`;
    // An answer that is late is not to come over a later one.
    if (this.asking) return;
    this.asking = true;
    // What cannot be asked now is asked again, and what was told stays.
    const answer = await read<{ annotations: Alert[]; next: string | null }>(path).catch(() => null);
    this.asking = false;
    if (!answer) return;
    const said = JSON.stringify(answer);
    if (said === this.last) return;
    this.last = said;
    // The first to begin is the first on the axis.
    const alerts = answer.annotations.reverse().map((alert, index) => ({ ...alert, mark: `A${index + 1}` }));
    this.show(alerts, answer.next !== null);
    this.changed(alerts);
  }

  private show(alerts: Marked[], more: boolean): void {
    this.element.hidden = alerts.length === 0;
    const firing = alerts.filter(({ status }) => status === "firing").length;
    const still = firing > 0 ? `, ${count(firing)} not ended` : "";
    const all = `${count(alerts.length)} ${alerts.length === 1 ? "alert" : "alerts"}${more ? ", and earlier ones" : ""}`;
    setText(this.told, `${all}${still}. The charts mark each by its name.`);
    const columns = [{ name: "Alert" }, { name: "Severity" }, { name: "From" }, { name: "To" }, { name: "Labels" }, { name: "Summary" }];
    const focused = this.list.contains(document.activeElement) ? document.activeElement?.textContent : null;
    fill(this.list, table("Alerts while it ran", columns, alerts.map(row)));
    // Who has come to a link by keyboard stays there.
    const links = [...this.list.querySelectorAll("a")];
    if (focused) links.find((link) => link.textContent === focused)?.focus();
  }
}

function row(alert: Marked): (Node | string)[] {
  const { from_seconds: from, to_seconds: to } = alert;
  const begins = from < 0 ? "before it" : offset(from);
  // As long as nobody says that it is over, all that is known is when it was told last.
  const ends = to === null ? el("div", {}, "not ended", el("small", {}, `told ${moment(alert.told)}`)) : el("div", {}, offset(to), el("small", {}, moment(alert.ends ?? "")));
  const summary = el("span", { class: "why" }, alert.summary ?? "");
  const link = safe(alert.link);
  if (link) summary.append(" ", el("a", { href: link, target: "_blank", rel: "noopener noreferrer" }, `Source of ${alert.mark}`));
  return [
    el("div", { class: "alert" }, el("b", { class: "mark" }, alert.mark), ` ${alert.name}`),
    alert.severity === null ? NO_DATA : el("span", { class: `mark ${isBad(alert) ? "missed" : "inconclusive"}` }, alert.severity),
    el("div", {}, begins, el("small", {}, moment(alert.starts))),
    ends,
    el("span", { class: "why" }, labels(alert)),
    summary,
  ];
}

export function isBad(alert: Alert): boolean {
  return BAD.has((alert.severity ?? "").toLowerCase());
}

/** Those that say more than name and severity do. */
function labels(alert: Alert): string {
  const others = Object.entries(alert.labels).filter(([name]) => name !== "alertname" && name !== "severity");
  const told = others.slice(0, LABELS).map(([name, value]) => `${name}=${value}`);
  const more = others.length - told.length;
  return told.join(", ") + (more > 0 ? ` and ${more} more` : "");
}

/** An address of the web; nothing else is ever a link. */
function safe(link: string | null): string | null {
  return link !== null && /^https?:\/\//.test(link) ? link : null;
}
