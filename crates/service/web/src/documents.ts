// What the pages that the service draws (SLAs, capacity) have of the others: who am I, and news without losing one's place.

import "./documents.css";
import { showCaller } from "./who";

/** Milliseconds between two looks at what became of a page. */
const EVERY = 10_000;

/** Makes what is there what was drawn anew, changing only what differs: focus, selection and scrolling stay. */
export function become(old: Node, fresh: Node): void {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    (old as ChildNode).replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old instanceof Element && fresh instanceof Element) {
    // What a reader opened or reads off a chart is theirs.
    const keeps = (name: string) => name === "open" || (name === "class" && old.classList.contains("reading"));
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !keeps(name)) old.removeAttribute(name);
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value && !keeps(name)) old.setAttribute(name, value);
    if (old.classList.contains("hover") || old.classList.contains("cursor")) return;
  } else if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
  const [there, wanted] = [[...old.childNodes], [...fresh.childNodes]];
  wanted.forEach((node, index) => {
    const one = there[index];
    if (one) become(one, node);
    else old.appendChild(document.importNode(node, true));
  });
  for (const one of there.slice(wanted.length)) one.remove();
}

async function look(): Promise<void> {
  if (document.hidden) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
  const main = document.querySelector("main");
  if (fresh && main) become(main, fresh);
}

const place = document.getElementById("me");
if (place) void showCaller(place);
if (document.documentElement.dataset["changes"] !== undefined) setInterval(() => void look(), EVERY);
document.addEventListener("visibilitychange", () => {
  if (document.documentElement.dataset["changes"] !== undefined) void look();
});
