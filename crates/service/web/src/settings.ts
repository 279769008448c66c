// What this service is, and how its pages look.

import type { Caller } from "./api";
import { me, read, why } from "./api";
import { el, fill, setText, table } from "./dom";
import type { Page } from "./page";
import { moment, rate, significant } from "./words";

interface Entry {
  at: string;
  who: string;
  known_by: string;
  action: string;
  what: string;
}

interface Settings {
  version: string;
  auth: "off" | "tokens" | "proxy";
  tls: boolean;
  hosts: string[];
  targets: string;
  limits: { requests: number; body_bytes: number; connections: number; listeners: number };
  ceilings: { rate: number | null; users: number | null; runs: number } | null;
}

/** Entries of the audit that are shown. */
const ENTRIES = 20;

export class SettingsPage implements Page {
  readonly element = el("div", { class: "settings" });
  readonly title = "Settings · Plimsoll";
  readonly under = "#/settings";
  private readonly service = el("section", { "aria-label": "This service" });
  private readonly who = el("section", { "aria-label": "You" });
  private readonly audit = el("section", { "aria-label": "Who did what" });

  constructor() {
    fill(this.element, el("h1", {}, "Settings"), look(), this.who, this.service, this.audit);
    void this.showService();
    void this.showCaller();
  }

  private async showService(): Promise<void> {
    try {
      const settings = await read<Settings>("/api/v1/settings");
      fill(this.service, el("h2", {}, "This service"), list(factsOfService(settings)));
    } catch (error) {
      fill(this.service, el("h2", {}, "This service"), el("p", {}, why(error)));
    }
  }

  private async showCaller(): Promise<void> {
    try {
      const caller = await me();
      fill(this.who, el("h2", {}, "You"), list(factsOf(caller)));
      if (caller.scope === "admin") await this.showAudit();
    } catch (error) {
      fill(this.who, el("h2", {}, "You"), el("p", {}, why(error)));
    }
  }

  private async showAudit(): Promise<void> {
    const { entries } = await read<{ entries: Entry[] }>(`/api/v1/audit?limit=${ENTRIES}`);
    const columns = ["At", "Who", "Did", "What"].map((name) => ({ name }));
    const rows = entries.map(({ at, who, known_by, action, what }) => [moment(at), `${who} (${known_by})`, action, el("span", { class: "why" }, what)]);
    const shown = entries.length > 0 ? table("Who did what", columns, rows) : el("p", { class: "none" }, "Nobody did anything yet.");
    fill(this.audit, el("h2", {}, "Who did what"), shown);
  }
}

function factsOfService({ version, auth, tls, hosts, targets, limits, ceilings }: Settings): [string, Node | string][] {
  const known = { off: "nobody is asked who they are", tokens: "by tokens", proxy: "by a proxy in front, or tokens" };
  const most = ceilings && [
    ceilings.rate === null ? "any rate" : rate(ceilings.rate),
    ceilings.users === null ? "any number of users" : `${significant(ceilings.users)} users`,
    `${ceilings.runs} runs at once`,
  ];
  return [
    ["Plimsoll", version],
    ["Who asks", `${known[auth]}, ${tls ? "over TLS" : "without TLS"}`],
    ["Names", ["localhost and its address", ...hosts].join(", ")],
    ["Starts", most ? `plans of its folder: together at most ${most.join(", ")}` : "nothing: it has no folder of plans"],
    ["Sends runs to", targets],
    ["One client", `${rate(limits.requests)} requests, bodies of ${significant(limits.body_bytes / 1024)} KiB`],
    ["All clients", `${significant(limits.connections)} connections, ${significant(limits.listeners)} that listen`],
    ["For programs", links()],
  ];
}

function factsOf(caller: Caller): [string, Node | string][] {
  const scopes = { read: "look", run: "look, start and steer", admin: "look, start, steer, delete and see who did what" };
  const known = { local: "nobody is asked who they are on this machine", token: "by a token", proxy: "by the proxy in front" };
  return [
    ["Name", caller.name],
    ["Known", known[caller.known_by]],
    ["May", `${scopes[caller.scope]} (${caller.scope})`],
    ["Rate at most", caller.max_rate === null ? "as the service has it" : rate(caller.max_rate)],
    ["Users at most", caller.max_users === null ? "as the service has it" : significant(caller.max_users)],
    ["Targets", caller.targets?.join(", ") ?? "as the service has them"],
  ];
}

function list(facts: [string, Node | string][]): HTMLElement {
  return el("dl", { class: "list" }, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function links(): HTMLElement {
  return el("span", {}, el("a", { href: "/api/v1/openapi.json" }, "its API"), ", ", el("a", { href: "/metrics" }, "its metrics"));
}

/** Light, dark, or as the system has it; kept in this browser. */
function look(): HTMLElement {
  const said = el("p", { role: "status", class: "soft" });
  const { documentElement: root } = document;
  const choose = (theme: string) => {
    if (theme === "system") delete root.dataset["theme"];
    else root.dataset["theme"] = theme;
    try {
      if (theme === "system") localStorage.removeItem("theme");
      else localStorage.setItem("theme", theme);
    } catch {
      setText(said, "This browser keeps nothing, so it holds until the page is closed.");
    }
  };
  const now = root.dataset["theme"] ?? "system";
  const radios = ["system", "light", "dark"].map((theme) => {
    const radio = el("input", { type: "radio", name: "theme", id: `theme-${theme}`, value: theme });
    radio.checked = theme === now;
    radio.addEventListener("change", () => choose(theme));
    const words = theme === "system" ? "as the system has it" : theme;
    return el("span", { class: "choice" }, radio, el("label", { for: `theme-${theme}` }, words));
  });
  return el("section", {}, el("fieldset", {}, el("legend", {}, "Colours"), ...radios), said);
}
