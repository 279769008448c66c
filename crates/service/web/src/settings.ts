// What this service is, and how its pages look.

import type { Caller, Scope } from "./api";
import { me, read, send, why, whyNot } from "./api";
import type { Child } from "./dom";
import { button, el, fill, setText, table } from "./dom";
import type { Page } from "./page";
import { moment, offset, rate, significant } from "./words";

interface Entry {
  at: string;
  who: string;
  known_by: string;
  action: string;
  what: string;
}

interface Token {
  id: string;
  name: string;
  scope: Scope;
  standing: "good" | "expired" | "revoked";
  max_rate: number | null;
  max_users: number | null;
  targets: string[] | null;
  made: string;
  expires: string | null;
  revoked: string | null;
}

interface Receiver {
  name: string;
  channel: string;
  on: string[];
  at_most: number;
}

interface Tested {
  name: string;
  taken: boolean;
  said: string;
  seconds: number;
}

interface Settings {
  version: string;
  auth: "off" | "tokens" | "proxy";
  tls: boolean;
  hosts: string[];
  targets: string;
  limits: { requests: number; body_bytes: number; connections: number; listeners: number };
  ceilings: { rate: number | null; users: number | null; runs: number } | null;
  notify: Receiver[];
  retention: { seconds_for: number; minutes_for: number; hours_for: number; size_bytes: number | null } | null;
}

/** Entries of the audit that are shown. */
const ENTRIES = 20;

export class SettingsPage implements Page {
  readonly element = el("div", { class: "settings" });
  readonly title = "Settings · Plimsoll";
  readonly under = "#/settings";
  private readonly service = el("section", { "aria-label": "This service" });
  private readonly who = el("section", { "aria-label": "You" });
  private readonly told = el("section", { "aria-label": "Who is told" });
  private readonly tested = el("p", { role: "status", class: "why" });
  private readonly test = button("Send a test", () => void this.sendTest());
  private answers = new Map<string, Tested>();
  private showAnswers: () => void = () => undefined;
  private readonly tokens = el("section", { "aria-label": "Tokens" });
  private readonly audit = el("section", { "aria-label": "Who did what" });

  constructor() {
    fill(this.element, el("h1", {}, "Settings"), look(), this.who, this.service, this.told, this.tokens, this.audit);
    void this.showService();
    void this.showCaller();
  }

  private async showService(): Promise<void> {
    try {
      const settings = await read<Settings>("/api/v1/settings");
      fill(this.service, el("h2", {}, "This service"), list(factsOfService(settings)));
      await this.showReceivers(settings.notify);
    } catch (error) {
      fill(this.service, el("h2", {}, "This service"), el("p", {}, why(error)));
    }
  }

  private async showReceivers(receivers: Receiver[]): Promise<void> {
    const refused = await whyNot("admin");
    this.test.hidden = refused !== "";
    const show = () => {
      const columns = ["Receiver", "Of", "At most", "Test"].map((name) => ({ name }));
      const rows = receivers.map(({ name, channel, on, at_most }) => {
        const answer = this.answers.get(name);
        const words = answer ? `${answer.taken ? "taken" : "not taken"}: ${answer.said} (${significant(answer.seconds * 1000)} ms)` : "–";
        return [el("div", {}, name, el("small", {}, channel)), el("span", { class: "why" }, on.join(", ")), `${at_most} an hour`, el("span", { class: answer && !answer.taken ? "why bad" : "why" }, words)];
      });
      const nobody = el("p", { class: "none" }, "Nobody: ", el("code", {}, "notify"), " in the configuration of ", el("code", {}, "plimsoll serve"), " has them.");
      fill(this.told, el("h2", {}, "Who is told"), receivers.length > 0 ? table("Receivers", columns, rows) : nobody, receivers.length > 0 && el("p", { class: "buttons" }, this.test), this.tested);
    };
    this.showAnswers = show;
    show();
  }

  /** Tests every receiver at once; it may take as long as the slowest. */
  private async sendTest(): Promise<void> {
    this.test.disabled = true;
    this.tested.classList.remove("bad");
    setText(this.tested, "Sending a test to every receiver…");
    try {
      const { body } = await send<{ receivers: Tested[] }>("POST", "/api/v1/notify/test");
      this.answers = new Map(body.receivers.map((tested) => [tested.name, tested]));
      const failed = body.receivers.filter(({ taken }) => !taken).length;
      setText(this.tested, failed === 0 ? "Every receiver took it." : `${failed} of ${body.receivers.length} did not take it.`);
      this.tested.classList.toggle("bad", failed > 0);
    } catch (error) {
      setText(this.tested, `Not tested: ${why(error)}`);
      this.tested.classList.add("bad");
    }
    this.test.disabled = false;
    this.showAnswers();
  }

  private async showCaller(): Promise<void> {
    try {
      const caller = await me();
      fill(this.who, el("h2", {}, "You"), list(factsOf(caller)));
    } catch (error) {
      fill(this.who, el("h2", {}, "You"), el("p", {}, why(error)));
      return;
    }
    await Promise.all([
      forAdmins(this.tokens, "Tokens", tokens),
      forAdmins(this.audit, "Who did what", audit),
    ]);
  }
}

/** A section of what only an admin is told; others are told that. */
async function forAdmins(section: HTMLElement, heading: string, ask: () => Promise<Child[]>): Promise<void> {
  const refused = await whyNot("admin");
  const shown = refused ? [el("p", { class: "none" }, `Not for you to see: ${refused}.`)] : await ask().catch((error: unknown) => [el("p", {}, why(error))]);
  fill(section, el("h2", {}, heading), ...shown);
}

async function tokens(): Promise<Child[]> {
  const { tokens } = await read<{ tokens: Token[] }>("/api/v1/tokens");
  const good = ({ standing }: Token) => standing === "good";
  // Those that let somebody in first, and of each kind the newest.
  const newest = [...tokens].reverse();
  const sorted = [...newest.filter(good), ...newest.filter((token) => !good(token))];
  const columns = ["Token", "May", "Starts at most", "Made", "Holds"].map((name) => ({ name }));
  const rows = sorted.map((token) => [
    el("div", {}, token.name, el("small", {}, token.id)),
    token.scope,
    el("span", { class: "why" }, most(token)),
    moment(token.made),
    el("span", { class: good(token) ? "why" : "why bad" }, until(token)),
  ]);
  const { known_by } = await me();
  const none = known_by === "local" && el("p", { class: "none" }, "Nobody is asked for one: ", el("code", {}, "auth"), " is not configured.");
  const make = el("p", { class: "soft" }, el("code", {}, "plimsoll token create NAME"), " makes one and tells it once, ", el("code", {}, "plimsoll token revoke"), " ends one.");
  return [rows.length > 0 ? table("Who has a token", columns, rows) : el("p", { class: "none" }, "There is none."), none, make];
}

function most({ scope, max_rate, max_users, targets }: Token): string {
  if (scope === "read") return "nothing";
  const said = [max_rate !== null && rate(max_rate), max_users !== null && `${significant(max_users)} users`, targets && `at ${targets.join(", ")}`];
  return said.filter(Boolean).join(", ") || "as the service has it";
}

function until({ standing, expires, revoked }: Token): string {
  if (standing === "revoked") return `revoked ${moment(revoked ?? "")}`;
  if (expires === null) return "until it is revoked";
  return standing === "expired" ? `expired ${moment(expires)}` : `until ${moment(expires)}`;
}

async function audit(): Promise<Child[]> {
  const { entries } = await read<{ entries: Entry[] }>(`/api/v1/audit?limit=${ENTRIES}`);
  const columns = ["At", "Who", "Did", "What"].map((name) => ({ name }));
  const rows = entries.map(({ at, who, known_by, action, what }) => [moment(at), `${who} (${known_by})`, action, el("span", { class: "why" }, what)]);
  return [entries.length > 0 ? table("Latest entries", columns, rows) : el("p", { class: "none" }, "Nobody did anything yet.")];
}

function kept({ retention }: Settings): string {
  if (retention === null) return "for ever";
  const { seconds_for, minutes_for, hours_for, size_bytes } = retention;
  const days = (seconds: number) => (seconds % 86400 === 0 ? `${significant(seconds / 86400)} days` : offset(seconds));
  const size = size_bytes === null ? "" : `, at most ${significant(size_bytes / 1e9)} GB`;
  return `by the second ${days(seconds_for)}, by the minute ${days(minutes_for)}, by the hour ${days(hours_for)}${size}`;
}

function factsOfService(settings: Settings): [string, Node | string][] {
  const { version, auth, tls, hosts, targets, limits, ceilings } = settings;
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
    ["Keeps runs", kept(settings)],
    ["For programs", links()],
  ];
}

function factsOf(caller: Caller): [string, Node | string][] {
  const scopes = { read: "look", run: "look, start and steer", admin: "look, start, steer, delete, see who did what and who has a token" };
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
