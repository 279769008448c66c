// Asking the service, and what it refuses.

export interface Mistake {
  line: number | null;
  column: number | null;
  message: string;
}

/** An answer of 400 and above, or none. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    detail: string,
    readonly mistakes: Mistake[] = [],
  ) {
    super(detail);
  }
}

export interface Answered<T> {
  body: T;
  etag: string | null;
}

export async function ask<T>(path: string, init: RequestInit = {}): Promise<Answered<T>> {
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Refusal(0, "the service does not answer");
  }
  // Whoever was logged out meanwhile is asked who they are.
  if (answer.status === 401) location.assign("/login");
  const body: unknown = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) {
    const problem = body as { detail?: string; title?: string; errors?: Mistake[] } | null;
    throw new Refusal(answer.status, problem?.detail ?? problem?.title ?? `the service answers ${answer.status}`, problem?.errors ?? []);
  }
  return { body: body as T, etag: answer.headers.get("etag") };
}

export async function read<T>(path: string): Promise<T> {
  return (await ask<T>(path)).body;
}

export function send<T>(method: string, path: string, body?: unknown, more: RequestInit = {}): Promise<Answered<T>> {
  const said = body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
  return ask<T>(path, { ...more, method, ...said });
}

/** What went wrong, for people. */
export function why(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export type Scope = "read" | "run" | "admin";

export interface Caller {
  name: string;
  known_by: "local" | "token" | "proxy";
  scope: Scope;
  max_rate: number | null;
  max_users: number | null;
  targets: string[] | null;
}

let asked: Promise<Caller> | null = null;

/** Who asks. */
export function me(): Promise<Caller> {
  asked ??= read<Caller>("/api/v1/me").catch((error: unknown) => {
    asked = null;
    throw error;
  });
  return asked;
}

/** Why whoever asks may not do what a scope may; nothing where they may. */
export async function whyNot(needed: Exclude<Scope, "read"> = "run"): Promise<string> {
  try {
    const { name, scope } = await me();
    const may = scope === "admin" || scope === needed;
    return may ? "" : `${name} has the scope ${scope}, and it takes ${needed}`;
  } catch (error) {
    return why(error);
  }
}
