// Who am I, at the top of every page.

import { me } from "./api";
import { button, fill } from "./dom";

export async function showCaller(place: HTMLElement): Promise<void> {
  try {
    const caller = await me();
    // On loopback nobody is asked who they are, and nobody needs to be told.
    if (caller.known_by === "local") return;
    const words = `${caller.name}, ${caller.scope}`;
    fill(place, words, caller.known_by === "token" && button("Log out", () => void logOut(), { class: "link" }));
  } catch {
    fill(place);
  }
}

async function logOut(): Promise<void> {
  await fetch("/logout", { method: "POST" }).catch(() => null);
  location.assign("/login");
}
