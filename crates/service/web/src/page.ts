// What every page is for the router.

import type { Row, Second } from "./types";

export interface Page {
  readonly element: HTMLElement;
  readonly title: string;
  /** The link of the navigation that leads here. */
  readonly under: string;
  destroy?(): void;
  /** Every listed run, at once and when one begins, ends or is deleted. */
  runs?(rows: Row[], seconds: Map<string, Second>): void;
  second?(second: Second): void;
  /** Something happened that was not told: ask again. */
  missed?(): void;
  /** Takes another query of its own address; false where that makes it another page. */
  moved?(query: URLSearchParams): boolean;
  /** What would be lost by going elsewhere; nothing if empty. */
  unsaved?(): string;
}

/** An address within the pages, with its query. */
export function address(path: string, query: Record<string, string | number> = {}): string {
  const text = new URLSearchParams(Object.entries(query).map(([name, value]) => [name, String(value)])).toString();
  return `#${path}${text && `?${text}`}`;
}
