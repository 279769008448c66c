// One stream of events feeds whichever page is open.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { ComparePage } from "./compare";
import { byId, confirmed, setText } from "./dom";
import { EditorPage } from "./editor";
import { Overview } from "./overview";
import type { Page } from "./page";
import { PlansPage } from "./plans";
import { RunPage } from "./run";
import { SchedulesPage } from "./schedules";
import { SettingsPage } from "./settings";
import type { Row, Second } from "./types";
import { showCaller } from "./who";

const main = byId("main");
const link = byId("link");
const trouble = byId("trouble");
let rows: Row[] | null = null;
/** The last second of each live run, for pages that open later. */
const seconds = new Map<string, Second>();
let page: Page | null = null;
let path = "";
/** Where the open page is. */
let at = "";

function pageOf(path: string, query: URLSearchParams): Page {
  const [, kind, name] = /^\/(runs|plans)\/(.+)$/.exec(path) ?? [];
  if (name) return kind === "runs" ? new RunPage(decode(name), query) : new EditorPage(decode(name), query);
  switch (path) {
    case "/compare": return new ComparePage(query);
    case "/plans": return new PlansPage();
    case "/schedules": return new SchedulesPage();
    case "/settings": return new SettingsPage();
    default: return new Overview();
  }
}

/** Opens the page of the address; true if it is another one than before. */
function route(): boolean {
  const [wanted, query] = split(location.hash);
  at = location.hash;
  if (page && wanted === path && page.moved?.(query)) return false;
  page?.destroy?.();
  path = wanted;
  page = pageOf(path, query);
  document.title = page.title;
  for (const one of document.querySelectorAll(".top nav a")) {
    if (one.getAttribute("href") === page.under) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  main.replaceChildren(page.element);
  if (rows) page.runs?.(rows, seconds);
  return true;
}

function split(hash: string): [string, URLSearchParams] {
  const [path = "", query = ""] = hash.slice(1).split("?", 2);
  return [path, new URLSearchParams(query)];
}

/** An address that somebody mistyped is the name of no run, not an error. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

let stream: EventSource | null = null;
/** When a stream that was refused is asked for again. */
let again = 0;

function listen(): void {
  stream?.close();
  const opening = new EventSource("/api/v1/events");
  stream = opening;
  let opened = false;
  opening.onopen = () => {
    setText(link, "live");
    link.className = "live";
    // What happened while the line was down is not told again.
    if (opened) page?.missed?.();
    opened = true;
  };
  opening.onerror = () => {
    setText(link, "not connected, trying again");
    link.className = "lost";
    // A stream that was refused (too many pages) does not try again by itself.
    if (opening.readyState === EventSource.CLOSED) again = setTimeout(listen, 5000);
  };
  opening.addEventListener("runs", (event) => {
    const list = (JSON.parse(event.data) as { runs: Row[] }).runs;
    rows = list;
    for (const id of seconds.keys()) {
      if (!list.some((row) => row.id === id && row.status === "running")) seconds.delete(id);
    }
    page?.runs?.(list, seconds);
  });
  opening.addEventListener("second", (event) => {
    const second = JSON.parse(event.data) as Second;
    seconds.set(second.run, second);
    page?.second?.(second);
  });
  opening.addEventListener("missed", () => page?.missed?.());
  opening.addEventListener("trouble", (event) => {
    const said = (JSON.parse(event.data) as { trouble: string | null }).trouble;
    setText(trouble, said ? `The record of runs cannot be read: ${said}` : "");
    trouble.hidden = !said;
  });
}

async function moved(): Promise<void> {
  // The skip link points into the page, not to another one.
  if (location.hash === "#main") {
    history.replaceState(null, "", at || "#/");
    main.focus();
    return;
  }
  const lost = page?.unsaved?.();
  const wanted = location.hash;
  if (lost && wanted !== at) {
    history.replaceState(null, "", at);
    if (!(await confirmed("Leave without saving?", lost, "Leave", "Stay"))) return;
    history.replaceState(null, "", wanted);
  }
  if (route()) main.focus();
}

// A page that a browser keeps to go back to would hold its connection, and there are six to a host.
addEventListener("pagehide", () => {
  clearTimeout(again);
  stream?.close();
});
addEventListener("pageshow", (event) => {
  if (event.persisted) {
    listen();
    page?.missed?.();
  }
});
addEventListener("hashchange", () => void moved());
addEventListener("beforeunload", (event) => {
  if (page?.unsaved?.()) event.preventDefault();
});
route();
listen();
void showCaller(byId("me"));
