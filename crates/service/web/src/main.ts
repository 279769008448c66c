// One stream of events feeds whichever page is open.

import "uplot/dist/uPlot.min.css";
import "./style.css";
import { byId, setText } from "./dom";
import { Overview } from "./overview";
import { RunPage } from "./run";
import type { Row, Second } from "./types";

const main = byId("main");
const link = byId("link");
const trouble = byId("trouble");
let rows: Row[] | null = null;
/** The last second of each live run, for pages that open later. */
const seconds = new Map<string, Second>();
let page: Overview | RunPage | null = null;

function route(): void {
  page?.destroy();
  const id = /^#\/runs\/(.+)$/.exec(location.hash)?.[1];
  page = id ? new RunPage(decode(id)) : new Overview();
  if (!id) document.title = "Plimsoll";
  main.replaceChildren(page.element);
  if (rows) page.runs(rows, seconds);
}

/** An address that somebody mistyped is the name of no run, not an error. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function listen(): void {
  const stream = new EventSource("/api/v1/events");
  let opened = false;
  stream.onopen = () => {
    setText(link, "live");
    link.className = "live";
    // What happened while the line was down is not told again.
    if (opened && page instanceof RunPage) page.missed();
    opened = true;
  };
  stream.onerror = () => {
    setText(link, "not connected, trying again");
    link.className = "lost";
    // A stream that was refused (too many pages) does not try again by itself.
    if (stream.readyState === EventSource.CLOSED) setTimeout(listen, 5000);
  };
  stream.addEventListener("runs", (event) => {
    const list = (JSON.parse(event.data) as { runs: Row[] }).runs;
    rows = list;
    for (const id of seconds.keys()) {
      if (!list.some((row) => row.id === id && row.status === "running")) seconds.delete(id);
    }
    page?.runs(list, seconds);
  });
  stream.addEventListener("second", (event) => {
    const second = JSON.parse(event.data) as Second;
    seconds.set(second.run, second);
    page?.second(second);
  });
  stream.addEventListener("missed", () => {
    if (page instanceof RunPage) page.missed();
  });
  stream.addEventListener("trouble", (event) => {
    const said = (JSON.parse(event.data) as { trouble: string | null }).trouble;
    setText(trouble, said ? `The record of runs cannot be read: ${said}` : "");
    trouble.hidden = !said;
  });
}

addEventListener("hashchange", () => {
  // The skip link points into the page, not to another one.
  if (location.hash === "#main") return;
  route();
  main.focus();
});
route();
listen();
